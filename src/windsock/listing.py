"""One slice of a collection: filter, order, page, count, dump."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import urlencode

from flask import Response, after_this_request, request
from sqlalchemy import ColumnElement, Select, or_
from werkzeug.urls import iri_to_uri

from windsock import access, counts, cursors
from windsock.callers import ANY
from windsock.context import context
from windsock.context import operation as current
from windsock.cursors import Position
from windsock.errors import BadRequest
from windsock.ordering import Key, after, leads_index, order_of
from windsock.plans import Plan, plan_of
from windsock.rows import RowSchema, chosen, narrowed
from windsock.spec import Filter

_COMPARE = {"=": operator.eq, ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
#: The longest text that any column holds which a pattern may be for; SQLite fails at 50,000 bytes.
_LONGEST_PATTERN = 3000
_COUNTS = {"exact": counts.exact, "estimated": counts.estimated}
#: So many rows are sorted sooner than others are read in their order.
_FEW = 5000
_DEFAULT_PAGE = {"limit": ("windsock", "default_page_limit"), "page_limit": ("api", "fallback_page_limit")}


class Slice(NamedTuple):
    """Which rows a page has: it skips `offset` rows, or starts after `start`, which is None at the start of a walk."""

    limit: int
    offset: int = 0
    by_cursor: bool = False
    start: Position | None = None

    @property
    def passed(self) -> int:
        """How many rows come before the page."""
        return self.start.passed if self.start else self.offset


def page(statement: Select[Any], schema: RowSchema, query: dict[str, Any]) -> dict[str, Any]:
    """The page of `select(model)` that `query` (the handler's keyword arguments) asks for.

    Filters are those that the document declares with `x-filter`; path values narrow the attribute of the same member
    unless they are `~`; `total_entries` is of what the caller may read, and `counts.way` tells how it was found.
    """
    plan = plan_of(schema, chosen(schema, query.get("fields")))
    wanted, sorted_by = _wanted(query), _sorted_by(query)
    names = [which.field for which, _ in wanted]
    statement = statement.where(*(condition(plan, which, value) for which, value in wanted))
    part, way = _slice(query), counts.way()
    order = _order(plan, query, part)
    countable = plan.join_for(access.scope(statement, schema.model, counting=True), names)
    few = _few(plan, wanted, countable)
    rows = _rows(plan.join(statement, [*names, *sorted_by]), order, part, (plan, few is not None))
    total = _total(part, len(rows), way, lambda: _COUNTS[way](countable) if few is None else few)
    if len(rows) > part.limit:
        last = rows[part.limit - 1][len(plan.columns) :]
        _announce_next(part, query, Position(list(last), part.passed + part.limit, {way: total}))
    return {schema.plural: plan.items(rows[: part.limit]), "total_entries": total}


def _few(plan: Plan, wanted: list[tuple[Filter, Any]], countable: Select[Any]) -> int | None:
    """How many rows there are, if an index finds them and they are few among very many (PostgreSQL).

    Its planner then takes them for evenly spread, reads all others in the order of the page and finds too little.
    """
    if not plan.schema.sparse or context.database.reading.dialect.name != "postgresql":
        return None
    if not any(which.comparison in ("=", "in") and leads_index(plan.column(which.field)) for which, _ in wanted):
        return None
    found = counts.up_to(_FEW, countable)
    return found if found < _FEW else None


def _rows(statement: Select[Any], order: tuple[Key, ...], part: Slice, of: tuple[Plan, bool]) -> list[Any]:
    """The rows of a page and the first of the next, if there is one; for a cursor, with the values they are sorted by.

    Starting after a row costs the same wherever it is; skipping rows means reading them.
    """
    plan, few = of
    also = [key.column for key in order] if part.by_cursor else []
    sorting = [order[0].unindexed(), *order[1:]] if few else order
    found = access.scope(statement, plan.model).order_by(*(key.clause for key in sorting))
    if part.start is None:
        return list(plan.rows(found.limit(part.limit + 1).offset(part.offset), also))
    rows: list[Any] = []
    for stretch in after(order, part.start.values):
        rows += plan.rows(found.where(stretch).limit(part.limit + 1 - len(rows)), also)
        if len(rows) > part.limit:
            break
    return rows


def _total(part: Slice, rows: int, way: str, count: Callable[[], int]) -> int:
    """What is known, or counted in that way; a client that goes on while `offset < total_entries` misses no row.

    `rows` is one more than the limit if there are more rows.
    """
    shown, more = min(rows, part.limit), rows > part.limit
    seen = part.passed + shown
    if not more and (shown or part.start or not part.offset):
        return seen
    if part.start and way in part.start.counted:
        return max(part.start.counted[way], seen + 1)  # one count for a whole walk
    if way == "none":
        return seen + more
    found = count()
    if more:
        return max(found, seen + 1)
    return found if way == "exact" else min(found, seen)


def _wanted(query: dict[str, Any]) -> list[tuple[Filter, Any]]:
    wanted = [(f, query[name]) for name, f in current().filters.items() if query.get(name) not in (None, [])]
    wanted += [(Filter(n, "="), query[n]) for n in current().path_names if query.get(n, ANY) != ANY]
    return wanted


def condition(plan: Plan, wanted: Filter, value: Any) -> ColumnElement[bool]:
    """The SQL condition for one filter and its value."""
    to_many = plan.related(wanted.field)
    if to_many:
        relationship, column = to_many
        return relationship.any(column.in_(value))
    column = plan.column(wanted.field)
    if wanted.comparison in ("in", "not in"):
        return _among(column, value.split(",") if isinstance(value, str) else value, wanted.comparison == "in")
    if wanted.comparison == "like":
        if len(value) > _LONGEST_PATTERN:
            raise BadRequest(f"A pattern has {len(value)} characters; it may have {_LONGEST_PATTERN}")
        return column.ilike(f"%{value}%")
    return _COMPARE[wanted.comparison](column, value)


def _among(column: Any, values: Iterable[Any], included: bool) -> ColumnElement[bool]:
    """IN, where None, and for states the word `none`, stands for rows that hold no value."""
    values = list(values)
    nothing = (None, "none") if column.key == "state" else (None,)
    known = [v for v in values if v not in nothing]
    found = column.in_(known) if len(known) == len(values) else or_(column.in_(known), column.is_(None))
    return found if included else ~found


def _sorted_by(query: dict[str, Any]) -> list[str]:
    return [] if query.get("order_by") is None else [_sortable(query["order_by"])]


def _order(plan: Plan, query: dict[str, Any], part: Slice) -> tuple[Key, ...]:
    order = order_of(plan, query.get("order_by"))
    if part.by_cursor and not all(key.short for key in order):
        raise BadRequest(f"cursor: order_by={query['order_by']} has none, as its values may be long; use offset")
    return order


def slice_of(items: list[dict[str, Any]], plural: str, query: dict[str, Any]) -> dict[str, Any]:
    """The page of a short list that is already in memory, sorted as `order_by` asks; nulls first when ascending."""
    wanted = query.get("order_by")
    if wanted is not None:
        name = _sortable(wanted)
        items = sorted(
            items, key=lambda item: (item[name] is not None, item[name] or 0), reverse=wanted.startswith("-")
        )
    part = _slice(query)
    end = part.offset + part.limit
    if end < len(items):
        _announce_next(part, query, Position([], end, {}))
    shown = [narrowed(item, query.get("fields")) for item in items[part.offset : end]]
    return {plural: shown, "total_entries": len(items)}


def _sortable(wanted: str) -> str:
    name = wanted.lstrip("-")
    if name not in current().sortable:
        raise BadRequest(f"order_by: {wanted!r} is not sortable; use one of {', '.join(current().sortable)}")
    return name


def _slice(query: dict[str, Any]) -> Slice:
    """What page is asked for; a limit of 0 means the default, and the server's maximum wins silently but for the Link.

    Raises BadRequest for a cursor that does not fit, or one beside an offset.
    """
    config = context.config
    limit = query.get("page_limit") or ("limit" in request.args and query.get("limit"))
    if not limit:  # the document's default is that of the setting, so the one it states is not looked at
        limit = config.get_int(*_DEFAULT_PAGE["limit" if request.method in ("GET", "HEAD") else "page_limit"])
    limit = min(limit, config.get_int("api", "maximum_page_limit"))
    cursor = query.get("cursor")
    if cursor is None:
        return Slice(limit, query.get("offset", query.get("page_offset")) or 0)
    if query.get("offset") or query.get("page_offset"):  # an offset of 0 skips nothing
        raise BadRequest("cursor: a page starts after a cursor or at an offset; leave one of the two out")
    return Slice(limit, by_cursor=True, start=cursors.read(cursor, query) if cursor else None)


def _announce_next(part: Slice, query: dict[str, Any], last: Position) -> None:
    """Say in a Link header that there is more; a batch form has to be sent again with the parameter that it gives."""
    name, value = ("cursor", cursors.write(last, query)) if part.by_cursor else ("offset", str(last.passed))
    address = iri_to_uri(request.base_url)  # a header holds no letter beyond Latin-1, an id may
    if request.method != "POST":
        arguments = {**request.args.to_dict(flat=False), "limit": [part.limit], name: [value]}
        link = f'<{address}?{urlencode(arguments, doseq=True)}>; rel="next"'
    else:
        link = f'<{address}>; rel="next"; {"cursor" if part.by_cursor else "page_offset"}="{value}"'

    @after_this_request
    def _link(response: Response) -> Response:
        response.headers["Link"] = link
        return response
