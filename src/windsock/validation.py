"""Compile the document's parameters and bodies into closures, once, at start-up.

The document validates; nothing here knows a resource. Every refusal is a BadRequest that names the offending
parameter or member and shows a good value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import jsonschema_rs
import orjson
from flask import Request

from windsock.errors import BadRequest, NotFound, UnsupportedMediaType
from windsock.spec import Operation, properties

Convert = Callable[[str], Any]
_DATE_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+ -]\d\d:\d\d))", re.ASCII
)
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]{1,300}(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
#: The columns behind integer parameters are 32 bits wide on PostgreSQL.
INT32 = 2**31 - 1


def parse_date_time(text: str) -> datetime:
    """An RFC 3339 date-time as an aware datetime in UTC; a space where an unescaped `+` stood is repaired.

    Raises ValueError when there is no offset or no such moment.
    """
    match = _DATE_TIME.fullmatch(text)
    if not match:
        raise ValueError(text)
    *parts, fraction, zulu, offset = match.groups()
    zone = "+00:00" if zulu else offset.replace(" ", "+")
    stamp = "{}-{}-{}T{}:{}:{}".format(*parts) + f".{(fraction or '0')[:6]:0<6}{zone}"
    try:
        return datetime.fromisoformat(stamp).astimezone(timezone.utc)
    except OverflowError as error:
        raise ValueError(text) from error


def _date_time(text: str) -> datetime:
    try:
        return parse_date_time(text)
    except ValueError:
        raise ValueError("is not a date-time with an offset, such as 2026-03-01T02:00:00+00:00") from None


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError("is not an integer, such as 25")
    return int(text)


def _number(text: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise ValueError("is not a number, such as 1.5")
    return value


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("is not a boolean; write true or false")
    return text.lower() == "true"


def _string(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character, which no stored text can")
    return text


def _scalar(schema: dict[str, Any]) -> Convert:
    kind = "date-time" if schema.get("format") == "date-time" else schema.get("type")
    convert: Convert = {
        "date-time": _date_time,
        "integer": _integer,
        "number": _number,
        "boolean": _boolean,
    }.get(str(kind), _string)
    low, high = schema.get("minimum"), schema.get("maximum", INT32 if kind == "integer" else None)
    allowed = schema.get("enum")
    if low is None and high is None and allowed is None:
        return convert

    def bounded(text: str) -> Any:
        value = convert(text)
        if allowed is not None and value not in allowed:
            raise ValueError(f"is not one of {', '.join(map(str, allowed))}")
        if (low is not None and value < low) or (high is not None and value > high):
            raise ValueError(f"is not between {-INT32 if low is None else low} and {high}")
        return value

    return bounded


def _parameter(parameter: dict[str, Any]) -> Callable[[list[str]], Any]:
    """A function from the values of one parameter, as sent, to its converted value."""
    schema, name = parameter["schema"], parameter["name"]
    if schema.get("type") == "array":
        item = _scalar(schema["items"])
        convert = lambda values: [item(v) for text in values for v in text.split(",")]  # noqa: E731
    else:
        scalar = _scalar(schema)
        convert = lambda values: scalar(values[-1])  # noqa: E731

    def named(values: list[str]) -> Any:
        try:
            return convert(values)
        except ValueError as error:
            refusal = NotFound if parameter["in"] == "path" and schema.get("type") == "integer" else BadRequest
            raise refusal(f"{parameter['in'].title()} parameter {name!r} {error}") from None

    return named


def compile_parameters(operation: Operation) -> Callable[[dict[str, Any], Request], dict[str, Any]]:
    """A function from the path's values and the request to the handler's keyword arguments."""
    query = {p["name"]: _parameter(p) for p in operation.parameters if p["in"] == "query"}
    path = {p["name"]: _parameter(p) for p in operation.parameters if p["in"] == "path"}
    defaults = {p["name"]: p["schema"]["default"] for p in operation.parameters if "default" in p["schema"]}
    required = [p["name"] for p in operation.parameters if p["in"] == "query" and p.get("required")]

    def arguments(values: dict[str, Any], request: Request) -> dict[str, Any]:
        found = dict(defaults)
        for name, value in values.items():
            found[name] = path[name]([str(value)])
        if request.query_string:
            for name, texts in request.args.lists():
                if name not in query and operation.parameters:
                    known = ", ".join(sorted(query)) or "none"
                    raise BadRequest(f"Query parameter {name!r} is unknown; this operation takes: {known}")
                if name in query:
                    found[name] = query[name](texts)
        for name in required:
            if name not in found:
                raise BadRequest(f"Query parameter {name!r} is required")
        return found

    return arguments


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
        if not request.get_data():
            raise BadRequest("The request body must be a JSON object, such as {}; it is empty")
        if request.mimetype != "application/json" and not request.mimetype.endswith("+json"):
            sent = request.mimetype or "none"
            raise UnsupportedMediaType(f"Content-Type is {sent}; this operation takes application/json")
        try:
            data = request.get_data()
            value = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise BadRequest(f"The request body is not valid JSON: {error}") from None
        if not isinstance(value, dict):
            raise BadRequest("The request body must be a JSON object, such as {}")
        for name in value:
            if name not in members:
                raise BadRequest(f"Member {name!r} is unknown; known: {', '.join(sorted(members))}")
            if name in read_only:
                raise BadRequest(f"Member {name!r} is read-only; leave it out")
        if rb"\u0000" in data and _holds_nul(value):
            raise BadRequest("The request body holds a NUL character, which no stored text can")
        for wrong in validator.iter_errors(value):
            raise BadRequest(_explain(wrong, members))
        for name in moments:
            if name in value:
                value[name] = _member_date_time(name, value[name])
        return value

    return body


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_holds_nul(part) for part in parts)


def _member_date_time(name: str, text: str) -> datetime:
    try:
        return _date_time(text)
    except ValueError as error:
        raise BadRequest(f"Member {name!r} {error}") from None


def _explain(error: jsonschema_rs.ValidationError, members: dict[str, Any]) -> str:
    path = ".".join(str(p) for p in error.instance_path)
    top = error.instance_path[0] if error.instance_path else None
    if top is not None and _secret(members.get(str(top), {})):
        return f"Member {path!r} is not valid"  # the message would repeat the secret
    return f"Member {path!r}: {error.message}" if path else str(error.message)
