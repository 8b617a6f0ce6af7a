"""A chain, a branch with a skipped side, a task that fails once, a task that takes long, and a DAG with a schedule."""

from __future__ import annotations

import time
from datetime import timedelta

import pendulum
from airflow.decorators import dag, task
from witness import saw


@task
def step() -> None:
    saw()


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1), default_args={"retries": 2})
def chain():
    step.override(task_id="a")() >> step.override(task_id="b")() >> step.override(task_id="c")()


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1))
def branch():
    @task.branch
    def choose() -> str:
        saw()
        return "left"

    join = step.override(task_id="join", trigger_rule="none_failed_min_one_success")()
    choose() >> [step.override(task_id="left")(), step.override(task_id="right")()] >> join


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1))
def retry():
    @task(retries=1, retry_delay=timedelta(seconds=1))
    def flaky(ti=None) -> None:
        saw()
        if ti.try_number == 1:
            raise RuntimeError("the first try fails")

    flaky() >> step.override(task_id="after")()


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1))
def slow():
    @task(retry_delay=timedelta(seconds=1))  # after a clear, too
    def sleep() -> None:
        saw("begins")
        time.sleep(600)
        saw("ends")

    step.override(task_id="before")() >> sleep() >> step.override(task_id="after")()


@dag(
    schedule="30 4 * * 1-5",
    start_date=pendulum.datetime(2026, 1, 1, tz="Europe/Berlin"),
    end_date=pendulum.datetime(2026, 6, 1, tz="Europe/Berlin"),
    catchup=False,
)
def cron():
    @task
    def interval(data_interval_start=None, data_interval_end=None) -> None:
        saw([data_interval_start.isoformat(), data_interval_end.isoformat()])

    interval()


chain()
branch()
retry()
slow()
cron()
