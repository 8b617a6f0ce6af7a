"""Entity tags, and `If-Match` on changes (RFC 9110, sections 8.8 and 13); why they are so: docs/decisions/0008.

A tag has two parts, `"<state>-<content>"`. The first stands for the members that a PATCH of the resource can set, and
is what `If-Match` looks at: a pool may be changed although its slots have been taken meanwhile. The second stands for
all that was sent. Lists, and answers without some of those members (`fields`), have the second part only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

from flask import request
from sqlalchemy import event

from windsock import db, spec
from windsock.context import context
from windsock.errors import BadRequest, PreconditionFailed
from windsock.jsontext import to_json
from windsock.spec import DocumentError, Operation, properties

Members = tuple[str, ...]
Condition = Callable[[dict[str, Any]], None]

_TAG = re.compile(r'(?:W/)?"[^"]*"')
_CHANGED = (
    "If-Match names no state in which the resource is now. Read it again, see what has changed, and send the ETag of"
    ' that answer as it is; a weak one, W/"...", never matches'
)


# ---------------------------------------------------------------- what the document says
def check(operation: Operation) -> None:
    """Raise DocumentError for an x-etag that means nothing, and for an If-Match where a GET gives no tag."""
    kind = operation.raw.get("x-etag")
    if kind is not None and (kind not in ("open", "secret") or operation.method != "get"):
        raise DocumentError(f"{operation.id}: x-etag is {kind!r}; it belongs to a GET and is 'open' or 'secret'")
    if _conditional(operation) and (tagged(operation) is None or not operation.audit):
        raise DocumentError(f"{operation.id}: If-Match is for changes of what a GET with x-etag reads at the same path")


def _conditional(operation: Operation) -> bool:
    return any(p["in"] == "header" and p["name"] == "If-Match" for p in operation.parameters)


def tagged(operation: Operation) -> Operation | None:
    """The GET with x-etag whose tag the answer of an operation carries: its own, or that of a PATCH with If-Match."""
    if operation.method != "get" and not _conditional(operation):
        return None
    return next((o for o in _at(operation, "get") if "x-etag" in o.raw), None)


def _at(operation: Operation, method: str) -> list[Operation]:
    return [o for o in spec.operations().values() if (o.path, o.method) == (operation.path, method)]


def state_members(resource: Operation) -> Members:
    """The members of what a GET answers that a PATCH at its path can set."""
    shown = properties(resource.raw["responses"]["200"]["content"]["application/json"]["schema"])
    settable = [member for patch in _at(resource, "patch") for member in properties(patch.body or {}).items()]
    return tuple(n for n, s in settable if n in shown and not (s.get("readOnly") or s.get("writeOnly")))


# ---------------------------------------------------------------- tags
def tag(result: Any, content: bytes, members: Members) -> str:
    """The tag, in its quotes, of an answer: its plain data, its JSON text, and the names of `state_members`."""
    key = _key(context.config.get("webserver", "secret_key"))
    state, whole = _state(result, members, key), _digest(key + content, 32)
    return f'"{state}-{whole}"' if state else f'"{whole}"'


def _state(result: Any, members: Members, key: bytes) -> str:
    if not members or not result.keys() >= set(members):
        return ""
    return _digest(key + to_json([result[name] for name in members]), 16)


def _digest(content: bytes, length: int) -> str:
    """Hexadecimal digits of a part of SHA-256: nobody can go on from a part to the digest of a longer content."""
    return hashlib.sha256(content).hexdigest()[:length]


@lru_cache(4)
def _key(secret: str) -> bytes:
    return hashlib.sha256(b"windsock etags\0" + secret.encode()).digest()


# ---------------------------------------------------------------- changes
def compile_condition(operation: Operation) -> Condition | None:
    """What begins the transaction of a change that takes If-Match; it is given the handler's keyword arguments.

    It raises BadRequest for an If-Match that is no list of tags, and lets the handler raise PreconditionFailed.
    """
    resource = tagged(operation)
    if resource is None:
        return None
    read, members = getattr(import_module(resource.room), resource.id), state_members(resource)

    def condition(given: dict[str, Any]) -> None:
        known = _states(request.headers.get("If-Match", "*"))

        def compare(*_: Any) -> None:
            now = read(**{name: given[name] for name in operation.path_names})
            if _state(now, members, _key(context.config.get("webserver", "secret_key"))) not in known:
                raise PreconditionFailed(_CHANGED)

        if known:  # the first row that a handler loads is the one that it changes, and `changing.lock` has locked it
            event.listen(db.session(), "loaded_as_persistent", compare, once=True)

    return condition


def _states(header: str) -> set[str]:
    """The first parts of the tags, nothing for `*`; of a weak tag it is one that no resource has."""
    if header.strip() == "*":
        return set()
    tags = _TAG.findall(header)
    if not tags or _TAG.sub("", header).strip(" \t,"):
        raise BadRequest('Header If-Match must be * or tags in quotes, as an ETag is, such as "4c1f0d2e8b7a6955-0b7d"')
    return {"weak" if one.startswith("W") else one[1:-1].partition("-")[0] for one in tags}
