"""Column types of the metadata database: UTC timestamps, restricted pickles and JSON text.

Reading never fails on a value: what cannot be read becomes None and one WARNING that names the column, not the value.
"""

from __future__ import annotations

import io
import json
import logging
import pickle
import pickletools
import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import orjson
from sqlalchemy import JSON, TIMESTAMP, Column, DateTime, Dialect, LargeBinary, Text, TypeDecorator, event
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

log = logging.getLogger(__name__)

_SQLITE, _MYSQL = "sqlite", "mysql"
_EMPTY_DICT = pickle.dumps({}, protocol=5)  # what nearly every conf and executor_config is
_MANY_DIGITS = re.compile(r"\d{18}", re.ASCII)
_EXTENSION_OPCODES = (b"\x82", b"\x83", b"\x84")  # EXT1, EXT2, EXT4
_PLAIN = frozenset({str, int, float, bool, type(None)})
_LISTS: frozenset[type] = frozenset({list})


class _Column(TypeDecorator[Any]):
    """A type that knows its column, for the log line about an unreadable value."""

    __abstract__ = True
    cache_ok = True
    column: Column[Any] | None = None

    def unreadable(self, error: Exception) -> None:
        """Log that a value of this column cannot be read; the value itself may be secret and is left out."""
        log.warning("Unreadable value in %s: %s", self.column, type(error).__name__)


@event.listens_for(_Column, "after_parent_attach", propagate=True)
def _remember_column(target: _Column, parent: Any) -> None:
    target.column = parent


class UtcDateTime(_Column):
    """A moment as an aware datetime in UTC: `timestamptz` on PostgreSQL, `YYYY-MM-DD HH:MM:SS.ffffff` on SQLite.

    On MySQL `timestamp(6)`, whose drivers know no time zones; the session's is UTC.

    Writing raises ValueError for a naive datetime or one that lies outside the years 1 to 9999 in UTC.
    """

    impl = TIMESTAMP(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """MySQL keeps microseconds only when it is told to."""
        return mysql.TIMESTAMP(fsp=6) if dialect.name == _MYSQL else self.impl_instance

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any]:
        """Return the function that turns an aware datetime into what the driver takes."""
        as_text, naive = dialect.name == _SQLITE, dialect.name == _MYSQL

        def bind(value: datetime | None) -> Any:
            if value is None:
                return None
            if value.tzinfo is None:
                raise ValueError("a datetime without a time zone cannot be stored")
            try:
                value = value.astimezone(timezone.utc)
            except OverflowError:
                raise ValueError("the datetime lies outside the years 1 to 9999 in UTC") from None
            if as_text or naive:
                value = value.replace(tzinfo=None)
            return value.isoformat(" ", "microseconds") if as_text else value

        return bind

    def result_processor(self, dialect: Dialect, coltype: Any) -> Callable[[Any], datetime | None]:
        """Return the function that turns the driver's value into an aware datetime; it runs once per cell."""
        if dialect.name not in (_SQLITE, _MYSQL):
            return _utc
        parse, unreadable = datetime.fromisoformat, self.unreadable
        if dialect.name == _MYSQL:
            return self._from_mysql

        def result(value: Any) -> datetime | None:
            if value is None:
                return None
            try:
                return parse(value + "+00:00")  # nine times faster than replace(tzinfo=...)
            except (TypeError, ValueError) as error:
                return unreadable(error)

        return result

    def _from_mysql(self, value: datetime | str | None) -> datetime | None:
        """The driver gives a text for what is no moment, such as 0000-00-00."""
        if isinstance(value, datetime):
            return value.replace(tzinfo=timezone.utc)
        if value is not None:
            self.unreadable(ValueError())
        return None


def _utc(value: datetime | None) -> datetime | None:
    return value if value is None or value.tzinfo is timezone.utc else value.astimezone(timezone.utc)


class NaiveDateTime(_Column):
    """A datetime without time zone, as ab_user and session keep it. Writing raises ValueError for an aware one."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse an aware datetime, whose offset would be lost."""
        if value is not None and value.tzinfo is not None:
            raise ValueError("a datetime with a time zone cannot be stored in this column")
        return value

    def result_processor(self, dialect: Dialect, coltype: Any) -> Callable[[Any], datetime | None] | None:
        """Return the function that parses SQLite's text; other drivers have done it, but for MySQL's 0000-00-00."""
        if dialect.name not in (_SQLITE, _MYSQL):
            return None
        parse, unreadable = datetime.fromisoformat, self.unreadable

        def result(value: Any) -> datetime | None:
            if value is None or isinstance(value, datetime):
                return value
            try:
                return parse(value)
            except (TypeError, ValueError) as error:
                return unreadable(error)

        return result


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler for which a pickle is data: whatever refers to code or to outside objects is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError("the pickle names a global")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("the pickle names a persistent id")


