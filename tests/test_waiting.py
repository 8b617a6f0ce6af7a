"""Waiting for a run: what a client is told, when it ends, and that any number of clients holds up nobody else."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session

import factories as f
from changes import USERNAME, filled
from clients import API, PASSWORD_HASH, credentials
from problems import assert_problem
from servers import Server, serving
from windsock import tokens
from windsock.context import KEY
from windsock.db import Database
from windsock.models import DagRun, User
from windsock.waiting.watch import GONE, Look, Waiter, Watch

SETTINGS = {("windsock", "max_waiters"): "40", ("windsock", "wait_heartbeat_sec"): "0.3"}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def database(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A filled database that the server and the test open."""
    with filled(database_kind, tmp_path_factory.mktemp("waiting")) as engine:
        yield engine


@pytest.fixture(scope="module")
def server(database: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One worker with two threads."""
    home = tmp_path_factory.mktemp("server")
    with serving(home, database, "--workers", "1", "--threads", "2", settings=SETTINGS) as server:
        yield server


@pytest.fixture
def run(database: Engine) -> str:
    """The id of a new run of the DAG `etl` that is queued."""
    run_id = f"waited-{next(_numbers)}"
    with Session(database) as session, session.begin():
        session.add(f.dag_run("etl", run_id, state="queued", start_date=None, end_date=None, conf={"secret": "x"}))
    return run_id


def change(database: Engine, run_id: str, **columns: Any) -> None:
    with database.begin() as connection:
        connection.execute(update(DagRun).where(DagRun.run_id == run_id).values(**columns))


def path(run_id: str, query: str = "interval=1") -> str:
    return f"{API}/dags/etl/dagRuns/{quote(run_id)}/wait?{query}"


@contextmanager
def wait(server: Server, run_id: str, username: str = USERNAME, accept: str = "*/*") -> Iterator[HTTPResponse]:
    """The answer to a request that waits, whose lines can be read as they come."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", path(run_id), headers={"Authorization": credentials(username), "Accept": accept})
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def items(response: HTTPResponse) -> Iterator[dict[str, Any]]:
    return map(json.loads, response)


def until(response: HTTPResponse, **members: Any) -> dict[str, Any]:
    """The next item with these members."""
    return next(item for item in items(response) if members.items() <= item.items())


def status_of(server: Server, address: str) -> int:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", address, headers={"Authorization": credentials(USERNAME)})
    return connection.getresponse().status


# ---------------------------------------------------------------- what is told
def test_a_run_that_has_ended_is_told_at_once(client, add):
    run = add(f.dag(), f.dag_run("etl", "done", state="failed"))
    run = client.get(f"{API}/dags/etl/dagRuns/done").get_json()
    answer = client.get(path("done"))
    assert answer.content_type == "application/x-ndjson" and answer.headers["Cache-Control"] == "no-store"
    told = {name: run[name] for name in ("state", "start_date", "end_date")}
    assert json.loads(answer.data) == {"event": "end", "reason": "finished", **told}


def test_a_browser_is_told_by_server_sent_events(client, add):
    add(f.dag(), f.dag_run("etl", "open", state="queued", start_date=None, end_date=None))
    answer = client.get(path("open", "timeout=0"), headers={"Accept": "text/event-stream"})
    assert answer.mimetype == "text/event-stream"
    data = '{"event":"end","reason":"timeout","state":"queued","start_date":null,"end_date":null}'
    assert answer.get_data(as_text=True) == f"event: end\ndata: {data}\n\n"


def test_a_run_that_is_not_there_is_404_and_wrong_numbers_are_400(client, add):
    add(f.dag())
    assert_problem(client.get(path("none")), 404, "none")
    for query in ("timeout=-1", "timeout=3601", "interval=0", "interval=61", "interval=1.5"):
        assert_problem(client.get(path("none", query)), 400, query.partition("=")[0])


def test_a_server_without_threads_to_spare_lets_one_request_wait(client, add):
    add(f.dag(), f.dag_run("etl", "open", state="running"))
    with client.get(path("open")):
        refused = client.get(path("open"))
        assert_problem(refused, 429)
        assert int(refused.headers["Retry-After"]) > 0
    with client.get(path("open")) as answer:
        assert answer.status_code == 200


def test_a_head_request_does_not_wait(client, add):
    add(f.dag(), f.dag_run("etl", "open", state="running"))
    answer = client.head(path("open"))
    assert (answer.status_code, answer.content_type, answer.data) == (200, "application/x-ndjson", b"")


def test_every_change_is_told_until_the_run_ends(server, database, run):
    with wait(server, run) as response:
        started = {"event": "state", "reason": None, "state": "queued", "start_date": None, "end_date": None}
        assert next(items(response)) == started
        change(database, run, state="running", start_date=f.START)
        assert until(response, event="state")["state"] == "running"
        change(database, run, state="success", end_date=f.START + f.HOUR)
        last = until(response, event="end")
        assert list(last) == list(started) and (last["reason"], last["state"]) == ("finished", "success")
        assert last["end_date"] == "2026-03-01T03:00:00.123456+00:00"
        assert response.read() == b""


