"""How long every list of the document takes on a large database, for each caller: p50 and p95 in milliseconds.

    .venv/bin/python bench/lists.py --database URL [--caller all --caller each] [--rounds 20] [--only get_event_logs]

The URL is that of a database that `windsock demo load` has filled. Each page is asked for in this process, through the
whole application, with 100 entries. Of every list: the first page; each filter with a value that the list has; each
order by a column that an index begins with, both ways; a page in the middle by `offset`; and the pages in the middle
and at the end of a walk by `cursor`. What takes longer than `--limit` milliseconds at p95 is marked. See
bench/README.md.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

from flask import Request
from flask.testing import FlaskClient
from sqlalchemy import PrimaryKeyConstraint, UniqueConstraint, bindparam, create_engine, select

from windsock import listing, spec
from windsock.app import create_app
from windsock.callers import Caller, find_caller
from windsock.config import Config
from windsock.context import KEY
from windsock.models import TaskInstance, User
from windsock.rows import RowSchema, plan_of
from windsock.spec import Operation, properties

API = "/api/v1"
LISTS = [o for o in spec.operations().values() if not o.audit and any(p["name"] == "Prefer" for p in o.parameters)]
WAYS = ("exact", "estimated", "none")
Case = tuple[str, dict[str, Any]]


def main() -> None:
    options = _options()
    config = Config(
        {
            ("database", "sql_alchemy_conn"): options.database,
            ("webserver", "secret_key"): "only for the benchmark",
        }
    )
    app = create_app(config)
    app.extensions[KEY].backends = [_named]  # no password: the benchmark is about lists
    paths = _paths(options.database)
    print("| list | page | caller | " + " | ".join(f"{way}: p50, p95" for way in WAYS) + " |")
    print("|---|---|---|" + "---:|" * len(WAYS))
    for operation in (o for o in LISTS if not options.only or o.id in options.only):
        for caller in options.caller:
            client = app.test_client()
            client.environ_base["HTTP_AUTHORIZATION"] = f"Name {caller}"
            for name, query in _cases(client, operation, paths):
                cells = [_cell(_time(client, operation, paths, query, way, options), options.limit) for way in WAYS]
                print(f"| {operation.id} | {name} | {caller} | {' | '.join(cells)} |", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--database", required=True)
    parser.add_argument("--caller", action="append", help="name and password of a user (default: all and each)")
    parser.add_argument("--only", action="append", help="operationId of a list; may be repeated")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--limit", type=float, default=200, help="milliseconds at p95 (default 200)")
    parser.add_argument("--patience", type=float, default=4, help="seconds after which no further round is begun")
    options = parser.parse_args()
    options.caller = options.caller or ["all", "each"]
    return options


def _named(request: Request) -> Caller | None:
    name = request.headers["Authorization"].removeprefix("Name ")
    return find_caller(User.username == bindparam("name"), name=name)


_named.challenge = "Name"  # type: ignore[attr-defined]


def _paths(database: str) -> dict[str, dict[str, str]]:
    """Values in the paths of the lists that belong to one task or run."""
    url = database.replace("postgresql://", "postgresql+psycopg://")
    ti = TaskInstance
    with create_engine(url).connect() as connection:
        mapped = connection.execute(select(ti.dag_id, ti.run_id, ti.task_id).where(ti.map_index > 0).limit(1)).one()
    anything = {"dag_id": "~", "dag_run_id": "~", "task_id": "~"}
    return {
        "get_mapped_task_instances": dict(zip(("dag_id", "dag_run_id", "task_id"), mapped, strict=True)),
        **dict.fromkeys(("get_dag_runs", "get_task_instances", "get_xcom_entries"), anything),
    }


# ---------------------------------------------------------------- pages
def _ask(client: FlaskClient, operation: Operation, paths: Any, query: dict[str, Any], way: str = "none") -> Any:
    path = operation.path
    for name, value in paths.get(operation.id, {}).items():
        path = path.replace("{" + name + "}", quote(value, safe="~"))
    headers = {"Prefer": f"count={way}"}
    if operation.method == "get":
        return client.get(API + path, query_string={"limit": 100, **query}, headers=headers)
    form = {f"page_{name}" if name in ("limit", "offset") else name: value for name, value in query.items()}
    return client.post(API + path, json={"page_limit": 100, **form}, headers=headers)


def _cases(client: FlaskClient, operation: Operation, paths: Any) -> Iterator[Case]:
    first = _ask(client, operation, paths, {}, "exact")
    assert first.status_code == 200, first.get_json()
    members = properties(operation.raw["responses"]["200"]["content"]["application/json"]["schema"])
    plural = next(name for name, member in members.items() if member.get("type") == "array")
    items, total = first.get_json()[plural], first.get_json()["total_entries"]
    yield f"first of {total:,} rows", {}
    yield from _filters(operation, items[len(items) // 2])
    for name in _indexed(operation, plural):
        yield f"order_by={name}", {"order_by": name}
        yield f"order_by=-{name}", {"order_by": f"-{name}"}
    if total > 1000:
        yield "middle, offset", {"offset": total // 2}
        for order in ("", *(sign + name for name in _indexed(operation, plural)[:1] for sign in ("", "-"))):
            yield from _deep(client, operation, paths, {"order_by": order} if order else {}, total)


def _filters(operation: Operation, item: dict[str, Any]) -> Iterator[Case]:
    schemas = {p["name"]: p["schema"] for p in operation.parameters} | properties(operation.body or {})
    for name, wanted in operation.filters.items():
        if name in operation.path_names:
            continue
        value = item.get(wanted.field)
        if value is None and wanted.field in ("updated_at",):
            value = item.get("start_date")
        if isinstance(value, list):
            value = value[0]["name"] if value and "name" in value[0] else None
        if value is None or isinstance(value, dict):
            continue
        as_list = schemas[name].get("type") == "array" and operation.method == "post"
        yield (
            f"{name}={str(value)[:30]}",
            {name: [value] if as_list else str(value).lower() if isinstance(value, bool) else value},
        )


def _indexed(operation: Operation, plural: str) -> list[str]:
    """What can be sorted by and is the first column of an index over all rows, or of a key."""
    plan = plan_of(next(schema for schema in _schemas() if schema.plural == plural)())
    table = plan.model.__table__
    whole = [index for index in table.indexes if index.dialect_options["postgresql"]["where"] is None]
    keys = [c for c in table.constraints if isinstance(c, PrimaryKeyConstraint | UniqueConstraint)]
    first = {next(iter(one.columns)) for one in (*whole, *keys)}
    return [name for name in operation.sortable if plan.column(name).property.columns[0] in first]


def _schemas(parent: Any = RowSchema) -> list[Any]:
    return [c for child in parent.__subclasses__() for c in (*_schemas(child), child)]


def _deep(client: FlaskClient, operation: Operation, paths: Any, query: dict[str, Any], total: int) -> Iterator[Case]:
    """The last page of a walk; the cursor is that of a page whose offset the server is made to believe."""
    asked = listing._slice
    listing._slice = lambda given: asked(given)._replace(offset=total - 250)  # type: ignore[assignment]
    try:
        answer = _ask(client, operation, paths, {**query, "cursor": ""})
    finally:
        listing._slice = asked
    link = answer.headers.get("Link", "")
    cursor = re.search(r'cursor="([^"]+)"|cursor=([^&>]+)', link)
    if cursor:
        name = f"last, cursor {query.get('order_by', '')}".strip()
        yield name, {**query, "cursor": unquote(cursor[1] or cursor[2])}


# ---------------------------------------------------------------- times
def _time(
    client: FlaskClient, operation: Operation, paths: Any, query: dict[str, Any], way: str, options: argparse.Namespace
) -> list[float]:
    found: list[float] = []
    begun = time.perf_counter()
    for number in range(options.rounds + 1):
        start = time.perf_counter()
        response = _ask(client, operation, paths, query, way)
        taken = (time.perf_counter() - start) * 1000
        if response.status_code != 200:
            print(operation.id, query, response.get_data(as_text=True), file=sys.stderr)
            return [float("nan")]
        if number:  # the first one plans and reads from the disk
            found.append(taken)
        if found and time.perf_counter() - begun > options.patience:
            break
    return found


def _cell(times: list[float], limit: float) -> str:
    ordered = sorted(times)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    text = f"{statistics.median(times):,.0f}, {p95:,.0f}"
    return f"**{text}**" if p95 > limit else text


if __name__ == "__main__":
    main()
