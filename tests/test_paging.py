"""A page has the same rows, in the same order, however they are found."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

import factories as f
from clients import API, SETTINGS
from walks import LISTS, ask, plural_of, url_of, walk
from windsock import paging, skipping
from windsock.config import Config
from windsock.engines import reading_engine
from windsock.grants import FEW
from windsock.models import TaskInstance
from worlds import nulls, world

named = pytest.mark.parametrize("operation", LISTS, ids=lambda operation: operation.id)
#: Filters of large lists, by the operation: some that an index finds, and others.
FILTERS = {
    "get_event_logs": ({"event": "event 1"}, {"owner": "owner 1"}, {"dag_id": "etl", "owner": "owner 1"}),
    "get_dag_runs": ({"state": "success"}, {"end_date_gte": "2000-01-01T00:00:00Z"}),
    "get_task_instances": ({"pool": "default_pool"}, {"execution_date_gte": "2000-01-01T00:00:00Z"}),
    "get_xcom_entries": ({"xcom_key": "return_value"}, {"map_index": -1}),
}


@pytest.fixture(
    params=[(paging, "_FEW", 0), (paging, "_FEW", 10**9), (skipping, "FAR", 0), (skipping, "FAR", 2)],
    ids=lambda limit: f"{limit[1]} is {limit[2]}",
)
def way(request: Any, monkeypatch: Any) -> None:
    """Rows that are never, or always, sorted after they were found, or whose keys are looked at first."""
    monkeypatch.setattr(*request.param)


def parts(client: Any, operation: Any, url: str, plural: str, **query: Any) -> None:
    """Ask for the rows of a list in parts, from its start and from further on."""
    whole = ask(client, operation, url, limit=100, **query).get_json()
    assert len(whole[plural]) == whole["total_entries"]
    for offset in (0, 2):
        page = ask(client, operation, url, limit=3, offset=offset, **query).get_json()
        assert page[plural] == whole[plural][offset : offset + 3], (query, offset)
        assert page["total_entries"] == whole["total_entries"], (query, offset)


@named
def test_the_pages_of_a_list_are_parts_of_it_in_every_order(operation, way, client, session):
    world(session, range(4), nulls, dag_id="other")
    made = world(session, range(5))
    for order in ("", *(sign + name for name in operation.sortable for sign in ("", "-"))):
        query = {"order_by": order} if order else {}
        parts(client, operation, url_of(operation, made), plural_of(operation), **query)


@pytest.mark.parametrize("name", FILTERS)
def test_the_pages_of_what_a_filter_leaves_are_parts_of_it_in_every_order(name, way, client, session, add):
    operation = next(o for o in LISTS if o.id == name)
    made = world(session, range(5))
    world(session, range(4), dag_id="other")
    add(*(f.log(event=f"event {n % 2}", owner=f"owner {n % 3}", dag_id="etl" if n % 4 else None) for n in range(24)))
    for wanted in FILTERS[name]:
        for order in ("", *(sign + member for member in operation.sortable for sign in ("", "-"))):
            query = {**wanted, **({"order_by": order} if order else {})}
            parts(client, operation, url_of(operation, made), plural_of(operation), **query)


def test_an_offset_far_into_a_list_skips_as_many_rows_as_it_says(client, add, statements, engine, monkeypatch):
    """Skipping goes by an index that has some of the keys, where that tells enough."""
    monkeypatch.setattr(skipping, "FAR", 3)
    add(f.dag(), run := f.dag_run())
    add(*(tasks := [f.task_instance(task_id=f"task {n}") for n in range(5)]))
    rows = [(number, key) for number, keys in enumerate((1, 5, 2, 3, 1)) for key in range(keys)]
    add(*(f.xcom(run, tasks[number], f"key {key}") for number, key in rows))
    url = f"{API}/dags/~/dagRuns/~/taskInstances/~/xcomEntries"
    whole = client.get(f"{url}?limit=100").get_json()["xcom_entries"]
    assert [(int(row["task_id"][5:]), int(row["key"][4:])) for row in whole] == rows
    with statements() as seen:
        for offset in range(14):
            page = client.get(f"{url}?limit=2&offset={offset}").get_json()
            assert page["xcom_entries"] == whole[offset : offset + 2], offset
    if engine.dialect.name == "postgresql":
        assert sum("GROUP BY" in s for s in seen) == 11
        assert sum(" >= (" in s and "LIMIT" in s for s in seen) == 9


@pytest.mark.parametrize(
    ("path", "order", "passed"),
    [
        ("eventLogs", "", True),
        ("eventLogs", "event_log_id", True),
        ("eventLogs", "-event_log_id", False),
        ("eventLogs", "when", False),
        ("eventLogs", "dag_id", False),
        ("dags/~/dagRuns/~/taskInstances", "", True),
        ("dags/~/dagRuns/~/taskInstances", "execution_date", False),
        ("dags/~/dagRuns/~/taskInstances", "pool", True),
    ],
)
def test_an_offset_counts_no_rows_of_dags_that_the_caller_may_not_read(
    path, order, passed, add, as_user, engine, statements, monkeypatch
):
    """Where an index skips those, too, they are counted and as many others are skipped."""
    monkeypatch.setattr(skipping, "FAR", 2)
    add(
        *(
            f.log(dag_id=("mine", "other", None)[n * n % 7 % 3], dttm=f.START + timedelta(hours=n % 5))
            for n in range(20)
        )
    )
    for dag_id in ("hidden", "mine", "other"):
        days = [f.START + timedelta(days=n * n % 5, hours=n) for n in range(6)]
        add(f.dag(dag_id), *(f.dag_run(dag_id, f"run {day}", execution_date=day) for day in days))
        add(*(f.task_instance(dag_id=dag_id, run_id=f"run {day}", pool=f"pool {day.hour % 3}") for day in days))
    rights = ["DAG:mine.can_read", "DAG:other.can_read", *(f"DAG:absent_{number}.can_read" for number in range(FEW))]
    rights = [right for right in rights if path != "eventLogs" or "other" not in right]
    client = as_user(permissions=[*rights, "Audit Logs.can_read", "DAG Runs.can_read", "Task Instances.can_read"])
    query = {"order_by": order} if order else {}
    (plural,) = {"event_logs", "task_instances"} & client.get(f"{API}/{path}").get_json().keys()
    whole = client.get(f"{API}/{path}", query_string={**query, "limit": 100}).get_json()[plural]
    assert {row["dag_id"] for row in whole} == ({"mine", None} if plural == "event_logs" else {"mine", "other"})
    with statements() as seen:
        for offset in range(len(whole) + 2):
            page = client.get(f"{API}/{path}", query_string={**query, "limit": 3, "offset": offset}).get_json()
            assert page[plural] == whole[offset : offset + 3], offset
    if engine.dialect.name == "postgresql":
        assert any("WITH RECURSIVE" in s for s in seen) == passed


@pytest.mark.parametrize("order", ["pool", "-pool", "state", "-state"])
def test_rows_with_the_same_key_are_read_in_the_order_of_the_others(order, client, add, statements):
    """Sorting all rows of a group for each page would cost more, the more rows there are."""
    add(f.dag(), f.dag_run())
    states = [None, "failed", "success", "success", "success", "success"]
    add(*(f.task_instance(task_id=f"task {n}", pool=f"pool {n % 2}", state=states[n % 6]) for n in range(24)))
    operation = next(o for o in LISTS if o.id == "get_task_instances")
    url = f"{API}/dags/~/dagRuns/~/taskInstances"
    whole = ask(client, operation, url, limit=100, order_by=order).get_json()["task_instances"]
    with statements() as seen:
        pages = walk(client, operation, url, limit=5, order_by=order)
    assert [row for page in pages for row in page.get_json()["task_instances"]] == whole
    first = getattr(TaskInstance, order.lstrip("-")).key
    within = [s for s in seen if f"task_instance.{first} = " in s.partition("WHERE ")[2] and "ORDER BY" in s]
    assert within
    assert not any(f"ORDER BY task_instance.{first}" in s for s in within)


def test_an_estimate_for_rights_on_single_dags_is_near(session, as_user, add, engine):
    if engine.dialect.name != "postgresql":
        pytest.skip("only PostgreSQL has a planner to ask")
    for number in range(6):
        add(f.dag(f"dag_{number}"), *(f.dag_run(f"dag_{number}", f"run {n}") for n in range(50 if number < 2 else 10)))
    session.execute(text("ANALYZE dag_run"))
    session.commit()
    limited = as_user(permissions=["DAG:dag_0.can_read", "DAG:dag_1.can_read", "DAG Runs.can_read"])
    found = limited.get(f"{API}/dags/~/dagRuns?limit=5", headers={"Prefer": "count=estimated"}).get_json()
    assert 90 <= found["total_entries"] <= 110


def test_postgresql_is_told_not_to_compile_statements_to_machine_code(engine):
    if engine.dialect.name != "postgresql":
        pytest.skip("a setting of PostgreSQL")
    url = engine.url.render_as_string(hide_password=False)
    reading = reading_engine(Config({**SETTINGS, ("database", "sql_alchemy_conn"): url}))
    with reading.connect() as connection:
        assert connection.exec_driver_sql("SHOW jit").scalar() == "off"
    reading.dispose()
