"""A DAG that updates a dataset, one that it starts, and one that waits for a second dataset, too."""

from __future__ import annotations

import pendulum
from airflow.datasets import Dataset
from airflow.decorators import dag, task
from witness import saw

FIRST, SECOND = Dataset("s3://windsock/first"), Dataset("s3://windsock/second")


@task
def consume(triggering_dataset_events=None) -> None:
    saw(sorted([uri, event.extra] for uri, events in triggering_dataset_events.items() for event in events))


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1))
def producer():
    @task(outlets=[FIRST])
    def produce() -> None:
        saw()

    produce()


@dag(schedule=[FIRST], start_date=pendulum.datetime(2026, 1, 1))
def consumer():
    consume()


@dag(schedule=[FIRST, SECOND], start_date=pendulum.datetime(2026, 1, 1))
def consumer_of_both():
    consume()


producer()
consumer()
consumer_of_both()
