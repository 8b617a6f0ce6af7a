"""Which rows a list has: its filters, as statements that are the same for all values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Select, bindparam, func, or_, select

from windsock import access
from windsock.access import Reach
from windsock.callers import ANY
from windsock.context import operation as current
from windsock.errors import BadRequest
from windsock.ordering import Key, Stretch, leads_index
from windsock.plans import Plan
from windsock.spec import Filter

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
#: How many rows a statement has, and how many come before them.
_ROWS = bindparam("page_rows", type_=BigInteger())
_START = bindparam("page_start", type_=BigInteger())
#: The longest text that any column holds which a pattern may be for; SQLite fails at 50,000 bytes.
_LONGEST_PATTERN = 3000


class Wanted(NamedTuple):
    """One filter. Its value is bound by `name`; `nothing` says that rows without a value are wanted, too."""

    name: str
    filter: Filter
    nothing: bool = False

    def condition(self, plan: Plan) -> ColumnElement[bool]:
        """The SQL condition."""
        to_many = plan.related(self.filter.field)
        if to_many:
            relationship, column = to_many
            return relationship.any(column.in_(bindparam(self.name, expanding=True)))
        column = plan.column(self.filter.field)
        comparison = self.filter.comparison
        if comparison in ("in", "not in"):
            among = column.in_(bindparam(self.name, expanding=True))
            found = or_(among, column.is_(None)) if self.nothing else among
            return found if comparison == "in" else ~found
        if comparison == "like":
            return column.ilike(bindparam(self.name))
        return _COMPARE[comparison](column, bindparam(self.name))


class Rows(NamedTuple):
    """Which rows, whatever the values: the shape of the statements of one list. `conditions` are made once for all."""

    plan: Plan
    conditions: tuple[ColumnElement[bool], ...]
    wanted: tuple[Wanted, ...]
    reach: Reach

    def countable(self) -> Select[Any]:
        """A statement that has all of the rows, to be counted."""
        narrowed = access.narrow(self._statement(), self.plan.model, self.reach, counting=True)
        return self.plan.join_for(narrowed, self._members())

    def _statement(self) -> Select[Any]:
        found = select(self.plan.model).where(*self.conditions)
        return found.where(*(one.condition(self.plan) for one in self.wanted))

    def _members(self, sorting: Sorting | None = None) -> list[str]:
        names = [one.filter.field for one in self.wanted]
        return names if sorting is None or sorting.member is None else [*names, sorting.member]

    @property
    def indexed(self) -> bool:
        """Whether an index finds the rows by one of the filters."""
        equal = (one.filter.field for one in self.wanted if one.filter.comparison in ("=", "in"))
        return any(leads_index(self.plan.column(field)) for field in equal)

    @property
    def asked(self) -> bool:
        """Whether something else narrows the rows than a path that names a DAG, of which an index finds all rows."""
        names = {one.name for one in self.wanted}
        return bool(names - current().path_names) or ("dag_id" not in names and bool(names or self.conditions))

    def page(self, sorting: Sorting, stretch: Stretch | None) -> Select[Any]:
        """The rows in an order, or in a stretch of it: `:page_rows` of them, if need be from `:page_start` on."""
        even = stretch is not None and stretch.even
        plan, members = self.plan, self._members(sorting)
        found = access.narrow(self._statement(), plan.model, self.reach).order_by(*sorting.clauses(even))
        found = found.limit(_ROWS)
        if stretch is not None:
            found = found.where(stretch.condition)
        if stretch is None or stretch.early:
            found = found.offset(_START)
        shown = [key.column for key in sorting.keys] if sorting.shown else []
        if not sorting.late:
            return plan.selected(plan.join(found, members), shown)
        found, keys = plan.join_late(found, members, func.count().over().label("all_rows") if sorting.counted else None)
        shown += [keys.all_rows] if sorting.counted else []
        return plan.selected(found, shown).order_by(*sorting._replace(few=False).clauses(even))

    def edge(self, sorting: Sorting, stretch: Stretch) -> Select[Any]:
        """The first key of the row that `:page_start` rows of a stretch come before."""
        first = sorting.keys[0]
        narrowed = access.narrow(self._statement().where(stretch.condition), self.plan.model, self.reach)
        found = self.plan.join_for(narrowed, self._members(sorting)).order_by(first.clause).limit(1)
        return found.offset(_START).with_only_columns(first.column, maintain_column_froms=True)

    def landing(self, keys: tuple[Key, ...]) -> Select[Any]:
        """Of `:page_rows` rows from `:page_start` on: the last ones that have these keys in common.

        These keys, how many rows have them, and how many there are in all.
        """
        columns = [key.column for key in keys]
        narrowed = access.narrow(self._statement(), self.plan.model, self.reach)
        found = self.plan.join_for(narrowed, self._members()).order_by(*columns).limit(_ROWS).offset(_START)
        rows = found.with_only_columns(*columns, maintain_column_froms=True).subquery()
        number = func.count()
        grouped = select(*rows.c, number, func.sum(number).over()).group_by(*rows.c)
        return grouped.order_by(*(column.desc() for column in rows.c)).limit(1)


class Sorting(NamedTuple):
    """How a page is sorted: by these keys, since `member` was asked for.

    `shown` asks for the values of the keys, too. `few` says that there are few rows: they are found first, then sorted.
    `late` says that other tables are to be joined only when it is known which rows are on the page. `counted` asks for
    the number of all rows, at the end of each: where all are found before one is shown, that costs nothing.
    """

    keys: tuple[Key, ...]
    member: str | None
    shown: bool
    few: bool
    late: bool
    counted: bool = False

    def clauses(self, even: bool) -> list[ColumnElement[Any]]:
        """What stands in ORDER BY; where all rows have the same first key, without it."""
        first, *others = self.keys[1:] if even else self.keys
        return [(first.unindexed() if self.few else first).clause, *(key.clause for key in others)]


def wanted(query: dict[str, Any]) -> tuple[tuple[Wanted, ...], dict[str, Any]]:
    """The filters that a query asks for, and their values.

    They are those that the document declares with `x-filter`; path values narrow the attribute of the same member
    unless they are `~`. Raises BadRequest for a pattern that is too long.
    """
    operation, found, values = current(), [], {}
    for name, filter in operation.filters.items():
        value = query.get(name)
        if value is not None and value != []:
            one, values[name] = _want(name, filter, value)
            found.append(one)
    for name in operation.path_names:
        value = query.get(name, ANY)
        if value != ANY:
            values[name] = value
            found.append(_of_path(name))
    return tuple(found), values


@lru_cache(64)
def _of_path(name: str) -> Wanted:
    return Wanted(name, Filter(name, "="))


def _want(name: str, filter: Filter, value: Any) -> tuple[Wanted, Any]:
    if filter.comparison in ("in", "not in"):
        return _among(name, filter, value.split(",") if isinstance(value, str) else value)
    if filter.comparison == "like":
        if len(value) > _LONGEST_PATTERN:
            raise BadRequest(f"A pattern has {len(value)} characters; it may have {_LONGEST_PATTERN}")
        return Wanted(name, filter), f"%{value}%"
    return Wanted(name, filter), value


def _among(name: str, filter: Filter, values: Iterable[Any]) -> tuple[Wanted, list[Any]]:
    """IN, where None, and for states the word `none`, stands for rows that hold no value."""
    values = list(values)
    nothing = (None, "none") if filter.field == "state" else (None,)
    known = [value for value in values if value not in nothing]
    return Wanted(name, filter, len(known) < len(values)), known
