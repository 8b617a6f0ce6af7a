"""The id of each request, in its answer and in every log line about it; one log record never begins a second line."""

from __future__ import annotations

import logging
import re
import secrets
from types import TracebackType

from flask import Flask, Response, g, has_request_context, request

HEADER = "X-Request-Id"
#: What of a client's id may go into logs and headers: letters, digits and what UUIDs and trace ids are made of.
_WELL_FORMED = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)
_FORMAT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"
#: Everything that some terminal, or some reader of logs, takes for the end of a line or for a command.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def register(app: Flask) -> None:
    """Give every request of `app` an id, the client's own if it is well-formed, and write it into the logs."""
    app.before_request(_take)
    app.after_request(_tell)
    if not logging.root.handlers:
        handler = logging.StreamHandler()
        handler.addFilter(RequestIds())
        handler.setFormatter(OneLine(_FORMAT))
        logging.root.addHandler(handler)


def _take() -> None:
    given = request.headers.get(HEADER, "")
    g.request_id = given if _WELL_FORMED.fullmatch(given) else secrets.token_hex(16)


def _tell(response: Response) -> Response:
    response.headers[HEADER] = g.request_id
    return response


class RequestIds(logging.Filter):
    """Adds the attribute `request_id` (str, `-` outside of a request) to log records, for any handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        record.request_id = g.get("request_id", "-") if has_request_context() else "-"
        return True


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


def _escape(text: str) -> str:
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
