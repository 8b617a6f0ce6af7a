"""Connections that pass from request to request beside the pool: its way out and in takes as long as a short read."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from sqlalchemy import Connection, Engine, QueuePool

#: Seconds after which a connection goes through the pool again, which may find it too old.
_LIFE = 60.0


class Spares:
    """Open connections of an engine that commits by itself, so that each is as good as new after any statement.

    The pool's limits hold, since it counts them as taken; one less than it holds are kept, so that others find one.
    """

    def __init__(self, engine: Engine, keep: bool) -> None:
        """`keep` is for an engine whose connections have no transaction to end."""
        self._engine = engine
        pool = engine.pool
        self._most = pool.size() - 1 if keep and isinstance(pool, QueuePool) else 0
        self._free: list[tuple[Connection, float]] = []
        #: Told of each that is taken (1) or given back (-1) without the pool.
        self.moved: Callable[[int], None] | None = None

    def take(self) -> tuple[Connection, float]:
        """A connection, and when (monotonic seconds) the pool gave it. Raises what `Engine.connect` raises."""
        now = monotonic()
        while found := self._pop():
            connection, since = found
            if now - since < _LIFE:
                return found
            connection.close()
        return self._engine.connect(), now

    def give(self, connection: Connection, since: float) -> None:
        """Take back what `take` gave, to keep it, or to let the pool have it."""
        if connection.invalidated or len(self._free) >= self._most:
            connection.close()
            return
        if self.moved:
            self.moved(-1)
        self._free.append((connection, since))

    def drop(self) -> None:
        """Let the pool have all, which looks at each before it gives it out: the database has closed another one."""
        while found := self._pop():
            found[0].close()

    def _pop(self) -> tuple[Connection, float] | None:
        try:
            found = self._free.pop()
        except IndexError:
            return None
        if self.moved:
            self.moved(1)
        return found
