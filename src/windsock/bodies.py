"""Compile the request bodies that the document declares into one function for each operation, once, at start-up.

Every refusal names the member; a message never repeats a secret.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import jsonschema_rs
import orjson
from flask import Request

from windsock.errors import BadRequest, UnsupportedMediaType
from windsock.parameters import INT32, date_time
from windsock.spec import Operation, properties

#: Levels of a body. Functions that walk over data call themselves once for each, and Python allows about a thousand.
_DEEPEST = 100


def json_schema(node: Any) -> Any:
    """An OpenAPI 3.0 schema as JSON Schema: `nullable` folded into type and enum, `readOnly` left to the caller."""
    if isinstance(node, list):
        return [json_schema(n) for n in node]
    if not isinstance(node, dict):
        return node
    out = {k: json_schema(v) for k, v in node.items() if k not in ("nullable", "discriminator", "example")}
    if out.get("type") == "integer":
        out = {"minimum": -INT32, "maximum": INT32, **out}
    if not node.get("nullable"):
        return out
    if "enum" in out and None not in out["enum"]:
        out["enum"] = [*out["enum"], None]
    if isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
    if {"allOf", "anyOf", "oneOf"} & out.keys():
        return {"anyOf": [{"type": "null"}, out]}
    return out


def _secret(schema: dict[str, Any]) -> bool:
    return bool(schema.get("writeOnly")) or schema.get("format") == "password"


def compile_body(operation: Operation) -> Callable[[Request], dict[str, Any]]:
    """A function from the request to its validated JSON body (dict).

    It raises UnsupportedMediaType for another content type, BadRequest for everything else.
    """
    schema = operation.body or {}
    members = properties(schema)
    read_only = set() if operation.method == "patch" else {n for n, s in members.items() if s.get("readOnly")}
    moments = [n for n in operation.filters if members.get(n, {}).get("format") == "date-time"]
    validator = jsonschema_rs.Draft4Validator(json_schema(schema), validate_formats=True)

    def body(request: Request) -> dict[str, Any]:
        value = _object(request)
        for name in value:
            if name not in members:
                raise BadRequest(f"Member {name!r} is unknown; known: {', '.join(sorted(members))}")
            if name in read_only:
                raise BadRequest(f"Member {name!r} is read-only; leave it out")
        for wrong in validator.iter_errors(value):
            raise BadRequest(_explain(wrong, members))
        return value | {name: _member_date_time(name, value[name]) for name in moments if name in value}

    return body


def _object(request: Request) -> dict[str, Any]:
    """The JSON object that a request carries, in which no text holds a NUL character."""
    data = request.get_data()
    if not data:
        raise BadRequest("The request body must be a JSON object, such as {}; it is empty")
    if request.mimetype != "application/json" and not request.mimetype.endswith("+json"):
        sent = request.mimetype or "none"
        raise UnsupportedMediaType(f"Content-Type is {sent}; this operation takes application/json")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The request body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("The request body must be a JSON object, such as {}")
    if data.count(b"[") + data.count(b"{") > _DEEPEST and _is_deep(value):
        raise BadRequest(f"The request body is nested deeper than {_DEEPEST} levels")
    if rb"\u0000" in data and _holds_nul(value):
        raise BadRequest("The request body holds a NUL character, which no stored text can")
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        inside = (part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list))
        level = [part for parts in inside for part in parts]
    return any(isinstance(part, dict | list) for part in level)


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_holds_nul(part) for part in parts)


def _member_date_time(name: str, text: str) -> datetime:
    try:
        return date_time(text)
    except ValueError as error:
        raise BadRequest(f"Member {name!r} {error}") from None


def _explain(error: jsonschema_rs.ValidationError, members: dict[str, Any]) -> str:
    path = ".".join(str(p) for p in error.instance_path)
    top = error.instance_path[0] if error.instance_path else None
    if top is not None and _secret(members.get(str(top), {})):
        return f"Member {path!r} is not valid"  # the message would repeat the secret
    found, kind = error.instance, error.kind
    if isinstance(found, dict | list) and isinstance(kind, jsonschema_rs.ValidationErrorKind.Type):
        given = "an object" if isinstance(found, dict) else "a list"  # the message would repeat what is inside
        return f"Member {path!r} is {given}; it must be of type {' or '.join(kind.types)}"
    return f"Member {path!r}: {error.message}" if path else str(error.message)
