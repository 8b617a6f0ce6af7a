"""Every problem that a client can see: one table, one renderer (RFC 7807)."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from windsock import outages

log = logging.getLogger(__name__)

#: Status -> the name under which the document's "Errors" section explains it.
NAMES = {
    400: "BadRequest",
    401: "Unauthenticated",
    403: "PermissionDenied",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "AlreadyExists",
    412: "PreconditionFailed",
    413: "ContentTooLarge",
    415: "UnsupportedMediaType",
    422: "UnprocessableContent",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
}
CONTENT_TYPE = "application/problem+json"


class Problem(Exception):
    """An error with a status (int) and a detail (str) that says what to change; `headers` go into the answer."""

    status = 500

    def __init__(self, detail: str, headers: dict[str, str | list[str]] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = headers or {}


class BadRequest(Problem):
    status = 400


class Unauthenticated(Problem):
    status = 401


class PermissionDenied(Problem):
    status = 403


class NotFound(Problem):
    status = 404


class NotAcceptable(Problem):
    status = 406


class AlreadyExists(Problem):
    status = 409


class PreconditionFailed(Problem):
    status = 412


class UnsupportedMediaType(Problem):
    status = 415


class ContentTooLarge(Problem):
    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request body may have {limit} bytes; see [windsock] max_body_size")


class UnprocessableContent(Problem):
    status = 422


class TooManyRequests(Problem):
    """`seconds` (int) later it may be tried again."""

    status = 429

    def __init__(self, detail: str, seconds: int = 1) -> None:
        super().__init__(detail, {"Retry-After": str(seconds)})


class ServiceUnavailable(Problem):
    """The database has an outage, or too much to do."""

    status = 503

    def __init__(self) -> None:
        detail = "The database is out of reach or too busy. Before you repeat a change, look whether it was made"
        super().__init__(detail, {"Retry-After": "5"})


def response(status: int, detail: str | None, headers: dict[str, Any] | None = None) -> Response:
    """Render a problem document; `type` points at the section of the docs page that explains the status."""
    body = {
        "type": f"/docs#section/Errors/{NAMES.get(status, 'Unknown')}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    return Response(orjson.dumps(body), status, headers, content_type=CONTENT_TYPE)


def _problem(error: Problem) -> Response:
    return response(error.status, error.detail, error.headers)


def _http(error: HTTPException) -> Response:
    if error.code is None or error.code < 400:  # a redirect is an answer, not a problem
        return error.get_response()  # type: ignore[return-value]
    kept = {k: v for k, v in error.get_headers() if k in ("Allow", "WWW-Authenticate", "Retry-After")}
    return response(error.code, error.description, kept)


def _database(error: SQLAlchemyError) -> Response:
    if why := outages.unstorable(error):
        return _problem(BadRequest(f"The database cannot hold a value of this request: {why}"))
    if not outages.passing(error):
        return _unknown(error)
    cause = " ".join(str(getattr(error, "orig", error)).split())  # no text of a client begins a line of the log
    log.error("The database failed in %s %r: %.500s", request.method, request.path, cause)
    return _problem(ServiceUnavailable())


def _unknown(error: Exception) -> Response:
    log.exception("Unexpected error in %s %r", request.method, request.path)
    return response(500, "The server met an unexpected condition; its log holds the cause")


def register(app: Flask) -> None:
    """Answer every failure of `app` with a problem document, the router's included."""
    app.register_error_handler(Problem, _problem)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(SQLAlchemyError, _database)
    app.register_error_handler(Exception, _unknown)
