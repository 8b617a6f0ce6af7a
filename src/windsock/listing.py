"""One slice of a collection: filter, order, page, count, dump."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from flask import Response, after_this_request, request
from sqlalchemy import ColumnElement, Select, func, inspect, or_
from werkzeug.urls import iri_to_uri

from windsock import access, db
from windsock.callers import ANY
from windsock.context import context
from windsock.context import operation as current
from windsock.errors import BadRequest
from windsock.plans import Plan, plan_of
from windsock.rows import RowSchema, chosen
from windsock.spec import Filter

_COMPARE = {"=": operator.eq, ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
#: The longest text that any column holds which a pattern may be for; SQLite fails at 50,000 bytes.
_LONGEST_PATTERN = 3000
_DEFAULT_PAGE = {"limit": ("windsock", "default_page_limit"), "page_limit": ("api", "fallback_page_limit")}


def page(statement: Select[Any], schema: RowSchema, query: dict[str, Any]) -> dict[str, Any]:
    """The page of `select(model)` that `query` (the handler's keyword arguments) asks for.

    Filters are those that the document declares with `x-filter`; path values narrow the attribute of the same member
    unless they are `~`; `total_entries` counts what the caller may read.
    """
    plan = plan_of(schema, chosen(schema, query.get("fields")))
    wanted = _wanted(query)
    statement = statement.where(*(condition(plan, which, value) for which, value in wanted))
    limit, offset = _slice(query)
    readable = access.scope(plan.join(statement), schema.model)
    items = plan.fetch(_ordered(readable, plan, query).limit(limit).offset(offset))
    total = offset + len(items)
    if len(items) == limit or (offset and not items):
        statement = access.scope(statement, schema.model, counting=True)
        total = _count(plan.join(statement) if any(plan.joins(which.field) for which, _ in wanted) else statement)
    if offset + len(items) < total:
        _announce_next(limit, offset + limit)
    return {schema.plural: items, "total_entries": total}


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


def _ordered(statement: Select[Any], plan: Plan, query: dict[str, Any]) -> Select[Any]:
    wanted = query.get("order_by")
    if wanted is not None:
        column = plan.column(_sortable(wanted))
        statement = statement.order_by(None).order_by(_direction(column, wanted.startswith("-")))
    return statement.order_by(*(getattr(plan.model, c.name) for c in inspect(plan.model).primary_key))


def slice_of(items: list[dict[str, Any]], plural: str, query: dict[str, Any]) -> dict[str, Any]:
    """The page of a short list that is already in memory, sorted as `order_by` asks; nulls first when ascending."""
    wanted = query.get("order_by")
    if wanted is not None:
        name = _sortable(wanted)
        items = sorted(
            items, key=lambda item: (item[name] is not None, item[name] or 0), reverse=wanted.startswith("-")
        )
    limit, offset = _slice(query)
    if offset + limit < len(items):
        _announce_next(limit, offset + limit)
    return {plural: items[offset : offset + limit], "total_entries": len(items)}


def _sortable(wanted: str) -> str:
    name = wanted.lstrip("-")
    if name not in current().sortable:
        raise BadRequest(f"order_by: {wanted!r} is not sortable; use one of {', '.join(current().sortable)}")
    return name


def _direction(column: Any, descending: bool) -> ColumnElement[Any]:
    """Nulls sort as the lowest value on every database, unless that would keep an index from giving the order."""
    ordered = column.desc() if descending else column.asc()
    stored = column.property.columns[0]
    if not stored.nullable or any(index.columns[0] is stored for index in stored.table.indexes):
        return ordered
    return ordered.nulls_last() if descending else ordered.nulls_first()


def _slice(query: dict[str, Any]) -> tuple[int, int]:
    """Limit and offset; 0 means the default page, and the server's maximum wins silently but for the Link header."""
    config = context.config
    limit = query.get("page_limit") or ("limit" in request.args and query.get("limit"))
    if not limit:  # the document's default is that of the setting, so the one it states is not looked at
        limit = config.get_int(*_DEFAULT_PAGE["limit" if request.method == "GET" else "page_limit"])
    return min(limit, config.get_int("api", "maximum_page_limit")), query.get("offset", query.get("page_offset")) or 0


def _count(statement: Select[Any]) -> int:
    counted = statement.order_by(None).with_only_columns(func.count(), maintain_column_froms=True)
    return db.execute(counted).scalar_one()


def _announce_next(limit: int, offset: int) -> None:
    """Say in a Link header that there is more; a batch form has to be sent again with the given page_offset."""
    address = iri_to_uri(request.base_url)  # a header holds no letter beyond Latin-1, an id may
    if request.method != "POST":
        arguments = {**request.args.to_dict(flat=False), "limit": [limit], "offset": [offset]}
        link = f'<{address}?{urlencode(arguments, doseq=True)}>; rel="next"'
    else:
        link = f'<{address}>; rel="next"; page_offset="{offset}"'

    @after_this_request
    def _link(response: Response) -> Response:
        response.headers["Link"] = link
        return response
