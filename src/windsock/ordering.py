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
    true,
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
        return Key(column, descending, low, said=high)
    return Key(column, descending, ("first" if descending else "last") if high else low)


class Stretch(NamedTuple):
    """A range of an order. In an `even` one all rows have the same first key, so that the others give the order.

    `early` says that it begins with rows that a page is to skip.
    """

    condition: ColumnElement[bool]
    even: bool = False
    early: bool = False

    def within(self, whole: Stretch) -> Stretch:
        """This part of another stretch."""
        return self._replace(condition=and_(whole.condition, self.condition))


WHOLE = Stretch(true())


@lru_cache(512)
def grouped(keys: tuple[Key, ...]) -> bool:
    """Whether an index sorts by the first key, and none sorts the rows that have it in common."""
    if len(keys) == 1 or not leads_index(keys[0].column):
        return False
    both = [key.column.property.columns[0] for key in keys[:2]]
    table = both[0].table
    sorts = any(list(index.columns)[:2] == both for index in (table.primary_key, *table.indexes))
    return keys[0].descending or not sorts


@lru_cache(512)
def plain(keys: tuple[Key, ...]) -> bool:
    """Whether all keys are ascending, and none is ever null: so that rows can be compared by all of them at once."""
    return not any(key.descending or key.nulls for key in keys)


@lru_cache(512)
def landing(keys: tuple[Key, ...]) -> tuple[Stretch, Stretch]:
    """What comes before the first row that has the keys which are bound as `bounds` names them, and that row and on.

    The keys are plain ones.
    """
    columns = tuple_(*(key.column for key in keys))
    limits = tuple_(*(_bound(keys, number) for number in range(len(keys))))
    return Stretch(columns < limits), Stretch(columns >= limits, early=True)


@lru_cache(512)
def after(keys: tuple[Key, ...], null: bool) -> tuple[Stretch, ...]:
    """What comes after a row, in the order's sequence.

    That row's values of the keys are bound as `bounds` names them; `null` says that it has none of the first key. The
    stretches are several where nulls stand apart, or equals: a single condition with OR would keep an index from being
    used. Keys after the first are ascending and never null.
    """
    first, column = keys[0], keys[0].column
    if not first.descending and first.nulls is None and not grouped(keys):
        return (Stretch(_greater(keys, 0)),)
    bound = _bound(keys, 0)
    further, reached = (column < bound, column <= bound) if first.descending else (column > bound, column >= bound)
    if len(keys) == 1:  # the primary key
        return (Stretch(further),)
    behind = _greater(keys, 1)
    if null:
        found = [Stretch(and_(column.is_(None), behind), grouped(keys))]
        return (*found, Stretch(column.is_not(None))) if first.nulls == "first" else tuple(found)
    if grouped(keys):
        found = [Stretch(and_(column == bound, behind), even=True), Stretch(further)]
    else:
        found = [Stretch(and_(reached, or_(further, behind)))]  # `reached` is for an index
    return (*found, _nulls(keys)) if first.nulls == "last" else tuple(found)


@lru_cache(512)
def parted(keys: tuple[Key, ...], whole: Stretch, null: bool) -> tuple[Stretch, ...]:
    """A stretch in pieces: what comes before the rows with the first key `:edge`, these rows, and what comes after.

    `null` says that they have none. The last piece is for rows that are gone since the edge was looked for.
    """
    first, column = keys[0], keys[0].column
    if null:
        pieces = [Stretch(column.is_not(None)), _nulls(keys)]
    else:
        edge = bindparam("edge", type_=column.type)
        low, high = Stretch(column < edge), Stretch(column > edge)
        same = Stretch(column == edge, even=True)
        pieces = [high, same, low] if first.descending else [low, same, high]
        pieces += [_nulls(keys)] if first.nulls else []
    if first.nulls == "first":
        pieces = [pieces[-1], *pieces[:-1]]
    return tuple(piece.within(whole) for piece in pieces)


def _nulls(keys: tuple[Key, ...]) -> Stretch:
    return Stretch(keys[0].column.is_(None), grouped(keys))


def bounds(values: Sequence[Any]) -> dict[str, Any]:
    """The parameters of the conditions of `after`."""
    return {f"after_{number}": value for number, value in enumerate(values)}


def _bound(keys: tuple[Key, ...], number: int) -> ColumnElement[Any]:
    return bindparam(f"after_{number}", type_=keys[number].column.type)


def _greater(keys: tuple[Key, ...], begin: int) -> ColumnElement[bool]:
    columns = [key.column for key in keys[begin:]]
    limits = [_bound(keys, number) for number in range(begin, len(keys))]
    return columns[0] > limits[0] if len(columns) == 1 else tuple_(*columns) > tuple_(*limits)