def load_plain_pickle(payload: bytes) -> Any:
    """Read a pickle of plain data. Raises an exception of nearly any kind when it is damaged or more than that."""
    # An extension that some library has used before is taken from a cache, past find_class: look for the opcodes.
    if any(code in payload for code in _EXTENSION_OPCODES) and any(
        opcode.name.startswith("EXT") for opcode, _, _ in pickletools.genops(payload)
    ):
        raise pickle.UnpicklingError("the pickle names an extension")
    return _PlainUnpickler(io.BytesIO(payload)).load()


def dump_plain_pickle(value: Any, sequences: frozenset[type] = _LISTS) -> bytes:
    """Pickle data made of JSON's types, dicts and `sequences` with protocol 5.

    Raises TypeError for anything else, subclasses included.
    """
    _require_plain(value, sequences)
    return pickle.dumps(value, protocol=5)


def _require_plain(value: Any, sequences: frozenset[type]) -> None:
    kind = type(value)
    if kind in _PLAIN:
        return
    if kind in sequences:
        for item in value:
            _require_plain(item, sequences)
    elif kind is dict and all(type(key) is str for key in value):
        for item in value.values():
            _require_plain(item, sequences)
    else:
        raise TypeError(f"only JSON-like data can be stored, not {kind.__name__}")


class Pickled(_Column):
    """A pickle of plain data, such as dag_run.conf. A pickle that names any global is read as None, never imported.

    Writing takes JSON-like data only and raises TypeError for anything else.
    """

    impl = LargeBinary
    cache_ok = True
    sequences = _LISTS

    def process_bind_param(self, value: Any, dialect: Dialect) -> bytes | None:
        """Pickle the value; None is SQL NULL."""
        return None if value is None else dump_plain_pickle(value, self.sequences)

    def result_processor(self, dialect: Dialect, coltype: Any) -> Callable[[Any], Any]:
        """Return the function that reads a pickle."""
        unreadable = self.unreadable

        def result(value: Any) -> Any:
            if value is None:
                return None
            if value == _EMPTY_DICT:
                return {}
            try:
                return load_plain_pickle(value)
            except Exception as error:  # a damaged pickle raises nearly every exception there is
                return unreadable(error)

        return result


class PickledConfig(Pickled):
    """A pickled executor_config, which a DAG file writes in Python: it may hold tuples and sets, too."""

    cache_ok = True
    sequences = frozenset({list, tuple, set, frozenset})


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError, TypeError or RecursionError for what is none.

    orjson is four times as fast as the standard parser, but knows no NaN, no lone surrogates and no large integers (it
    makes them floats), which Airflow can write.
    """
    text = text.decode() if isinstance(text, bytes) else text
    if not _MANY_DIGITS.search(text):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    return json.loads(text)


class _JsonColumn(_Column):
    __abstract__ = True
    should_evaluate_none = True  # else the ORM would write SQL NULL where Airflow has the JSON text `null`

    def result_processor(self, dialect: Dialect, coltype: Any) -> Callable[[Any], Any] | None:
        """Return the function that parses the text of a cell."""
        parse, unreadable = parse_json, self.unreadable

        def result(value: Any) -> Any:
            if value is None or isinstance(value, (int, float)):  # SQLite keeps a lone number as a number
                return value
            try:
                return parse(value)
            except (TypeError, ValueError, RecursionError) as error:
                return unreadable(error)

        return result


class Json(_JsonColumn):
    """A column of type JSON. Python's None is written as the JSON text `null`, as Airflow does."""

    impl = JSON
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: Any) -> Callable[[Any], Any] | None:
        """Parse, but on PostgreSQL, which accepts no invalid JSON and whose driver has parsed the value already."""
        return None if dialect.name == "postgresql" else super().result_processor(dialect, coltype)


class JsonText(_JsonColumn):
    """JSON in a column of type TEXT, such as dag.schedule_interval. None is written as the JSON text `null`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """Write the value as Python's json does, which is what Airflow compares with."""
        return json.dumps(value)
