"""One poll of the database for all runs that are waited for in this process."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from queue import SimpleQueue
from threading import Condition, Thread
from time import monotonic
from typing import NamedTuple

from sqlalchemy import Engine, bindparam, select
from sqlalchemy.exc import SQLAlchemyError

from windsock.db import Database
from windsock.models import DagRun
from windsock.waiting import threads

log = logging.getLogger(__name__)

_NOW = select(DagRun.id, DagRun.state, DagRun.start_date, DagRun.end_date).where(
    DagRun.id.in_(bindparam("ids", expanding=True))
)
#: Why there will be no more news: the run was deleted, or this process is to end.
GONE, STOPPING = "gone", "stopping"
#: Seconds after which a stop is noticed.
_TICK = 1.0
#: A poll is followed by so many times its own duration of rest, so that it takes a small part of a slow database.
_REST = 10


class Look(NamedTuple):
    """A run as a poll found it."""

    state: str | None
    start_date: datetime | None
    end_date: datetime | None


@dataclass(eq=False)
class Waiter:
    """Who waits for the run with this id, as it was last seen; `news` gets what differs, or why there is no more."""

    run: int
    interval: float
    seen: Look | str
    news: SimpleQueue[Look | str] = field(default_factory=SimpleQueue)

    def tell(self, news: Look | str) -> None:
        """Pass on what was not seen before."""
        if news != self.seen:
            self.seen = news
            self.news.put(news)


class Watch:
    """All waiters of one process. Its thread starts with the first of them and ends after the last."""

    def __init__(self, database: Callable[[], Database]) -> None:
        self._database = database
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._thread: Thread | None = None
        self._waiters: set[Waiter] = set()
        self._changed = Condition()

    @contextmanager
    def waiting(self, waiter: Waiter) -> Iterator[None]:
        """Look after this waiter; the database is asked as often as the least patient one wants."""
        if self._pid != os.getpid():  # threads do not survive a fork, and locks may
            self._reset()
        with self._changed:
            self._waiters.add(waiter)
            self._changed.notify()
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._poll, name="watch", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._waiters.discard(waiter)
                self._changed.notify()

    def _poll(self) -> None:
        took, asked = 0.0, monotonic()
        while waiters := self._due(asked, took):
            asked = monotonic()
            try:
                found = self._look({waiter.run for waiter in waiters})
            except SQLAlchemyError as error:  # who waits finds out by itself
                log.warning("Runs that are waited for cannot be read: %.200s", " ".join(str(error).split()))
            else:
                for waiter in waiters:
                    waiter.tell(found.get(waiter.run, GONE))
            took = monotonic() - asked

    def _due(self, asked: float, took: float) -> list[Waiter]:
        """Sleep until the next poll; the waiters that it is for. Without any, this thread is to end."""
        with self._changed:
            while self._waiters:
                if threads.stopping():
                    for waiter in self._waiters:
                        waiter.tell(STOPPING)
                pause = max(min(waiter.interval for waiter in self._waiters), _REST * took)
                left = asked + pause - monotonic()
                if left <= 0:
                    return list(self._waiters)
                self._changed.wait(min(left, _TICK))
            self._thread = None
            return []

    def _look(self, runs: set[int]) -> dict[int, Look]:
        source = self._database().reading
        with source.connect() if isinstance(source, Engine) else nullcontext(source) as connection:
            rows = connection.execute(_NOW, {"ids": sorted(runs)}).all()
        return {row[0]: Look(*row[1:]) for row in rows}
