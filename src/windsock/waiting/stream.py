"""The answer to who waits for a run: what became of it, line by line, until it ends or somebody gives up.

It may last for an hour, so whether the caller may still see the run is asked again before each line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from queue import Empty
from threading import BoundedSemaphore
from time import monotonic
from typing import Any, NamedTuple, cast

from flask import Flask, Response, current_app, g, request
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from windsock import access, db, outages
from windsock.accepting import preferred
from windsock.callers import Caller
from windsock.config import Config
from windsock.context import KEY as CONTEXT
from windsock.errors import Problem, TooManyRequests
from windsock.models import DagRun
from windsock.rows import missing
from windsock.waiting import threads
from windsock.waiting.items import EVENTS, NDJSON, SHAPES, Item, item
from windsock.waiting.watch import Look, Waiter, Watch

LIMIT, HEARTBEAT = ("windsock", "max_waiters"), ("windsock", "wait_heartbeat_sec")
ENDED = ("success", "failed")
_KEY = "windsock.waiting"
_RETRY = 10
#: Connections that all waiters of a process together use to ask about their rights: they may all wake at once.
_CONNECTIONS = 2
#: Nginx, and others after it, buffer no answer that says so.
_HEADERS = {"X-Accel-Buffering": "no"}
_NOTHING = Look(None, None, None)


class _Room(NamedTuple):
    """What all waiters of a process share: the poll, and places with and without a thread of their own."""

    watch: Watch
    apart: BoundedSemaphore
    borrowing: BoundedSemaphore
    asking: BoundedSemaphore
    heartbeat: float


class Patience(NamedTuple):
    """For how long somebody waits, and how often at least the run is looked at, in seconds."""

    timeout: float
    interval: float


def register(app: Flask, config: Config) -> None:
    """Let requests of `app` wait, as many at a time as `[windsock] max_waiters` says.

    In a server without threads to spare, one of $WINDSOCK_THREADS never waits.
    """
    borrowed = max(1, int(os.environ.get("WINDSOCK_THREADS", "1")) - 1)
    watch = Watch(lambda: app.extensions[CONTEXT].database)
    apart, borrowing, asking = map(BoundedSemaphore, (config.get_int(*LIMIT), borrowed, _CONNECTIONS))
    app.extensions[_KEY] = _Room(watch, apart, borrowing, asking, config.get_float(*HEARTBEAT))


def answer(patience: Patience, **keys: Any) -> Response:
    """The stream about the run with these attributes. Raises NotFound and, if too many wait, TooManyRequests."""
    columns = (DagRun.id, DagRun.state, DagRun.start_date, DagRun.end_date)
    row = db.execute(access.scope(select(*columns).filter_by(**keys), DagRun)).first()
    if row is None:
        raise missing(DagRun, keys)
    kind, look = preferred(NDJSON, EVENTS), Look(*row[1:])
    shape = SHAPES[kind]
    if request.method == "HEAD":
        return Response(iter(()), headers=_HEADERS, content_type=kind)
    if (ended := look.state in ENDED) or not patience.timeout:
        last = item("end", "finished" if ended else "timeout", look)
        return Response(shape(last), headers=_HEADERS, content_type=kind)
    room: _Room = current_app.extensions[_KEY]
    leave = _sit_down(room)
    waiter = Waiter(row[0], patience.interval, look)
    items = _items(room, waiter, monotonic() + patience.timeout, _still_allowed(room))
    response = Response(map(shape, items), headers=_HEADERS, content_type=kind)
    response.call_on_close(leave)
    return response


def _sit_down(room: _Room) -> Callable[[], None]:
    """Take a place; what is returned gives it back."""
    seat = request.environ.get(threads.KEY)
    places = room.borrowing if seat is None else room.apart
    if not places.acquire(blocking=False):
        raise TooManyRequests("Too many requests wait for runs at this server; ask again, or poll the run", _RETRY)
    if seat is not None:
        seat.apart = True
    return places.release


def _still_allowed(room: _Room) -> Callable[[], str | None]:
    """A function that says why the caller of this request must not be told more; None if they may."""
    app = cast(Flask, current_app._get_current_object())  # type: ignore[attr-defined]
    environ, operation, caller = request.environ, g.operation, cast(Caller, g.caller)

    def refusal() -> str | None:
        with room.asking, app.request_context(environ):
            try:
                access.confirm(operation, caller)
            except Problem:
                return "refused"
            except SQLAlchemyError as error:
                if not outages.passing(error):
                    raise
                return "unavailable"
        return None

    return refusal


def _items(room: _Room, waiter: Waiter, until: float, refusal: Callable[[], str | None]) -> Iterator[Item]:
    with room.watch.waiting(waiter):
        reason, look = yield from _changes(room, waiter, until, refusal)
    yield item("end", reason, look)


def _changes(
    room: _Room, waiter: Waiter, until: float, refusal: Callable[[], str | None]
) -> Generator[Item, None, tuple[str, Look]]:
    """What becomes of a run; returns why there is no more to come, and the last that may be told."""
    look, event = cast(Look, waiter.seen), "state"
    while True:
        yield item(event, None, look)
        left = until - monotonic()
        if left <= 0:
            return "timeout", look
        news = _next(waiter, min(left, room.heartbeat))
        if reason := refusal():
            return reason, _NOTHING
        if isinstance(news, str):
            return news, _NOTHING
        if news and news.state in ENDED:
            return "finished", news
        look, event = (news, "state") if news else (look, "heartbeat")


def _next(waiter: Waiter, seconds: float) -> Look | str | None:
    try:
        return waiter.news.get(timeout=seconds)
    except Empty:
        return None
