"""The id of each request, in its answer and in every log line about it."""

from __future__ import annotations

import logging
import re
import secrets

from flask import Flask, Response, g, has_request_context, request

HEADER = "X-Request-Id"
_VARIABLE = "HTTP_X_REQUEST_ID"  # of WSGI
#: What of a client's id may go into logs and headers: letters, digits and what UUIDs and trace ids are made of.
_WELL_FORMED = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)


def register(app: Flask) -> None:
    """Give every request of `app` an id, the client's own if it is well-formed."""
    app.before_request(_take)
    app.after_request(_tell)


def _take() -> None:
    given = request.environ.get(_VARIABLE, "")
    g.request_id = given if _WELL_FORMED.fullmatch(given) else secrets.token_hex(16)


def _tell(response: Response) -> Response:
    response.headers[HEADER] = g.request_id
    return response


class RequestIds(logging.Filter):
    """Adds the attribute `request_id` (str, `-` outside of a request) to log records without it, for any handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        if not hasattr(record, "request_id"):
            record.request_id = g.get("request_id", "-") if has_request_context() else "-"
        return True
