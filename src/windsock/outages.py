"""What an error of the database says about its state, rather than about the statement."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError, TimeoutError

# SQLSTATEs are those of PostgreSQL's documentation, appendix A; PgBouncer gives 08P01 to all of its own.
_GONE = ("08", "57P", "53300")
#: Besides, later it may work: deadlocks, failed serializations, no resources, a server that was made a standby, a lock
#: that somebody keeps, a statement that took too long.
_BUSY = ("40001", "40P01", "53", "25006", "55P03", "57014")
#: What a standby ends in favour of the log that it replays, or does not do at all.
_REPLAYING = ("40001", "40P01", "25006")
#: Numbers in the documentation of MySQL and MariaDB. Gone: too many connections, a server that shuts down or ends them,
#: a host that is blocked or out of reach. Busy: no memory, a full disk, a lock, a deadlock, a read-only server, time.
_GONE_MYSQL = (1040, 1053, 1129, 1152, 1158, 1159, 1160, 1161, 1203, 1226, 1927, 2002, 2003, 2006, 2013, 2055)
_BUSY_MYSQL = (1021, 1037, 1038, 1041, 1205, 1206, 1213, 1290, 1836, 1969, 3024)
#: What ends a transaction because of another one: a deadlock, or a failed serialization.
_LOST, _DEADLOCK_MYSQL = ("40P01", "40001"), 1213
#: A savepoint that is not there: a deadlock ends the transaction with its savepoints, and then none can be undone.
_NO_SAVEPOINT = 1305
#: PostgreSQL's word for a text that a column has no room for.
_TOO_LONG = "22001"
#: Out of range, no moment from 1970 to 2038, a letter that its character set lacks, too long, no JSON or too deep.
_UNSTORABLE_MYSQL = (1264, 1292, 1366, 1406, 3140, 3157, 4025)
#: Texts that cannot be compared. It is a value of the request that lacks a place in the character set of a column if
#: one of the texts is no column, and so `COERCIBLE`; of several (1271) nothing is said. MySQL cannot convert it (3854).
_INCOMPARABLE_MYSQL = (1267, 1270, 1271, 3854)
_COLUMN = re.compile(r"\b(\w+)[`']? (?:at row|failed for)")
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
    if number(error):
        return error.connection_invalidated or number(error) in _GONE_MYSQL
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
    return gone(error) or _state(error).startswith(_BUSY) or number(error) in _BUSY_MYSQL


def lost_to_another(error: DBAPIError) -> bool:
    """Whether the database ended a transaction because of another one, so that it may be tried again at once."""
    return _state(error) in _LOST or number(error) == _DEADLOCK_MYSQL


def _state(error: Exception) -> str:
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def unstorable(error: Exception) -> str | None:
    """What is wrong with a value that no column can hold; None for any other error. The value is no part of it.

    Lengths are checked before, but older schemas have narrower columns, and MySQL has more limits than others.
    """
    if not number(error) and _state(error) == _TOO_LONG:
        return str(error.orig.diag.message_primary)  # type: ignore[attr-defined]
    if number(error) in _INCOMPARABLE_MYSQL and ("COERCIBLE" in str(error) or number(error) in (1271, 3854)):
        return "a text has letters that the character set of its column lacks"
    if number(error) not in _UNSTORABLE_MYSQL:
        return None
    found = _COLUMN.search(str(error.orig))  # type: ignore[attr-defined]
    return f"it does not fit into the column {found[1]!r}" if found else "it does not fit"


def unreadable(error: DBAPIError) -> bool:
    """Whether a table is not there or may not be read; SQLite and MySQL (1142) call that an operational error."""
    return isinstance(error, ProgrammingError) or number(error) == 1142 or "no such table" in str(error.orig)


def number(error: BaseException) -> int:
    """MySQL's number of an error, or of what made a savepoint fail, too; 0 for other databases."""
    original: Any = getattr(error, "orig", None)
    given = original.args[:1] if type(original).__module__.startswith("pymysql") else (0,)
    found = given[0] if given and isinstance(given[0], int) else 0
    return number(error.__context__) if found == _NO_SAVEPOINT and error.__context__ else found


def _is_sqlite(error: DBAPIError) -> bool:
    return type(error.orig).__module__.startswith("sqlite3")
