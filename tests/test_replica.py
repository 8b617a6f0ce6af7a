"""Reads from a streaming replica: what it answers, what it must not answer, and what happens when a server is gone."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.orm import Session

import factories as f
from changes import CHANGES, USERNAME, fill
from clients import API, PASSWORD_HASH, SETTINGS, signed_in
from clusters import Cluster, binaries
from databases import KINDS
from problems import assert_problem
from windsock.app import create_app
from windsock.config import Config, ConfigError
from windsock.context import KEY
from windsock.replica import PAUSE

READER, SCOPED = "reader", "scoped"
SECONDS = ("windsock", "read_your_writes_seconds")
POOL = f"{API}/pools/kept"

if "postgres" not in KINDS:
    pytest.skip("replicas are PostgreSQL's, which WINDSOCK_TEST_DATABASES leaves out", allow_module_level=True)


class Pair(NamedTuple):
    """A primary and its standby, and the database on each."""

    primary: Cluster
    standby: Cluster
    here: Engine
    there: Engine

    def caught_up(self) -> None:
        """Wait until the standby has all that the primary has."""
        with self.here.connect() as connection:
            end = connection.execute(text("SELECT pg_current_wal_insert_lsn()")).scalar()
        reached = text("SELECT pg_last_wal_replay_lsn() >= CAST(:end AS pg_lsn)")
        self.until(lambda: self._ask(reached, end=end))

    def pause(self) -> None:
        """Let the standby replay nothing more."""
        self._ask(text("SELECT pg_wal_replay_pause()"))
        self.until(lambda: self._ask(text("SELECT pg_is_wal_replay_paused()")))  # no later record is replayed

    def resume(self) -> None:
        """Let it replay again."""
        self._ask(text("SELECT pg_wal_replay_resume()"))

    def change(self, *statements: str) -> None:
        """Change the primary past Windsock, and so without an audit row."""
        with self.here.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def asked(self, ask: Callable[[], Any]) -> tuple[Any, str]:
        """What a call returns, and the statements that the standby has logged meanwhile."""
        before = len(self.standby.log())
        found = ask()
        return found, self.standby.log()[before:]

    def until(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, self.standby.log()[-2000:]
            time.sleep(0.05)

    def _ask(self, statement: Any, **values: Any) -> Any:
        with self.there.connect() as connection:
            return connection.execute(statement, values).scalar()


def database_of(cluster: Cluster) -> URL:
    return cluster.url.set(database="windsock")


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    """Real streaming replication; the standby logs what it is asked."""
    if not (binaries() / "pg_basebackup").exists():
        pytest.skip("this PostgreSQL comes without pg_basebackup")
    primary = Cluster(wal_level="replica", wal_keep_size="256MB")
    standby = Cluster(log_statement="all", wal_retrieve_retry_interval="200ms", hot_standby="on")
    here, there = create_engine(database_of(primary)), create_engine(database_of(standby), pool_pre_ping=True)
    try:
        primary.init()
        primary.start()
        admin = create_engine(primary.url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE windsock TEMPLATE template0")
        admin.dispose()
        fill(here)
        _add_people(here)
        standby.copy(primary)
        standby.start()
        yield Pair(primary, standby, here, there)
    finally:
        here.dispose(), there.dispose()
        standby.remove()
        primary.remove()


def _add_people(engine: Engine) -> None:
    rights = ["DAGs.can_read", "Pools.can_read"]
    with Session(engine) as session:
        for name, may in ((READER, rights), (SCOPED, ["DAG:etl.can_read", "DAG:etl-0.can_read", "Pools.can_read"])):
            role = f.role(name, permissions=f.permissions(session, may))
            session.add(f.user(name, password=PASSWORD_HASH, last_login=f.counted(), roles=[role]))
        session.commit()


@pytest.fixture
def pair(servers: Pair) -> Iterator[Pair]:
    """Both running and equal, before and after; nobody has changed anything lately."""
    servers.change("DELETE FROM log", "UPDATE slot_pool SET slots = 1 WHERE pool = 'kept'")
    servers.caught_up()
    yield servers
    for server, engine in ((servers.primary, servers.here), (servers.standby, servers.there)):
        if not (server.data / "postmaster.pid").exists():
            engine.dispose()
            server.start()
    servers.resume()


@pytest.fixture
def worker(pair: Pair) -> Iterator[Callable[..., Flask]]:
    """`worker({setting: value})` builds an application as each worker does; it knows that the replica is up to date."""
    made: list[Flask] = []

    def worker(settings: Any = (), warm: bool = True) -> Flask:
        places = {("database", "sql_alchemy_conn"): pair.primary, ("windsock", "sql_alchemy_conn_read"): pair.standby}
        urls = {place: database_of(cluster).render_as_string(False) for place, cluster in places.items()}
        app = create_app(Config({**SETTINGS, SECONDS: 60, **urls, **dict(settings)}))
        made.append(app)
        if warm:
            pair.until(lambda: served_by_standby(pair, signed_in(app, READER)))
        return app

    yield worker
    for app in made:
        database = app.extensions[KEY].database
        for engine in (database.reading, database.writing, database.replica.engine):
            engine.dispose()


def slots(client: FlaskClient) -> int:
    response = client.get(POOL)
    assert response.status_code == 200, response.get_data(as_text=True)
    return response.get_json()["slots"]


def dags(client: FlaskClient) -> list[str]:
    return [dag["dag_id"] for dag in client.get(f"{API}/dags?only_active=false").get_json()["dags"]]


def served_by_standby(pair: Pair, client: FlaskClient) -> bool:
    found, seen = pair.asked(lambda: client.get(POOL))
    assert found.status_code == 200, found.get_data(as_text=True)
    return "slot_pool" in seen


# ---------------------------------------------------------------- which server answers
def test_reads_go_to_the_replica_and_the_primary_says_who_asks(pair, worker):
    client = signed_in(worker(), READER)
    for ask in (lambda: client.get(POOL), lambda: client.get(f"{API}/pools"), lambda: client.head(f"{API}/pools")):
        found, seen = pair.asked(ask)
        assert found.status_code == 200 and "slot_pool" in seen and "ab_user" not in seen


def test_a_batch_form_is_a_read(pair, worker):
    client = signed_in(worker(), USERNAME)
    found, seen = pair.asked(lambda: client.post(f"{API}/dags/~/dagRuns/list", json={}))
    assert found.get_json()["dag_runs"] and "FROM dag_run" in seen


def test_a_change_and_what_it_reads_stay_on_the_primary(pair, worker):
    client = signed_in(worker(), USERNAME)
    found, seen = pair.asked(lambda: CHANGES["patch_pool"].send(client))
    assert found.status_code == 200 and seen == ""


def test_of_many_reads_only_few_ask_the_replica_how_far_it_is(pair, worker):
    client = signed_in(worker(), READER)
    _, seen = pair.asked(lambda: [slots(client) for _ in range(20)])
    assert seen.count("SELECT pg_is_in_recovery()") <= 2
    assert seen.count("FROM slot_pool") == 20


# ---------------------------------------------------------------- what must not be stale
def test_who_changed_something_sees_it_at_once_from_every_worker_and_others_read_the_replica(pair, worker):
    one, two = worker(), worker()
    pair.pause()
    assert signed_in(one, USERNAME).patch(POOL, json={"name": "kept", "slots": 7}).status_code == 200
    for app in (one, two):
        assert slots(signed_in(app, USERNAME)) == 7
        assert slots(signed_in(app, READER)) == 1


def test_a_change_in_the_web_interface_counts_as_one(pair, worker):
    client = signed_in(worker(), READER)
    pair.pause()
    row = f"INSERT INTO log (dttm, event, owner) VALUES (now(), 'pool.edit', '{READER}')"
    pair.change("UPDATE slot_pool SET slots = 5 WHERE pool = 'kept'", row)
    assert slots(client) == 5


def test_after_some_seconds_who_changed_something_reads_the_replica_again(pair, worker):
    client = signed_in(worker({SECONDS: "1"}), USERNAME)
    assert served_by_standby(pair, client)
    client.patch(POOL, json={"name": "kept", "slots": 7})
    assert not served_by_standby(pair, client)
    pair.caught_up()
    time.sleep(1)
    pair.until(lambda: served_by_standby(pair, client))
    assert slots(client) == 7


def test_a_replica_that_is_too_far_behind_is_not_read_until_it_has_caught_up(pair, worker):
    client = signed_in(worker({SECONDS: "1"}), READER)
    pair.pause()
    pair.change("UPDATE slot_pool SET slots = 5 WHERE pool = 'kept'")
    time.sleep(0.6)
    assert slots(client) == 5
    pair.resume()
    pair.until(lambda: served_by_standby(pair, client))


@contextmanager
def revoked(pair: Pair, role: str, resources: str) -> Iterator[None]:
    """Take from a role the rights on the resources that match a pattern, on the primary; give them back at the end."""
    pair.change(
        "CREATE TABLE revoked AS SELECT r.* FROM ab_permission_view_role r"
        " JOIN ab_permission_view v ON v.id = r.permission_view_id JOIN ab_view_menu m ON m.id = v.view_menu_id"
        f" JOIN ab_role o ON o.id = r.role_id WHERE o.name = '{role}' AND m.name ~ '{resources}'",
        "DELETE FROM ab_permission_view_role WHERE id IN (SELECT id FROM revoked)",
    )
    try:
        yield
    finally:
        pair.change("INSERT INTO ab_permission_view_role SELECT * FROM revoked", "DROP TABLE revoked")


@pytest.mark.parametrize("name", [READER, SCOPED])
def test_a_right_that_was_revoked_is_gone_at_the_next_request_although_the_replica_has_it(name, pair, worker):
    client = signed_in(worker(), name)
    found, seen = pair.asked(lambda: dags(client))
    assert "etl" in found and "FROM dag" in seen
    pair.pause()
    with revoked(pair, name, "^DAG"):
        assert [client.get(f"{API}/dags{path}").status_code for path in ("", "/etl")] == [403, 403]


def test_one_of_two_rights_on_single_dags_that_was_revoked_narrows_the_next_list(pair, worker):
    client = signed_in(worker(), SCOPED)
    assert sorted(dags(client)) == ["etl", "etl-0"]
    pair.pause()
    with revoked(pair, SCOPED, "^DAG:etl-0$"):
        found, seen = pair.asked(lambda: dags(client))
    assert found == ["etl"] and "FROM dag" in seen


# ---------------------------------------------------------------- a replica that fails
def test_reads_go_on_while_the_replica_is_down_and_return_to_it(pair, worker, caplog):
    client = signed_in(worker(), READER)
    pair.standby.stop()
    assert [slots(client) for _ in range(5)] == [1] * 5
    assert caplog.text.count("since the replica failed") == 1
    pair.there.dispose()
    pair.standby.start()
    time.sleep(PAUSE)
    pair.until(lambda: served_by_standby(pair, client))


def test_a_worker_that_starts_while_the_replica_is_down_serves(pair, worker):
    pair.standby.stop()
    assert slots(signed_in(worker(warm=False), READER)) == 1


def test_a_connection_that_either_server_drops_costs_no_request(pair, worker, caplog):
    client = signed_in(worker(), READER)
    others = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                  " AND pid <> pg_backend_pid()")  # fmt: skip
    for engines in ([pair.there], [pair.here], [pair.there, pair.here]):
        for engine in engines:
            with engine.connect() as connection:
                connection.execute(others)
        assert served_by_standby(pair, client)
        assert "since the" not in caplog.text


@pytest.mark.parametrize(("state", "status"), [("40001", 200), ("40P01", 200), ("25006", 200), ("22012", 500)])
def test_what_a_standby_ends_for_its_replay_is_asked_of_the_primary_but_no_other_error(state, status, pair, worker):
    app = worker()
    pair.change(
        "CREATE FUNCTION obstacle() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN IF pg_is_in_recovery() THEN"
        f" RAISE EXCEPTION 'obstacle' USING ERRCODE = '{state}'; END IF; RETURN true; END $$",
        "ALTER TABLE slot_pool RENAME TO real_pool",
        "CREATE VIEW slot_pool AS SELECT * FROM real_pool WHERE obstacle()",
    )
    try:
        pair.caught_up()
        app.config["PROPAGATE_EXCEPTIONS"] = False
        client = signed_in(app, READER)
        assert [client.get(POOL).status_code for _ in range(2)] == [status] * 2
        _, seen = pair.asked(lambda: client.get(f"{API}/dags"))
        assert "FROM dag" in seen  # it is not left alone for that
    finally:
        pair.change("DROP VIEW slot_pool", "ALTER TABLE real_pool RENAME TO slot_pool", "DROP FUNCTION obstacle")


def test_a_database_that_is_no_standby_is_not_read_and_the_log_says_why(pair, worker, caplog):
    url = database_of(pair.primary).render_as_string(False)
    client = signed_in(worker({("windsock", "sql_alchemy_conn_read"): url}, warm=False), READER)
    assert slots(client) == 1
    assert "is no standby" in caplog.text


# ---------------------------------------------------------------- a primary that fails
def test_while_the_primary_is_down_reads_are_answered_and_changes_are_503(pair, worker):
    app = worker()
    writer, scoped = signed_in(app, USERNAME), signed_in(app, SCOPED)
    pair.primary.stop("fast")
    assert slots(writer) == 1
    assert sorted(dags(scoped)) == ["etl", "etl-0"]
    assert_problem(signed_in(app, USERNAME, "wrong").get(POOL), 401)
    assert_problem(scoped.get(f"{API}/variables"), 403)
    refused = writer.patch(POOL, json={"name": "kept", "slots": 7})
    assert_problem(refused, 503, "database")
    assert int(refused.headers["Retry-After"]) > 0
    health = writer.get(f"{API}/health").get_json()
    assert health["metadatabase"]["status"] == "unhealthy"
    pair.here.dispose()
    pair.primary.start()
    assert writer.patch(POOL, json={"name": "kept", "slots": 7}).status_code == 200
    assert slots(writer) == 7


def test_a_primary_that_does_not_even_refuse_is_waited_for_once(worker):
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"postgresql://postgres@127.0.0.1:{silent.getsockname()[1]}/windsock"
        client = signed_in(worker({("database", "sql_alchemy_conn"): url}, warm=False), READER)
        assert slots(client) == 1
        began = time.monotonic()
        assert [slots(client) for _ in range(3)] == [1] * 3
        assert time.monotonic() - began < 3


def test_while_both_are_down_a_read_is_503(pair, worker):
    client = signed_in(worker(), READER)
    assert slots(client) == 1
    pair.primary.stop("fast")
    pair.standby.stop("fast")
    for _ in range(2):
        response = client.get(POOL)
        assert_problem(response, 503, "database")
        assert int(response.headers["Retry-After"]) > 0


# ---------------------------------------------------------------- settings
@pytest.mark.parametrize(
    ("primary", "replica", "message"),
    [
        ("sqlite:////tmp/airflow.db", "postgresql://replica.example/airflow", "only a PostgreSQL database"),
        ("postgresql://primary.example/airflow", "sqlite:////tmp/airflow.db", "only a PostgreSQL database"),
        ("postgresql://primary.example/airflow", "mysql://u:secret@replica.example/a", "only a PostgreSQL database"),
    ],
)
def test_a_replica_that_cannot_be_one_stops_the_start(primary, replica, message):
    settings = {("database", "sql_alchemy_conn"): primary, ("windsock", "sql_alchemy_conn_read"): replica}
    with pytest.raises(ConfigError, match=rf"\[windsock\] sql_alchemy_conn_read: .*{message}") as raised:
        Config(settings).check()
    assert "secret" not in str(raised.value)


def test_no_seconds_for_writes_stop_the_start():
    with pytest.raises(ConfigError, match="read_your_writes_seconds must be more than 0"):
        Config({SECONDS: "0"}).check()
