"""`fields` on every list and single read: nothing else is answered, and nothing else is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import distributions
import factories as f
from clients import API
from problems import assert_problem
from test_contract import NOTHING, ask, plural_of
from windsock import spec
from windsock.spec import Operation
from worlds import world

#: Every operation that takes `fields` in its query.
NARROW = [o for o in spec.operations().values() if any(p["name"] == "fields" for p in o.parameters)]
named = pytest.mark.parametrize("operation", NARROW, ids=lambda operation: operation.id)
#: Reads that answer something else than resources made of members.
WHOLE = {
    "get_config", "get_value", "get_health", "get_version", "get_dag_source", "get_log", "get_extra_links",
    "wait_dag_run", "get_task_instance_dependencies", "get_mapped_task_instance_dependencies",
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _a_provider_with_a_plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("installed")
    lines = {"airflow.plugins": "a_plugin = fields_trap:Plugin", "apache_airflow_provider": "info = fields_trap:f"}
    distributions.write(folder, "another-provider", lines, summary="A provider")
    with distributions.installed(folder):
        yield


def objects(operation: Operation, response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.get_json()
    plural = plural_of(operation)
    return response.get_json()[plural] if plural else [response.get_json()]


def narrowed(client: Any, operation: Operation, url: str, fields: str) -> Any:
    return ask(client, operation, url + ("&" if "?" in url else "?") + f"fields={fields}")


def test_every_read_of_resources_takes_fields():
    reads = {o.id for o in spec.operations().values() if o.method == "get"}
    assert {o.id for o in NARROW} == reads - WHOLE


@named
def test_an_answer_has_the_members_that_were_asked_for_and_no_other(operation, client, session):
    url = world(session, range(3)).url(operation)
    whole = objects(operation, ask(client, operation, url))
    names = list(whole[0])
    for wanted in ([names[0]], [names[-1]], names[::2], names):
        found = objects(operation, narrowed(client, operation, url, ",".join(wanted)))
        assert found == [{name: item[name] for name in item if name in wanted} for item in whole]


@named
@pytest.mark.parametrize("wrong", ["no_such_member", "__class__", "password"])
def test_an_unknown_member_is_refused_by_name(operation, wrong, client, session):
    url = world(session, range(1)).url(operation)
    whole = objects(operation, ask(client, operation, url))
    assert_problem(narrowed(client, operation, url, wrong), 400, "fields", repr(wrong), next(iter(whole[0])))


@named
def test_an_unknown_member_is_refused_also_where_there_is_nothing(operation, client):
    response = narrowed(client, operation, NOTHING.url(operation), "no_such_member")
    assert response.status_code in ((400,) if plural_of(operation) and not operation.path_names else (400, 404))


@pytest.mark.parametrize("path", ["dags/~/dagRuns/list", "dags/~/dagRuns/~/taskInstances/list"])
def test_a_batch_form_can_be_narrowed(path, client, session):
    world(session, range(2))
    found = client.post(f"{API}/{path}", json={"fields": ["state", "dag_id"]}).get_json()
    (items,) = (value for value in found.values() if isinstance(value, list))
    assert items and all(item.keys() == {"state", "dag_id"} for item in items)
    assert_problem(client.post(f"{API}/{path}", json={"fields": ["no_such_member"]}), 400, "no_such_member")


# ---------------------------------------------------------------- what is fetched
@pytest.mark.parametrize(
    ("path", "fields", "kept"),
    [
        ("variables", "key,description", "variable.val"),
        ("variables/variable%200", "key", "variable.val"),
        ("connections/connection%200", "host", "connection.extra"),
        ("eventLogs", "event", "log.extra"),
        ("importErrors", "filename", "stacktrace"),
        ("dags/etl/dagRuns/a%20run/taskInstances", "task_id", "executor_config"),
        ("dags/~/dagRuns", "dag_run_id", "dag_run.conf"),
        ("users", "username", "password"),
    ],
)
def test_a_column_that_is_not_asked_for_is_not_fetched(path, fields, kept, client, session, statements):
    world(session, range(2))
    with statements() as seen:
        whole = client.get(f"{API}/{path}")
        before = len(seen)
        narrow = client.get(f"{API}/{path}?fields={fields}")
    assert whole.status_code == narrow.status_code == 200, narrow.get_json()
    reading = [s for s in seen[before:] if "LIMIT" in s and "ab_permission" not in s]
    assert reading and not any(kept in s for s in reading)


def test_a_row_that_no_member_needs_is_not_read(client, session, statements):
    world(session, range(2))
    path = f"{API}/dags/~/dagRuns/~/taskInstances"
    for query, needed in (("fields=task_id", False), ("fields=task_id&order_by=execution_date", True), ("", True)):
        with statements() as seen:
            assert client.get(f"{path}?{query}").status_code == 200
        (reading,) = [s for s in seen if "task_instance" in s and "LIMIT" in s]
        assert ("dag_run" in reading) == needed, query
        assert ("rendered_task_instance_fields" in reading) == (query == "")


def test_what_is_hidden_stays_hidden_when_only_that_is_asked_for(as_user, add):
    add(f.dag("mine"), f.dag("other"), event_of := f.dataset())
    add(f.dataset_event(event_of, source_dag_id="other", source_task_id="secret task"))
    client = as_user(permissions=["Datasets.can_read", "DAG:mine.can_read"])
    found = client.get(f"{API}/datasets/events?fields=source_task_id").get_json()
    assert found["dataset_events"] == [{"source_task_id": None}]


def test_the_trace_of_a_mixed_file_stays_hidden_when_only_that_is_asked_for(as_user, add):
    add(f.dag("mine", fileloc="/dags/both.py"), f.dag("other", fileloc="/dags/both.py"))
    error = add(f.import_error(filename="/dags/both.py", stacktrace="the code of other"))
    client = as_user(permissions=["ImportError.can_read", "DAG:mine.can_read"])
    for path in ("importErrors", f"importErrors/{error.id}"):
        found = client.get(f"{API}/{path}?fields=stack_trace")
        assert found.status_code == 200
        assert "the code of other" not in found.get_data(as_text=True)
        assert "Redacted" in found.get_data(as_text=True)