def test_heartbeats_come_while_nothing_happens(server, run):
    with wait(server, run) as response:
        assert [item["event"] for item in itertools.islice(items(response), 3)] == ["state", "heartbeat", "heartbeat"]
    with wait(server, run, accept="text/event-stream") as response:
        lines = [line for line in itertools.islice(response, 7) if line.strip()]
        assert lines[0] == b"event: state\n" and lines[2:] == [b": heartbeat\n"] * (len(lines) - 2)


# ---------------------------------------------------------------- who is told
def _a_user(database: Engine, *rights: str) -> str:
    name = f"waiter-{next(_numbers)}"
    with Session(database) as session, session.begin():
        role = f.role(permissions=f.permissions(session, rights))
        session.add(f.user(name, password=PASSWORD_HASH, last_login=f.counted(), roles=[role]))
    return name


@pytest.mark.parametrize(
    "change_user", [{"active": False}, {"password": "another"}, {"roles": []}], ids=["deactivated", "password", "roles"]
)
def test_who_loses_the_right_to_see_a_run_is_told_no_more(change_user, server, database, run):
    name = _a_user(database, "DAG:etl.can_read", "DAG Runs.can_read")
    with wait(server, run, name) as response:
        assert next(items(response))["state"] == "queued"
        with Session(database) as session, session.begin():
            user = session.scalars(select(User).where(User.username == name)).one()
            session.refresh(user, ["roles"])
            for attribute, value in change_user.items():
                setattr(user, attribute, value)
        change(database, run, state="success")
        last = until(response, event="end")
    assert last == {"event": "end", "reason": "refused", "state": None, "start_date": None, "end_date": None}


def test_who_loses_the_token_is_told_no_more(make_app, make_user, connection, add):
    user = make_user("Viewer")
    add(f.dag(), f.dag_run("etl", "open", state="running"))
    settings = {("api", "auth_backends"): "token", ("windsock", "wait_heartbeat_sec"): "0.1"}
    app = make_app(settings)
    token = tokens.make(connection, app.extensions[KEY].config, tokens.Wanted(user.username, timedelta(days=1)))
    headers = {"Authorization": f"Bearer {token.text}"}
    with app.test_client().get(path("open", "interval=60"), headers=headers) as answer:
        told = map(json.loads, answer.response)
        assert [next(told)["event"] for _ in range(2)] == ["state", "heartbeat"]
        tokens.revoke(connection, token.id)
        assert next(told)["reason"] == "refused"


def test_a_run_that_is_deleted_is_gone(server, database, run):
    with wait(server, run) as response:
        next(items(response))
        with database.begin() as connection:
            connection.execute(delete(DagRun).where(DagRun.run_id == run))
        assert until(response, event="end")["reason"] == "gone"


# ---------------------------------------------------------------- many
def test_far_more_requests_wait_than_there_are_threads_and_all_others_are_answered(server, database, run):
    with ExitStack() as stack:
        waiting = [stack.enter_context(wait(server, run)) for _ in range(40)]
        assert [next(items(response))["state"] for response in waiting] == ["queued"] * 40
        assert {status_of(server, f"{API}/{what}") for what in ("version", "pools", "dags") for _ in range(5)} == {200}
        assert status_of(server, path(run)) == 429
        change(database, run, state="success")
        assert {until(response, event="end")["reason"] for response in waiting} == {"finished"}


def test_who_hangs_up_makes_room_for_others(server, run):
    with ExitStack() as stack:
        for _ in range(40):
            next(items(stack.enter_context(wait(server, run))))
    deadline = monotonic() + 20
    while (status := status_of(server, path(run, "timeout=0"))) == 429 and monotonic() < deadline:
        sleep(0.1)
    assert status == 200


def test_all_who_wait_share_one_poll(connection, statements, add):
    runs = [add(f.dag_run("etl", f"shared-{number}", state="running")).id for number in range(3)]
    watch = Watch(lambda: Database(connection))
    waiters = [Waiter(run, 0.2, Look("queued", None, None)) for run in (*runs, -1) for _ in range(10)]
    with statements() as seen, ExitStack() as stack:
        for waiter in waiters:
            stack.enter_context(watch.waiting(waiter))
        news = [waiter.news.get(timeout=20) for waiter in waiters]
    assert len(seen) < 10
    assert [getattr(found, "state", found) for found in news] == ["running"] * 30 + [GONE] * 10


# ---------------------------------------------------------------- stopping
def test_a_server_that_stops_says_so_and_does_not_wait(database: Engine, run: str, tmp_path: Path):
    with serving(tmp_path, database, "--workers", "1") as server, wait(server, run) as response:
        next(items(response))
        server.process.send_signal(signal.SIGTERM)
        assert until(response, event="end")["reason"] == "stopping"
        assert server.process.wait(timeout=20) == 0
