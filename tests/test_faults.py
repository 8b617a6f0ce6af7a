"""What goes wrong in production, done to a running server: nothing is lost, doubled or stuck.

The longest of these tests run if $WINDSOCK_TEST_FAULTS is set, as `tox -e faults` does; `-rP` shows their figures.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, text

from changes import fill, filled
from clients import API, credentials
from clusters import Cluster
from databases import KINDS, engine_of
from servers import Server, ask, serving
from writers import Writers

long = pytest.mark.skipif("WINDSOCK_TEST_FAULTS" not in os.environ, reason="takes long: tox -e faults")
TWO = ("--workers", "2")


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A filled database of this test alone."""
    with filled(request.param, tmp_path) as engine:
        yield engine


@pytest.fixture
def on_postgres(tmp_path: Path) -> Iterator[Engine]:
    if "postgres" not in KINDS:
        pytest.skip("for PostgreSQL, which WINDSOCK_TEST_DATABASES leaves out")
    with filled("postgres", tmp_path) as engine:
        yield engine


# ---------------------------------------------------------------- the database
def _postgres() -> tuple[Any, URL]:
    cluster = Cluster(synchronous_commit="on")
    cluster.init()
    cluster.start()
    return cluster, cluster.url


def _mysql() -> tuple[Any, URL]:
    from mysqld import Mysqld  # it needs the driver, which is an extra

    server = Mysqld("--innodb-flush-log-at-trx-commit=1")
    engine = create_engine(server.url)
    execute(engine, "CREATE DATABASE airflow CHARACTER SET utf8mb4")
    engine.dispose()
    return server, server.url.set(database="airflow")


@pytest.fixture(params=[_postgres, _mysql], ids=["postgres", "mysql"])
def durable(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Engine]]:
    """A server of its own that loses nothing when it is killed, and a filled database there."""
    if request.param.__name__[1:] not in KINDS:
        pytest.skip("WINDSOCK_TEST_DATABASES leaves it out")
    server, url = request.param()
    engine = engine_of(url)
    try:
        fill(engine)
        engine.dispose()
        yield server, engine
    finally:
        engine.dispose()
        server.remove()


@long
@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_a_database_that_restarts_under_load_loses_and_doubles_no_write(how, durable, tmp_path):
    database, engine = durable
    with serving(tmp_path, engine, *TWO) as server, Writers(server) as writers:
        for _ in range(3):
            before = writers.made()
            server.until(lambda: writers.made() > before + 50)  # noqa: B023
            database.stop(how)
            time.sleep(1)
            reply = server.ask("/pools")
            assert reply.status == 503 and reply.headers["Retry-After"]
            database.start()
            down = writers.made()
            server.until(lambda: writers.made() > down + 50, 20)  # noqa: B023 - recovers by itself
    told = writers.tally(engine)
    assert told.refused > 0 and (told.lost, told.doubled, told.unanswered) == (0, 0, 0)
    assert writers.hurried == []


def test_a_lock_that_somebody_keeps_is_503_and_everything_else_is_answered(database, tmp_path):
    with serving(tmp_path, database, settings={("windsock", "lock_timeout"): "0.5"}) as server:
        with database.connect() as keeper:
            if database.dialect.name == "sqlite":
                keeper.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                keeper.exec_driver_sql("SELECT 1 FROM slot_pool WHERE pool = 'kept' FOR UPDATE")
            begun = time.monotonic()
            reply = server.ask("/pools/kept", "PATCH", {"name": "kept", "slots": 7})
            assert reply.status == 503 and reply.headers["Retry-After"], reply
            assert 0.4 < time.monotonic() - begun < 15
            assert server.ask("/pools/kept").body["slots"] != 7
            keeper.rollback()
        assert server.ask("/pools/kept", "PATCH", {"name": "kept", "slots": 7}).status == 200
        assert server.ask("/pools/kept").body["slots"] == 7


#: What makes it take long to insert a variable, and what ends that.
SLOW = {
    "postgresql": (
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2); RETURN NEW; END'",
        "CREATE TRIGGER slow BEFORE INSERT ON variable FOR EACH ROW EXECUTE FUNCTION slow()",
    ),
    "sqlite": (
        "CREATE TRIGGER slow AFTER INSERT ON variable BEGIN SELECT count(*) FROM (WITH RECURSIVE n(i) AS "
        "(SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 400000000) SELECT i FROM n); END",
    ),
    "mysql": ("CREATE TRIGGER slow BEFORE INSERT ON variable FOR EACH ROW DO SLEEP(2)",),
}
FAST = {
    "postgresql": "DROP TRIGGER slow ON variable",
    "sqlite": "DROP TRIGGER slow",
    "mysql": "DROP TRIGGER slow",
}


