"""How Airflow 2.11 prints stored values: XComs, the kwargs of triggers, executor_config.

Pure functions on data. A class that a value names is printed, never imported. What cannot be read is None and one log
line.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import math
from typing import Any

import orjson

from windsock.columns import load_plain_pickle
from windsock.crypto import Vault

log = logging.getLogger(__name__)

_TUPLES = ("builtins.tuple", "builtins.set", "builtins.frozenset")
# A pickle of a few bytes can share one list a billion times; nothing real has this many elements.
_MAX_ELEMENTS = 1_000_000


class _Repr:
    """An object that prints as given, in place of one whose class is not here."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def xcom_text(stored: bytes | None) -> str | None:
    """An XCom as `stringify=true` shows it: Python's `str()` of the value; None for null and for unreadable bytes."""
    try:
        return None if stored is None else _text(_xcom(bytes(stored), finite=False))
    except Exception as error:  # a damaged pickle raises nearly every exception there is
        _log_unreadable("an XCom", error)
        return None


def xcom_native(stored: bytes | None) -> Any:
    """An XCom as `stringify=false` shows it: JSON, typed values as text, NaN and infinities as null.

    The result is something that orjson writes; what orjson cannot (integers beyond 64 bits, deep nesting, lone
    surrogates) comes as an orjson.Fragment.
    """
    try:
        return None if stored is None else writable(_xcom(bytes(stored), finite=True))
    except Exception as error:
        _log_unreadable("an XCom", error)
        return None


def trigger_kwargs_text(stored: str | dict[str, Any] | None, vault: Vault) -> str | None:
    """A trigger's kwargs as Airflow prints them, secrets masked: `str()` of the decoded dict.

    `stored` is a Fernet token, or plain JSON where Airflow could not encrypt; before 2.9 its column was of type JSON,
    which PostgreSQL's driver reads.
    """
    if isinstance(stored, str) and not stored.startswith("{"):
        stored = vault.decrypt(stored, "the kwargs of a trigger")
    if stored is None:
        return None
    try:
        found = json.loads(stored) if isinstance(stored, str) else stored
        return _text(vault.masker.mask(_decode(found)))
    except Exception as error:
        _log_unreadable("the kwargs of a trigger", error)
        return None


def executor_config_text(config: Any) -> str | None:
    """An unpickled executor_config as Airflow prints it: Python's `str()`."""
    try:
        return _text(_bounded(config))
    except Exception as error:
        _log_unreadable("an executor_config", error)
        return None


def writable(value: Any) -> Any:
    """JSON-like data in a form that orjson writes: itself where possible, else an orjson.Fragment; NaN becomes null.

    Raises ValueError, TypeError or RecursionError for what is no JSON at all.
    """
    try:
        orjson.dumps(value)
        return value
    except orjson.JSONEncodeError:
        finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
        return orjson.Fragment(json.dumps(finite).encode())


def _xcom(stored: bytes, finite: bool) -> Any:
    def number(text: str) -> float | None:
        value = float(text)
        return None if finite and not math.isfinite(value) else value

    try:
        return json.loads(stored.decode(), object_hook=_typed, parse_constant=number, parse_float=number)
    except ValueError:
        if stored[:1] != b"\x80":  # the first byte of every pickle since protocol 2
            raise
    return _bounded(load_plain_pickle(stored))


def _typed(members: dict[str, Any]) -> Any:
    """One JSON object of an XCom, its members done: a plain one stays, a typed one becomes text."""
    if "__type" in members and "__var" in members:  # the form of Airflow before 2.5
        if members["__type"] == "dict" and isinstance(members["__var"], dict):
            return members["__var"]
        members = {"__classname__": members["__type"], "__version__": 0, "__data__": members["__var"]}
    name, version, data = (members.get(key) for key in ("__classname__", "__version__", "__data__"))
    if not name or not isinstance(name, str) or not isinstance(version, int):
        return members
    if name in _TUPLES and isinstance(data, list):
        return f"({','.join(map(str, data))})"
    if isinstance(data, dict):
        shown = ",".join(f"{key}={item}" for key, item in data.items())
    elif isinstance(data, list):
        shown = ",".join(str(data))  # Airflow joins the characters of the text, so a client sees `[,1,,, ,2,]`
    else:
        shown = "" if data is None else str(data)
    return f"{name}@version={version}({shown})"


def _decode(value: Any) -> Any:
    """A value in the encoding of BaseSerialization; times print as pendulum's, types that need a class stay encoded."""
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "__type" not in value or "__var" not in value:
        return {key: _decode(item) for key, item in value.items()}
    kind, inner = value["__type"], value["__var"]
    if kind == "dict" and isinstance(inner, dict):
        return {key: _decode(item) for key, item in inner.items()}
    if kind in ("tuple", "set") and isinstance(inner, list):
        items = [_decode(item) for item in inner]
        return tuple(items) if kind == "tuple" else set(items)
    if kind == "datetime":
        return _Repr(_pendulum(dt.datetime.fromtimestamp(inner, dt.timezone.utc)))
    if kind == "timedelta":
        return dt.timedelta(seconds=inner)
    if kind == "timezone":
        return _Repr(_zone(inner))
    return {key: _decode(item) for key, item in value.items()}


def _pendulum(moment: dt.datetime) -> str:
    micros = f", {moment.microsecond}" if moment.microsecond else ""
    return (
        f"DateTime({moment.year}, {moment.month}, {moment.day}, {moment.hour}, {moment.minute}, {moment.second}{micros}"
        ", tzinfo=Timezone('UTC'))"
    )


def _zone(zone: str | int) -> str:
    """A time zone as pendulum 3 prints it; the encoding holds a name, or a fixed offset in seconds."""
    if isinstance(zone, str):
        return f"Timezone({zone!r})"
    hours, minutes = divmod(abs(int(zone / 60)), 60)
    return f'FixedTimezone({zone}, name="{"-" if zone < 0 else "+"}{hours:02d}:{minutes:02d}")'


def _bounded(value: Any) -> Any:
    """The value itself. Raises ValueError when it is too large to print."""
    waiting, seen = [value] if value else [], 0
    while waiting:
        item = waiting.pop()
        seen += 1
        if isinstance(item, dict):
            waiting += item.keys()
            waiting += item.values()
        elif isinstance(item, (list, tuple, set, frozenset)):
            waiting += item
        if seen + len(waiting) > _MAX_ELEMENTS:
            raise ValueError("the value has too many elements")
    return value


def _text(value: Any) -> str | None:
    """`str()` of a value, in characters that UTF-8 can carry: a lone surrogate becomes U+FFFD."""
    if value is None:
        return None
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _log_unreadable(what: str, error: Exception) -> None:
    # The name of the exception only: its text may quote the value.
    log.warning("Cannot read %s: %s", what, type(error).__name__)
