"""How many rows a list has: counted, estimated, or only what its page tells (`Prefer: count=...`, RFC 7240)."""

from __future__ import annotations

import re
from typing import Any

import orjson
from flask import Response, after_this_request, request
from sqlalchemy import ColumnElement, Executable, Select, func, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ClauseElement

from windsock import complements, db
from windsock.context import context
from windsock.filters import Rows
from windsock.settings import BY_NAME

WAYS = BY_NAME["windsock", "count"].choices
#: Where there is no planner to ask (SQLite), an estimate counts up to so many rows. So few are counted one by one.
BOUND = 10_000
_COUNT = re.compile(r'(?:^|,)\s*count\s*=\s*"?(\w+)"?\s*(?=[;,]|$)', re.IGNORECASE)


def way() -> str:
    """How this request wants its rows counted; an answer to `Prefer` says that it was heard."""
    asked = request.headers.get("Prefer")
    found = _COUNT.search(asked) if asked else None
    preferred = found[1].lower() if found else ""
    if preferred not in WAYS:
        return context.config.get_choice("windsock", "count")
    after_this_request(_applied(preferred))
    return preferred


def _applied(preferred: str) -> Any:
    def header(response: Response) -> Response:
        response.headers["Preference-Applied"] = f"count={preferred}"
        response.vary.add("Prefer")
        return response

    return header


def exact(of: Rows, values: dict[str, Any], expected: int | None = None) -> int:
    """The number of rows; `values` are those of the filters, `expected` is an estimate if there is one already."""
    make = complements.difference if guessed(of) and _nearly_all(of, values, expected) else _all
    return int(db.rows(make, of, values=values)[0][0])


def guessed(of: Rows) -> bool:
    """Whether there may be so many rows that it pays to ask PostgreSQL first how many it expects."""
    return of.plan.schema.large and context.database.reading.dialect.name == "postgresql"


def _nearly_all(of: Rows, values: dict[str, Any], expected: int | None) -> bool:
    """Whether most of many rows are wanted, as far as the planner knows."""
    around = complements.around(of)
    if around is None:
        return False
    expected = estimated(of, values) if expected is None else expected
    return expected > BOUND and expected > estimated(around, values) / 2


def estimated(of: Rows, values: dict[str, Any]) -> int:
    """What the planner of PostgreSQL expects; SQLite, which has no such thing, counts up to BOUND."""
    if context.database.reading.dialect.name != "postgresql":
        return int(db.rows(_some, of, BOUND, values=values)[0][0])
    found = db.execute(_Explained(_ones(of)), values).scalar_one()
    plan = orjson.loads(found) if isinstance(found, str) else found
    return int(plan[0]["Plan"]["Plan Rows"])


def _all(of: Rows) -> Select[Any]:
    return of.countable().order_by(None).with_only_columns(func.count(), maintain_column_froms=True)


def _some(of: Rows, bound: int) -> Select[Any]:
    return select(func.count()).select_from(_ones(of).limit(bound).subquery())


def _ones(of: Rows) -> Select[Any]:
    one: ColumnElement[int] = literal_column("1").label("one")
    return of.countable().order_by(None).with_only_columns(one, maintain_column_froms=True)


class _Explained(Executable, ClauseElement):
    """How PostgreSQL would execute a statement, as JSON; it is not executed."""

    inherit_cache = False  # a cached text would want to know the columns of its result, which are none of ours

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(_Explained)
def _explain(element: Any, compiler: Any, **kwargs: Any) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.statement, **kwargs)}"
