"""Every method of the official apache-airflow-client 2.x, with its strict type checks, against one demo server.

Runs in an environment of the client's own. It reads what `run.py` sends to its standard input, and prints one line of
JSON: for each method `Api.method`, null or the cause of its failure.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any, NamedTuple

import airflow_client.client as client
from airflow_client.client import apis, models

FACTS = json.load(sys.stdin)
MADE = "made-by-a-client"
DATE = datetime(2026, 2, 14, 5, 30, tzinfo=timezone.utc)
DAG, RUN, OTHER_RUN, TASK = (FACTS[name] for name in ("dag_id", "dag_run_id", "other_dag_run_id", "task_id"))
#: Reads before changes, and what deletes comes last.
ORDER = ("GET", "POST", "PUT", "PATCH", "DELETE")
#: Identifiers of rows that are made and deleted here.
OWN = {"connection_id", "pool_name", "role_name", "username", "variable_key"}
QUEUED = {"dag_id": FACTS["queued_dag_id"], "uri": FACTS["queued_uri"]}
#: What some operations are sent to, other than the rest.
PLACES: dict[str, dict[str, Any]] = {
    "clear_dag_run": {"dag_run_id": OTHER_RUN},
    "delete_dag": {"dag_id": FACTS["lost_dag"]},
    "delete_dag_run": {"dag_run_id": MADE},
    **{
        f"{verb}_{what}": QUEUED
        for verb in ("get", "delete")
        for what in ("dag_dataset_queued_event", "dag_dataset_queued_events", "dataset_queued_events")
    },
}


class Models:
    """The models of the client; an enumeration that a version has no class for is a text."""

    def __getattr__(self, name: str) -> Any:
        return getattr(models, name, str)


def further(operation: str, m: Models) -> dict[str, Any]:
    """The arguments of a call beyond its path; the bodies are models of the client."""
    made = {
        "create_dataset_event": lambda: {
            "create_dataset_event": m.CreateDatasetEvent(dataset_uri=FACTS["uri"], extra={"by": MADE})
        },
        "patch_connection": lambda: {"connection": m.Connection(connection_id=MADE, conn_type="http", port=81)},
        "post_connection": lambda: {"connection": m.Connection(connection_id=MADE, conn_type="http", host="a.test")},
        "test_connection": lambda: {"connection": m.Connection(connection_id=MADE, **FACTS["itself"])},
        "patch_dag": lambda: {"dag": m.DAG(is_paused=False)},
        "patch_dags": lambda: {"dag_id_pattern": DAG, "dag": m.DAG(is_paused=False)},
        "clear_dag_run": lambda: {"clear_dag_run": m.ClearDagRun(dry_run=False)},
        "get_dag_runs_batch": lambda: {
            "list_dag_runs_form": m.ListDagRunsForm(dag_ids=[DAG], states=["success"], page_limit=50)
        },
        "post_dag_run": lambda: {"dag_run": m.DAGRun(dag_run_id=MADE, logical_date=DATE, conf={"a": 1})},
        "set_dag_run_note": lambda: {"set_dag_run_note": m.SetDagRunNote(note="seen")},
        "update_dag_run_state": lambda: {"update_dag_run_state": m.UpdateDagRunState(state="success")},
        "patch_pool": lambda: {"pool": m.Pool(slots=3), "update_mask": ["slots"]},
        "post_pool": lambda: {"pool": m.Pool(name=MADE, slots=2)},
        "patch_role": lambda: {"role": m.Role(name=MADE, actions=[right(m, "can_edit")])},
        "post_role": lambda: {"role": m.Role(name=MADE, actions=[right(m, "can_read")])},
        "get_task_instances_batch": lambda: {
            "list_task_instance_form": m.ListTaskInstanceForm(dag_ids=[DAG], state=[m.TaskState("success")])
        },
        "patch_task_instance": lambda: {"update_task_instance": new_state(m.UpdateTaskInstance, m)},
        "patch_mapped_task_instance": lambda: {"update_task_instance": new_state(m.UpdateTaskInstance, m)},
        "set_task_instance_note": lambda: {"set_task_instance_note": m.SetTaskInstanceNote(note="seen")},
        "set_mapped_task_instance_note": lambda: {"set_task_instance_note": m.SetTaskInstanceNote(note="seen")},
        "post_clear_task_instances": lambda: {
            "clear_task_instances": m.ClearTaskInstances(dry_run=False, task_ids=[TASK], dag_run_id=OTHER_RUN)
        },
        "post_set_task_instances_state": lambda: {
            "update_task_instances_state": new_state(
                m.UpdateTaskInstancesState, m, task_id=TASK, dag_run_id=OTHER_RUN, include_upstream=False,
                include_downstream=False, include_future=False, include_past=False,
            )
        },
        "patch_user": lambda: {"user": m.User(**person(m), first_name="Other")},
        "post_user": lambda: {"user": m.User(**person(m), first_name="Client", password="only for this test")},
        "patch_variable": lambda: {"variable": m.Variable(key=MADE, value="2")},
        "post_variables": lambda: {"variable": m.Variable(key=MADE, value="1", description="made")},
        "get_log": lambda: {"full_content": True},
        "get_dag_stats": lambda: {"dag_ids": DAG},
    }  # fmt: skip
    return made[operation]() if operation in made else {}


def new_state(form: Any, m: Models, **members: Any) -> Any:
    """A form that sets a state."""
    return form(dry_run=False, new_state=m.UpdateTaskState("success"), **members)


def right(m: Models, action: str) -> Any:
    """A permission of a role."""
    return m.ActionResource(action=m.Action(name=action), resource=m.Resource(name="Pools"))


def person(m: Models) -> dict[str, Any]:
    """The members that a user needs."""
    roles = [m.UserCollectionItemRoles(name="Viewer")]
    return {"username": MADE, "email": f"{MADE}@example.com", "last_name": "Made", "roles": roles}


class Call(NamedTuple):
    """A method of the client."""

    rank: int  # in ORDER
    api: str
    operation: str
    method: Any
    known: Any  # what the client knows of its parameters

    def arguments(self) -> list[dict[str, Any]]:
        """Of each call; what reads a DAG reads every DAG, and a list is asked for 100 entries."""
        names = [n for n in self.known.params_map["required"] if self.known.location_map[n] == "path"]
        if self.rank == 0 and names == ["dag_id"] and self.operation not in PLACES:
            paths = [{"dag_id": dag_id} for dag_id in FACTS["dag_ids"]]
        else:
            paths = [{name: self._value(name) for name in names}]
        page = {"limit": 100} if self.rank == 0 and "limit" in self.known.params_map["all"] else {}
        return [{**path, **page, **further(self.operation, Models())} for path in paths]

    def _value(self, name: str) -> Any:
        if name in PLACES.get(self.operation, {}):
            return PLACES[self.operation][name]
        if name == "task_id" and "mapped" in self.operation:
            return FACTS["mapped_task_id"]
        return MADE if self.rank > 0 and name in OWN else FACTS[name]


def calls() -> Iterator[Call]:
    """Everything that the client can call."""
    configuration = client.Configuration(FACTS["url"], username=FACTS["user"], password=FACTS["password"])
    session = client.ApiClient(configuration)
    for name, api in inspect.getmembers(apis, inspect.isclass):
        made = api(session)
        for endpoint in [key for key in vars(made) if key.endswith("_endpoint")]:
            operation, known = endpoint.removesuffix("_endpoint"), getattr(made, endpoint)
            yield Call(ORDER.index(known.settings["http_method"]), name, operation, getattr(made, operation), known)


def why(error: Exception) -> str:
    """The cause of a failure in a line."""
    status = getattr(error, "status", None)
    text = f"{status} {getattr(error, 'body', '')}" if status else str(error)
    return f"{type(error).__name__}: {' '.join(text.split())}"[:400]


def main() -> None:
    """Call everything once."""
    results: dict[str, str | None] = {}
    for call in sorted(calls(), key=lambda call: call[:3]):
        try:
            for arguments in call.arguments():
                call.method(**arguments)
            results[f"{call.api}.{call.operation}"] = None
        except Exception as error:  # whatever a client raises is a finding
            results[f"{call.api}.{call.operation}"] = why(error)
    print(json.dumps(results))


main()
