"""Pages: how many rows, which ones, in which order, and where the rest is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import factories as f
from clients import API, signed_in
from problems import assert_problem
from worlds import world


@pytest.fixture
def variables(add: Any) -> list[str]:
    """The keys of 130 variables, in their order."""
    keys = [f"key {number:03}" for number in range(130)]
    add(*(f.variable(key) for key in keys))
    return keys


def get(client: Any, query: str = "", path: str = "variables") -> Any:
    response = client.get(f"{API}/{path}?{query}")
    assert response.status_code == 200, response.get_json()
    return response


def keys(response: Any) -> list[str]:
    return [variable["key"] for variable in response.get_json()["variables"]]


def following(response: Any) -> str | None:
    """The path and query of the next page."""
    link = response.headers.get("Link")
    if link is None:
        return None
    address, relation = link.split("; ", 1)
    assert relation == 'rel="next"'
    parts = urlsplit(address.strip("<>"))
    assert parts.scheme and parts.netloc
    return f"{parts.path}?{parts.query}"


# ---------------------------------------------------------------- how many
@pytest.mark.parametrize("query", ["", "limit=0", "offset=0", "limit=0&offset=0"])
def test_a_page_holds_25_rows_unless_asked_otherwise(query, client, variables):
    found = get(client, query)
    assert keys(found) == variables[:25]
    assert found.get_json()["total_entries"] == 130


def test_the_size_of_a_page_can_be_set(make_app, make_user, variables):
    app = make_app({("windsock", "default_page_limit"): 7, ("api", "maximum_page_limit"): 9})
    client = signed_in(app, make_user("Admin").username)
    assert len(keys(get(client))) == len(keys(get(client, "limit=0"))) == 7
    assert len(keys(get(client, "limit=9"))) == len(keys(get(client, "limit=10"))) == 9


@pytest.mark.parametrize("limit", [1, 2, 99, 100])
def test_a_limit_is_kept(limit, client, variables):
    assert keys(get(client, f"limit={limit}")) == variables[:limit]


@pytest.mark.parametrize("limit", [101, 129, 130, 131, 2**31 - 1, 2**31, 2**63 - 1])
def test_a_limit_above_the_maximum_is_lowered_and_the_answer_leads_to_the_rest(limit, client, variables):
    first = get(client, f"limit={limit}")
    assert keys(first) == variables[:100]
    rest = client.get(following(first))
    assert keys(rest) == variables[100:]
    assert first.get_json()["total_entries"] == rest.get_json()["total_entries"] == 130
    assert following(rest) is None


@pytest.mark.parametrize("wrong", ["-1", "-2147483648", "9" * 30, "1.5", "x", " 1", "1e3", "٣", "0x1"])
@pytest.mark.parametrize("name", ["limit", "offset"])
def test_a_limit_or_offset_that_is_no_natural_number_is_refused(name, wrong, client):
    assert_problem(client.get(f"{API}/variables", query_string={name: wrong}), 400, name)


@pytest.mark.parametrize("number", [str(2**63), "9" * 30, "9" * 31, "9" * 5000], ids=["2**63", "30", "31", "5000"])
def test_a_limit_that_no_number_of_rows_can_reach_is_said_to_be_too_large(number, client):
    problem = assert_problem(client.get(f"{API}/variables?limit={number}"), 400, "limit")
    assert f"between 0 and {2**63 - 1}" in problem["detail"] or "too large" in problem["detail"]


@pytest.mark.parametrize("name", ["page_limit", "page_offset"])
@pytest.mark.parametrize("wrong", [-1, "1", 1.5, True, [], {}, 2**70])
def test_a_batch_form_refuses_a_limit_or_offset_that_is_no_natural_number(name, wrong, client):
    assert_problem(client.post(f"{API}/dags/~/dagRuns/list", json={name: wrong}), 400, name)


@pytest.mark.parametrize("path", ["dags/~/dagRuns/list", "dags/~/dagRuns/~/taskInstances/list"])
def test_a_batch_form_ignores_a_limit_in_the_query(path, client):
    response = client.post(f"{API}/{path}?limit=2", json={})
    assert response.status_code == 200, response.get_json()


# ---------------------------------------------------------------- which
@pytest.mark.parametrize("offset", [131, 2**31, 2**63 - 1])
def test_an_offset_beyond_the_last_row_gives_none(offset, client, variables):
    found = get(client, f"limit=10&offset={offset}")
    assert keys(found) == []
    assert found.get_json()["total_entries"] == 130


@pytest.mark.parametrize("offset", [0, 1, 30, 129])
def test_an_offset_skips_rows(offset, client, variables):
    found = get(client, f"limit=10&offset={offset}")
    assert keys(found) == variables[offset : offset + 10]
    assert found.get_json()["total_entries"] == 130


@pytest.mark.parametrize("offset", [130, 131, 2**31 - 1])
def test_an_offset_behind_the_end_gives_an_empty_page_with_the_total(offset, client, variables):
    found = get(client, f"offset={offset}")
    assert found.get_json() == {"variables": [], "total_entries": 130}
    assert following(found) is None


@pytest.mark.parametrize(
    ("limit", "offset", "more"), [(100, 0, True), (65, 65, False), (64, 65, True), (25, 120, False)]
)
def test_a_link_says_whether_there_is_more(limit, offset, more, client, variables):
    assert (following(get(client, f"limit={limit}&offset={offset}")) is not None) == more


def test_a_link_keeps_the_rest_of_the_query(client, add):
    add(*(f.log(event="run+&=ü" if number % 2 else "other") for number in range(10)))
    query = "limit=2&order_by=-event_log_id&event=run%2B%26%3D%C3%BC&after=2026-01-01T00%3A00%3A00%2B00%3A00"
    page = get(client, query, "eventLogs")
    seen = [row["event_log_id"] for row in page.get_json()["event_logs"]]
    while following(page):
        page = client.get(following(page))
        seen += [row["event_log_id"] for row in page.get_json()["event_logs"]]
        assert page.get_json()["total_entries"] == 5
    assert seen == sorted(set(seen), reverse=True)
    assert len(seen) == 5


def test_a_total_counts_what_the_filters_leave(client, add):
    add(f.dag("etl"), *(f.dag_run(run_id=f"r{n}", state=["failed", "success"][n % 2]) for n in range(30)))
    for query, total in (("state=failed", 15), ("state=failed,success", 30), ("state=queued", 0)):
        assert get(client, f"{query}&limit=1", "dags/etl/dagRuns").get_json()["total_entries"] == total
    batch = client.post(f"{API}/dags/~/dagRuns/list", json={"states": ["failed"], "page_limit": 4, "page_offset": 12})
    assert batch.get_json()["total_entries"] == 15
    assert len(batch.get_json()["dag_runs"]) == 3


def test_a_batch_form_pages_like_a_list(client, add):
    add(f.dag("etl"), *(f.dag_run(run_id=f"r{n:03}") for n in range(105)))
    seen: list[str] = []
    for offset in (0, 40, 80):
        form = {"page_limit": 40, "page_offset": offset, "order_by": "dag_run_id"}
        found = client.post(f"{API}/dags/~/dagRuns/list", json=form)
        assert found.get_json()["total_entries"] == 105
        assert ("Link" in found.headers) == (offset < 80)
        seen += [run["dag_run_id"] for run in found.get_json()["dag_runs"]]
    assert seen == [f"r{n:03}" for n in range(105)]
    for form in ({}, {"page_limit": 5000}):
        assert len(client.post(f"{API}/dags/~/dagRuns/list", json=form).get_json()["dag_runs"]) == 100


# ---------------------------------------------------------------- in which order
@pytest.mark.parametrize(
    "order", ["", "order_by=state", "order_by=-state", "order_by=-start_date", "order_by=end_date"]
)
def test_pages_never_repeat_or_miss_a_row_although_all_are_equal(order, client, add):
    same = {"state": "failed", "start_date": f.START, "end_date": None, "duration": None}
    add(f.dag("etl"), f.dag_run(), *(f.task_instance(task_id=f"t{n}", **same) for n in range(23)))
    seen = []
    for offset in range(0, 25, 5):
        page = get(client, f"limit=5&offset={offset}&{order}", "dags/~/dagRuns/~/taskInstances")
        seen += [ti["task_id"] for ti in page.get_json()["task_instances"]]
    assert sorted(seen) == sorted(f"t{n}" for n in range(23))


def test_order_goes_up_and_with_a_minus_down(client, add):
    add(f.pool("b", slots=5), f.pool("a", slots=3), f.pool("c", slots=4))
    for query, expected in (("order_by=slots", [3, 4, 5, 128]), ("order_by=-slots", [128, 5, 4, 3])):
        assert [pool["slots"] for pool in get(client, query, "pools").get_json()["pools"]] == expected
    names = [pool["name"] for pool in get(client, "order_by=name", "pools").get_json()["pools"]]
    assert names == ["a", "b", "c", "default_pool"]


# ---------------------------------------------------------------- filters
def test_a_filter_by_zero_is_a_filter(client, add):
    add(f.log(map_index=0, event="zero"), f.log(map_index=-1, event="none"), f.log(try_number=0, event="first"))
    for query, expected in (("map_index=0", ["zero"]), ("try_number=0", ["first"])):
        found = get(client, query, "eventLogs").get_json()
        assert [row["event"] for row in found["event_logs"]] == expected
        assert found["total_entries"] == 1


def test_bounds_in_time_include_or_leave_out_the_moment_itself(client, add):
    add(f.dag("etl"), f.dag_run(run_id="at", start_date=f.START))
    for shift, gte, lte in ((-1, 1, 0), (0, 1, 1), (1, 0, 1)):
        moment = (f.START + timedelta(microseconds=shift)).isoformat().replace("+", "%2B")
        found = [
            get(client, f"start_date_{word}={moment}", "dags/~/dagRuns").get_json()["total_entries"]
            for word in ("gte", "lte")
        ]
        assert found == [gte, lte]


def test_a_moment_means_the_same_in_every_time_zone(client, add):
    add(f.dag("etl"), f.dag_run(start_date=f.START.replace(microsecond=0)))
    for text in (
        "2026-03-01T02:00:00Z",
        "2026-03-01T02:00:00.000000%2B00:00",
        "2026-03-01T04:30:00%2B02:30",
        "2026-02-28T21:00:00-05:00",
        "2026-03-01T02:00:00+00:00",  # the plus was not escaped, so a space arrives
    ):
        query = f"start_date_gte={text}&start_date_lte={text}"
        assert get(client, query, "dags/~/dagRuns").get_json()["total_entries"] == 1, text


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(limit=st.integers(0, 160), offset=st.integers(0, 160), down=st.booleans())
def test_any_page_is_a_slice_of_the_whole(client, thirty_variables, limit, offset, down):
    whole = sorted(thirty_variables, reverse=down)
    found = get(client, f"limit={limit}&offset={offset}&order_by={'-' if down else ''}key")
    size = min(limit or 25, 100)
    assert keys(found) == whole[offset : offset + size]
    assert found.get_json()["total_entries"] == 30
    assert (following(found) is not None) == (offset + size < 30 and offset < 30)


@pytest.fixture
def thirty_variables(add: Any) -> list[str]:
    names = [f"key {number:02}" for number in range(30)]
    add(*(f.variable(name) for name in names))
    return names


# ---------------------------------------------------------------- fields
def test_a_list_can_be_narrowed_to_some_members(client, session):
    world(session, range(2))
    for query in ("fields=dag_id,is_paused", "fields=dag_id&fields=is_paused"):
        for dag in get(client, query, "dags").get_json()["dags"]:
            assert dag.keys() == {"dag_id", "is_paused"}
    assert_problem(client.get(f"{API}/dags?fields=dag_id,no_such_member"), 400, "no_such_member")


def test_a_narrowed_list_is_filtered_and_sorted_by_members_that_it_does_not_show(client, session):
    world(session, range(3))
    found = get(client, "fields=state&order_by=-dag_run_id&state=success", "dags/etl/dagRuns").get_json()
    assert found["dag_runs"] == [{"state": "success"}] * 4
    assert found["total_entries"] == 4


@pytest.mark.parametrize("number", [1, 2, 3, 5, 129, 256, 257, 400])
def test_a_filter_may_have_any_number_of_values(number, client, add):
    add(f.dag("first"), f.dag_run("first"), f.dag("last"), f.dag_run("last"), f.dag("other"), f.dag_run("other"))
    others = [f"none-{n}" for n in range(number - 1)]
    for wanted in ("first", "last"):
        found = client.post(f"{API}/dags/~/dagRuns/list", json={"dag_ids": [*others, wanted]}).get_json()
        assert [run["dag_id"] for run in found["dag_runs"]] == [wanted] and found["total_entries"] == 1
