"""Real databases for the tests: `fresh(kind, directory)` yields the URL of an empty database, `engine_of` an engine.

The server is the one in $WINDSOCK_TEST_POSTGRES or $WINDSOCK_TEST_MYSQL (a URL whose user may create databases), else
one that `clusters` and `mysqld` find programs for. It starts at the first call and stops with the test process.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, make_url, text

from clusters import Cluster, free_port

__all__ = ["KINDS", "engine_of", "free_port", "fresh", "mysql", "postgres"]

KINDS = tuple(os.environ.get("WINDSOCK_TEST_DATABASES", "sqlite,postgres").split(","))  # what the tests run on
#: Backend -> what makes its sessions alike: in UTC, and reading what is committed.
_ALIKE: dict[str, dict[str, Any]] = {
    "postgresql": {"connect_args": {"options": "-c timezone=UTC"}},
    "mysql": {"connect_args": {"init_command": "SET time_zone = '+00:00'"}, "isolation_level": "READ COMMITTED"},
}
_numbers = itertools.count(1)


@contextmanager
def fresh(kind: str, directory: Path) -> Iterator[URL]:
    """Yield the URL of an empty database of this kind; a file of SQLite is in the directory."""
    servers = {"postgres": postgres, "mysql": mysql}
    with servers[kind]() if kind in servers else nullcontext(make_url(f"sqlite:///{directory}/airflow.db")) as url:
        yield url


def engine_of(url: URL) -> Engine:
    """An engine for the tests' own statements, whose sessions are as those of Windsock."""
    return create_engine(url, **_ALIKE.get(url.get_backend_name(), {}))


def postgres() -> AbstractContextManager[URL]:
    """Yield the URL of an empty database and drop the database afterwards. Raises RuntimeError without a server."""
    return _fresh(_server(), "TEMPLATE template0", "WITH (FORCE)")


def mysql() -> AbstractContextManager[URL]:
    """Yield the URL of an empty database of MySQL or MariaDB, as `postgres` does."""
    return _fresh(_mysql_server(), "CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")


@contextmanager
def _fresh(server: URL, making: str, dropping: str = "") -> Iterator[URL]:
    name = f"windsock_test_{os.getpid()}_{next(_numbers)}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    _execute(admin, f"CREATE DATABASE {name} {making}")
    try:
        yield server.set(database=name)
    finally:
        _execute(admin, f"DROP DATABASE {name} {dropping}")
        admin.dispose()


def _execute(admin: Engine, statement: str) -> None:
    with admin.connect() as connection:
        connection.execute(text(statement))


@functools.cache
def _server() -> URL:
    if url := os.environ.get("WINDSOCK_TEST_POSTGRES"):
        return make_url(url).set(drivername="postgresql+psycopg")
    cluster = Cluster()
    atexit.register(_remove, os.getpid(), cluster)
    cluster.init()
    cluster.start()
    return cluster.url


@functools.cache
def _mysql_server() -> URL:
    if url := os.environ.get("WINDSOCK_TEST_MYSQL"):
        return make_url(url).set(drivername="mysql+pymysql")
    from mysqld import Mysqld  # it needs the driver, which is an extra

    server = Mysqld()
    atexit.register(_remove, os.getpid(), server)
    return server.url


def _remove(owner: int, cluster: Any) -> None:
    if os.getpid() == owner:  # not in a child that a test has forked
        cluster.remove()
