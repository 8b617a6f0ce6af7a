"""What clients are told of what is to go: `Deprecation` (RFC 9745) and `Sunset` (RFC 8594)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timezone
from functools import cache, partial
from typing import Any

from flask import Response, after_this_request, request
from werkzeug.http import http_date

from windsock.context import context
from windsock.spec import DocumentError, Operation

HEADERS = ("Deprecation", "Sunset")


def announce(operation: Operation) -> None:
    """Say it on the answer to this request, a refusal included; `Link` leads to the documentation."""
    asked = [entry for name, entry in deprecated(operation) if name is None or name in request.args]
    if asked:
        after_this_request(partial(_tell, operation, asked))


def _tell(operation: Operation, asked: list[dict[str, Any]], response: Response) -> Response:
    response.headers.extend(_notice(asked))
    if context.config.get_bool("webserver", "enable_swagger_ui"):
        page = f"{request.root_path}/docs#operation/{operation.id}"
        response.headers.add("Link", f'<{page}>; rel="deprecation"; type="text/html"')
    return response


def check(operation: Operation) -> None:
    """Raise DocumentError for what is deprecated without a date in `x-deprecated-since`, or with a wrong date."""
    for name, entry in deprecated(operation):
        try:
            _notice([entry])
        except (KeyError, TypeError, ValueError):
            what = operation.id if name is None else f"{operation.id}, parameter {name}"
            raise DocumentError(
                f"{what}: deprecated needs x-deprecated-since, and may have x-sunset, each a date such as '2027-06-30'"
            ) from None


@cache
def deprecated(operation: Operation) -> tuple[tuple[str | None, dict[str, Any]], ...]:
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
