"""How long a statement, and the wait for a lock, may keep a request and its thread; then it is a 503."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from sqlalchemy import Engine, event

from windsock import observing
from windsock.config import Config

STATEMENT, LOCK = ("windsock", "statement_timeout"), ("windsock", "lock_timeout")
#: Steps of SQLite's machine between two looks at the clock: some milliseconds.
_STEPS = 100_000
#: For this session, in milliseconds.
_POSTGRES = (
    "SELECT pg_catalog.set_config('statement_timeout', %s, false), pg_catalog.set_config('lock_timeout', %s, false)"
)


def limit(engine: Engine, config: Config) -> None:
    """End the statements of an engine that take too long, or wait too long; 0 seconds mean any time.

    Behind PgBouncer nothing is set, since other clients would inherit it: there, the role has to have these settings.
    """
    statement, lock = config.get_float(*STATEMENT), config.get_float(*LOCK)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: _watch_sqlite(connection, statement, lock))
    elif engine.dialect.name == "postgresql":
        values = [str(round(seconds * 1000)) for seconds in (statement, lock)]
        event.listen(engine, "connect", lambda connection, _: _set_postgres(connection, values))
    elif engine.dialect.name == "mysql":
        event.listen(engine, "connect", lambda connection, _: _set_mysql(connection, statement, lock))


def _set_postgres(connection: Any, values: list[str]) -> None:
    if connection.prepare_threshold is not None:  # else a pooler was found; see `engines`
        connection.execute(_POSTGRES, values)
        connection.commit()


def _set_mysql(connection: Any, statement: float, lock: float) -> None:
    """MySQL ends no statement but a SELECT, MariaDB any; locks are waited for in whole seconds, at least one."""
    with connection.cursor() as cursor:
        if lock:
            cursor.execute("SET innodb_lock_wait_timeout = %s", (max(1, round(lock)),))
        if "MariaDB" in connection.get_server_info():
            cursor.execute("SET max_statement_time = %s", (statement,))
        else:
            cursor.execute("SET max_execution_time = %s", (round(statement * 1000),))


def _watch_sqlite(connection: Any, statement: float, lock: float) -> None:
    """SQLite has no time limit of its own: it asks now and then whether to go on with the statement of a request."""
    connection.execute(f"PRAGMA busy_timeout = {round(lock * 1000)}")
    if statement:
        connection.set_progress_handler(lambda: _late(statement), _STEPS)


def _late(seconds: float) -> bool:
    began = observing.statement_began()
    return began is not None and perf_counter() - began > seconds
