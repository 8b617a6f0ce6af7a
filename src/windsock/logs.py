"""The log: lines for people or JSON for machines, and one line for each request that was answered.

No text of a client begins a line, whatever is in it. Where the root logger has a handler already, a logging
configuration of the operator's own is in force, and is left alone; it can use the classes of this module.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache
from types import TracebackType
from typing import Any, cast

from windsock.config import Config
from windsock.jsontext import to_json
from windsock.observing import Answered
from windsock.request_ids import RequestIds

access = logging.getLogger("windsock.access")

FORMAT, LEVEL, ACCESS = ("windsock", "log_format"), ("logging", "logging_level"), ("windsock", "access_log")
_TEXT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"
#: Everything that some terminal, or some reader of logs, takes for the end of a line or for a command.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_handler = logging.StreamHandler()
_handler.addFilter(RequestIds())


def setup(config: Config) -> None:
    """Log as the configuration says, to the standard error stream. Raises ConfigError for an unknown word in it."""
    formatter, level = _formatter(config), config.get_choice(*LEVEL)
    if not logging.root.handlers:
        logging.root.addHandler(_handler)
    if _handler in logging.root.handlers:
        _handler.setFormatter(formatter)
        logging.getLogger("windsock").setLevel(level)


def observer(config: Config) -> Callable[[Answered], None] | None:
    """What logs each answer; None where nobody wants it."""
    if not (config.get_bool(*ACCESS) and access.isEnabledFor(logging.INFO)):
        return None
    if logging.root.handlers != [_handler]:
        return _log_answer
    answered = cast("OneLine | Json", _handler.formatter).answered
    return lambda told: _write(answered(told, time.time()))


def _write(line: str) -> None:
    """Write what the handler would, without the record on the way to it, which takes as long again."""
    _handler.acquire()
    try:
        _handler.stream.write(line + "\n")
        _handler.flush()
    finally:
        _handler.release()


def _log_answer(told: Answered) -> None:
    """Log for the handlers of the operator."""
    record = access.makeRecord(access.name, logging.INFO, "", 0, "%s", (_sentence(told),), None)
    record.request_id, record.answered = told.request_id, told.members()
    access.handle(record)


def _sentence(told: Answered) -> str:
    milliseconds, database = told.seconds * 1000, told.database_seconds * 1000
    return (
        f"{told.method} {told.path} -> {told.status} {told.operation} by {told.user or '-'} at {told.address or '-'}"
        f" in {milliseconds:.1f} ms, {told.statements} statements in {database:.1f} ms"
    )


def _formatter(config: Config) -> logging.Formatter:
    return Json() if config.get_choice(*FORMAT) == "json" else OneLine(_TEXT)


class OneLine(logging.Formatter):
    """Escapes control characters in messages, and indents the lines of a trace: text of a client forges no record."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        return _escape(super().formatMessage(record))

    def formatException(
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        """The lines of a trace."""
        return "\n".join("    " + _escape(line) for line in super().formatException(ei).split("\n"))

    def answered(self, told: Answered, now: float) -> str:
        """The line of an answer, at seconds since 1970."""
        moment = f"{_second(int(now))},{int(now * 1000) % 1000:03d}"
        return _escape(f"{moment} INFO {access.name} [{told.request_id}] {_sentence(told)}")


class Json(logging.Formatter):
    """One JSON object for each record, in a line of its own; a trace is one of its members."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        members = {"request_id": getattr(record, "request_id", "-"), "message": record.getMessage()}
        members |= getattr(record, "answered", {})
        if record.exc_info:
            members["trace"] = self.formatException(record.exc_info)
        return _object(record.created, record.levelname, record.name, members)

    def answered(self, told: Answered, now: float) -> str:
        """The line of an answer, at seconds since 1970."""
        members = told.members() | {"message": f"{told.method} {told.path} {told.status}"}
        return _object(now, "INFO", access.name, members)


def _object(moment: float, level: str, name: str, members: dict[str, Any]) -> str:
    when = datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")
    line = to_json({"time": when, "level": level, "logger": name, **members}).decode()
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


@lru_cache(1)
def _second(moment: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def _escape(text: str) -> str:
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
