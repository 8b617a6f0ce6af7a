"""Cursors: where a walk through a list stands, as a signed text that belongs to one caller, list, filter and order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from flask import request
from itsdangerous import BadData, URLSafeSerializer

from windsock.context import caller, context
from windsock.context import operation as current
from windsock.errors import BadRequest

_SIGNED: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
#: What may change from one page to the next.
_FREE = {"cursor", "fields", "limit", "page_limit"}


class Position(NamedTuple):
    """After which row a page starts, how many rows were passed, and what was counted (way of counting -> total)."""

    values: list[Any]
    passed: int
    counted: dict[str, int]


def write(position: Position, query: Mapping[str, Any]) -> str:
    """The text of a cursor for the request that is answered; `query` is what its handler was given."""
    values = [{"at": v.isoformat()} if isinstance(v, datetime) else v for v in position.values]
    return str(_serializer().dumps([_about(query), values, position.passed, position.counted]))


def read(text: str, query: Mapping[str, Any]) -> Position:
    """The position that a cursor names.

    Raises BadRequest for one that was not signed here, or for another caller, list, filter or order.
    """
    try:
        about, values, passed, counted = _serializer().loads(text)
    except (BadData, ValueError, TypeError):
        raise BadRequest(
            "cursor: it was not made by this server; start with an empty one, cursor=, and follow the Link header"
        ) from None
    if about != _about(query):
        raise BadRequest(
            "cursor: it belongs to another caller, list, filter or order_by; send the request as it was, or start anew "
            "with an empty one, cursor="
        )
    moments = [datetime.fromisoformat(v["at"]) if isinstance(v, dict) else v for v in values]
    return Position(moments, passed, counted)


def _serializer() -> URLSafeSerializer:
    if not context.config.get("webserver", "secret_key"):
        raise BadRequest("cursor: this server has no key to sign one with ([webserver] secret_key); use offset")
    return URLSafeSerializer(context.config.secret_keys, salt="windsock-cursor", signer_kwargs=_SIGNED)


def _about(query: Mapping[str, Any]) -> str:
    """What a cursor is bound to, as a digest: rights are no part of it, they are looked at for each page."""
    given: Iterable[Any] = query.items() if request.method == "POST" else request.args.lists()
    kept = sorted((name, value) for name, value in given if name not in _FREE)
    who = caller()
    path = sorted((request.view_args or {}).items())
    text = repr((current().id, who and who.username, path, kept))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()
