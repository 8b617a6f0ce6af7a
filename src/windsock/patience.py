"""A read that is given up after some seconds, whatever keeps the database: connecting, a lock, or a dead network."""

from __future__ import annotations

import logging
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine, Executable

from windsock.engines import read

log = logging.getLogger(__name__)

#: One thread at a time waits for the database, so that a dead one does not collect them.
_turn = Lock()


def within(seconds: float, source: Engine | Connection, statement: Executable) -> list[Any] | None:
    """All rows of a statement; None when the database refuses, or does not answer in time."""
    end = monotonic() + seconds
    if not _turn.acquire(timeout=seconds):
        return None
    answer: SimpleQueue[list[Any] | None] = SimpleQueue()

    def ask() -> None:
        try:
            answer.put(_rows(source, statement))
        except Exception as error:  # whatever it is, the database gives no answer
            log.warning("The database does not answer: %s", type(error).__name__)
            answer.put(None)
        finally:
            _turn.release()

    Thread(target=ask, daemon=True).start()
    try:
        return answer.get(timeout=max(0.0, end - monotonic()))
    except Empty:
        return None


def _rows(source: Engine | Connection, statement: Executable) -> list[Any]:
    if isinstance(source, Connection):
        return list(source.execute(statement).all())
    return list(read(source, statement))
