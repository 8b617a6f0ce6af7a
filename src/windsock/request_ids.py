"""The id of each request, in its answer and in every log line about it."""

from __future__ import annotations

import logging
import os
import re
from typing import Any

from flask import has_request_context, request

HEADER = "X-Request-Id"
KEY = "windsock.request_id"  # in the WSGI environment, where a server puts the header under the other name
_VARIABLE = "HTTP_X_REQUEST_ID"
#: What of a client's id may go into logs and headers: letters, digits and what UUIDs and trace ids are made of.
_WELL_FORMED = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)


def take(environ: dict[str, Any]) -> str:
    """Choose the id of a request, the client's own if it is well-formed, and note it in its WSGI environment."""
    given = environ.get(_VARIABLE, "")
    found = environ[KEY] = given if _WELL_FORMED.fullmatch(given) else os.urandom(16).hex()
    return found


class RequestIds(logging.Filter):
    """Adds the attribute `request_id` (str, `-` outside of a request) to log records without it, for any handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        if not hasattr(record, "request_id"):
            record.request_id = request.environ.get(KEY, "-") if has_request_context() else "-"
        return True
