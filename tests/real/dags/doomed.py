"""A DAG that is deleted, with everything that may refer to it."""

from __future__ import annotations

import pendulum
from airflow.datasets import Dataset
from airflow.decorators import dag, task
from witness import saw


@dag(schedule=[Dataset("s3://windsock/doomed")], start_date=pendulum.datetime(2026, 1, 1), tags=["doomed"])
def doomed():
    @task(outlets=[Dataset("s3://windsock/ash")])
    def burn(n: int) -> int:
        saw()
        return n

    burn.expand(n=[1, 2])


doomed()
