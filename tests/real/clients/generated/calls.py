"""Calls with the Python client that openapi-generator has made from the document; see ../generate.py."""

import json
import os
import sys
from collections.abc import Callable
from datetime import datetime, timezone

import openapi_client as windsock

RESULTS: dict[str, str | None] = {}
DAG, RUN = os.environ["WINDSOCK_DAG"], os.environ["WINDSOCK_RUN"]
configuration = windsock.Configuration(
    host=os.environ["WINDSOCK_URL"], username=os.environ["WINDSOCK_USER"], password=os.environ["WINDSOCK_PASSWORD"]
)
client = windsock.ApiClient(configuration)
dags, runs, pools = windsock.DAGApi(client), windsock.DAGRunApi(client), windsock.PoolApi(client)


def step(name: str) -> Callable[[Callable[[], bool]], None]:
    """Note what a step has to say."""

    def run(check: Callable[[], bool]) -> None:
        try:
            RESULTS[name] = None if check() else "unexpected answer"
        except Exception as error:
            RESULTS[name] = f"{type(error).__name__}: {error}"

    return run


@step("list DAGs with schedules of several kinds")
def _() -> bool:
    found = dags.get_dags(limit=100, tags=["nightly"]).dags or []
    kinds = {type(dag.schedule_interval.actual_instance) for dag in found if dag.schedule_interval}
    every = dags.get_dags(limit=100)
    kinds |= {type(dag.schedule_interval.actual_instance) for dag in every.dags or [] if dag.schedule_interval}
    return kinds == {windsock.CronExpression, windsock.TimeDelta} and 0 < len(found) < (every.total_entries or 0)


@step("read the details and the tasks of a DAG")
def _() -> bool:
    delays = [task.retry_delay.seconds for task in dags.get_tasks(DAG).tasks or [] if task.retry_delay]
    return 300 in delays and dags.get_dag_details(DAG).end_date is None


@step("read a run")
def _() -> bool:
    found = runs.get_dag_run(DAG, RUN)
    return found.state is windsock.DagState.RUN_SUCCESS and isinstance(found.logical_date, datetime)


@step("list task instances by state")
def _() -> bool:
    found = windsock.TaskInstanceApi(client).get_task_instances(DAG, RUN, state=["success"]).task_instances or []
    return bool(found) and all(one.state is windsock.TaskState.TASK_SUCCESS for one in found)


@step("create a pool")
def _() -> bool:
    return pools.post_pool(windsock.PostPoolRequest(name="made by Python", slots=2)).open_slots == 2


@step("change a pool with update_mask")
def _() -> bool:
    body = windsock.PatchPoolRequest(slots=3, description="left alone")
    changed = pools.patch_pool("made by Python", body, update_mask=["slots"])
    return changed.slots == 3 and not changed.description


@step("delete a pool")
def _() -> bool:
    return pools.delete_pool_with_http_info("made by Python").status_code == 204


@step("trigger a run")
def _() -> bool:
    body = windsock.PostDagRunRequest(logical_date=datetime(2026, 2, 14, 5, tzinfo=timezone.utc), conf={"by": "Python"})
    made = runs.post_dag_run(DAG, body)
    return made.state is windsock.DagState.RUN_QUEUED and made.conf == {"by": "Python"}


@step("list runs by a form")
def _() -> bool:
    form = windsock.ListDagRunsForm(dag_ids=[DAG], states=["success"], page_limit=5, order_by="-start_date")
    return len(runs.get_dag_runs_batch(form).dag_runs or []) == 5


@step("what is not there is a typed error")
def _() -> bool:
    try:
        pools.get_pool("nowhere")
    except windsock.exceptions.NotFoundException as error:
        return isinstance(error.data, windsock.Error) and "nowhere" in error.data.detail
    return False


json.dump(RESULTS, sys.stdout)