def test_a_statement_that_takes_too_long_is_503_and_leaves_nothing(database, tmp_path):
    if database.dialect.name == "mysql" and not database.dialect.is_mariadb:
        pytest.skip("MySQL ends no statement but a SELECT")
    with serving(tmp_path, database, settings={("windsock", "statement_timeout"): "0.5"}) as server:
        execute(database, *SLOW[database.dialect.name])
        reply = server.ask("/variables", "POST", {"key": "slow", "value": "x"})
        assert reply.status == 503 and reply.headers["Retry-After"], reply
        execute(database, FAST[database.dialect.name])
        assert server.ask("/variables/slow").status == 404
        assert server.ask("/variables", "POST", {"key": "slow", "value": "x"}).status == 201


def test_a_full_disk_is_503_loses_nothing_and_is_over_when_there_is_space_again(tmp_path):
    home = tmp_path / "small"
    home.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(home)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        engine = create_engine(f"sqlite:///{home}/airflow.db")
        fill(engine)
        rest = home / "rest"
        with serving(tmp_path, engine, *TWO) as server, Writers(server, 4) as writers:
            server.until(lambda: writers.made() > 50)
            with rest.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
                while file.write(b"x" * 4096):
                    pass
            server.until(lambda: 503 in writers.outcomes.values(), 60)
            assert server.ask("/pools").status == 200  # who only reads notices nothing
            rest.unlink()
            full = writers.made()
            server.until(lambda: writers.made() > full + 50)
        told = writers.tally(engine)
        engine.dispose()
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)
    assert told.refused > 0 and (told.lost, told.doubled, told.unsaid, told.unanswered) == (0, 0, 0, 0)


def execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


# ---------------------------------------------------------------- the processes
def test_a_worker_that_is_killed_while_it_writes_loses_and_doubles_nothing(database, tmp_path):
    with serving(tmp_path, database, *TWO) as server, Writers(server) as writers:
        server.until(lambda: writers.made() > 50)
        first = server.workers()[0]
        os.kill(first, signal.SIGKILL)
        killed = writers.made()
        server.until(lambda: len(server.workers()) == 2 and first not in server.workers())
        server.until(lambda: writers.made() > killed + 100)
    told = writers.tally(database)
    assert (told.lost, told.doubled) == (0, 0)
    assert told.unanswered <= 16  # what it had in its hands, and what waited for it


def test_a_graceful_stop_finishes_what_is_under_way(on_postgres, tmp_path):
    with serving(tmp_path, on_postgres, *TWO, "--threads", "6") as server, ThreadPoolExecutor(6) as pool:
        execute(on_postgres, *SLOW["postgresql"])
        asked = [pool.submit(server.ask, "/variables", "POST", {"key": f"slow{n}", "value": "x"}) for n in range(6)]
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        server.until(lambda: number(on_postgres, sleeping) == 6)
        server.process.terminate()
        assert [one.result().status for one in asked] == [201] * 6
        assert server.process.wait(timeout=10) == 0
    assert number(on_postgres, "SELECT count(*) FROM variable WHERE key LIKE 'slow%'") == 6


def number(engine: Engine, statement: str) -> int:
    with engine.connect() as connection:
        return connection.execute(text(statement)).scalar_one()


@pytest.mark.parametrize("keep", [True, pytest.param(False, marks=long)], ids=["kept connections", "new connections"])
def test_sighup_reads_the_configuration_anew_and_refuses_nobody_meanwhile(keep, database, tmp_path):
    with serving(tmp_path, database, *TWO) as server, Writers(server, keep=keep) as writers:
        server.until(lambda: writers.made() > 50)
        old = server.workers()
        assert len(server.ask("/permissions").body["actions"]) > 2
        server.configure({("api", "maximum_page_limit"): "2"})
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: len(server.workers()) == 2 and not set(old) & set(server.workers()))
        assert len(server.ask("/permissions?limit=100").body["actions"]) == 2
        replaced = writers.made()
        server.until(lambda: writers.made() > replaced + 50)
    told = writers.tally(database)
    assert (told.refused, told.lost, told.doubled, told.unsaid) == (0, 0, 0, 0)
    assert writers.cut == []
    assert told.unanswered <= len(old)  # connections that no worker has read from when it stops, so nothing is done


