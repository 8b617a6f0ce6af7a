"""What an error of the database says about its state, rather than about the statement."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, OperationalError, TimeoutError

# SQLSTATEs are those of PostgreSQL's documentation, appendix A; PgBouncer gives 08P01 to all of its own.
_GONE = ("08", "57P", "53300")
#: Besides, later it may work: deadlocks, failed serializations, no resources, a server that was made a standby, a lock
#: that somebody keeps, a statement that took too long.
_BUSY = ("40001", "40P01", "53", "25006", "55P03", "57014")
#: What a standby ends in favour of the log that it replays, or does not do at all.
_REPLAYING = ("40001", "40P01", "25006")
#: SQLite's own words; Python 3.10 knows no codes.
_SQLITE = (
    "database is locked",
    "database table is locked",
    "unable to open database file",
    "disk I/O error",
    "database or disk is full",
    "attempt to write a readonly database",
    "interrupted",  # see `timeouts`
)


def dropped(error: Exception) -> bool:
    """Whether the connection has ended, perhaps long before it was used; then its pool forgets all that are as old."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def gone(error: Exception) -> bool:
    """Whether a database cannot be reached, or has ended the connection. Without a SQLSTATE, libpq itself gave up."""
    if not isinstance(error, DBAPIError) or _is_sqlite(error):
        return False
    state, given_up = _state(error), isinstance(error, OperationalError)
    return error.connection_invalidated or (state.startswith(_GONE) if state else given_up)


def replaying(error: Exception) -> bool:
    """Whether a standby refused what its primary would do."""
    return _state(error).startswith(_REPLAYING)


def passing(error: Exception) -> bool:
    """Whether the same request may succeed some seconds later: the database is gone, or has too much to do."""
    if isinstance(error, TimeoutError):  # no connection of the pool became free
        return True
    if isinstance(error, DBAPIError) and _is_sqlite(error):
        return str(error.orig).startswith(_SQLITE)
    return gone(error) or _state(error).startswith(_BUSY)


def _state(error: Exception) -> str:
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _is_sqlite(error: DBAPIError) -> bool:
    return type(error.orig).__module__.startswith("sqlite3")
