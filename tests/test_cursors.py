"""Walking through a list by cursor: every row once, from any place, whatever happens to the list meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer
from sqlalchemy import delete

import factories as f
from clients import API, SETTINGS, signed_in
from problems import assert_problem
from walks import LISTS, ask, cursor_of, plural_of, url_of, walk
from windsock import spec
from windsock.models import Permission, Resource, Variable, role_permission
from worlds import nulls, world

named = pytest.mark.parametrize("operation", LISTS, ids=lambda operation: operation.id)
VARIABLES = spec.operations()["get_variables"]
PATH = f"{API}/variables"
#: Members whose values may be long, so that no cursor can hold one.
LONG = {"conf", "extra", "message", "value", "description"}


@pytest.fixture
def full_and_empty(session: Any) -> Any:
    """Rows full of data beside rows full of nulls."""
    world(session, range(4), nulls, dag_id="other")
    return world(session, range(5))


# ---------------------------------------------------------------- every list
@named
def test_a_walk_gives_every_row_of_a_list_once_and_in_its_order(operation, client, full_and_empty):
    url, plural = url_of(operation, full_and_empty), plural_of(operation)
    for order in ("", *(sign + name for name in operation.sortable for sign in ("", "-") if name not in LONG)):
        query = {"order_by": order} if order else {}
        whole = ask(client, operation, url, limit=100, **query).get_json()
        pages = [page.get_json() for page in walk(client, operation, url, limit=3, **query)]
        assert [item for page in pages for item in page[plural]] == whole[plural], order
        assert {page["total_entries"] for page in pages} == {whole["total_entries"]}, order
        assert len(pages) == -(-len(whole[plural]) // 3), order
        assert len(whole[plural]) > 3, "the world has too few rows"


@named
def test_an_order_by_a_member_of_any_length_has_no_cursor(operation, client, full_and_empty):
    url = url_of(operation, full_and_empty)
    for name in sorted(LONG & {*operation.sortable}):
        assert ask(client, operation, url, order_by=name).status_code == 200
        assert_problem(ask(client, operation, url, order_by=name, cursor=""), 400, "cursor", name, "offset")


@named
def test_a_cursor_beside_an_offset_is_refused(operation, client, full_and_empty):
    url = url_of(operation, full_and_empty)
    assert ask(client, operation, url, cursor="", offset=0).status_code == 200
    assert_problem(ask(client, operation, url, cursor="", offset=5), 400, "cursor", "offset")


@named
def test_a_cursor_that_was_not_made_here_is_refused(operation, client, full_and_empty):
    url = url_of(operation, full_and_empty)
    good = cursor_of(ask(client, operation, url, cursor="", limit=1), operation)
    foreign = URLSafeSerializer("another key", salt="windsock-cursor").dumps(["x", [1], 1, {}])
    unsalted = URLSafeSerializer(SETTINGS["webserver", "secret_key"]).dumps(["x", [1], 1, {}])
    for wrong in ("x", "ü", " ", good[:-1], "A" + good, "." + good, foreign, unsalted, "9" * 5000):
        assert_problem(ask(client, operation, url, cursor=wrong), 400, "cursor=")


@named
def test_a_cursor_skips_nothing_and_counts_once(operation, client, full_and_empty, statements, engine):
    url = url_of(operation, full_and_empty)
    with statements() as seen:
        pages = walk(client, operation, url, limit=3)
    assert len(pages) > 1
    assert sum("count(*)" in statement for statement in seen) == 1
    later = [statement for statement in seen if "LIMIT" in statement and " > " in statement]
    if engine.dialect.name == "postgresql":  # for SQLite there is always one, of 0
        assert not any("OFFSET" in statement for statement in later)


# ---------------------------------------------------------------- what a cursor belongs to
def test_a_cursor_belongs_to_its_filters_its_order_and_its_path(client, full_and_empty):
    runs = spec.operations()["get_dag_runs"]
    first = ask(client, runs, f"{API}/dags/~/dagRuns", cursor="", limit=1, state="success", order_by="start_date")
    cursor = cursor_of(first, runs)
    good = {"cursor": cursor, "limit": 2, "state": "success", "order_by": "start_date"}
    assert client.get(f"{API}/dags/~/dagRuns", query_string=good).status_code == 200
    for change in (
        {"state": "failed"},
        {"order_by": "-start_date"},
        {"order_by": "end_date"},
        {"updated_at_gte": "2026-01-01T00:00:00Z"},
    ):
        assert_problem(client.get(f"{API}/dags/~/dagRuns", query_string=good | change), 400, "cursor")
    without = {name: value for name, value in good.items() if name != "state"}
    assert_problem(client.get(f"{API}/dags/~/dagRuns", query_string=without), 400, "cursor")
    assert_problem(client.get(f"{API}/dags/etl/dagRuns", query_string=good), 400, "cursor")
    assert_problem(client.get(f"{API}/pools", query_string={"cursor": cursor}), 400, "cursor")
    form = {"cursor": cursor, "states": ["success"], "order_by": "start_date"}
    assert_problem(client.post(f"{API}/dags/~/dagRuns/list", json=form), 400, "cursor")


def test_limit_members_and_preference_may_change_on_the_way(client, add):
    add(*(f.variable(f"key {n}") for n in range(9)))
    cursor = cursor_of(client.get(f"{PATH}?cursor=&limit=2"), VARIABLES)
    query = {"cursor": cursor, "limit": 3, "fields": "key"}
    found = client.get(PATH, query_string=query, headers={"Prefer": "count=none"})
    assert found.get_json() == {"variables": [{"key": f"key {n}"} for n in (2, 3, 4)], "total_entries": 6}
    assert client.get(PATH, query_string={"cursor": cursor}).get_json()["total_entries"] == 9


def test_a_cursor_belongs_to_its_caller(app, make_user, add):
    add(*(f.variable(f"key {n}") for n in range(3)))
    one, other = (signed_in(app, make_user("Admin").username) for _ in range(2))
    cursor = cursor_of(one.get(f"{PATH}?cursor=&limit=1"), VARIABLES)
    assert one.get(PATH, query_string={"cursor": cursor}).status_code == 200
    assert_problem(other.get(PATH, query_string={"cursor": cursor}), 400, "caller")


def test_a_cursor_outlives_a_change_of_the_key_that_signed_it(make_app, make_user, add):
    add(*(f.variable(f"key {n}") for n in range(3)))
    name = make_user("Admin").username
    cursor = cursor_of(signed_in(make_app(), name).get(f"{PATH}?cursor=&limit=1"), VARIABLES)
    old = SETTINGS["webserver", "secret_key"]
    for settings_, status in (
        ({("webserver", "secret_key"): "new", ("windsock", "old_secret_keys"): old.replace(" ", "")}, 400),
        ({("webserver", "secret_key"): "new"}, 400),
        ({}, 200),
    ):
        later = signed_in(make_app(settings_), name).get(PATH, query_string={"cursor": cursor})
        assert later.status_code == status


def test_a_right_that_is_lost_on_the_way_counts_from_the_next_page_on(app, make_user, session):
    world(session, range(3))
    world(session, range(3), dag_id="other")
    user = make_user(permissions=["DAG:etl.can_read", "DAG:other.can_read", "DAG Runs.can_read"])
    client, runs = signed_in(app, user.username), spec.operations()["get_dag_runs"]
    first = client.get(f"{API}/dags/~/dagRuns?cursor=&limit=1&order_by=dag_id")
    assert [run["dag_id"] for run in first.get_json()["dag_runs"]] == ["etl"]
    lost = session.query(Permission.id).join(Resource, Resource.id == Permission.view_menu_id)
    lost = lost.filter(Resource.name == "DAG:other")
    session.execute(delete(role_permission).where(role_permission.c.permission_view_id.in_(lost.scalar_subquery())))
    session.commit()
    rest = client.get(f"{API}/dags/~/dagRuns?limit=100&order_by=dag_id&cursor={cursor_of(first, runs)}").get_json()
    assert {run["dag_id"] for run in rest["dag_runs"]} == {"etl"}
    assert rest["total_entries"] == 1 + len(rest["dag_runs"])
    session.execute(delete(role_permission))
    session.commit()
    again = client.get(f"{API}/dags/~/dagRuns?limit=100&order_by=dag_id&cursor={cursor_of(first, runs)}")
    assert_problem(again, 403)


def test_a_server_without_a_key_has_no_cursors(make_app, make_user, add):
    add(*(f.variable(f"key {n}") for n in range(3)))
    client = signed_in(make_app({("webserver", "secret_key"): ""}), make_user("Admin").username)
    assert client.get(f"{PATH}?limit=1").status_code == 200
    assert_problem(client.get(f"{PATH}?limit=1&cursor="), 400, "secret_key")


# ---------------------------------------------------------------- changes meanwhile
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_rows_that_are_there_throughout_come_once_whatever_comes_and_goes(client, session, data):
    session.execute(delete(Variable))
    there = [f"key {n:02}" for n in range(0, 40, 2)]
    session.add_all([f.variable(key, val="stays") for key in there])
    passing: set[str] = set()
    session.commit()
    down, limit = data.draw(st.sampled_from(["", "-"])), data.draw(st.integers(1, 7))
    query, seen, cursor = {"order_by": f"{down}key", "limit": limit}, [], ""
    while cursor is not None:
        page = client.get(PATH, query_string={**query, "cursor": cursor})
        seen += [variable["key"] for variable in page.get_json()["variables"]]
        assert page.get_json()["total_entries"] >= len(seen)
        cursor = cursor_of(page, VARIABLES)
        _change(session, passing, data.draw(st.lists(st.integers(0, 40), max_size=6)))
    assert seen == sorted(seen, reverse=bool(down))
    assert [key for key in seen if key in there] == sorted(there, reverse=bool(down))


def _change(session: Any, passing: set[str], numbers: list[int]) -> None:
    """Make those variables that are not there, and delete them when they are."""
    for key in (f"key {number:02}x" for number in numbers):
        if key in passing:
            session.execute(delete(Variable).where(Variable.key == key))
        else:
            session.add(f.variable(key))
        passing ^= {key}
    session.commit()


def test_a_walk_goes_on_although_the_row_it_stands_on_is_gone(client, session, add):
    add(*(f.log(event=f"event {n}", dttm=None if n % 3 else f.START) for n in range(12)))
    logs = spec.operations()["get_event_logs"]
    seen, cursor = [], ""
    while cursor is not None:
        page = ask(client, logs, f"{API}/eventLogs", cursor=cursor, order_by="-when", limit=2)
        found = [row["event_log_id"] for row in page.get_json()["event_logs"]]
        seen += found
        cursor = cursor_of(page, logs)
        session.execute(delete(f.Log).where(f.Log.id.in_(found)))
        session.commit()
    assert len(seen) == len(set(seen)) == 12
