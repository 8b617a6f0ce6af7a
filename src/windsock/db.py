"""Engines and this request's connection.

Reads run on an engine in autocommit: no BEGIN and no ROLLBACK around a single SELECT.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, g
from sqlalchemy import Connection, Engine, Executable, create_engine, event
from sqlalchemy.engine import make_url

from windsock.config import Config
from windsock.context import context


class Database:
    """The metadata database: `reading` is an Engine, or a Connection where a test wraps everything in a transaction."""

    def __init__(self, reading: Engine | Connection) -> None:
        self.reading = reading

    @classmethod
    def from_config(cls, config: Config) -> Database:
        """Open the database of `[database] sql_alchemy_conn`; connects at the first statement."""
        return cls(reading_engine(config))

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection for code outside a request."""
        if isinstance(self.reading, Connection):
            yield self.reading
        else:
            with self.reading.connect() as connection:
                yield connection


def options(config: Config) -> dict[str, Any]:
    """Keyword arguments of `create_engine`, from `[database]`."""
    url = make_url(config.database_url)
    if url.get_backend_name() == "sqlite":
        return {"url": url, "connect_args": {"check_same_thread": False, "timeout": 30}}
    return {
        "url": url,
        "pool_size": config.get_int("database", "sql_alchemy_pool_size"),
        "max_overflow": config.get_int("database", "sql_alchemy_max_overflow"),
        "pool_recycle": config.get_int("database", "sql_alchemy_pool_recycle"),
        "pool_pre_ping": config.get_bool("database", "sql_alchemy_pool_pre_ping"),
        "connect_args": {"options": "-c timezone=UTC", "connect_timeout": 10},
    }


def reading_engine(config: Config) -> Engine:
    """An engine whose connections commit every statement by themselves."""
    engine = create_engine(isolation_level="AUTOCOMMIT", **options(config))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _enforce_foreign_keys)
    return engine


def _enforce_foreign_keys(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA foreign_keys=ON")


def execute(statement: Executable, parameters: dict[str, Any] | None = None) -> Any:
    """The CursorResult of a statement on this request's connection, which is taken from the pool at the first one."""
    if "connection" not in g:
        reading = context.database.reading
        g.connection = reading if isinstance(reading, Connection) else reading.connect()
    return g.connection.execute(statement, parameters)


def _release(_: BaseException | None) -> None:
    connection = g.pop("connection", None)
    if connection is not None and connection is not context.database.reading:
        connection.close()


def register(app: Flask) -> None:
    """Give the connection back at the end of each request."""
    app.teardown_appcontext(_release)
