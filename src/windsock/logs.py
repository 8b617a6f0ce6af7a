"""The log: lines for people or JSON for machines, and one line for each request that was answered.

No text of a client begins a line, whatever is in it. Where the root logger has a handler already, a logging
configuration of the operator's own is in force, and is left alone; it can use the classes of this module.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime, timezone
from types import TracebackType

from windsock.config import Config, ConfigError
from windsock.jsontext import to_json
from windsock.observing import Answered
from windsock.request_ids import RequestIds

access = logging.getLogger("windsock.access")

FORMAT, LEVEL, ACCESS = ("windsock", "log_format"), ("logging", "logging_level"), ("windsock", "access_log")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_TEXT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"
_ANSWERED = "%s %s -> %d %s by %s at %s in %.1f ms, %d statements in %.1f ms"
#: Everything that some terminal, or some reader of logs, takes for the end of a line or for a command.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_handler = logging.StreamHandler()
_handler.addFilter(RequestIds())


def setup(config: Config) -> None:
    """Log as the configuration says, to the standard error stream. Raises ConfigError for an unknown word in it."""
    formatter, level = _formatter(config), _level(config)
    if not logging.root.handlers:
        logging.root.addHandler(_handler)
    if _handler in logging.root.handlers:
        _handler.setFormatter(formatter)
        logging.getLogger("windsock").setLevel(level)


def check(config: Config) -> None:
    """Raise ConfigError for an unknown word."""
    _formatter(config), _level(config)


def observer(config: Config) -> Callable[[Answered], None] | None:
    """What logs each answer; None where nobody wants it."""
    wanted = config.get_bool(*ACCESS) and access.isEnabledFor(logging.INFO)
    return _log_answer if wanted else None


def _log_answer(told: Answered) -> None:
    values = (
        told.method, told.path, told.status, told.operation, told.user or "-", told.address or "-",
        told.seconds * 1000, told.statements, told.database_seconds * 1000,
    )  # fmt: skip
    # Logger.info would look through the stack for the name of this file, in every request
    record = access.makeRecord(access.name, logging.INFO, "", 0, _ANSWERED, values, None)
    record.answered, record.request_id = told, told.request_id
    access.handle(record)


def _formatter(config: Config) -> logging.Formatter:
    word = config.get(*FORMAT).strip().lower()
    if word not in ("text", "json"):
        raise ConfigError(f"[windsock] log_format must be text or json, not {word!r}")
    return Json() if word == "json" else OneLine(_TEXT)


def _level(config: Config) -> str:
    word = config.get(*LEVEL).strip().upper()
    if word not in _LEVELS:
        raise ConfigError(f"[logging] logging_level must be one of {', '.join(_LEVELS)}, not {word!r}")
    return word


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


class Json(logging.Formatter):
    """One JSON object for each record, in a line of its own; a trace is one of its members."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "request_id": getattr(record, "request_id", "-"),
        }
        told: Answered | None = getattr(record, "answered", None)
        line |= told.members() if told else {}
        line["message"] = f"{told.method} {told.path} {told.status}" if told else record.getMessage()
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", to_json(line).decode())


def _escape(text: str) -> str:
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
