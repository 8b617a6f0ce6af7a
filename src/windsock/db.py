"""Engines, this request's connection, and the transaction around a change.

Reads run on an engine in autocommit: no BEGIN and no ROLLBACK around a single SELECT. A change runs on another engine,
in one transaction, and its reads see what it wrote. Both hide the parameters of a failed statement, which may be
secrets, from messages and so from logs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from flask import Flask, g
from sqlalchemy import Connection, Engine, Executable, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from windsock.config import Config
from windsock.context import context

_BY_POSITION = {"_result_disable_adapt_to_context": True}
#: Seconds that SQLite waits for a lock; milliseconds that a change waits for one when it may as well be left out.
_PATIENCE, _BRIEF = 30, 500
Source = Engine | Connection


class Database:
    """The metadata database: an engine for reads and one for changes.

    A test gives a Connection for both, and wraps everything in a transaction of its own.
    """

    def __init__(self, reading: Source, writing: Source | None = None) -> None:
        self.reading, self.writing = reading, writing or reading

    @classmethod
    def from_config(cls, config: Config) -> Database:
        """Open the database of `[database] sql_alchemy_conn`; connects at the first statement."""
        return cls(reading_engine(config), writing_engine(config))


def options(config: Config) -> dict[str, Any]:
    """Keyword arguments of `create_engine`, from `[database]`."""
    url = make_url(config.database_url)
    if url.get_backend_name() == "sqlite":
        return {"url": url, "connect_args": {"check_same_thread": False, "timeout": _PATIENCE}}
    return {
        "url": url,
        "pool_size": config.get_int("database", "sql_alchemy_pool_size"),
        "max_overflow": config.get_int("database", "sql_alchemy_max_overflow"),
        "pool_recycle": config.get_int("database", "sql_alchemy_pool_recycle"),
        "pool_pre_ping": config.get_bool("database", "sql_alchemy_pool_pre_ping"),
        "connect_args": {"options": "-c timezone=UTC", "connect_timeout": 10},
    }


def reading_engine(config: Config) -> Engine:
    """An engine whose connections commit every statement by themselves.

    Rows are read by position or name only, so SQLAlchemy need not match the columns of each statement anew, which
    takes a tenth of a request's time.
    """
    engine = create_engine(
        isolation_level="AUTOCOMMIT", execution_options=_BY_POSITION, hide_parameters=True, **options(config)
    )
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _enforce_foreign_keys)
    return engine


def writing_engine(config: Config) -> Engine:
    """An engine whose transactions end by commit or rollback; on SQLite they take the write lock as they begin."""
    engine = create_engine(hide_parameters=True, **options(config))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_for_writing)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _enforce_foreign_keys(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA foreign_keys=ON")


def _prepare_for_writing(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # else the driver begins and commits by itself
    with suppress(sqlite3.OperationalError):  # "locked", at once: another process writes, so the next connection tries
        connection.execute("PRAGMA journal_mode=WAL")  # readers go on while one writes
    _enforce_foreign_keys(connection, record)


def execute(statement: Executable, parameters: dict[str, Any] | None = None) -> Any:
    """The CursorResult of a statement on this request's connection, which is taken from the pool at the first one."""
    if "session" in g:
        return session().connection().execute(statement, parameters)
    if "connection" not in g:
        reading = context.database.reading
        g.connection = reading if isinstance(reading, Connection) else reading.connect()
    return g.connection.execute(statement, parameters)


@contextmanager
def transaction() -> Iterator[Session]:
    """Make what happens inside one transaction: it commits at the end and rolls back when something raises."""
    _release(None)  # SQLite would wait for our own read
    with Session(context.database.writing, join_transaction_mode="create_savepoint") as opened, opened.begin():
        g.session = opened
        try:
            yield opened
            opened.flush()
        finally:
            g.pop("session")


def execute_alone(statement: Executable) -> None:
    """Execute a statement in a short transaction of its own, before the request's; raises soon if a lock is in its way.

    Raises SQLAlchemyError when the database refuses.
    """
    _release(None)
    writing = context.database.writing
    if isinstance(writing, Connection):
        with writing.begin_nested():
            writing.execute(statement)
        return
    with writing.connect() as connection, _impatience(connection), connection.begin():
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_BRIEF}")
        connection.execute(statement)


@contextmanager
def _impatience(connection: Connection) -> Iterator[None]:
    """Let SQLite wait a shorter time for its write lock; outside of a transaction, since one begins by taking it."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name != "sqlite":
        yield
        return
    driver.execute(f"PRAGMA busy_timeout = {_BRIEF}")
    try:
        yield
    finally:
        driver.execute(f"PRAGMA busy_timeout = {_PATIENCE * 1000}")


def lost_to_another(error: DBAPIError) -> bool:
    """Whether the database ended a transaction because of another one: a deadlock, or a failed serialization."""
    return getattr(error.orig, "sqlstate", None) in ("40P01", "40001")


def session() -> Session:
    """The session of the transaction that this request is in."""
    return cast(Session, g.session)


def _release(_: BaseException | None) -> None:
    connection = g.pop("connection", None)
    if connection is not None and connection is not context.database.reading:
        connection.close()


def register(app: Flask) -> None:
    """Give the connection back at the end of each request."""
    app.teardown_appcontext(_release)
