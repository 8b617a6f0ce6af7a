"""What `lists.py` asks for: every list of the document, with each filter, order and end of it, on a filled database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from flask.testing import FlaskClient
from sqlalchemy import Connection, PrimaryKeyConstraint, UniqueConstraint, cast, func, select, text
from sqlalchemy.types import String

from windsock import listing, spec
from windsock.models import Dag, Dataset, DatasetDagRunQueue, TaskInstance, dagrun_dataset_event
from windsock.models import DagRun as Run
from windsock.plans import Plan
from windsock.rows import RowSchema, plan_of
from windsock.spec import Filter, Operation, properties

API = "/api/v1"
#: So many rows are left by the rare value of a range.
FEW = 50


class Case(NamedTuple):
    """One request: what it is called, values of the path and of the query. `open` has neither filter nor order."""

    name: str
    path: dict[str, Any]
    query: dict[str, Any]
    open: bool = False


def answer_of(operation: Operation) -> dict[str, Any]:
    """The members of the answer of an operation; empty when it has none in JSON."""
    content = operation.raw["responses"].get("200", {}).get("content", {})
    return properties(content["application/json"]["schema"]) if "application/json" in content else {}


def plural_of(operation: Operation) -> str | None:
    """The name of the collection in the answer of a list."""
    return next((name for name, member in answer_of(operation).items() if member.get("type") == "array"), None)


#: Every list, those by a batch form too.
LISTS = [o for o in spec.operations().values() if not o.audit and plural_of(o) and "total_entries" in answer_of(o)]


def ask(client: FlaskClient, operation: Operation, case: Case, way: str = "none", limit: int = 100) -> Any:
    """The answer to a case, with its rows counted in that way."""
    path = re.sub(r"{(\w+)}", lambda found: quote(str(case.path[found[1]]), safe="~"), operation.path)
    paged = any(p["name"] == "Prefer" for p in operation.parameters)
    headers = {"Prefer": f"count={way}"}
    if operation.method == "get":
        query = {"limit": limit, **case.query} if paged else case.query
        return client.get(API + path, query_string=query, headers=headers)
    form = {f"page_{name}" if name == "offset" else name: value for name, value in case.query.items()}
    return client.post(API + path, json={"page_limit": limit, **form}, headers=headers)


def cases(client: FlaskClient, operation: Operation, database: Connection) -> Iterator[Case]:
    """All cases of a list. `database` is what the client reads, PostgreSQL, after ANALYZE."""
    paths = list(_paths(operation, database))
    needed = {"dag_ids": ",".join(database.scalars(select(Dag.dag_id).limit(100)))}
    query = {p["name"]: needed[p["name"]] for p in operation.parameters if p["in"] == "query" and p.get("required")}
    for name, path in paths:
        total = _total(client, operation, Case(name, path, query))
        yield Case(f"first{name}, of {total:,}", path, query, open=True)
    if not any(p["name"] == "Prefer" for p in operation.parameters):
        return
    name, path = paths[0]
    total = _total(client, operation, Case(name, path, {}))
    plan = _plan(operation)
    for label, query in _filters(operation, plan, database):
        yield Case(label, path, query)
    orders = [sign + member for member in _indexed(operation, plan) for sign in ("", "-")]
    yield from (Case(f"order_by={order}", path, {"order_by": order}) for order in orders)
    if total > 1000:
        yield Case("middle, by offset", path, {"offset": total // 2})
        for order in ("", *orders[:2]):  # it takes long to find the last page of other orders
            yield from _last(client, operation, Case("last", path, {"order_by": order} if order else {}), total)


def _total(client: FlaskClient, operation: Operation, case: Case) -> int:
    answer = ask(client, operation, case, "exact")
    assert answer.status_code == 200, (operation.id, case, answer.get_json())
    return int(answer.get_json()["total_entries"])


# ---------------------------------------------------------------- paths
def _paths(operation: Operation, database: Connection) -> Iterator[tuple[str, dict[str, Any]]]:
    """Values of the path, with a name: each with and without `~` where that stands for any; the widest first."""
    found = _found(database, operation)
    names = [name for name in re.findall(r"{(\w+)}", operation.path) if name in found]
    if operation.id not in ("get_dag_runs", "get_task_instances", "get_xcom_entries"):
        yield "", {name: found[name] for name in names}
        return
    for bound in product((False, True), repeat=len(names)):
        told = [name for name, one in zip(names, bound, strict=True) if one]
        yield f" of {'+'.join(told)}" if told else "", {n: found[n] if n in told else "~" for n in names}


def _found(database: Connection, operation: Operation) -> dict[str, Any]:
    ti, queue, made = TaskInstance, DatasetDagRunQueue, dagrun_dataset_event.c
    if operation.path.endswith("upstreamDatasetEvents"):
        run = select(Run.dag_id, Run.run_id.label("dag_run_id")).join(dagrun_dataset_event, made.dag_run_id == Run.id)
        return dict(database.execute(run.limit(1)).mappings().one())
    if "queuedEvent" in operation.path:
        queued = select(queue.target_dag_id.label("dag_id"), Dataset.uri).join(Dataset, Dataset.id == queue.dataset_id)
        return dict(database.execute(queued.limit(1)).mappings().one())
    mapped = select(ti.dag_id, ti.run_id.label("dag_run_id"), ti.task_id, ti.map_index).where(ti.map_index > 0)
    if operation.id == "get_task_instance_tries":
        mapped = select(ti.dag_id, ti.run_id.label("dag_run_id"), ti.task_id).where(ti.map_index == -1)
    return dict(database.execute(mapped.offset(50).limit(1)).mappings().one())


# ---------------------------------------------------------------- filters and orders
def _plan(operation: Operation) -> Plan:
    plural = plural_of(operation)
    return plan_of(next(schema for schema in _schemas() if schema.plural == plural)())


def _schemas(parent: Any = RowSchema) -> list[Any]:
    return [c for child in parent.__subclasses__() for c in (*_schemas(child), child)]


def _filters(operation: Operation, plan: Plan, database: Connection) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each filter with a value that leaves few rows, and with one that leaves most."""
    schemas = {p["name"]: p["schema"] for p in operation.parameters} | properties(operation.body or {})
    for name, wanted in operation.filters.items():
        if name in operation.path_names:
            continue
        column = related[1] if (related := plan.related(wanted.field)) else plan.column(wanted.field)
        values = _values(database, column.property.columns[0], wanted)
        for word, value in zip(("few", "most"), values, strict=True):
            listed = schemas[name].get("type") == "array" and operation.method == "post"
            shown = str(value)[:30]
            yield f"{name}={shown} ({word})", {name: [value] if listed else value}


