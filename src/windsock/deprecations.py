"""What clients are told of what is to go: `Deprecation` (RFC 9745) and `Sunset` (RFC 8594)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timezone
from functools import cache
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.http import http_date

from windsock.config import Config
from windsock.spec import DocumentError, Operation

HEADERS = ("Deprecation", "Sunset")


def register(app: Flask, config: Config) -> None:
    """Announce what is deprecated on every answer of it, refusals included; `Link` leads to its documentation."""
    documented = config.get_bool("webserver", "enable_swagger_ui")

    @app.after_request
    def announce(response: Response) -> Response:
        operation = g.get("operation")
        if operation is not None and _deprecated(operation):
            asked = [entry for name, entry in _deprecated(operation) if name is None or name in request.args]
            if asked:
                response.headers.extend(_notice(asked))
                if documented:
                    page = f"{request.root_path}/docs#operation/{operation.id}"
                    response.headers.add("Link", f'<{page}>; rel="deprecation"; type="text/html"')
        return response


def check(operation: Operation) -> None:
    """Raise DocumentError for what is deprecated without a date in `x-deprecated-since`, or with a wrong date."""
    for name, entry in _deprecated(operation):
        try:
            _notice([entry])
        except (KeyError, TypeError, ValueError):
            what = operation.id if name is None else f"{operation.id}, parameter {name}"
            raise DocumentError(
                f"{what}: deprecated needs x-deprecated-since, and may have x-sunset, each a date such as '2027-06-30'"
            ) from None


@cache
def _deprecated(operation: Operation) -> tuple[tuple[str | None, dict[str, Any]], ...]:
    """What is deprecated of an operation: itself, named None, or query parameters."""
    return tuple(_entries(operation))


def _entries(operation: Operation) -> Iterator[tuple[str | None, dict[str, Any]]]:
    if operation.raw.get("deprecated"):
        yield None, operation.raw
    yield from ((one["name"], one) for one in operation.parameters if one.get("deprecated") and one["in"] == "query")


def _notice(entries: list[dict[str, Any]]) -> dict[str, str]:
    """The headers for several things at once: the first that was deprecated, and the first that goes."""
    since = min(_midnight(one["x-deprecated-since"]) for one in entries)
    sunsets = [_midnight(one["x-sunset"]) for one in entries if "x-sunset" in one]
    return {"Deprecation": f"@{since.timestamp():.0f}", **({"Sunset": http_date(min(sunsets))} if sunsets else {})}


def _midnight(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), datetime.min.time(), timezone.utc)
