"""The total order of a list, and the conditions for what comes after one of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    Float,
    Integer,
    String,
    and_,
    func,
    inspect,
    literal,
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
    keys = [] if wanted is None else [_key(plan.column(wanted.lstrip("-")), wanted.startswith("-"))]
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


def _key(column: Any, descending: bool) -> Key:
    """Nulls sort as the lowest value on every database, unless that would keep an index from giving the order."""
    stored = column.property.columns[0]
    if not stored.nullable:
        return Key(column, descending)
    low = "last" if descending else "first"
    if not leads_index(column):
        return Key(column, descending, low, said=True)
    high = "first" if descending else "last"
    return Key(column, descending, high if context.database.reading.dialect.name == "postgresql" else low)


def after(keys: Sequence[Key], values: Sequence[Any]) -> list[ColumnElement[bool]]:
    """Conditions for the rows after the one with these values, each one range of the order, in the order's sequence.

    They are several where nulls stand apart: a single condition with OR would keep an index from being used. Keys
    after the first are ascending and never null.
    """
    first, value = keys[0], values[0]
    if not first.descending and first.nulls is None:
        return [_greater(keys, values)]
    column = first.column
    behind = _greater(keys[1:], values[1:]) if len(keys) > 1 else None
    if value is None:
        found = [column.is_(None) if behind is None else and_(column.is_(None), behind)]
        return [*found, column.is_not(None)] if first.nulls == "first" else found
    bound = literal(value, column.type)
    further, reached = (column < bound, column <= bound) if first.descending else (column > bound, column >= bound)
    found = [further if behind is None else and_(reached, or_(further, behind))]  # `reached` is for an index
    return [*found, column.is_(None)] if first.nulls == "last" else found


def _greater(keys: Sequence[Key], values: Sequence[Any]) -> ColumnElement[bool]:
    columns = [key.column for key in keys]
    bounds = [literal(value, column.type) for column, value in zip(columns, values, strict=True)]
    if len(columns) == 1:
        return columns[0] > bounds[0]
    return tuple_(*columns) > tuple_(*bounds)
