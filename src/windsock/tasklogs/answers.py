"""The answer to a request for a log, streamed in chunks: nothing here ever holds more than a few of them.

The shapes are those of Airflow 2.11: as text a line with the host, then the log; as JSON the Python notation of
`[(host, log)]` and a signed token that says how many characters of the log have been read. Which quotes Python would
take, and that number, are known only at the end, so for JSON the files are read twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import orjson
from flask import Response, request
from itsdangerous import BadData

from windsock.config import Config
from windsock.errors import BadRequest, NotFound
from windsock.signing import serializer
from windsock.tasklogs.attempts import Attempt
from windsock.tasklogs.local import OutsideError, Source
from windsock.tasklogs.merge import last_lines, merged, pieces
from windsock.tasklogs.sources import gather


@dataclass
class _Log:
    """A log as it is answered: its host, what is said before it, its files, and how many of the last lines to show."""

    host: str | None
    head: str
    sources: list[Source] = field(default_factory=list)
    tail: int | None = None

    def whole(self) -> Iterator[str]:
        """All of the log in pieces."""
        return pieces(merged(self.sources))

    def shown(self, position: int | None) -> Iterator[str]:
        """What to show, in pieces; with a position, what follows it in the log."""
        if position is None:
            yield self.head
        yield from pieces(merged(self.sources), position or 0) if self.tail is None else pieces([self._last])

    @cached_property
    def _last(self) -> list[str]:
        return last_lines(merged(self.sources), self.tail or 0)


def answer(attempt: Attempt, config: Config, token: str | None, tail: int | None) -> Response:
    """The log of a try as text or JSON, as Accept prefers, with the last `tail` lines only if that is not None.

    Raises BadRequest for a token that is not ours, NotFound when the log's path would lead out of the log folder.
    """
    position = _position(config, token)
    state: dict[str, Any] = {"end_of_log": attempt.ended, "log_pos": 0}
    with ExitStack() as stack:
        if attempt.try_number < 1:
            note = f"Error fetching the logs. Try number {attempt.try_number} is invalid."
            log, position, state = _Log("default_host", note), None, {"end_of_log": True}
        else:
            log = _open(attempt, config, stack)
            log.tail = tail
        if request.accept_mimetypes.best_match(["text/plain", "application/json"]) == "text/plain":
            response = Response(_as_text(log), content_type="text/plain; charset=utf-8")
        else:
            response = Response(_as_json(log, position, state, config), content_type="application/json")
        response.call_on_close(stack.pop_all().close)
    return response


def _open(attempt: Attempt, config: Config, stack: ExitStack) -> _Log:
    """The log of a try; `stack` closes its files."""
    try:
        messages, sources = gather(attempt, config, stack)
    except OutsideError:
        raise NotFound("The path of this log leads out of the log folder: one of its ids goes up") from None
    said = "".join(f"*** {message}\n" for message in messages)
    head = f" INFO - ::group::Log message source details\n{said} INFO - ::endgroup::\n"
    return _Log(attempt.hostname, head, sources)


def _position(config: Config, token: str | None) -> int | None:
    """The number of characters that a continuation token says have been read; None without one."""
    if not token:
        return None
    try:
        found = serializer(config).loads(token)
    except BadData:
        found = None
    position = found.get("log_pos") if isinstance(found, dict) else -1
    if position is not None and (not isinstance(position, int) or position < 0):
        raise BadRequest("token: this server has not issued it; send the continuation_token of an answer unchanged")
    return position


# ---------------------------------------------------------------- shapes
def _as_text(log: _Log) -> Iterator[bytes]:
    yield f"{log.host or ''}\n".encode()
    for piece in log.shown(None):
        yield piece.encode()
    yield b"\n"


def _as_json(log: _Log, position: int | None, state: dict[str, Any], config: Config) -> Iterator[bytes]:
    yield b'{"content":"' + _escaped(f"[({log.host!r}, ")  # before the first reading, so that nobody gives up waiting
    quote, size = _measure(log, position)
    yield _escaped(quote)
    for piece in log.shown(position):
        yield _escaped(_noted(piece, quote))
    token = serializer(config).dumps(state | {"log_pos": size} if "log_pos" in state else state)
    yield _escaped(f"{quote})]") + b'","continuation_token":' + orjson.dumps(str(token)) + b"}"


def _measure(log: _Log, position: int | None) -> tuple[str, int]:
    """The quote that Python takes around what is shown, and the number of characters of the whole log."""
    skip, size, seen = position or 0, 0, _quotes(log.head if position is None else "")
    for piece in log.whole():
        if log.tail is None:
            seen |= _quotes(piece[max(0, skip - size) :])
        size += len(piece)
    for piece in log.shown(position) if log.tail is not None else ():
        seen |= _quotes(piece)
    return '"' if "'" in seen and '"' not in seen else "'", size


def _quotes(text: str) -> set[str]:
    return {quote for quote in "'\"" if quote in text}


def _noted(text: str, quote: str) -> str:
    """A part of a text in Python's notation, between these quotes."""
    other = '"' if quote == "'" else "'"
    return repr(other + text)[2:-1]


def _escaped(text: str) -> bytes:
    return orjson.dumps(text)[1:-1]
