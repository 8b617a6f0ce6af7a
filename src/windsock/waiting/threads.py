"""A thread of its own for an answer that waits, so that it holds none of the few that answer everything else.

Granian reads an iterable answer in the thread that ran the application. Its protocol object takes the answer from any
thread, though, and that is all that is used here. It lies behind a private name; where that is missing, as in other
servers, an answer that waits holds the thread that it came in.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any

#: The place in a WSGI environment of the `Seat` of a request.
KEY = "windsock.seat"
_WRAPPER = "_wsgi_call_wrap"


class Seat:
    """Granian's protocol object for one request; `apart` says that its answer is to have a thread of its own."""

    __slots__ = ("_iterate", "apart", "response_bytes")

    def __init__(self, protocol: Any) -> None:
        self.apart = False
        self.response_bytes, self._iterate = protocol.response_bytes, protocol.response_iter

    def response_iter(self, status: int, headers: Any, body: Any) -> None:
        """Send an answer in pieces, as granian asks for it."""
        if not self.apart:
            return self._iterate(status, headers, body)
        try:
            Thread(target=self._iterate, args=(status, headers, body), name="waiting", daemon=True).start()
        except RuntimeError:  # the system has no more threads
            body.close()
            raise


class _Stop:
    """Whether this worker was told to stop. Granian then waits for answers to end, so those that wait have to."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self._told = False

    def __bool__(self) -> bool:
        with suppress(BlockingIOError):
            self._told |= bool({signal.SIGTERM, signal.SIGINT} & set(self._read.recv(64)))
        return self._told


#: Whether this worker was told to stop; in servers other than granian it is never seen.
stopping: Callable[[], bool] = bool


def install() -> None:
    """Give every request of this worker a Seat, if granian serves it.

    To be called in the main thread, before granian wraps the application.
    """
    global stopping
    for module in ("granian.server.mp", "granian.server.mt"):  # one of them, by whether there is a GIL
        server = sys.modules.get(module)
        wrap = getattr(server, _WRAPPER, None)
        if wrap is not None:
            setattr(server, _WRAPPER, _seated(wrap))
            stopping = _Stop().__bool__


def _seated(wrap: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Callable[[Any, Any], Any]:
        run = wrap(*args, **kwargs)

        def seated(protocol: Any, scope: dict[str, Any]) -> Any:
            scope[KEY] = seat = Seat(protocol)
            return run(seat, scope)

        return seated

    return wrapped
