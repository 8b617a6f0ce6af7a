"""Engines for the metadata database and its read replica.

All hide the parameters of a failed statement, which may be secrets, from messages and so from logs.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine, Executable, Row, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from windsock import outages, packets, timeouts
from windsock.columns import parse_json
from windsock.config import Config
from windsock.older import adapt

_BY_POSITION = {"_result_disable_adapt_to_context": True}
#: Seconds for which a command waits for a lock of SQLite.
_PATIENCE = 30
#: When a server that does not answer is given up, in seconds and milliseconds (libpq); a replica is soon left alone.
_PRIMARY = {"connect_timeout": 10, "tcp_user_timeout": 10_000}
_REPLICA = {"connect_timeout": 3, "tcp_user_timeout": 3_000}
#: MySQL is asked for what PostgreSQL does anyway: all of Unicode, moments in UTC, and no value cut to fit. MariaDB cuts
#: what it gathers into one JSON array after this many bytes.
_MYSQL = {
    "connect_timeout": 10,
    "write_timeout": 10,
    "charset": "utf8mb4",
    "init_command": (
        "SET time_zone = '+00:00', sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'),"
        " group_concat_max_len = 1073741824"
    ),
}
#: Names the process behind the connection, and makes UTC the zone of the session. PgBouncer refuses `options` at
#: start-up, but keeps what a client sets as its time zone.
_SETTLE = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.set_config('TimeZone', 'UTC', false)"


def reading_engine(config: Config) -> Engine:
    """An engine whose connections commit every statement by themselves; connects at the first statement.

    Rows are read by position or name only, so SQLAlchemy need not match the columns of each statement anew, which
    takes a tenth of a request's time.
    """
    return _limited(_reading(options(config)), config)


def replica_engine(config: Config) -> Engine:
    """As `reading_engine`, on the database of `[windsock] sql_alchemy_conn_read`, which must be set."""
    engine = _reading(_pool(config) | {"url": config.replica_url, "connect_args": _REPLICA})
    return _limited(engine, config)


def _reading(given: dict[str, Any]) -> Engine:
    given |= {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}  # nothing is there to be rolled back
    given["pool_pre_ping"] = False  # a read that meets a dropped connection is sent again
    given |= {"execution_options": _BY_POSITION, "json_deserializer": parse_json}
    engine = create_engine(hide_parameters=True, **given)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _enforce_foreign_keys)
    return _settled(engine)


def read(engine: Engine, statement: Executable, values: dict[str, Any] | None = None) -> list[Row[Any]]:
    """All rows of a statement; it is sent again when a connection of the pool turns out to be dropped."""
    try:
        return _rows(engine, statement, values)
    except DBAPIError as error:
        if not outages.dropped(error):
            raise
        return _rows(engine, statement, values)


def _rows(engine: Engine, statement: Executable, values: dict[str, Any] | None) -> list[Row[Any]]:
    with engine.connect() as connection:
        return list(connection.execute(statement, values).all())


def writing_engine(config: Config) -> Engine:
    """An engine whose transactions end by commit or rollback; on SQLite they take the write lock as they begin."""
    given = options(config)
    if given["url"].get_backend_name() == "mysql":
        given["isolation_level"] = "READ COMMITTED"  # PostgreSQL's; the default there locks gaps between rows, too
        given["pool_reset_on_return"] = None  # every transaction ends here; the driver would send one more ROLLBACK
    engine = create_engine(hide_parameters=True, **given)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_for_writing)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    elif engine.dialect.name == "mysql":
        packets.limit(engine)
    return _limited(_settled(engine), config)


def plain_engine(config: Config) -> Engine:
    """An engine for commands, as the driver has it."""
    return _settled(create_engine(**options(config)))


def options(config: Config) -> dict[str, Any]:
    """Keyword arguments of `create_engine`, from `[database]`."""
    url = make_url(config.database_url)
    if url.get_backend_name() == "sqlite":
        return {"url": url, "connect_args": {"check_same_thread": False, "timeout": _PATIENCE}}
    arguments = _mysql_arguments(config) if url.get_backend_name() == "mysql" else _PRIMARY
    return _pool(config) | {"url": url, "connect_args": arguments}


def _mysql_arguments(config: Config) -> dict[str, Any]:
    """A server that has vanished is given up some seconds after it would have ended the statement itself."""
    limit = config.get_float(*timeouts.STATEMENT)
    return _MYSQL | ({"read_timeout": limit + 10} if limit else {})


def _pool(config: Config) -> dict[str, Any]:
    return {
        "pool_size": config.get_int("database", "sql_alchemy_pool_size"),
        "max_overflow": config.get_int("database", "sql_alchemy_max_overflow"),
        "pool_recycle": config.get_int("database", "sql_alchemy_pool_recycle"),
        "pool_pre_ping": config.get_bool("database", "sql_alchemy_pool_pre_ping"),
    }


def _limited(engine: Engine, config: Config) -> Engine:
    timeouts.limit(engine, config)
    return engine


def _settled(engine: Engine) -> Engine:
    if engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _settle)
    event.listen(engine, "first_connect", lambda connection, _: adapt(engine, connection))
    return engine


def _settle(connection: Any, _: Any) -> None:
    """Set the time zone; do without prepared statements where the process is not the one that the start-up named.

    Then a pooler such as PgBouncer is in between, and the next statement may meet another process. Where there is none,
    statements are not compiled to machine code: that takes longer than it saves, up to a tenth of a second.
    """
    process, _zone = connection.execute(_SETTLE).fetchone()
    if process != connection.info.backend_pid:
        connection.prepare_threshold = None
    else:
        connection.execute("SET jit = off")
    connection.commit()


def _enforce_foreign_keys(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA foreign_keys=ON")


def _prepare_for_writing(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # else the driver begins and commits by itself
    with suppress(sqlite3.OperationalError):  # "locked", at once: another process writes, so the next connection tries
        connection.execute("PRAGMA journal_mode=WAL")  # readers go on while one writes
    _enforce_foreign_keys(connection, record)
