"""`Idempotency-Key` on what creates something in a DAG: sent again, a request gives what the first one has created.

What a key has created is a row of the audit log, in the transaction of the creation: the event is a digest of caller,
place and key, so one look at an index finds it, from every worker and server. Why there: docs/decisions/0010.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from datetime import timedelta
from importlib import import_module
from typing import Any, NamedTuple

import orjson
from flask import Response, after_this_request, request
from sqlalchemy import select

from windsock import changing, db, spec
from windsock.context import caller, context
from windsock.errors import AlreadyExists, BadRequest, NotFound, UnprocessableContent
from windsock.models import Dag, Log
from windsock.models.base import utcnow
from windsock.spec import Operation

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
RETENTION = ("windsock", "idempotency_hours")
#: What a string of RFC 8941 may hold, with its quotes or without, but for quotes and backslashes.
_KEY = re.compile(r'("?)([ !#-\[\]-~]{1,255})\1')


class Memory(NamedTuple):
    """How one operation creates: what reads the resource that it has created, and the name of that one's id."""

    read: Any
    id_name: str

    def recall(self, given: dict[str, Any]) -> dict[str, Any] | None:
        """What the key of this request has created already; None without a key, or when it is new.

        From here on, no other request with a key creates anything in the DAG before this transaction ends. Raises
        UnprocessableContent for a key that came with another body, AlreadyExists when what it created is gone.
        """
        if not _sent():
            return None
        events = _events(given)
        changing.lock(select(Dag).filter_by(dag_id=given["dag_id"]), Dag, dag_id=given["dag_id"])
        since = utcnow() - timedelta(hours=context.config.get_float(*RETENTION))
        found = db.execute(select(Log.extra).where(Log.event.in_(events), Log.dttm > since).limit(1)).scalar()
        return None if found is None else self._again(given, json.loads(found))

    def _again(self, given: dict[str, Any], made: dict[str, str]) -> dict[str, Any]:
        if made["body"] not in _digests(_text(given["body"])):
            raise UnprocessableContent(f"Header {HEADER}: this key came with another body before; use a new one")
        names = {"dag_id": given["dag_id"], self.id_name: made[self.id_name]}
        try:
            result = self.read(**names)
        except NotFound:
            raise AlreadyExists(
                f"Header {HEADER}: what this key created, {made[self.id_name]!r}, is gone; use a new one"
            ) from None
        after_this_request(_mark)
        return result

    def keep(self, given: dict[str, Any], result: dict[str, Any]) -> None:
        """Remember what the key of this request, if there is one, has created."""
        if not _sent():
            return
        who = caller()
        made = {self.id_name: result[self.id_name], "body": _digests(_text(given["body"]))[-1]}
        row = Log(dttm=utcnow(), event=_events(given)[-1], owner=who and who.username, dag_id=given["dag_id"])
        row.extra = json.dumps(made)
        db.session().add(row)


def compile_memory(operation: Operation) -> Memory | None:
    """What remembers the keys of an operation; None if the document gives it no such header."""
    if not any(p["in"] == "header" and p["name"] == HEADER for p in operation.parameters):
        return None
    below = re.compile(re.escape(operation.path) + r"/\{(\w+)\}")
    found = [(other, below.fullmatch(other.path)) for other in spec.operations().values() if other.method == "get"]
    resource, match = next((other, match) for other, match in found if match)
    return Memory(getattr(import_module(resource.room), resource.id), match[1])


def _mark(response: Response) -> Response:
    response.headers[REPLAYED] = "true"
    return response


def _sent() -> str:
    """The header; empty without one, as importers send it for what nobody filled in."""
    return request.headers.get(HEADER, "").strip()


def _events(given: dict[str, Any]) -> list[str]:
    """The events under which a key may be remembered. Raises BadRequest for a header that holds no key."""
    match = _KEY.fullmatch(_sent())
    if match is None:
        raise BadRequest(f"Header {HEADER} must be 1 to 255 ASCII characters, such as a UUID, in quotes or without")
    who = caller()
    return [f"idempotency.{digest}" for digest in _digests(_text([who and who.username, given["dag_id"], match[2]]))]


def _text(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _digests(text: bytes) -> list[str]:
    """Digests under all keys of this server, the present one last: nobody may guess by them what a body holds."""
    if not context.config.get("webserver", "secret_key"):
        raise BadRequest(f"Header {HEADER}: this server has no [webserver] secret_key, without which it takes none")
    return [hmac.new(key.encode(), b"idempotency\0" + text, hashlib.sha256).hexdigest()[:32]
            for key in context.config.secret_keys]  # fmt: skip
