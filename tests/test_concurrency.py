"""Many clients that write at once to a running server with two workers: nothing is lost, doubled or a 5xx.

$WINDSOCK_TEST_WRITES is the number of writes of each client; the default keeps the test short.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from threading import Barrier
from time import sleep
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from sqlalchemy import Engine, delete, func, select, text, update
from sqlalchemy.orm import Session

import factories as f
from changes import USERNAME, filled
from clients import API, credentials
from servers import serving
from windsock.config import Config
from windsock.db import writing_engine
from windsock.models import Connection, Dag, DagRun, DatasetDagRunQueue, DatasetEvent, Log, Pool, TaskInstance, Variable

CLIENTS = 8
WRITES = int(os.environ.get("WINDSOCK_TEST_WRITES", "20"))
RUN = quote(f.RUN_ID)


class Done(NamedTuple):
    """One write: the operation, the key of what it wrote, the status and the body of the answer."""

    operation: str
    key: str
    status: int
    answer: Any


class Client:
    """A client that keeps its connection, and a list of what it did."""

    def __init__(self, port: int, number: int) -> None:
        self.connection, self.number, self.done = HTTPConnection("127.0.0.1", port, timeout=60), number, []
        self.random = random.Random(number)

    def send(self, operation: str, key: str, method: str, path: str, body: Any = None) -> Done:
        sent = None if body is None else json.dumps(body)
        headers = {"Authorization": credentials(USERNAME), "Content-Type": "application/json"}
        self.connection.request(method, API + path, sent, headers)
        response = self.connection.getresponse()
        content = response.read()
        answer = json.loads(content) if content else None
        assert response.status < 500, (operation, key, response.status, answer)
        self.done.append(Done(operation, key, response.status, answer))
        return self.done[-1]

    def ours(self, kind: str) -> str:
        return f"{kind}-{self.number}-{len(self.done)}"


@pytest.fixture(scope="module")
def database(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A filled database that the server and the test open."""
    with filled(database_kind, tmp_path_factory.mktemp("concurrency")) as engine:
        yield engine


