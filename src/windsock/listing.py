"""One slice of a collection: filter, order, page, count, dump."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from flask import Response, after_this_request, request
from sqlalchemy import ColumnElement

from windsock import access, counts, cursors, paging
from windsock.context import context
from windsock.context import operation as current
from windsock.cursors import Position
from windsock.errors import BadRequest
from windsock.filters import Rows, wanted
from windsock.ordering import Key, order_of
from windsock.paging import Slice
from windsock.plans import Plan, plan_of
from windsock.rows import RowSchema, all_narrowed, chosen

_DEFAULT_PAGE = {"limit": ("windsock", "default_page_limit"), "page_limit": ("api", "fallback_page_limit")}


def page(schema: RowSchema, query: dict[str, Any], *conditions: ColumnElement[bool], **values: Any) -> dict[str, Any]:
    """The page of the rows of a schema's model that `query` (the handler's keyword arguments) asks for.

    Filters are those that the document declares with `x-filter`; path values narrow the attribute of the same member
    unless they are `~`; `total_entries` is of what the caller may read, and `counts.way` tells how it was found.
    Further conditions are made once for all requests; `values` are those of their parameters.
    """
    plan = plan_of(schema, chosen(schema, query.get("fields")))
    asked, given = wanted(query)
    values |= given
    member, part, way = _sorted_by(query), _slice(query), counts.way()
    keys = _keys(plan, query, part)
    of = Rows(plan, conditions, asked, access.reach(schema.model))
    number = paging.expected(of, values)
    exact = way == "exact" and part.start is None
    few = paging.few(of, number, exact)
    by = paging.sorting(keys, member, part, few)._replace(counted=few and exact)
    rows = paging.rows(of, by, part, values)
    total = _total(
        part, len(rows), way, lambda: rows[0][-1] if by.counted and rows else _count(of, values, way, number)
    )
    if len(rows) > part.limit:
        last = rows[part.limit - 1][len(plan.columns) :][: len(keys)] if by.shown else []
        _announce_next(part, query, Position(list(last), part.passed + part.limit, {way: total}))
    return {schema.plural: plan.items(rows[: part.limit]), "total_entries": total}


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


def _count(of: Rows, values: dict[str, Any], way: str, expected: int | None) -> int:
    if way == "exact":
        return counts.exact(of, values, expected)
    return counts.estimated(of, values) if expected is None else expected


def _sorted_by(query: dict[str, Any]) -> str | None:
    return None if query.get("order_by") is None else _sortable(query["order_by"])


def _keys(plan: Plan, query: dict[str, Any], part: Slice) -> tuple[Key, ...]:
    keys = order_of(plan, query.get("order_by"))
    if part.by_cursor and not all(key.short for key in keys):
        raise BadRequest(f"cursor: order_by={query['order_by']} has none, as its values may be long; use offset")
    return keys


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
    shown = all_narrowed(items[part.offset : end], query.get("fields"))
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
    path = quote(f"{request.root_path}{request.path}", safe="/~!$&'()*+,:;=@")
    address = f"{request.scheme}://{request.host}{path}"
    if request.method != "POST":
        arguments = {**request.args.to_dict(flat=False), "limit": [part.limit], name: [value]}
        link = f'<{address}?{urlencode(arguments, doseq=True)}>; rel="next"'
    else:
        link = f'<{address}>; rel="next"; {"cursor" if part.by_cursor else "page_offset"}="{value}"'

    @after_this_request
    def _link(response: Response) -> Response:
        response.headers.add("Link", link)
        return response
