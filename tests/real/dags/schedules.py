"""One DAG for each kind of schedule; none of them begins by itself, since all have ended."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow import DAG
from airflow.datasets import Dataset
from airflow.operators.empty import EmptyOperator
from airflow.timetables.datasets import DatasetOrTimeSchedule
from airflow.timetables.events import EventsTimetable
from airflow.timetables.interval import CronDataIntervalTimetable, DeltaDataIntervalTimetable
from airflow.timetables.trigger import CronTriggerTimetable, DeltaTriggerTimetable
from dateutil.relativedelta import relativedelta

EVENTS = [pendulum.datetime(2026, month, 1) for month in (2, 3, 5)]
SCHEDULES = {
    "continuous": "@continuous",
    "cron_often": "*/20 * * * *",
    "cron_quarter": "0 4 1 1,4,7,10 *",
    "cron_timetable": CronDataIntervalTimetable("30 2 * * *", timezone="Europe/Berlin"),
    "cron_trigger": CronTriggerTimetable("30 2 * * *", timezone="America/New_York"),
    "cron_trigger_interval": CronTriggerTimetable("0 3 * * 1", timezone="UTC", interval=timedelta(days=4)),
    "cron_weekday": "15 1 * * MON#1",
    "daily": "@daily",
    "dataset_or_time": DatasetOrTimeSchedule(
        timetable=CronTriggerTimetable("0 1 * * 3", timezone="UTC"), datasets=[Dataset("s3://windsock/or")]
    ),
    "datasets": Dataset("s3://windsock/a") & (Dataset("s3://windsock/b") | Dataset("s3://windsock/c")),
    "delta": timedelta(hours=7),
    "delta_timetable": DeltaDataIntervalTimetable(timedelta(minutes=90)),
    "delta_trigger": DeltaTriggerTimetable(timedelta(hours=5), interval=timedelta(hours=2)),
    "events": EventsTimetable(EVENTS),
    "events_restricted": EventsTimetable(EVENTS, restrict_to_events=True),
    "hourly": "@hourly",
    "monthly": "@monthly",
    "once": "@once",
    "relative": relativedelta(months=1),
    "weekly": "@weekly",
}  # fmt: skip

for name, schedule in SCHEDULES.items():
    with DAG(
        f"schedule_{name}", schedule=schedule, catchup=False, max_active_runs=1,
        start_date=pendulum.datetime(2026, 1, 1, tz="America/New_York"), end_date=pendulum.datetime(2026, 6, 1),
    ) as dag:  # fmt: skip
        EmptyOperator(task_id="nothing", start_date=pendulum.datetime(2026, 2, 1)) >> EmptyOperator(task_id="more")
    globals()[dag.dag_id] = dag
