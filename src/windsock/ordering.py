"""The total order of a list, and the conditions for what comes after one of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    Float,
    Integer,
    String,
    and_,
    bindparam,
    func,
    inspect,
    or_,
    tuple_,
)

from windsock.context import context
from windsock.plans import Plan

#: Types whose values are short, so that a cursor can hold one. A text has to have a length.
_SHORT = (Integer, Float, Boolean, DateTime)


class Key(NamedTuple):
    """One column of an order. `nulls` is where its nulls stand, `first` or `last`; None when it has none."""

    column: Any
    descending: bool = False
    nulls: str | None = None
    said: bool = False

    @property
    def clause(self) -> ColumnElement[Any]:
        """What stands in ORDER BY."""
        ordered = self.column.desc() if self.descending else self.column.asc()
        if not self.said:
            return ordered
        return ordered.nulls_first() if self.nulls == "first" else ordered.nulls_last()

    def unindexed(self) -> Key:
        """The same key for ORDER BY, where no index can give it: the planner finds the rows first and then sorts."""
        return self._replace(column=func.greatest(self.column))

    @property
    def short(self) -> bool:
        """Whether a cursor can hold its values."""
        kind = getattr(self.column.type, "impl_instance", self.column.type)
        return isinstance(kind, _SHORT) or (isinstance(kind, String) and kind.length is not None)


def order_of(plan: Plan, wanted: str | None) -> tuple[Key, ...]:
    """The order that `order_by` names, else the schema's own; in both, the primary key decides between equals."""
    return _order(plan, wanted, context.database.reading.dialect.name == "postgresql")


@lru_cache(512)
def _order(plan: Plan, wanted: str | None, high: bool) -> tuple[Key, ...]:
    keys = [] if wanted is None else [_key(plan.column(wanted.lstrip("-")), wanted.startswith("-"), high)]
    names = list(plan.schema.order) if wanted is None else []
    names += [column.name for column in inspect(plan.model).primary_key]
    stored = {key.column.property.columns[0] for key in keys}
    for column in (getattr(plan.model, name) for name in dict.fromkeys(names)):
        if column.property.columns[0] not in stored:
            keys.append(Key(column))
    return tuple(keys)


def leads_index(column: Any) -> bool:
    """Whether an index begins with a column."""
    stored = column.property.columns[0]
    return any(index.columns[0] is stored for index in stored.table.indexes)


def _key(column: Any, descending: bool, high: bool) -> Key:
    """Nulls sort as the lowest value on every database, unless that would keep an index from giving the order.

    `high` says that the database itself sorts them as the highest.
    """
    stored = column.property.columns[0]
    if not stored.nullable:
        return Key(column, descending)
    low = "last" if descending else "first"
    if not leads_index(column):
        return Key(column, descending, low, said=True)
    return Key(column, descending, ("first" if descending else "last") if high else low)


@lru_cache(512)
def after(keys: tuple[Key, ...], null: bool) -> tuple[ColumnElement[bool], ...]:
    """Conditions for the rows after another one, each one range of the order, in the order's sequence.

    That row's values of the keys are bound as `bounds` names them; `null` says that it has none of the first key. The
    conditions are several where nulls stand apart: a single one with OR would keep an index from being used. Keys after
    the first are ascending and never null.
    """
    first = keys[0]
    if not first.descending and first.nulls is None:
        return (_greater(keys, 0),)
    column, behind = first.column, _greater(keys, 1) if len(keys) > 1 else None
    if null:
        found = (column.is_(None) if behind is None else and_(column.is_(None), behind),)
        return (*found, column.is_not(None)) if first.nulls == "first" else found
    bound = _bound(keys, 0)
    further, reached = (column < bound, column <= bound) if first.descending else (column > bound, column >= bound)
    found = (further if behind is None else and_(reached, or_(further, behind)),)  # `reached` is for an index
    return (*found, column.is_(None)) if first.nulls == "last" else found


def bounds(values: Sequence[Any]) -> dict[str, Any]:
    """The parameters of the conditions of `after`."""
    return {f"after_{number}": value for number, value in enumerate(values)}


def _bound(keys: tuple[Key, ...], number: int) -> ColumnElement[Any]:
    return bindparam(f"after_{number}", type_=keys[number].column.type)


def _greater(keys: tuple[Key, ...], begin: int) -> ColumnElement[bool]:
    columns = [key.column for key in keys[begin:]]
    limits = [_bound(keys, number) for number in range(begin, len(keys))]
    return columns[0] > limits[0] if len(columns) == 1 else tuple_(*columns) > tuple_(*limits)