@pytest.fixture(scope="module")
def port(database: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server on it."""
    with serving(tmp_path_factory.mktemp("server"), database, "--workers", "2") as server:
        yield server.port


def at_once(port: int, *works: Callable[[Client], Any]) -> list[Client]:
    """Let each client do its work at the same time as the others; the clients, when all are done."""
    clients, barrier = [Client(port, number) for number in range(len(works))], Barrier(len(works))

    def run(client: Client, work: Callable[[Client], Any]) -> None:
        barrier.wait(timeout=30)
        work(client)

    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(run, client, work) for client, work in zip(clients, works, strict=True)]:
            future.result()
    return clients


# ---------------------------------------------------------------- mixed writes
def _store(
    client: Client, operation: str, path: str, member: str, body: dict[str, Any], change: dict[str, Any]
) -> None:
    """Create something of its own, then change it, delete it or leave it."""
    key = client.ours("own")
    assert client.send(f"post_{operation}", key, "POST", path, {member: key, **body}).status == 201
    single = operation.removesuffix("s")
    what = client.random.choice(["patch", "delete", "leave"])
    if what == "patch":
        assert (
            client.send(f"patch_{single}", key, "PATCH", f"{path}/{key}", {member: key, **body, **change}).status == 200
        )
    elif what == "delete":
        assert client.send(f"delete_{single}", key, "DELETE", f"{path}/{key}").status == 204


def _pool(client: Client) -> None:
    _store(client, "pool", "/pools", "name", {"slots": 1}, {"slots": 2})


def _variable(client: Client) -> None:
    _store(client, "variables", "/variables", "key", {"value": "one"}, {"value": "two"})


def _connection(client: Client) -> None:
    _store(client, "connection", "/connections", "connection_id", {"conn_type": "http"}, {"host": "changed"})


def _contested(client: Client) -> None:
    key = f"contested-{client.random.randrange(WRITES)}"
    assert client.send("post_pool", key, "POST", "/pools", {"name": key, "slots": 1}).status in (201, 409)


def _run(client: Client) -> None:
    made = client.send("post_dag_run", "", "POST", "/dags/etl/dagRuns", {"note": "by hand"})
    assert made.status == 201, made
    if client.random.random() < 0.3:
        run_id = made.answer["dag_run_id"]
        assert client.send("delete_dag_run", run_id, "DELETE", f"/dags/etl/dagRuns/{quote(run_id)}").status == 204


def _pause(client: Client) -> None:
    body = {"is_paused": client.random.random() < 0.5}
    assert client.send("patch_dag", "etl-1", "PATCH", "/dags/etl-1", body).status == 200


def _pause_all(client: Client) -> None:
    body = {"is_paused": client.random.random() < 0.5}
    assert client.send("patch_dags", "", "PATCH", "/dags?dag_id_pattern=~", body).status == 200


def _event(client: Client) -> None:
    uri = f"s3://bucket/{client.random.randrange(2)}"
    assert client.send("create_dataset_event", uri, "POST", "/datasets/events", {"dataset_uri": uri}).status == 201


def _forget(client: Client) -> None:
    path = "/dags/etl/datasets/queuedEvent"
    assert client.send("delete_dag_dataset_queued_events", "etl", "DELETE", path).status in (204, 404)


def _clear(client: Client) -> None:
    body = {"dry_run": False, "only_failed": False, "reset_dag_runs": True, "dag_run_id": f.RUN_ID}
    path = "/dags/cleared/clearTaskInstances"
    assert client.send("post_clear_task_instances", "", "POST", path, body).status == 200


def _note(client: Client) -> None:
    path, body = f"/dags/set/dagRuns/{RUN}/setNote", {"note": client.ours("note")}
    assert client.send("set_dag_run_note", body["note"], "PATCH", path, body).status == 200


def _fail(client: Client) -> None:
    body = {"state": client.random.choice(["failed", "success", "queued"])}
    assert client.send("update_dag_run_state", "", "PATCH", f"/dags/cleared/dagRuns/{RUN}", body).status == 200


def _delete_dag(client: Client) -> None:
    assert client.send("delete_dag", "doomed", "DELETE", "/dags/doomed").status in (204, 404)


MIX = (_pool, _variable, _connection, _contested, _run, _pause, _pause_all, _event, _forget, _clear, _note, _fail)
ALL = (*MIX, _delete_dag)


def _mixed(client: Client) -> None:
    _delete_dag(client)
    while len(client.done) < WRITES:
        client.random.choice(ALL)(client)


def names(done: list[Done], operation: str) -> set[str]:
    """The keys of the successes of an operation, each of which must have succeeded once."""
    found = Counter(d.key for d in done if d.operation == operation and d.status < 300)
    assert set(found.values()) <= {1}, found
    return set(found)


def test_mixed_writes_of_many_clients_are_all_there_once_and_in_the_audit_log(database, port):
    with Session(database) as session:
        events_before = session.scalar(select(func.count()).select_from(DatasetEvent))
        own = set(session.scalars(select(DagRun.run_id).where(DagRun.dag_id == "etl")))
    clients = at_once(port, *[_mixed] * CLIENTS)
    done = [entry for client in clients for entry in client.done]
    good = Counter(entry.operation for entry in done if entry.status < 300)
    assert len(done) >= CLIENTS * WRITES and good["delete_dag"] == 1

    with Session(database) as session:
        events = select(Log.event, func.count()).where(Log.owner == USERNAME).group_by(Log.event)
        audited = dict(session.execute(events).all())
        assert audited == _as_events(good)

        for kind, column in (("pool", Pool.pool), ("variable", Variable.key), ("connection", Connection.conn_id)):
            created = names(done, f"post_{kind}" + "s" * (kind == "variable"))
            stored = {name for name in session.scalars(select(column)) if name.startswith(("own-", "contested-"))}
            assert stored == created - names(done, f"delete_{kind}")
        changed = names(done, "patch_pool")
        assert set(session.scalars(select(Pool.pool).where(Pool.slots == 2))) >= changed

        triggered = [d.answer["dag_run_id"] for d in done if d.operation == "post_dag_run"]
        assert len(triggered) == len(set(triggered))
        left = set(triggered) - names(done, "delete_dag_run")
        assert set(session.scalars(select(DagRun.run_id).where(DagRun.dag_id == "etl"))) - own == left
        tasks = select(TaskInstance.run_id, func.count()).where(TaskInstance.run_id.in_(left))
        assert set(session.execute(tasks.group_by(TaskInstance.run_id)).all()) == {(run_id, 3) for run_id in left}
        events_now = session.scalar(select(func.count()).select_from(DatasetEvent))
        assert events_now - events_before == good["create_dataset_event"]
        assert session.get(Dag, "doomed") is None


def _as_events(good: Counter[str]) -> dict[str, int]:
    """Operation -> successes, under the names of the audit log."""
    named = {"post": "create", "patch": "edit", "delete": "delete"}
    found = {}
    for operation, number in good.items():
        verb, _, kind = operation.partition("_")
        stored = kind.removesuffix("s") in ("variable", "connection")
        found[f"api.{kind.removesuffix('s')}.{named[verb]}" if stored else f"api.{operation}"] = number
    return found


# ---------------------------------------------------------------- the same thing at once
@pytest.mark.parametrize(
    ("operation", "path", "body"),
    [
        ("post_pool", "/pools", {"name": "only{}", "slots": 1}),
        ("post_variables", "/variables", {"key": "only{}", "value": "x"}),
        ("post_connection", "/connections", {"connection_id": "only{}", "conn_type": "http"}),
        ("post_role", "/roles", {"name": "only{}", "actions": []}),
        ("post_dag_run", "/dags/etl/dagRuns", {"dag_run_id": "only{}"}),
        ("post_dag_run", "/dags/etl/dagRuns", {"logical_date": "2026-05-01T00:00:0{}Z"}),
    ],
)
def test_of_clients_that_create_the_same_thing_at_once_one_succeeds(operation, path, body, port):
    for number in range(5):
        wanted = {name: value.format(number) if isinstance(value, str) else value for name, value in body.items()}
        clients = at_once(port, *[partial(_create, operation, path, wanted)] * 4)
        assert sorted(client.done[0].status for client in clients) == [201, 409, 409, 409]


def _create(operation: str, path: str, body: Any, client: Client) -> None:
    client.send(operation, "", "POST", path, body)


def test_runs_that_leave_their_date_open_never_clash(port):
    clients = at_once(port, *[lambda client: [_run_now(client) for _ in range(5)]] * 4)
    runs = [done.answer["dag_run_id"] for client in clients for done in client.done]
    assert len(set(runs)) == 20


def _run_now(client: Client) -> None:
    assert client.send("post_dag_run", "", "POST", "/dags/etl/dagRuns", {}).status == 201


# ---------------------------------------------------------------- one run, one DAG
def _ways(dag_id: str) -> dict[str, tuple[str, str, Any]]:
    """Operation -> method, path and body: every way to write to the run of a DAG and its task instances."""
    run, task = f"/dags/{dag_id}/dagRuns/{RUN}", f"/dags/{dag_id}/dagRuns/{RUN}/taskInstances/{f.TASK_ID}"
    reach = {f"include_{where}": True for where in ("upstream", "downstream", "future", "past")}
    cleared = {"dry_run": False, "only_failed": False, "reset_dag_runs": True}
    state = {"dry_run": False, "new_state": "failed"}
    return {
        "post_clear_task_instances": ("POST", f"/dags/{dag_id}/clearTaskInstances", cleared),
        "post_set_task_instances_state": (
            "POST",
            f"/dags/{dag_id}/updateTaskInstancesState",
            {**state, "task_id": f.TASK_ID, "dag_run_id": f.RUN_ID, **reach},
        ),
        "clear_dag_run": ("POST", f"{run}/clear", {"dry_run": False}),
        "update_dag_run_state": ("PATCH", run, {"state": "failed"}),
        "set_dag_run_note": ("PATCH", f"{run}/setNote", {"note": "changed"}),
        "patch_task_instance": ("PATCH", task, state),
        "set_task_instance_note": ("PATCH", f"{task}/setNote", {"note": "changed"}),
        "post_dag_run": ("POST", f"/dags/{dag_id}/dagRuns", {"note": "by hand"}),
        "patch_dag": ("PATCH", f"/dags/{dag_id}", {"is_paused": True}),
        "delete_dag_dataset_queued_events": ("DELETE", f"/dags/{dag_id}/datasets/queuedEvent", None),
        "create_dataset_event": ("POST", "/datasets/events", {"dataset_uri": "s3://bucket/0"}),
    }


def _anything(dag_id: str, writes: int, client: Client) -> None:
    for operation, (method, path, body) in client.random.choices(list(_ways(dag_id).items()), k=writes):
        client.send(operation, dag_id, method, path, body)


def test_all_ways_to_write_to_one_run_wait_for_each_other(port):
    clients = at_once(port, *[partial(_anything, "set", WRITES // 2)] * CLIENTS)
    refused = {(done.operation, done.status) for client in clients for done in client.done if done.status >= 300}
    assert refused <= {("delete_dag_dataset_queued_events", 404)}


def test_a_dag_that_is_deleted_while_others_write_to_it_leaves_no_row(database, port):
    def delete(client: Client) -> None:
        sleep(0.1)
        assert client.send("delete_dag", "unwound", "DELETE", "/dags/unwound").status == 204

    clients = at_once(port, delete, *[partial(_anything, "unwound", WRITES // 2)] * (CLIENTS - 1))
    assert {done.status for client in clients for done in client.done} <= {200, 201, 204, 404}
    with Session(database) as session:
        for model in (Dag, DagRun, TaskInstance):
            assert session.scalars(select(model.dag_id).where(model.dag_id == "unwound")).all() == []


def _warm(port: int) -> Client:
    """A client whose worker has written before, so that its next write is on its way at once."""
    client = Client(port, 0)
    _pause(client)
    return client


def test_a_run_that_is_triggered_while_its_dag_is_being_deleted_is_refused(database, port):
    client = _warm(port)
    with ThreadPoolExecutor(1) as pool, database.begin() as deletion:
        deletion.execute(delete(Dag).where(Dag.dag_id == "doomed-0"))
        made = pool.submit(client.send, "post_dag_run", "", "POST", "/dags/doomed-0/dagRuns", {})
        sleep(0.3)
        deletion.commit()
        assert made.result().status == 404


def test_a_trigger_that_a_deadlock_has_ended_is_made_after_all(database, port):
    client = _warm(port)
    with ThreadPoolExecutor(1) as pool, Session(database) as other:
        other.add_all([f.dag_run("etl", f"crossed-{number}") for number in range(20)])
        other.flush()
        if database.dialect.name == "postgresql":  # it ends who looks first; InnoDB, who has written less
            other.execute(text("SET LOCAL deadlock_timeout = '1min'"))
        made = pool.submit(client.send, "post_dag_run", "", "POST", "/dags/etl/dagRuns", {"dag_run_id": "crossed-0"})
        sleep(0.3)
        assert not made.done()
        other.execute(select(Dag).where(Dag.dag_id == "etl").with_for_update())
        other.rollback()
        assert made.result().status == 201


def test_a_dag_is_kept_when_a_task_begins_to_run_while_it_is_being_deleted(database, port):
    client = _warm(port)
    instances = update(TaskInstance).where(TaskInstance.dag_id == "cleared", TaskInstance.run_id == f.RUN_ID)
    with ThreadPoolExecutor(1) as pool, database.begin() as scheduler:
        scheduler.execute(instances.values(state="running"))
        deleted = pool.submit(client.send, "delete_dag", "cleared", "DELETE", "/dags/cleared")
        sleep(0.3)
        scheduler.commit()
        assert deleted.result().status == 409
    with database.begin() as scheduler:
        assert scheduler.execute(instances.values(state="success")).rowcount > 0


def test_changes_of_different_members_do_not_undo_each_other(port):
    def slots(number: int) -> Callable[[Client], Any]:
        body = {"name": "kept", "slots": number, "description": "stale"}
        return lambda client: client.send("patch_pool", "", "PATCH", "/pools/kept?update_mask=slots", body)

    def description(number: int) -> Callable[[Client], Any]:
        body = {"name": "kept", "slots": -9, "description": f"{number}"}
        return lambda client: client.send("patch_pool", "", "PATCH", "/pools/kept?update_mask=description", body)

    for number in range(1, 15):
        clients = at_once(port, slots(number), description(number))
        assert [client.done[0].status for client in clients] == [200, 200]
        shown = clients[0].send("get_pool", "", "GET", "/pools/kept").answer
        assert (shown["slots"], shown["description"]) == (number, f"{number}")


def test_a_dataset_that_is_updated_at_once_is_queued_once_for_each_dag(database, port):
    with Session(database) as session:
        for dag_id in ("etl", "etl-1"):
            session.get(Dag, dag_id).is_paused = False
        session.commit()
    at_once(port, *[lambda client: [_event(client) for _ in range(4)]] * 4)
    with Session(database) as session:
        waiting = session.scalars(select(DatasetDagRunQueue.target_dag_id)).all()
    assert set(waiting) >= {"etl", "etl-1"}


def test_a_process_that_opens_a_sqlite_database_while_another_writes_waits_for_it(tmp_path):
    other = sqlite3.connect(tmp_path / "airflow.db", isolation_level=None)
    other.execute("CREATE TABLE found (number)")
    writing = writing_engine(Config({("database", "sql_alchemy_conn"): f"sqlite:///{tmp_path}/airflow.db"}))

    def write() -> None:
        with writing.begin() as connection:
            connection.execute(text("INSERT INTO found VALUES (1)"))

    with ThreadPoolExecutor(1) as pool:
        other.execute("BEGIN IMMEDIATE")
        written = pool.submit(write)
        sleep(0.2)
        assert not written.done()
        other.execute("COMMIT")
        written.result()
    assert other.execute("SELECT count(*) FROM found").fetchone() == (1,)
    other.close()
    writing.dispose()