@cache
def _values(database: Connection, column: Any, wanted: Filter) -> tuple[Any, Any]:
    """A rare value and a common one, by what ANALYZE has found; those of a range are of its two ends."""
    if wanted.comparison in ("<", "<=", ">", ">="):
        low = wanted.comparison.startswith("<")
        ends = [(column.asc(), FEW if low else 0.1), (column.desc(), 0.1 if low else FEW)]
        rows = database.scalar(select(func.count(column))) or 0
        found = [
            database.scalar(
                select(cast(column, String) if column.type.python_type is str else column)
                .where(column.is_not(None))
                .order_by(order)
                .limit(1)
                .offset(min(int(rows * skip) if skip < 1 else int(skip), max(rows - 1, 0)))
            )
            for order, skip in (ends if low else reversed(ends))
        ]
        return _text(found[0]), _text(found[1])
    common = database.execute(
        text(
            "SELECT most_common_vals::text::text[], histogram_bounds::text::text[] FROM pg_stats"
            " WHERE tablename = :t AND attname = :c"
        ),
        {"t": column.table.name, "c": column.name},
    ).first()
    most, others = (common[0] or [], common[1] or []) if common else ([], [])
    known = [*most, *others]
    rare = others[len(others) // 2] if others else (most[-1] if most else _any(database, column))
    usual = most[0] if most else (known[0] if known else _any(database, column))
    if wanted.comparison == "like":
        return rare, str(usual)[:1]
    return _typed(column, rare), _typed(column, usual)


def _any(database: Connection, column: Any) -> Any:
    return database.scalar(select(column).where(column.is_not(None)).limit(1)) or "nothing"


def _text(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _typed(column: Any, value: Any) -> Any:
    kind = column.type.python_type
    if kind is bool:
        return "true" if value in (True, "t", "true") else "false"
    return value if value is None else kind(value)


def _indexed(operation: Operation, plan: Plan) -> list[str]:
    """What can be sorted by and is the first column of an index over all rows, or of a key."""
    table = plan.model.__table__
    whole = [index for index in table.indexes if index.dialect_options["postgresql"]["where"] is None]
    keys = [c for c in table.constraints if isinstance(c, PrimaryKeyConstraint | UniqueConstraint)]
    first = {next(iter(one.columns)) for one in (*whole, *keys)}
    return [name for name in operation.sortable if plan.column(name).property.columns[0] in first]


# ---------------------------------------------------------------- the end of a walk
def _last(client: FlaskClient, operation: Operation, case: Case, total: int) -> Iterator[Case]:
    """The last page of a walk; the cursor is that of a page whose offset the server is made to believe."""
    asked = listing._slice
    listing._slice = lambda given: asked(given)._replace(offset=total - 150)  # type: ignore[assignment]
    try:
        answer = ask(client, operation, case._replace(query={**case.query, "cursor": ""}))
    finally:
        listing._slice = asked
    cursor = re.search(r'cursor="([^"]+)"|cursor=([^&>]+)', answer.headers.get("Link", ""))
    if cursor:
        order = f" in order_by={case.query['order_by']}" if case.query else ""
        yield Case(f"last, by cursor{order}", case.path, {**case.query, "cursor": unquote(cursor[1] or cursor[2])})
