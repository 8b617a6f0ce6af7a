"""What `/metrics` tells, and to whom, of a running server with two workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from changes import filled
from clients import API, credentials
from problems import assert_problem
from servers import Server, serving

TOKEN = "the token of the tests"
SETTINGS = {("windsock", "metrics_token"): TOKEN}
PROOF = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def database(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with filled(database_kind, tmp_path_factory.mktemp("metrics")) as engine:
        yield engine


@pytest.fixture(scope="module")
def served(database: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), database, "--workers", "2", settings=SETTINGS) as served:
        yield served


def values(served: Server) -> dict[str, float]:
    """`name{label="value"}` -> value, of all workers together."""
    reply = served.ask("//metrics", **PROOF)
    assert reply.status == 200, reply
    found = {}
    for family in text_string_to_metric_families(reply.body):
        for name, labels, value, *_ in family.samples:
            found[name + "".join(f" {key}={label}" for key, label in sorted(labels.items()))] = value
    return found


def growth(served: Server, before: dict[str, float], *names: str) -> list[float]:
    after = values(served)
    return [after.get(name, 0) - before.get(name, 0) for name in names]


def test_requests_are_counted_by_operation_and_status_over_all_workers(served):
    before = values(served)
    for _ in range(20):  # on connections of their own, so both workers are asked
        assert served.ask("/pools/kept").status == 200
    assert served.ask("/pools/nothing").status == 404
    assert served.ask("/nowhere").status == 404
    good, bad, nowhere, timed = growth(
        served, before, "windsock_requests_total operation=get_pool status=200",
        "windsock_requests_total operation=get_pool status=404", "windsock_requests_total operation=- status=404",
        "windsock_request_seconds_count operation=get_pool",
    )  # fmt: skip
    assert (good, bad, nowhere, timed) == (20, 1, 1, 21)


def test_statements_and_their_time_are_counted(served):
    before = values(served)
    assert served.ask("/variables", "POST", {"key": "counted", "value": "x"}).status == 201
    names = ("windsock_statements_total", "windsock_statement_seconds_total", "windsock_request_seconds_sum")
    statements, database, whole = growth(served, before, *(f"{name} operation=post_variables" for name in names))
    assert statements >= 3 and 0 < database < whole  # who asks, the variable, the audit row


def test_what_is_under_way_is_counted_down_again(served):
    assert served.ask("/pools").status == 200
    now = values(served)
    assert now["windsock_requests_in_flight"] == 1  # this one
    assert now["windsock_database_connections_in_use pool=reading"] == 0
    assert now["windsock_database_connections_open pool=reading"] >= 1


def test_a_worker_that_was_killed_holds_nothing(served):
    counted = "windsock_requests_total operation=get_role status=200"
    for _ in range(20):
        served.ask("/roles/Admin")
    before = values(served)
    assert before[counted] >= 20
    first = served.workers()[0]
    os.kill(first, signal.SIGKILL)
    served.until(lambda: len(served.workers()) == 2 and first not in served.workers() and served.answers())
    now = values(served)
    assert now["windsock_requests_in_flight"] == 1
    assert now["windsock_database_connections_open pool=reading"] <= 2 * 4  # two workers of four threads
    assert now[counted] == before[counted]  # what it has counted stays


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": ""}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer the token of the tests\xe9"},
     {"Authorization": credentials("writer")}],
)  # fmt: skip
def test_nobody_else_reads_them(headers, served):
    reply = served.ask("//metrics", **headers)
    assert reply.status == 401 and reply.headers["WWW-Authenticate"] == "Bearer"
    assert "windsock_requests" not in str(reply.body)


def test_there_are_none_by_default(client, stranger):
    for one in (client, stranger):
        assert_problem(one.get("/metrics"), 404)


def test_they_are_no_part_of_the_api(served):
    assert served.ask("/metrics", **PROOF).status == 404
    assert "/metrics" not in served.ask("/openapi.json").body["paths"] and API == "/api/v1"
