"""What becomes of a handler's plain data: JSON, with a tag, compressed, or 304 without a body, as the document says.

`x-etag: open` marks answers without secrets. Their readers may keep them (`Cache-Control: private, no-cache`) and ask
with `If-None-Match` whether they are still right, and they are compressed for who takes gzip. `x-etag: secret` gives a
tag for `If-Match` and nothing else: no length tells how well a secret compresses, and nothing keeps it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from flask import Response, request
from werkzeug.datastructures import Accept, Headers
from werkzeug.http import parse_accept_header

from windsock import etags
from windsock.context import context
from windsock.etags import Members
from windsock.jsontext import to_json
from windsock.spec import Operation

Answer = Callable[[Any, int], Response]

_JSON = "application/json"
_KEPT = {"Cache-Control": "private, no-cache", "Vary": "Accept, Accept-Encoding, Authorization, Cookie"}
#: Bytes up to which an answer fits into one packet; and the level of zlib that costs least, for nearly the same size.
_SMALL, _LEVEL = 1000, 1


class _Whole(Response):
    """A body with its length. Werkzeug copies headers to complete them, and nothing is missing here."""

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """The headers as they are."""
        return self.headers


def _whole(content: bytes, status: int, headers: dict[str, str], content_type: str = _JSON) -> Response:
    response = _Whole(content, status, content_type=content_type)
    for name, value in headers.items():  # as an argument they take three times as long
        response.headers.add(name, value)
    return response


def compile_answer(operation: Operation) -> Answer:
    """What makes the response from plain data and a status (int)."""
    resource = etags.tagged(operation)
    if resource is None:
        return _plain
    members, kind = etags.state_members(resource), resource.raw["x-etag"]
    make = _open if operation is resource and kind == "open" else _guarded
    return lambda result, status: make(result, status, members)


def _plain(result: Any, status: int) -> Response:
    if request.method == "HEAD":
        return _without_body(status, {}, _JSON)
    return _whole(to_json(result), status, {})


def _guarded(result: Any, status: int, members: Members) -> Response:
    """An answer that nothing may keep; it has no tag if the server has no key, since anybody could compute that."""
    content, headers = to_json(result), {}
    if context.config.get("webserver", "secret_key"):
        headers["ETag"] = etags.tag(result, content, members)
    if request.method == "HEAD":
        return _without_body(status, headers, _JSON)
    return _whole(content, status, headers)


def static(content: bytes, content_type: str) -> Response:
    """An answer that tells no secret, such as the document: kept by the client and compressed when asked for."""
    return _kept(content, etags.tag({}, content, ()), 200, content_type)


def _open(result: Any, status: int, members: Members) -> Response:
    content = to_json(result)
    return _kept(content, etags.tag(result, content, members), status, _JSON)


def _kept(content: bytes, tag: str, status: int, content_type: str) -> Response:
    """An answer that the client may keep and ask about again; `tag` is that of the content, in its quotes."""
    asked, headers = request.environ, dict(_KEPT)
    packed = len(content) > _SMALL and _takes_gzip(asked.get("HTTP_ACCEPT_ENCODING", "")[:_SMALL])
    headers["ETag"] = tag = f'{tag[:-1]}-gzip"' if packed else tag  # other bytes, so another strong tag
    if _names(asked.get("HTTP_IF_NONE_MATCH", ""), tag):
        return Response(status=304, headers=headers)
    if packed:
        headers["Content-Encoding"] = "gzip"
    if asked["REQUEST_METHOD"] == "HEAD":
        return _without_body(status, headers, content_type)
    return _whole(_gzip(content) if packed else content, status, headers, content_type)


def _names(known: str, tag: str) -> bool:
    """Whether an If-None-Match names the tag, weak or not; no other tag contains this one, which has its quotes."""
    return tag in known or known.strip() == "*"


def _without_body(status: int, headers: dict[str, str], content_type: str) -> Response:
    """The answer to HEAD. It has no Content-Length, rather than that of no body."""
    response = Response(status=status, headers=headers, content_type=content_type)
    response.automatically_set_content_length = False
    return response


@lru_cache(64)
def _takes_gzip(accepted: str) -> bool:
    codings = parse_accept_header(accepted, Accept)
    return codings["gzip"] > 0 and codings["gzip"] >= codings["identity"]


def _gzip(content: bytes) -> bytes:
    coder = zlib.compressobj(_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)  # gzip's format, without a time in it
    return coder.compress(content) + coder.flush()
