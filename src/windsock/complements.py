"""Counting nearly all rows of a large table by counting those that are left out.

An index counts a whole table, or all rows of a value, sooner than a condition is looked at for each row.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, func, select
from sqlalchemy.orm import aliased

from windsock import access
from windsock.access import Reach
from windsock.filters import Rows, Wanted
from windsock.ordering import Key, landing

_OPPOSITES = {">=": "<", "<=": ">", ">": "<=", "<": ">="}


def around(of: Rows) -> Rows | None:
    """Rows that are counted sooner, and the wanted ones are among them; None where there is no such way."""
    ranges = _range_of(of)
    if ranges:
        return of._replace(reach=Reach.ALL, wanted=_without(of, ranges))
    if of.reach is not Reach.MANY or not (of.asked or of.plan.model.dag_id.nullable):
        return None  # where nothing else is asked for, an index of `dag_id` counts those of a list as soon
    return of._replace(reach=Reach.ALL)


def difference(of: Rows) -> Select[Any]:
    """The number of rows, as that of those around less the others, in one statement and so at one moment."""
    return select(_number(of))


def hidden_before(of: Rows, keys: tuple[Key, ...]) -> Select[Any]:
    """How many rows of DAGs out of reach come, in the order of these keys, before the row that has those bound."""
    earlier, _ = landing(keys)
    return select(_out_of_reach(of._replace(reach=Reach.ALL, conditions=(*of.conditions, earlier.condition))))


def _number(of: Rows) -> ColumnElement[int]:
    if of.reach is Reach.MANY:
        everywhere = of._replace(reach=Reach.ALL)
        return _number(everywhere) - _out_of_reach(everywhere)
    ranges = _range_of(of)
    if ranges is None:
        return _counted(of.countable())
    opposite = ranges._replace(filter=ranges.filter._replace(comparison=_OPPOSITES[ranges.filter.comparison]))
    without = _without(of, ranges)
    others = of._replace(wanted=(*without, opposite))
    return _counted(of._replace(wanted=without).countable()) - _counted(others.countable())


def _range_of(of: Rows) -> Wanted | None:
    """A filter by the range of a related row's column, which means a join with all those rows."""
    found = (one for one in of.wanted if one.filter.comparison in _OPPOSITES)
    return next((one for one in found if of.plan.always_related(one.filter.field)), None)


def _without(of: Rows, left_out: Wanted) -> tuple[Wanted, ...]:
    return tuple(one for one in of.wanted if one is not left_out)


def _counted(statement: Select[Any]) -> ScalarSelect[int]:
    return statement.order_by(None).with_only_columns(func.count(), maintain_column_froms=True).scalar_subquery()


def _out_of_reach(everywhere: Rows) -> ColumnElement[int]:
    """How many of the rows are of DAGs that the caller may not touch: each of those is looked up in an index."""
    model = everywhere.plan.model
    ids = _dag_ids(model)
    each = _counted(everywhere.countable().where(model.dag_id == ids.c.dag_id).correlate(ids))
    return select(func.coalesce(func.sum(each), 0)).where(access.beyond(ids.c.dag_id)).scalar_subquery()


def _dag_ids(model: type[Any]) -> Any:
    """All values of `dag_id`, at last NULL: an index is asked for the next one each time, so rows do not matter."""
    first, further = aliased(model), aliased(model)
    ids = select(func.min(first.dag_id).label("dag_id")).cte("ids", recursive=True)
    following = select(func.min(further.dag_id)).where(further.dag_id > ids.c.dag_id).scalar_subquery()
    return ids.union_all(select(following).where(ids.c.dag_id.is_not(None)))
