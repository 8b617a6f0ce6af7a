"""DAGs whose tasks see values: params and conf, mapped arguments, and what the API stores."""

from __future__ import annotations

import pendulum
from airflow.decorators import dag, task, task_group
from airflow.hooks.base import BaseHook
from airflow.models.dagrun import DagRun
from airflow.models.param import Param
from airflow.models.variable import Variable
from airflow.utils.session import create_session
from witness import saw


@dag(
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1),
    params={"count": Param(3, type="integer", minimum=1), "colour": Param("red", enum=["red", "green"])},
)
def params():
    @task
    def show(params=None, dag_run=None) -> None:
        saw({"params": dict(params), "conf": dag_run.conf})

    show()


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1))
def mapped():
    @task
    def add(a: int, b: int, c: int) -> int:
        saw([a, b, c])
        return a + b + c

    @task
    def double(n: int) -> int:
        saw(n)
        return 2 * n

    @task
    def total(numbers: list[int]) -> None:
        saw(sum(numbers))

    @task_group
    def group(n: int):
        double.override(task_id="twice")(n)

    sums = add.partial(c=100).expand(a=[1, 2], b=[10, 20])
    total(double.expand(n=sums)) >> group.expand(n=[7, 8])


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1))
def stored():
    @task(pool="windsock")
    def look(dag_run=None) -> None:
        connection = BaseHook.get_connection("windsock")
        with create_session() as session:
            note = session.get(DagRun, dag_run.id).note
        saw([Variable.get("windsock"), connection.get_uri(), connection.extra_dejson, note])

    look()


params()
mapped()
stored()
