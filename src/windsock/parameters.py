"""Compile the parameters that the document declares into one function for each operation, once, at start-up.

Every refusal names the parameter and shows a good value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from flask import Request

from windsock.errors import BadRequest, NotFound
from windsock.spec import Operation

Convert = Callable[[str], Any]
_DATE_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+ -]\d\d:\d\d))", re.ASCII
)
_INTEGER = re.compile(r"-?[0-9]+")
#: Python refuses to read thousands of digits; the bounds of a parameter refuse what is shorter.
_MOST_DIGITS = 30
_NUMBER = re.compile(r"-?[0-9]{1,300}(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
#: The columns behind integer parameters are 32 bits wide on PostgreSQL.
INT32 = 2**31 - 1
#: Of parameters that count rows: a limit may exceed every maximum, it is lowered.
INT64 = 2**63 - 1


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


def date_time(text: str) -> datetime:
    try:
        return parse_date_time(text)
    except ValueError:
        raise ValueError("is not a date-time with an offset, such as 2026-03-01T02:00:00+00:00") from None


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError("is not an integer, such as 25")
    if len(text) > _MOST_DIGITS:
        raise ValueError("is too large; send an integer such as 25")
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
        "date-time": date_time,
        "integer": _integer,
        "number": _number,
        "boolean": _boolean,
    }.get(str(kind), _string)
    widest = INT64 if schema.get("format") == "int64" else INT32
    least, most = (-widest, widest) if kind == "integer" else (None, None)
    low, high = schema.get("minimum", least), schema.get("maximum", most)
    allowed = schema.get("enum")
    if low is None and high is None and allowed is None:
        return convert

    def bounded(text: str) -> Any:
        value = convert(text)
        if allowed is not None and value not in allowed:
            raise ValueError(f"is not one of {', '.join(map(str, allowed))}")
        if (low is not None and value < low) or (high is not None and value > high):
            raise ValueError(f"is not between {low} and {high}")
        return value

    return bounded


def _parameter(parameter: dict[str, Any]) -> Callable[[list[str]], Any]:
    """A function from the values of one parameter, as sent, to its converted value."""
    schema, name = parameter["schema"], parameter["name"]
    if schema.get("type") == "array":
        item = _scalar(schema["items"])
        last = -1 if parameter.get("explode") is False else 0  # then a repeated parameter replaces the one before
        convert = lambda values: [item(v) for text in values[last:] for v in text.split(",")]  # noqa: E731
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
    """A function from the path's values and the request to the handler's keyword arguments.

    An empty value of what is optional counts as none, as importers send it for what nobody filled in; `allowEmptyValue`
    gives it a meaning.
    """
    query = {p["name"]: _parameter(p) for p in operation.parameters if p["in"] == "query"}
    path = {p["name"]: _parameter(p) for p in operation.parameters if p["in"] == "path"}
    defaults = {p["name"]: p["schema"]["default"] for p in operation.parameters
                if "default" in p["schema"] and p["in"] == "query"}  # fmt: skip
    required = [p["name"] for p in operation.parameters if p["in"] == "query" and p.get("required")]
    telling = {*required, *(p["name"] for p in operation.parameters if p.get("allowEmptyValue"))}

    strict = bool(path or query.keys() - {"fields"})  # Airflow ignores any parameter where it knows none

    def arguments(values: dict[str, Any], request: Request) -> dict[str, Any]:
        found = dict(defaults)
        for name, value in values.items():
            found[name] = path[name]([str(value)])
        if request.query_string:
            for name, texts in request.args.lists():
                if name not in query and strict:
                    known = ", ".join(sorted(query)) or "none"
                    raise BadRequest(f"Query parameter {name!r} is unknown; this operation takes: {known}")
                if name in query and (texts[-1] or len(texts) > 1 or name in telling):
                    found[name] = query[name](texts)
        for name in required:
            if name not in found:
                raise BadRequest(f"Query parameter {name!r} is required")
        return found

    return arguments
