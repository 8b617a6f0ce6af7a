"""Every problem that a client can see: one table, one renderer (RFC 7807)."""

from __future__ import annotations

import logging
from http import HTTPStatus

import orjson
from flask import Flask, Response
from werkzeug.exceptions import HTTPException

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
    415: "UnsupportedMediaType",
}
CONTENT_TYPE = "application/problem+json"


class Problem(Exception):
    """An error with a status (int) and a detail (str) that says what to change; `headers` go into the answer."""

    status = 500

    def __init__(self, detail: str, headers: dict[str, str] | None = None) -> None:
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


class UnsupportedMediaType(Problem):
    status = 415


class NotYetServed(Problem):
    status = 501


def not_yet_served(**_: object) -> None:
    """Stand in for the handler of an operation that this release does not serve; answers 501."""
    raise NotYetServed("This release of Windsock does not serve this operation yet; see the changelog")


def response(status: int, detail: str | None, headers: dict[str, str] | None = None) -> Response:
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


def _unknown(error: Exception) -> Response:
    log.exception("Unexpected error")
    return response(500, "The server met an unexpected condition; its log holds the cause")


def register(app: Flask) -> None:
    """Answer every failure of `app` with a problem document, the router's included."""
    app.register_error_handler(Problem, _problem)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unknown)
