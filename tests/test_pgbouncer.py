"""A real PgBouncer in transaction mode, as it is installed, between Windsock and PostgreSQL."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import URL, create_engine, text

from changes import CHANGES, USERNAME, fill
from clients import API, SETTINGS, signed_in
from clusters import Cluster, free_port, hand_over, unprivileged
from databases import KINDS
from problems import assert_problem
from windsock.app import create_app
from windsock.cli import main
from windsock.config import Config
from windsock.context import KEY

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
#: Two processes of PostgreSQL for all clients, so that the statements of each meet both.
SERVERS = 2
ZONE = "Asia/Kathmandu"

if PGBOUNCER is None:
    pytest.skip("there is no PgBouncer (on Debian: apt install pgbouncer)", allow_module_level=True)
if "postgres" not in KINDS:
    pytest.skip("PgBouncer is for PostgreSQL, which WINDSOCK_TEST_DATABASES leaves out", allow_module_level=True)


class Pooled(NamedTuple):
    """A server, and the same database behind PgBouncer."""

    cluster: Cluster
    direct: URL
    pooled: URL


@pytest.fixture(scope="module")
def pooled() -> Iterator[Pooled]:
    """A server in a time zone that nobody would take for UTC, with a filled database, and PgBouncer before it."""
    cluster = Cluster(timezone=ZONE)
    try:
        cluster.init()
        cluster.start()
        port = free_port()
        direct = cluster.url.set(database="windsock")
        pooled = Pooled(cluster, direct, direct.set(port=port))
        admin = create_engine(cluster.url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE windsock TEMPLATE template0")
        admin.dispose()
        engine = create_engine(direct)
        fill(engine)
        engine.dispose()
        process = _start(cluster, port)
        try:
            yield pooled
        finally:
            process.terminate()
            process.wait(timeout=10)
    finally:
        cluster.remove()


def _start(cluster: Cluster, port: int) -> subprocess.Popen[bytes]:
    """Start PgBouncer with nothing set that is not needed to reach the server."""
    home = cluster.home / "pgbouncer"
    home.mkdir()
    hand_over(home)
    settings = home / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host=127.0.0.1 port={cluster.port} user=postgres\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = transaction\ndefault_pool_size = {SERVERS}\nquery_wait_timeout = 3\nserver_login_retry = 1\n"
    )
    hand_over(settings)
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(unprivileged(str(PGBOUNCER), str(settings)), stdout=log, stderr=log, cwd=home)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.05)
    process.kill()
    raise AssertionError((home / "log").read_text())


def built(url: URL) -> Flask:
    settings = {("database", "sql_alchemy_conn"): url.render_as_string(False), ("database", "sql_alchemy_pool_size"): 8}
    return create_app(Config({**SETTINGS, **settings}))


def _dispose(app: Flask) -> None:
    app.extensions[KEY].database.reading.dispose()
    app.extensions[KEY].database.writing.dispose()


@pytest.fixture
def app(pooled: Pooled) -> Iterator[Flask]:
    """The application behind PgBouncer, with the engines of production."""
    app = built(pooled.pooled)
    yield app
    _dispose(app)


READS = ("pools", "dags", "dags/~/dagRuns", "dags/~/dagRuns/~/taskInstances", "eventLogs", "users", "dags/etl/details")


def test_the_statements_of_one_client_meet_several_processes(app):
    """Else the other tests would show nothing."""

    def processes(_: int) -> set[int]:
        with app.extensions[KEY].database.reading.connect() as connection:
            return {connection.execute(text("SELECT pg_backend_pid(), pg_sleep(0.002)")).scalar() for _ in range(50)}

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(processes, range(8)))
    assert max(map(len, found)) > 1
    assert len(set.union(*found)) <= SERVERS


def test_clients_at_once_and_again_and_again_get_the_answers_of_a_direct_connection(pooled, app):
    plain = built(pooled.direct)
    expected = {path: signed_in(plain, USERNAME).get(f"{API}/{path}").get_json() for path in READS}
    _dispose(plain)

    def read(number: int) -> list[Any]:
        client = signed_in(app, USERNAME)
        paths = [READS[(number + turn) % len(READS)] for turn in range(5 * len(READS))]
        return [(path, client.get(f"{API}/{path}").get_json()) for path in paths]

    with ThreadPoolExecutor(8) as threads:
        for answers in threads.map(read, range(8)):
            for path, answer in answers:
                assert answer == expected[path], path


def test_changes_and_reads_at_once_lose_nothing(app):
    def write(number: int) -> list[int]:
        client, found = signed_in(app, USERNAME), []
        for turn in range(10):
            key = {"key": f"mine-{number}-{turn}", "value": str(turn)}
            found.append(client.post(f"{API}/variables", json=key).status_code)
            found.append(client.get(f"{API}/variables/{key['key']}").status_code)
        return found

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(write, range(8))) == [[201, 200] * 10] * 8


def test_every_operation_that_changes_something_works(app):
    client = signed_in(app, USERNAME)
    statuses = {name: change.send(client).status_code for name, change in CHANGES.items()}
    assert {name: status for name, status in statuses.items() if status >= 300} == {}


def test_sessions_are_in_utc_whatever_the_server_is(app):
    for engine in (app.extensions[KEY].database.reading, app.extensions[KEY].database.writing):
        with engine.connect() as one, engine.connect() as other:
            for _ in range(2 * SERVERS):
                for connection in (one, other):
                    assert connection.execute(text("SHOW TimeZone")).scalar() == "UTC"
                    connection.rollback()


def test_a_direct_connection_is_in_utc_and_prepares_statements(pooled):
    app = built(pooled.direct)
    with app.extensions[KEY].database.reading.connect() as connection:
        assert connection.execute(text("SHOW TimeZone")).scalar() == "UTC"
        for _ in range(10):
            prepared = connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar()
        assert prepared
    _dispose(app)


def test_commands_work(pooled, tmp_path):
    url = pooled.pooled.render_as_string(False)
    (tmp_path / "airflow.cfg").write_text(f"[database]\nsql_alchemy_conn = {url}\n")
    for command in (["db", "check"], ["users", "list"]):
        result = CliRunner().invoke(main, [*command, "--config", str(tmp_path / "airflow.cfg")])
        assert result.exit_code == 0, result.output


def test_while_postgresql_is_gone_behind_it_requests_are_503_and_then_work_again(pooled, app):
    client = signed_in(app, USERNAME)
    assert client.get(f"{API}/pools").status_code == 200
    pooled.cluster.stop()
    for ask in (client.get(f"{API}/pools"), client.patch(f"{API}/pools/kept", json={"name": "kept", "slots": 3})):
        assert_problem(ask, 503, "database")
        assert ask.headers["Retry-After"]
    pooled.cluster.start()
    deadline = time.monotonic() + 20
    while client.get(f"{API}/pools").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert client.patch(f"{API}/pools/kept", json={"name": "kept", "slots": 4}).status_code == 200
