"""How many rows there are: counted, estimated or not looked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

import factories as f
from clients import API, SETTINGS, signed_in
from problems import assert_problem
from walks import LISTS, ask, next_link, plural_of, url_of
from windsock import counts, paging
from windsock.config import Config, ConfigError
from windsock.grants import FEW
from worlds import world

named = pytest.mark.parametrize("operation", LISTS, ids=lambda operation: operation.id)
ways = pytest.mark.parametrize("way", counts.WAYS)
PATH = f"{API}/variables"


def prefer(value: str) -> dict[str, str]:
    return {"Prefer": value}


@pytest.fixture
def variables(add: Any) -> list[str]:
    keys = [f"key {number:02}" for number in range(30)]
    add(*(f.variable(key) for key in keys))
    return keys


# ---------------------------------------------------------------- every list
@named
@ways
def test_a_client_that_goes_on_while_the_total_is_larger_gets_every_row(operation, way, client, session):
    made = world(session, range(6))
    url, plural = url_of(operation, made), plural_of(operation)
    whole = ask(client, operation, url, limit=100).get_json()
    found, total = [], 1
    while len(found) < total:
        page = ask(client, operation, url, prefer(f"count={way}"), limit=2, offset=len(found))
        assert page.status_code == 200, page.get_json()
        assert page.headers["Preference-Applied"] == f"count={way}"
        assert page.get_json()[plural], "a page is empty, although the total says that there is more"
        found += page.get_json()[plural]
        total = page.get_json()["total_entries"]
    assert found == whole[plural]
    assert total == len(found)


@named
@ways
def test_an_offset_behind_the_end_ends_the_loop_of_a_client(operation, way, client, session):
    made = world(session, range(2))
    page = ask(client, operation, url_of(operation, made), prefer(f"count={way}"), offset=5000)
    assert page.get_json()[plural_of(operation)] == []
    assert page.get_json()["total_entries"] <= 5000
    assert next_link(page) is None


@named
def test_no_count_is_made_where_none_is_wanted_or_needed(operation, client, session, statements):
    made = world(session, range(4))
    url = url_of(operation, made)
    for query, headers in (({"limit": 1}, prefer("count=none")), ({"limit": 100}, {})):
        with statements() as seen:
            page = ask(client, operation, url, headers, **query)
        assert page.status_code == 200
        assert not any("count(*)" in s or "EXPLAIN" in s for s in seen), (query, headers)


@named
def test_an_estimate_executes_no_count_on_postgresql(operation, client, session, statements, engine):
    made = world(session, range(4))
    with statements() as seen:
        page = ask(client, operation, url_of(operation, made), prefer("count=estimated"), limit=1)
    assert page.get_json()["total_entries"] >= 2
    counting = [s for s in seen if "count(*)" in s or s.startswith("EXPLAIN")]
    assert len(counting) == 1
    assert counting[0].startswith("EXPLAIN") == (engine.dialect.name == "postgresql")


@pytest.mark.parametrize("order", ["", "when", "-when", "-event", "dag_id"])
def test_the_few_audit_rows_that_an_indexed_filter_leaves_are_in_order_and_counted_once(
    order, client, add, statements, engine
):
    add(*(f.log(event=f"event {n % 3}", dag_id=None if n % 2 else "etl") for n in range(18)))
    query = {"order_by": order} if order else {}
    rows = client.get(f"{API}/eventLogs", query_string={"limit": 100, **query}).get_json()["event_logs"]
    expected = [row["event_log_id"] for row in rows if row["event"] == "event 1"]
    for way in counts.WAYS:
        with statements() as seen:
            page = client.get(
                f"{API}/eventLogs",
                query_string={"event": "event 1", "limit": 4, **query},
                headers=prefer(f"count={way}"),
            ).get_json()
        assert [row["event_log_id"] for row in page["event_logs"]] == expected[:4]
        if way == "exact":
            assert page["total_entries"] == 6
        assert sum("count(*)" in s for s in seen) <= 1
        assert sum(s.startswith("EXPLAIN") for s in seen) == (engine.dialect.name == "postgresql")


@pytest.fixture
def few_left_out(session: Any, add: Any, monkeypatch: Any) -> None:
    """Many rows of the DAG `mine` or of none, a few of `other`, in tables that are taken for large ones."""
    days = [f.START + timedelta(days=number) for number in range(12)]
    for dag_id, own in (("mine", days), ("other", days[:2])):
        add(f.dag(dag_id), *(f.dag_run(dag_id, str(day), execution_date=day) for day in own))
        add(*(f.task_instance(dag_id=dag_id, run_id=str(day), pool=f"pool {day.day % 2}") for day in own))
        add(*(f.log(dag_id=dag_id, event=f"event {day.day % 2}", dttm=day) for day in own))
    add(*(f.log(dag_id=None, event=f"event {number % 2}") for number in range(3)))
    if session.bind.dialect.name != "mysql":  # where it ends the transaction
        for table in ("dag_run", "log", "task_instance"):
            session.execute(text(f"ANALYZE {table}"))
    session.commit()
    monkeypatch.setattr(counts, "BOUND", 0)
    monkeypatch.setattr(paging, "_FEW", 0)


@pytest.mark.parametrize(
    ("path", "plural", "query"),
    [
        ("eventLogs", "event_logs", {}),
        ("eventLogs", "event_logs", {"event": "event 1"}),
        ("eventLogs", "event_logs", {"owner": "airflow", "excluded_events": "event 1"}),
        ("dags/~/dagRuns/~/taskInstances", "task_instances", {"pool": "pool 1"}),
        ("dags/~/dagRuns/~/taskInstances", "task_instances", {"execution_date_gte": 2}),
        ("dags/~/dagRuns/~/taskInstances", "task_instances", {"execution_date_lte": 9, "pool": "pool 1"}),
        ("dags/~/dagRuns/~/taskInstances", "task_instances", {"execution_date_gte": 1, "execution_date_lte": 10}),
    ],
)
@pytest.mark.usefixtures("few_left_out")
def test_a_total_is_exact_also_if_the_rows_that_are_left_out_are_counted(
    path, plural, query, client, as_user, statements, engine
):
    days = {name: (f.START + timedelta(days=at)).isoformat() for name, at in query.items() if isinstance(at, int)}
    rights = ["DAG:mine.can_read", *(f"DAG:absent_{number}.can_read" for number in range(FEW))]
    others = ["Audit Logs.can_read", "DAG Runs.can_read", "Task Instances.can_read"]
    for who in (client, as_user(permissions=[*rights, *others])):
        ask = {"query_string": {**query, **days, "limit": 100}}
        whole = who.get(f"{API}/{path}", **ask).get_json()
        ask["query_string"]["limit"] = 1
        with statements() as seen:
            part = who.get(f"{API}/{path}", **ask, headers=prefer("count=exact")).get_json()
        assert part["total_entries"] == len(whole[plural]) > 3
    if engine.dialect.name == "postgresql":
        assert any("WITH RECURSIVE" in s and s.count("count(*)") == (3 if days else 2) for s in seen)


# ---------------------------------------------------------------- what is said
@pytest.mark.parametrize(("way", "total"), [("exact", 30), ("none", 11)])
def test_a_total_is_exact_or_one_more_than_the_page_shows(way, total, client, variables):
    found = client.get(f"{PATH}?limit=10", headers=prefer(f"count={way}"))
    assert found.get_json()["total_entries"] == total
    assert "Link" in found.headers


def test_an_estimate_is_near_after_the_statistics_were_brought_up_to_date(client, session, add, engine):
    add(*(f.log(event="many" if n % 10 else "few") for n in range(400)))
    if engine.dialect.name != "mysql":  # there is no estimate to make better
        session.execute(text("ANALYZE log"))
        session.commit()
    for query, exact in (("", 400), ("event=few", 40), ("event=many", 360)):
        found = client.get(f"{API}/eventLogs?limit=5&{query}", headers=prefer("count=estimated")).get_json()
        assert exact * 0.7 <= found["total_entries"] <= exact * 1.3


def test_an_estimate_counts_no_further_than_its_bound_where_there_is_no_planner(client, variables, monkeypatch, engine):
    if engine.dialect.name == "postgresql":
        pytest.skip("PostgreSQL has a planner")
    monkeypatch.setattr(counts, "BOUND", 20)
    for query, total in (("limit=10", 20), ("limit=10&offset=15", 26), ("limit=10&offset=20", 30)):
        assert client.get(f"{PATH}?{query}", headers=prefer("count=estimated")).get_json()["total_entries"] == total


@pytest.mark.parametrize(
    "header",
    [
        "count=none",
        "COUNT=None",
        'count="none"',
        "respond-async, count=none",
        "count=none;q=1, wait=10",
        " count = none ",
    ],
)
def test_a_preference_is_heard_however_it_is_written(header, client, variables):
    found = client.get(f"{PATH}?limit=10", headers=prefer(header))
    assert found.get_json()["total_entries"] == 11
    assert found.headers["Preference-Applied"] == "count=none"
    assert "Prefer" in found.headers["Vary"]


@pytest.mark.parametrize(
    "header", ["", "count", "count=", "count=planned", "discount=none", "wait=10", "count=none=", "," * 5000]
)
def test_any_other_preference_is_ignored(header, client, variables):
    found = client.get(f"{PATH}?limit=10", headers=prefer(header))
    assert found.get_json()["total_entries"] == 30
    assert "Preference-Applied" not in found.headers


def test_the_server_has_a_way_of_its_own_that_a_request_can_change(make_app, make_user, variables):
    client = signed_in(make_app({("windsock", "count"): "none"}), make_user("Admin").username)
    assert client.get(f"{PATH}?limit=10").get_json()["total_entries"] == 11
    assert "Preference-Applied" not in client.get(f"{PATH}?limit=10").headers
    assert client.get(f"{PATH}?limit=10", headers=prefer("count=exact")).get_json()["total_entries"] == 30


def test_a_way_of_counting_that_does_not_exist_stops_the_start():
    with pytest.raises(ConfigError, match=r"\[windsock\] count must be exact, estimated or none"):
        Config({**SETTINGS, ("windsock", "count"): "guessed"}).check()


def test_a_refusal_comes_whatever_is_preferred(client):
    assert_problem(client.get(f"{PATH}?limit=-1", headers=prefer("count=none")), 400, "limit")
