"""This request's connection, and the transaction around a change.

Reads run in autocommit: no BEGIN and no ROLLBACK around a single SELECT. A change runs on another engine, in one
transaction, and its reads see what it wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any, cast

from flask import Flask, g
from sqlalchemy import Connection, Engine, Executable
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from windsock import outages, statements
from windsock.config import Config
from windsock.context import context, kept
from windsock.context import operation as current_operation
from windsock.engines import reading_engine, replica_engine, writing_engine
from windsock.replica import Replica
from windsock.spares import Spares
from windsock.statements import Make, Row

#: Milliseconds that a change waits for a lock when it may as well be left out.
_BRIEF = 500
#: What asks for the patience of a connection, what sets it, and a short one. MySQL counts in seconds.
_PATIENCE = {
    "sqlite": ("PRAGMA busy_timeout", "PRAGMA busy_timeout = {}", _BRIEF),
    "mysql": ("SELECT @@innodb_lock_wait_timeout", "SET innodb_lock_wait_timeout = {}", 1),
}
Source = Engine | Connection


class Database:
    """The metadata database: an engine for reads, one for changes, and a replica if there is one.

    A test gives a Connection for both, and wraps everything in a transaction of its own.
    """

    def __init__(self, reading: Source, writing: Source | None = None, replica: Replica | None = None) -> None:
        self.reading, self.writing, self.replica = reading, writing or reading, replica
        engines = (reading, replica and replica.engine)
        alone = reading is not self.writing
        self.spares = {engine: Spares(engine, alone) for engine in engines if isinstance(engine, Engine)}

    @classmethod
    def from_config(cls, config: Config) -> Database:
        """`[database] sql_alchemy_conn` and `[windsock] sql_alchemy_conn_read`; connects at the first statement."""
        replica = None
        if config.replica_url:
            seconds = config.get_float("windsock", "read_your_writes_seconds")
            replica = Replica(replica_engine(config), seconds)
        return cls(reading_engine(config), writing_engine(config), replica)

    def sources(self) -> set[Source]:
        """All that statements are sent to, each once."""
        return {self.reading, self.writing} | ({self.replica.engine} if self.replica else set())


# ---------------------------------------------------------------- reads
def execute(statement: Executable, parameters: dict[str, Any] | None = None) -> Any:
    """The CursorResult of a statement on this request's connection, which is taken from the pool at the first one."""
    return _answer(lambda connection: connection.execute(statement, parameters))


def rows(make: Make, *shape: Hashable, values: Mapping[str, Any]) -> list[Row]:
    """All rows of the statement `make(*shape)`, which is made and compiled once; `values` are those of its parameters.

    `make` may depend on nothing but its arguments.
    """
    return cast("list[Row]", _answer(lambda connection: statements.rows(connection, make, shape, values)))


def fresh_rows(make: Make, *shape: Hashable, values: Mapping[str, Any]) -> list[Row]:
    """As `rows`, for a statement about rights, which the primary answers for as long as it can be reached."""
    if not kept().get("on_replica"):
        return rows(make, *shape, values=values)
    _turn(to_replica="turned" in g or bool(cast(Replica, context.database.replica).primary_resting))
    found = rows(make, *shape, values=values)
    _turn(to_replica=True)
    return found


def _answer(ask: Callable[[Connection], Any]) -> Any:
    """What a connection answers; another one is asked when this one has failed for a reason of its own."""
    held = kept()
    while True:
        connection = held.get("connection")
        if connection is None and "session" in held:
            return ask(held.session.connection())
        try:
            return ask(_connected() if connection is None else connection)
        except SQLAlchemyError as error:
            if not (_reconnect(error) or _turn_away(error)):
                raise


def may_use_replica() -> None:
    """Read the rest of this request from the replica, if there is one that has what the caller may expect to see."""
    watched = kept().get("watched")
    if watched is None or current_operation().audit or g.on_replica:
        return
    if cast(Replica, context.database.replica).serves(watched):
        _turn(to_replica=True)


def _connected() -> Connection:
    database, held = context.database, kept()
    source = _source(database)
    if isinstance(source, Connection):
        held.connection = source
        return source
    spares = database.spares[source]
    found, since = spares.take()
    held.connection, held.lent = found, (spares, since)
    return found


def _source(database: Database) -> Source:
    replica = database.replica
    if replica is None:
        return database.reading
    g.asked_at = monotonic()
    if "on_replica" not in g:
        g.on_replica = bool(replica.primary_resting) and not current_operation().audit
    return replica.engine if g.on_replica else database.reading


def _turn(to_replica: bool) -> None:
    _release(None)
    g.on_replica = to_replica


def _reconnect(error: SQLAlchemyError) -> bool:
    """Whether to ask the same database on a new connection, once in a request, since this one was dropped."""
    again: set[bool] = g.setdefault("reconnected", set())
    if g.get("on_replica", False) in again or not outages.dropped(error):
        return False
    lent = g.get("lent")
    _release(None)
    if lent is not None:
        lent[0].drop()
    again.add(g.get("on_replica", False))
    return not isinstance(context.database.reading, Connection)


def _turn_away(error: SQLAlchemyError) -> bool:
    """Whether the other database may answer, once in a request, what this one did not because of its state."""
    replica = context.database.replica
    if replica is None or "turned" in g or not (outages.gone(error) or (g.on_replica and outages.replaying(error))):
        return False
    if not g.on_replica and current_operation().audit:
        return False
    if outages.gone(error):
        replica.note(getattr(error, "orig", error), g.on_replica, monotonic() - g.asked_at)
    g.turned = True
    _turn(to_replica=not g.on_replica)
    return True


# ---------------------------------------------------------------- changes
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
    """Let SQLite and MySQL wait a shorter time for a lock; SQLite begins a transaction by taking it."""
    how = _PATIENCE.get(connection.dialect.name)
    if how is None:
        yield
        return
    asked, said, brief = how
    cursor = cast(Any, connection.connection.driver_connection).cursor()
    cursor.execute(asked)
    usual = cursor.fetchone()[0]
    cursor.execute(said.format(brief))
    try:
        yield
    finally:
        cursor.execute(said.format(usual))


def session() -> Session:
    """The session of the transaction that this request is in."""
    return cast(Session, g.session)


def _release(_: BaseException | None) -> None:
    held = kept()
    connection, lent = held.pop("connection", None), held.pop("lent", None)
    if lent is not None:
        spares, since = lent
        spares.give(connection, since)


def register(app: Flask) -> None:
    """Give the connection back at the end of each request."""
    app.teardown_appcontext(_release)
