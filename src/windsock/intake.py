"""What the body of a request may cost: bytes, and threads that wait for it.

Granian does not limit the time that a client takes to send a body, and a read that waits for one cannot be given up. So
one thread of each worker never waits: when slow bodies hold all others, whatever needs no body is answered still, and
further bodies are refused. A body is read after the gate, so strangers hold no thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask
from werkzeug.wsgi import get_content_length

from windsock.config import Config
from windsock.errors import BadRequest, ContentTooLarge, TooManyRequests, UnsupportedMediaType

SIZE = ("windsock", "max_body_size")
#: Seconds that a body waits for its turn. One that has arrived is read within a millisecond.
_PATIENCE = 0.2
Environ = dict[str, Any]


def register(app: Flask, config: Config) -> None:
    """Limit the bodies that `app` reads to `[windsock] max_body_size` bytes each, and the threads that read them.

    $WINDSOCK_THREADS is the number of threads of this worker; without it, or with one thread, all may read.
    """
    limit = config.get_int(*SIZE)
    threads = int(os.environ.get("WINDSOCK_THREADS", "1"))
    turns = threading.BoundedSemaphore(threads - 1) if threads > 1 else None
    inner: Callable[[Environ, Any], Iterable[bytes]] = app.wsgi_app

    def bounded(environ: Environ, start_response: Any) -> Iterable[bytes]:
        environ["wsgi.input"] = _Body(environ, limit, turns)
        return inner(environ, start_response)

    app.wsgi_app = bounded  # type: ignore[method-assign]


class _Body:
    """The stream of one body, read as a whole when the first byte of it is asked for."""

    def __init__(self, environ: Environ, limit: int, turns: threading.BoundedSemaphore | None) -> None:
        self._environ, self._stream = environ, environ["wsgi.input"]
        self._limit, self._turns = limit, turns
        self._rest: memoryview | None = None

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes. Raises a Problem for a body that is too large, too slow, encoded or cut."""
        if self._rest is None:
            self._rest = memoryview(self._all())
        found, self._rest = (self._rest, self._rest[:0]) if size < 0 else (self._rest[:size], self._rest[size:])
        return bytes(found)

    def _all(self) -> bytes:
        coding = self._environ.get("HTTP_CONTENT_ENCODING", "identity")
        if coding.lower() != "identity":
            raise UnsupportedMediaType(f"Content-Encoding is {coding!r}; send the body as it is")
        announced = get_content_length(self._environ) or 0  # none: it is sent in chunks
        if announced > self._limit:
            raise ContentTooLarge(self._limit)
        body = self._wait(announced or self._limit + 1)
        if len(body) > self._limit:
            raise ContentTooLarge(self._limit)
        if len(body) < announced:
            raise BadRequest(f"The request body ended after {len(body)} of the {announced} bytes of Content-Length")
        return body

    def _wait(self, size: int) -> bytes:
        if self._turns is None:
            return self._stream.read(size)
        if not self._turns.acquire(timeout=_PATIENCE):
            raise TooManyRequests("Too many bodies are on their way to this server; send the request again")
        try:
            return self._stream.read(size)
        finally:
            self._turns.release()
