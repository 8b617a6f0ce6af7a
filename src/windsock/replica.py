"""A read replica of the metadata database: who may read from it, and when it, or the primary, is left alone.

The primary is asked who calls, at every request. The same statement says where its log of changes (WAL) ends, and
whether this caller has changed anything within the last `[windsock] read_your_writes_seconds`, by the audit log. Who
has, reads from the primary. Everybody else reads from the replica while all that it may lack is younger than half of
those seconds: the other half is for the clocks of several servers, and for slow commits.
"""

from __future__ import annotations

import logging
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Engine, Text, case, cast, exists, func, literal_column, text
from sqlalchemy.exc import SQLAlchemyError

from windsock.engines import read
from windsock.models import Log

log = logging.getLogger(__name__)

#: Seconds for which a replica that has failed is left alone, and for which a failure is not logged again.
PAUSE = 5.0
#: The primary is left alone only if it took so many seconds to fail: else who writes as soon as it is back would read
#: from the replica for a while.
_SLOW = 1.0
#: On a standby, too, where a caller is read while the primary is down. `insert`: commits need not be flushed yet.
_END = case(
    (func.pg_is_in_recovery(), cast(func.pg_last_wal_replay_lsn(), Text)),
    else_=cast(func.pg_current_wal_insert_lsn(), Text),
)
_REPLAYED = text("SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn() >= CAST(:position AS pg_lsn)")

_NEVER = float("-inf")


def watch(username: Any, seconds: float) -> list[ColumnElement[Any]]:
    """What `Replica.serves` wants to know, as columns of the statement that reads a caller."""
    # No parameter: a plan that is kept for all its values may read the whole log instead of its last few rows.
    since = func.now() - literal_column(f"INTERVAL '{seconds:f} seconds'")
    changed = exists().where(Log.owner == username, Log.dttm > since)
    return [_END.label("position"), changed.label("changed")]


class Watched(NamedTuple):
    """What `watch` found: where the primary's log ends, and whether the caller has changed anything just now."""

    position: str
    changed: bool


class Mark(NamedTuple):
    """The end of the primary's log, and when it was there (seconds, monotonic)."""

    position: str
    at: float


class Pause:
    """Whether something is to be left alone, since it has failed within the last PAUSE seconds."""

    def __init__(self, message: str) -> None:
        self._message, self._ends, self._said = message, _NEVER, _NEVER

    def begin(self, cause: object, took: float = _SLOW) -> None:
        """Leave alone what took so many seconds to fail, and say why."""
        now = monotonic()
        if took >= _SLOW:
            self._ends = now + PAUSE
        if now - self._said >= PAUSE:
            self._said = now
            log.warning("%s: %.200s", self._message, " ".join(str(cause).split()))

    def __bool__(self) -> bool:
        return monotonic() < self._ends


class Replica:
    """One worker's knowledge of the replica behind an engine."""

    def __init__(self, engine: Engine, seconds: float) -> None:
        """`seconds` is for how long a caller who has changed something reads from the primary."""
        self.engine, self.seconds = engine, seconds
        self.resting = Pause("Reads go to the primary for some seconds, since the replica failed")
        self.primary_resting = Pause("All reads go to the replica, since the primary failed")
        self._lock = Lock()
        self._mark: Mark | None = None
        self._complete = _NEVER  # when the primary was at the last mark that the replica has come to

    def note(self, cause: object, on_replica: bool, took: float) -> None:
        """Remember that the replica, or the primary, has failed after so many seconds."""
        if on_replica:
            self.fail(cause)
        else:
            self.primary_resting.begin(cause, took)

    def fail(self, cause: object) -> None:
        """Leave the replica alone for PAUSE seconds, and then see first where it is."""
        self.resting.begin(cause)
        self._complete = _NEVER

    def serves(self, watched: Watched) -> bool:
        """Whether the caller of whom this was found may read from the replica now."""
        return not watched.changed and not self.resting and self._current(watched.position)

    def _current(self, position: str) -> bool:
        """Whether all that the replica may lack is younger than half of the seconds; asks it now and then."""
        allowed, now = self.seconds / 2, monotonic()
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
            standby, replayed = tuple(read(self.engine, _REPLAYED, {"position": position})[0])
        except SQLAlchemyError as error:
            self.fail(getattr(error, "orig", error))
            return False
        if not standby:
            self.fail("the database of [windsock] sql_alchemy_conn_read is no standby")
        return bool(standby and replayed)
