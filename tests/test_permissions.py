"""Who may do what: the matrix that was measured on a real Airflow 2.11.2, and every operation for every default role.

The matrix differs from the measured one where Windsock does: a stranger gets 401; a missing right comes before all that
validation or the handler would say; and a change over all DAGs needs the right to edit at least one.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import func, select

import factories as f
from changes import CHANGES
from clients import API
from windsock import spec
from windsock.models import (
    Connection,
    Dag,
    DagImportError,
    DagRun,
    DagWarning,
    Dataset,
    DatasetEvent,
    Log,
    Pool,
    TaskInstance,
    User,
    Variable,
    XCom,
)
from windsock.security_defaults import DEFAULT_ROLES, default_permissions
from windsock.spec import Operation
from worlds import world

OPERATIONS = spec.operations()
CLOSED = [operation for operation in OPERATIONS.values() if not operation.public]
#: Refused to everybody unless a setting allows it.
SWITCHED_OFF = {"get_config", "get_value", "test_connection"}
RUN = "scheduled__2026-03-01T02:00:00+00:00"
ETL = f"/dags/etl/dagRuns/{RUN}/taskInstances/{f.TASK_ID}"
#: The reader of the matrix: one DAG, with its runs, task instances and XComs.
READER = ["DAG:etl.can_read", "DAG Runs.can_read", "Task Instances.can_read", "XComs.can_read", "Website.can_read"]

# ---------------------------------------------------------------- the matrix
CALLERS = ("anonymous", "Admin", "Op", "User", "Viewer", "Public", "reader", "two roles")
#: `all` and `own`: 200, and the total is that of all rows or of those of the DAG `etl`.
MATRIX = f"""
/version                                                   200  200  200  200  200  200  200  200
/health                                                    200  200  200  200  200  200  200  200
/dags                                                      401  all  all  all  all  403  own  all
/dags/etl                                                  401  200  200  200  200  403  200  200
/dags/other                                                401  200  200  200  200  403  403  200
/dags/etl/details                                          401  200  200  200  200  403  200  200
/dags/etl/tasks                                            401  200  200  200  200  403  200  200
/dags/~/dagRuns                                            401  all  all  all  all  403  own  all
/dags/etl/dagRuns                                          401  own  own  own  own  403  own  own
/dags/other/dagRuns                                        401  200  200  200  200  403  403  200
/dags/~/dagRuns/~/taskInstances                            401  all  all  all  all  403  own  all
/dags/etl/dagRuns/~/taskInstances                          401  own  own  own  own  403  own  own
/dags/~/dagRuns/~/taskInstances/~/xcomEntries              401  all  all  all  all  403  own  all
{ETL}/logs/1   401  200  200  200  200  403  403  200
{ETL}/links    401  200  200  200  200  403  200  200
/dagStats?dag_ids=etl,other                                401  200  200  200  200  403  200  200
/dagWarnings                                               401  all  all  all  all  403  403  all
/importErrors                                              401  all  all  all  all  403  403  all
/eventLogs                                                 401  all  403  403  403  403  403  403
/eventLogs?dag_id=etl                                      401  own  403  403  403  403  403  403
/pools                                                     401  all  all  all  all  403  403  all
/variables                                                 401  all  all  403  403  403  403  403
/connections                                               401  all  all  403  403  403  403  403
/datasets                                                  401  all  all  all  all  403  403  all
/datasets/events                                           401  all  all  all  all  403  403  all
/config                                                    401  403  403  403  403  403  403  403
/providers                                                 401  200  200  403  403  403  403  403
/plugins                                                   401  200  200  403  403  403  403  403
/permissions                                               401  200  403  403  403  403  403  403
/roles                                                     401  200  403  403  403  403  403  403
/users                                                     401  all  403  403  403  403  403  403
/nope                                                      404  404  404  404  404  404  404  404
POST:/pools                                                401  400  400  403  403  403  403  403
POST:/variables                                            401  400  400  403  403  403  403  403
POST:/connections                                          401  400  400  403  403  403  403  403
POST:/dags/etl/dagRuns                                     401  400  400  400  403  403  403  403
POST:/dags/other/dagRuns                                   401  400  400  400  403  403  403  403
PATCH:/dags/etl                                            401  400  400  400  403  403  403  403
PATCH:/dags?dag_id_pattern=zzz                             401  200  200  200  403  403  403  403
DELETE:/dags/nope                                          401  404  404  404  403  403  403  403
POST:/dags/etl/clearTaskInstances                          401  404  404  404  403  403  403  403
PATCH:/dags/etl/dagRuns/nope                               401  404  404  404  403  403  403  403
DELETE:/dags/etl/dagRuns/nope                              401  404  404  404  403  403  403  403
POST:/datasets/events                                      401  404  404  404  403  403  403  403
DELETE:/datasets/queuedEvent/nope                          401  404  404  403  403  403  403  403
POST:/dags/~/dagRuns/list                                  401  all  all  all  all  403  own  all
POST:/dags/~/dagRuns/~/taskInstances/list                  401  all  all  all  all  403  own  all
POST:/roles                                                401  400  403  403  403  403  403  403
POST:/users                                                401  400  403  403  403  403  403  403
PUT:/parseDagFile/x                                        401  404  404  404  403  403  403  403
POST:/connections/test                                     401  403  403  403  403  403  403  403
"""
BODIES = {
    "/dags/etl/dagRuns": {"logical_date": "x"},
    "/dags/other/dagRuns": {"logical_date": "x"},
    "/dags/etl": {"is_paused": 1},
    "/dags?dag_id_pattern=zzz": {"is_paused": True},
    "/dags/etl/clearTaskInstances": {"dag_run_id": "nope"},
    "/dags/etl/dagRuns/nope": {"state": "failed"},
    "/datasets/events": {"dataset_uri": "nope"},
    "/connections/test": {"conn_type": "http"},
}
#: The rows that a list counts.
ROWS = {
    "/dags": Dag,
    "/dagRuns": DagRun,
    "/taskInstances": TaskInstance,
    "/xcomEntries": XCom,
    "/dagWarnings": DagWarning,
    "/importErrors": DagImportError,
    "/eventLogs": Log,
    "/pools": Pool,
    "/variables": Variable,
    "/connections": Connection,
    "/datasets": Dataset,
    "/datasets/events": DatasetEvent,
    "/users": User,
}


@pytest.fixture
def callers(as_user: Any, stranger: Any) -> dict[str, Any]:
    """A client of each kind of caller."""
    made = {"anonymous": stranger, "reader": as_user(permissions=READER)}
    made["two roles"] = as_user("Viewer", permissions=READER)
    return made | {role: as_user(role) for role in DEFAULT_ROLES}


def ask(client: Any, line: str) -> Any:
    method, _, path = line.rpartition(":/")
    path = "/" + path if method else line
    body = {"json": BODIES.get(path, {})} if method in ("POST", "PATCH") else {}
    return client.open(API + path, method=method or "GET", **body)


def counted(session: Any, line: str, own: bool) -> int:
    """The rows behind a list, of all DAGs or of `etl`."""
    path = line.rpartition(":")[2].partition("?")[0].removesuffix("/list")
    name = max((name for name in ROWS if path.endswith(name)), key=len)
    statement = select(func.count()).select_from(ROWS[name])
    return session.scalar(statement.where(ROWS[name].dag_id == "etl") if own else statement)


def test_the_measured_matrix(callers, session):
    world(session, range(2)), world(session, range(2), dag_id="other")
    wrong = {}
    for line in MATRIX.split("\n"):
        path, *cells = line.split() or [""]
        for caller, cell in zip(CALLERS, cells, strict=True) if path else ():
            expected: Any = int(cell) if cell.isdigit() else (200, counted(session, path, cell == "own"))
            answer = ask(callers[caller], path)
            found = answer.status_code if cell.isdigit() else (answer.status_code, answer.json.get("total_entries"))
            if found != expected:
                wrong[caller, path] = (found, expected)
    assert wrong == {}


def test_a_total_of_own_rows_is_less_than_that_of_all(session):
    world(session, range(2)), world(session, range(2), dag_id="other")
    for path in ("/dags", "/dagRuns", "/taskInstances", "/xcomEntries", "/eventLogs"):
        assert 0 < counted(session, path, own=True) < counted(session, path, own=False)


# ---------------------------------------------------------------- every operation
def request(made: Any, operation: Operation, dag_id: str = "etl") -> tuple[str, dict[str, Any]]:
    """URL and options of a good request; a change is the one that succeeds elsewhere, on this DAG."""
    if operation.id not in CHANGES:
        body = {"json": BODIES.get(operation.path, {})} if operation.method == "post" else {}
        return made.url(operation, dag_id=dag_id), {"method": operation.method, **body}
    change = CHANGES[operation.id]
    return API + re.sub(r"^/dags/[^/?]+", f"/dags/{dag_id}", change.path), {
        "method": change.method,
        "json": change.body,
    }


def status(client: Any, made: Any, operation: Operation, dag_id: str = "etl") -> int:
    url, options = request(made, operation, dag_id)
    return client.open(url, **options).status_code


def lacks(role: str, operation: Operation) -> bool:
    held = default_permissions()[role]
    return any((right.action, right.resource) not in held for right in operation.permissions)


@pytest.mark.parametrize("role", DEFAULT_ROLES)
def test_a_default_role_is_refused_exactly_what_it_lacks(role, as_user, session):
    made = world(session, range(2))
    world(session, range(2), dag_id="other")
    client = as_user(role)
    wrong = {}
    for operation in CLOSED:
        for dag_id in ("~", "other", "etl") if "{dag_id}" in operation.path else ("etl",):
            found = status(client, made, operation, dag_id)
            refused = lacks(role, operation) or operation.id in SWITCHED_OFF
            if (found == 403) != refused or found == 401 or found >= 500:
                wrong[operation.id, dag_id] = found
    assert wrong == {}


@pytest.fixture
def manager(as_user: Any) -> Any:
    """May do everything, but of the DAGs only with `etl`."""
    others = {str(right) for operation in CLOSED for right in operation.permissions if right.resource != "DAGs"}
    return as_user(permissions=[*(f"DAG:etl.can_{verb}" for verb in ("read", "edit", "delete")), *sorted(others)])


def rows_of(session: Any, dag_id: str) -> list[str]:
    """All that is stored about a DAG, as text."""
    models = [mapper.class_ for mapper in Dag.registry.mappers if "dag_id" in mapper.columns]
    tables = [model.__table__ for model in models if model is not Log]
    return sorted(repr(row) for t in tables for row in session.execute(select(t).where(t.c.dag_id == dag_id)))


def test_a_right_on_one_dag_opens_every_operation_on_it_and_none_on_another(manager, session):
    made = world(session, range(2))
    world(session, range(2), dag_id="other")
    before, wrong = rows_of(session, "other"), {}
    for operation in CLOSED:
        if "{dag_id}" in operation.path:
            other, own = (status(manager, made, operation, dag_id) for dag_id in ("other", "etl"))
            if other != 403 or own in (401, 403) or own >= 500:
                wrong[operation.id] = (other, own)
    assert wrong == {}
    assert rows_of(session, "other") == before


def test_a_change_to_the_dag_tilde_changes_nothing(manager, client, session):
    made = world(session, range(2))
    world(session, range(2), dag_id="other")
    before = [rows_of(session, dag_id) for dag_id in ("etl", "other")]
    changes = [operation for operation in CLOSED if operation.audit and "{dag_id}" in operation.path]
    answers = {(o.id, c is client): status(c, made, o, "~") for o in changes for c in (manager, client)}
    assert {key: found for key, found in answers.items() if not 400 <= found < 500} == {}
    assert [rows_of(session, dag_id) for dag_id in ("etl", "other")] == before


def test_changes_over_all_dags_reach_the_own_one_only(manager, session):
    world(session, range(1)), world(session, range(1), dag_id="other")
    answer = manager.patch(f"{API}/dags?dag_id_pattern=%25", json={"is_paused": True})
    assert [dag["dag_id"] for dag in answer.json["dags"]] == ["etl"]
    assert list(session.scalars(select(Dag.dag_id).where(Dag.is_paused))) == ["etl"]
