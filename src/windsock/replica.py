"""A read replica of the metadata database: who may read from it, and when it, or the primary, is left alone.

The primary is asked who calls, at every request. The same statement says where its log of changes (WAL) ends, and
whether this caller has changed anything within the last `[windsock] read_your_writes_seconds`, by the audit log. Who
has, reads from the primary. Everybody else reads from the replica while all that it may lack is younger than half of
those seconds: the other half is for the clocks of several servers, and for slow commits.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Engine, Text, bindparam, case, cast, exists, func, text
from sqlalchemy.exc import SQLAlchemyError

from windsock.models import Log

log = logging.getLogger(__name__)

#: Seconds for which a database that has failed is left alone.
PAUSE = 5.0
#: On a standby, too, where a caller is read while the primary is down. `insert`: commits need not be flushed yet.
_END = case(
    (func.pg_is_in_recovery(), cast(func.pg_last_wal_replay_lsn(), Text)),
    else_=cast(func.pg_current_wal_insert_lsn(), Text),
)
_REPLAYED = text("SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn() >= CAST(:position AS pg_lsn)")


_NEVER = float("-inf")


def watch(username: Any) -> list[ColumnElement[Any]]:
    """What `Replica.serves` wants to know, as columns of the statement that reads a caller; `since` is a parameter."""
    changed = exists().where(Log.owner == username, Log.dttm > bindparam("since"))
    return [_END.label("position"), changed.label("changed")]


class Mark(NamedTuple):
    """The end of the primary's log, and when it was there (seconds, monotonic)."""

    position: str
    at: float


class Pause:
    """Whether something has failed within the last PAUSE seconds."""

    def __init__(self, message: str) -> None:
        self._message, self._ends = message, 0.0

    def begin(self, cause: object) -> None:
        """Leave it alone from now on, and say why."""
        self._ends = monotonic() + PAUSE
        log.warning("%s: %.200s", self._message, " ".join(str(cause).split()))

    def __bool__(self) -> bool:
        return monotonic() < self._ends


class Replica:
    """One worker's knowledge of the replica behind an engine."""

    def __init__(self, engine: Engine, seconds: float) -> None:
        """`seconds` is for how long a caller who has changed something reads from the primary."""
        self.engine, self._seconds = engine, seconds
        self.resting = Pause(f"For {PAUSE:g} s, reads go to the primary, since the replica failed")
        self.primary_resting = Pause(f"For {PAUSE:g} s, all reads go to the replica, since the primary failed")
        self._lock = Lock()
        self._mark: Mark | None = None
        self._complete = _NEVER  # when the primary was at the last mark that the replica has come to

    def fail(self, cause: object) -> None:
        """Leave the replica alone for PAUSE seconds, and then see first where it is."""
        self.resting.begin(cause)
        self._complete = _NEVER

    def since(self) -> datetime:
        """The moment since which a caller must not have changed anything."""
        return datetime.now(timezone.utc) - timedelta(seconds=self._seconds)

    def serves(self, caller: Any) -> bool:
        """Whether a caller, by the row with the columns of `watch`, may read from the replica now."""
        return not caller.changed and not self.resting and self._current(caller.position)

    def _current(self, position: str) -> bool:
        """Whether all that the replica may lack is younger than half of the seconds; asks it now and then."""
        allowed, now = self._seconds / 2, monotonic()
        if now - self._complete > allowed / 2 and self._lock.acquire(blocking=False):
            try:
                self._look(position, now, allowed)
            finally:
                self._lock.release()
        return now - self._complete < allowed

    def _look(self, position: str, now: float, allowed: float) -> None:
        """Ask whether the replica has come to the last mark; one that it did not reach in time is made anew."""
        mark = self._mark
        if mark is None or now - mark.at > allowed:
            mark = self._mark = Mark(position, now)
        if self._has(mark.position):
            self._complete, self._mark = mark.at, None

    def _has(self, position: str) -> bool:
        try:
            with self.engine.connect() as connection:
                standby, replayed = connection.execute(_REPLAYED, {"position": position}).one()
        except SQLAlchemyError as error:
            self.fail(getattr(error, "orig", error))
            return False
        if not standby:
            self.fail("the database of [windsock] sql_alchemy_conn_read is no standby")
        return bool(standby and replayed)