def test_a_worker_that_is_replaced_ends_a_kept_connection_with_an_answer_that_says_so(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/airflow.db")
    fill(engine)
    with serving(tmp_path, engine, "--workers", "1") as server:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        assert ask(connection, "/version").headers["Connection"] is None
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: ask(connection, "/version").headers["Connection"] == "close")


UNUSABLE = (
    {("api", "maximum_page_limit"): "many"},
    {("api", "auth_backends"): "no.such.back_end"},
    {("core", "fernet_key"): "no key"},
    {("database", "sql_alchemy_conn"): "postgresql://nobody:hunter2@127.0.0.1:1/nowhere"},
    {("windsock", "log_format"): "loud"},
)


def test_a_configuration_that_cannot_be_used_leaves_the_workers_as_they_are(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/airflow.db")
    fill(engine)
    with serving(tmp_path, engine, *TWO) as server:
        old, good = server.workers(), dict(server.settings)
        for tried, wrong in enumerate(UNUSABLE, 1):
            server.configure({**good, **wrong})
            server.process.send_signal(signal.SIGHUP)
            server.until(lambda: server.log.read_text().count("the workers stay as they are") == tried)  # noqa: B023
            assert server.workers() == old and server.ask("/pools").status == 200
        assert "hunter2" not in server.log.read_text()
        server.settings = good
        server.configure({})
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: len(server.workers()) == 2 and not set(old) & set(server.workers()))
        assert server.ask("/pools").status == 200


# ---------------------------------------------------------------- clients
HEAD = f"GET {API}/pools HTTP/1.1\r\nHost: localhost\r\nAuthorization: {credentials('writer')}\r\n"


def connections(server: Server, count: int) -> list[socket.socket]:
    """That many connections to a server, made by this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count + 200), hard))
    return [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(count)]


def test_a_thousand_idle_connections_keep_nobody_out(database, tmp_path):
    with serving(tmp_path, database, *TWO) as server, ExitStack() as stack:
        idle = connections(server, 1000)
        for one in idle:
            stack.callback(one.close)
        for one in idle[:500]:  # half of them have asked for something before
            one.sendall(f"{HEAD}\r\n".encode())
        assert all(one.recv(9) == b"HTTP/1.1 " for one in idle[:500])
        with Writers(server) as writers:
            server.until(lambda: writers.made() >= 200)
        told = writers.tally(database)
        assert (told.refused, told.unanswered, told.lost, told.doubled) == (0, 0, 0, 0)
        begun = time.monotonic()
        server.process.terminate()
        assert server.process.wait(timeout=20) == 0
        print(f"stopped within {time.monotonic() - begun:.1f} s with 1000 idle connections")


@long
def test_heads_that_come_slowly_hold_nobody_up_and_are_given_up(tmp_path, database):
    with serving(tmp_path, database, *TWO) as server, ExitStack() as stack:
        slow = connections(server, 400)
        for one in slow:
            stack.callback(one.close)
            one.sendall(HEAD.encode())
        dripping = Thread(target=_drip, args=(slow, b"X-A: b\r\n", 35), daemon=True)
        dripping.start()
        with Writers(server) as writers:
            server.until(lambda: writers.made() >= 200)
        told = writers.tally(database)
        assert (told.refused, told.unanswered, told.lost, told.doubled) == (0, 0, 0, 0)
        dripping.join()
        ended = sum(_ended(one) for one in slow)
        print(f"{ended} of {len(slow)} slow heads were given up")
        assert ended == len(slow)


@long
def test_bodies_that_come_slowly_hold_up_other_bodies_only(tmp_path, database):
    with serving(tmp_path, database, *TWO, "--threads", "4") as server, ExitStack() as stack:
        head = HEAD.replace("GET", "POST").replace("/pools", "/variables") + "Content-Type: application/json\r\n"
        slow = connections(server, 40)
        for one in slow:
            stack.callback(one.close)
            one.sendall(f"{head}Content-Length: 10000\r\n\r\n{{".encode())
        Thread(target=_drip, args=(slow, b" ", 5), daemon=True).start()
        answers = [server.ask("/pools").status for _ in range(100)]
        assert set(answers) == {200}
        assert {server.ask("/variables", "POST", {"key": "x", "value": "y"}).status for _ in range(10)} <= {
            201,
            409,
            429,
        }


def _drip(slow: list[socket.socket], piece: bytes, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for one in slow:
            try:
                one.sendall(piece)
            except OSError:
                continue
        time.sleep(1)


def _ended(one: socket.socket) -> bool:
    """Whether the other side has closed a connection."""
    with closing(one):
        one.settimeout(5)
        try:
            while one.recv(4096):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True
