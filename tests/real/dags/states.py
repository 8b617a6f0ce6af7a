"""DAGs whose task instances a test puts into the states that their names say; they are never executed."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow import DAG
from airflow.operators.empty import EmptyOperator

ALONE = ("deferred", "queued", "restarting", "running", "scheduled", "skipped", "up_for_reschedule", "up_for_retry")

for name in ("states", "states_and_teardown"):
    with DAG(name, schedule=None, start_date=pendulum.datetime(2026, 1, 1), default_args={"retries": 2}) as dag:
        success, failed = EmptyOperator(task_id="success"), EmptyOperator(task_id="failed", retries=0)
        success >> failed >> EmptyOperator(task_id="upstream_failed") >> EmptyOperator(task_id="none")
        for state in ALONE:
            EmptyOperator(task_id=state, pool_slots=2, retry_delay=timedelta(hours=1))
        if name == "states_and_teardown":
            EmptyOperator(task_id="teardown").as_teardown(setups=EmptyOperator(task_id="setup"))
    globals()[name] = dag
