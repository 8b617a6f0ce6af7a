"""Single values in the encoding of Airflow's serialized DAGs, read as plain data: what cannot be read is None."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
PARAM_CLASS = "airflow.models.param.Param"
# Deeper values are cut off: neither Python's stack nor the JSON writer takes any depth.
MAX_DEPTH = 100
_COLOR = re.compile(r"#[a-fA-F0-9]{3,6}")


def text(value: Any, default: str | None = None) -> str | None:
    """The value if it is a string, else `default`."""
    return value if isinstance(value, str) else default


def texts(value: Any) -> list[str]:
    """The strings of a list (plain, or an encoded set or tuple); anything else in it is left out."""
    value = unwrap(value)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def flag(value: Any, default: bool = False) -> bool:
    """The value if it is a boolean, else `default`."""
    return value if isinstance(value, bool) else default


def number(value: Any, default: float | None = None) -> float | None:
    """The value as a finite float, else `default`. Booleans are not numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return default
    try:
        result = float(value)
    except OverflowError:
        return default
    return result if math.isfinite(result) else default


def color(value: Any, default: str) -> str:
    """The value if it is a colour such as `#e8f7e4`, else `default`."""
    return value if isinstance(value, str) and _COLOR.fullmatch(value) else default


def unwrap(value: Any) -> Any:
    """The content of a typed value `{"__type": ..., "__var": ...}`; any other value is returned as it is."""
    return value["__var"] if isinstance(value, dict) and "__type" in value and "__var" in value else value


def moment(value: Any) -> datetime | None:
    """A time in UTC, from seconds since 1970."""
    seconds = delta(value)
    try:
        return None if seconds is None else EPOCH + seconds
    except OverflowError:
        return None


def delta(value: Any) -> timedelta | None:
    """A duration, from seconds."""
    seconds = number(unwrap(value))
    try:
        return None if seconds is None else timedelta(seconds=seconds)
    except OverflowError:
        return None


def isoformat(value: datetime | None) -> str | None:
    """A time as the API writes it; None stays None."""
    return None if value is None else value.isoformat()


def delta_answer(value: timedelta | None) -> dict[str, Any] | None:
    """A duration as the API's TimeDelta object; None stays None."""
    if value is None:
        return None
    return {"__type": "TimeDelta", "days": value.days, "seconds": value.seconds, "microseconds": value.microseconds}


def class_ref(path: Any) -> dict[str, str]:
    """A dotted class path split into `module_path` and `class_name`; nothing is imported."""
    module_path, _, class_name = (text(path) or "").rpartition(".")
    return {"module_path": module_path, "class_name": class_name}


def decode(value: Any, depth: int = 0) -> Any:
    """An encoded value as JSON: sets and tuples become lists, times ISO strings, durations seconds."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, list):
        return [decode(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    inner, kind = unwrap(value), value.get("__type")
    if inner is not value:
        if kind == "datetime":
            return isoformat(moment(inner))
        if kind != "dict" or not isinstance(inner, dict):
            return decode(inner, depth + 1)
    return {key: decode(item, depth + 1) for key, item in inner.items()}


def params(value: Any) -> dict[str, dict[str, Any]]:
    """Params as the API shows them, in their order. Airflow 2.10 writes pairs, 2.9 and older an object."""
    pairs = list(value.items()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return {
        pair[0]: param(pair[1])
        for pair in pairs
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str)
    }


def param(value: Any) -> dict[str, Any]:
    """One param: an encoded Param object, or (Airflow before 2.2) its bare value."""
    if not isinstance(value, dict) or "__class" not in value:
        return {"__class": PARAM_CLASS, "description": None, "schema": {}, "value": decode(value)}
    schema = decode(value.get("schema"))
    return {
        "__class": text(value["__class"], PARAM_CLASS),
        "description": text(value.get("description")),
        "schema": schema if isinstance(schema, dict) else {},
        "value": decode(value.get("default")),
    }
