"""How long every list of the document takes on a large database, for each caller: p50 and p95 in milliseconds.

    .venv/bin/python bench/lists.py --database URL [--caller all --caller each] [--only get_event_logs] [--plans 10]

The URL is that of a PostgreSQL database that `windsock demo load` has filled; its user has to be a superuser for
`--plans`, which prints what the server itself says of the slowest cases. Each page is asked for in this process,
through the whole application, with 100 entries. See bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from cases import LISTS, Case, ask, cases
from flask import Flask, Request
from flask.testing import FlaskClient
from sqlalchemy import bindparam, create_engine, event

from windsock.app import create_app
from windsock.callers import Caller, find_caller
from windsock.config import Config
from windsock.context import KEY
from windsock.counts import WAYS
from windsock.models import User
from windsock.spec import Operation

#: Makes the server say how it executed each statement, those inside of it too.
EXPLAIN = (
    "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_analyze = on;"
    " SET auto_explain.log_buffers = on; SET client_min_messages = log"
)


def main() -> None:
    """Measure, print a table in Markdown, then the plans of the slowest."""
    options = _options()
    app, found = application(options.database), []
    print("| list | page | caller | " + " | ".join(f"{way}: p50, p95" for way in WAYS) + " |")
    print("|---|---|---|" + "---:|" * len(WAYS))
    database = create_engine(options.database.replace("postgresql://", "postgresql+psycopg://")).connect()
    for operation in (o for o in LISTS if not options.only or o.id in options.only):
        for caller in options.caller:
            client = client_of(app, caller)
            for case in cases(client, operation, database):
                if options.open and not case.open:
                    break
                times = [_time(client, operation, case, way, options) for way in WAYS]
                found.append((operation, caller, case, times))
                cells = [_cell(one, options.limit) for one in times]
                print(f"| {operation.id} | {case.name} | {caller} | {' | '.join(cells)} |", flush=True)
    _summary(found, options)
    if options.save:
        _save(options.save, found)
    _plans(found, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--database", required=True)
    parser.add_argument("--caller", action="append", help="name of a user (default: all and each)")
    parser.add_argument("--only", action="append", help="operationId of a list; may be repeated")
    parser.add_argument("--open", action="store_true", help="only first pages, without filter or order")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--limit", type=float, default=200, help="milliseconds at p95 (default 200)")
    parser.add_argument("--patience", type=float, default=4, help="seconds after which no further round is begun")
    parser.add_argument("--plans", type=int, default=0, help="of how many of the slowest cases to print the plans")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the figures as JSON too, for growth.py")
    options = parser.parse_args()
    options.caller = options.caller or ["all", "each"]
    return options


def application(database: str, explain: bool = False) -> Flask:
    """The application on a database, where callers just say their name."""
    given = {("database", "sql_alchemy_conn"): database, ("webserver", "secret_key"): "only for the benchmark"}
    app = create_app(Config(given))
    app.extensions[KEY].backends = [_named]  # no password: the benchmark is about lists
    if explain:
        event.listen(app.extensions[KEY].database.reading, "connect", _explain)
    return app


def client_of(app: Flask, caller: str) -> FlaskClient:
    """A client of a caller."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Name {caller}"
    return client


def _named(request: Request) -> Caller | None:
    name = request.headers["Authorization"].removeprefix("Name ")
    return find_caller(User.username == bindparam("name"), name=name)


_named.challenge = "Name"  # type: ignore[attr-defined]


def _explain(connection: Any, _: Any) -> None:
    connection.execute(EXPLAIN)
    connection.commit()
    connection.add_notice_handler(lambda notice: print(notice.message_primary, "\n"))


# ---------------------------------------------------------------- times
def _time(client: FlaskClient, operation: Operation, case: Case, way: str, options: argparse.Namespace) -> list[float]:
    found: list[float] = []
    begun = time.perf_counter()
    for number in range(options.rounds + 1):
        start = time.perf_counter()
        response = ask(client, operation, case, way)
        taken = (time.perf_counter() - start) * 1000
        if response.status_code != 200:
            print(operation.id, case, response.get_data(as_text=True), file=sys.stderr)
            return [float("nan")]
        if number:  # the first one plans and reads from the disk
            found.append(taken)
        if found and time.perf_counter() - begun > options.patience:
            break
    return found


def p95(times: list[float]) -> float:
    """The 95th percentile."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]


def _cell(times: list[float], limit: float) -> str:
    text = f"{statistics.median(times):,.0f}, {p95(times):,.0f}"
    return f"**{text}**" if p95(times) > limit else text


def _summary(found: list[Any], options: argparse.Namespace) -> None:
    print(f"\nCases whose p95 is below {options.limit:g} ms; load average {os.getloadavg()[0]:.1f}:\n")
    for number, way in enumerate(WAYS):
        below = sum(p95(times[number]) < options.limit for *_, times in found)
        print(f"- `count={way}`: {below} of {len(found)}")


def _save(file: Path, found: list[Any]) -> None:
    rows = [
        {"list": operation.id, "caller": caller, "page": case.name, "open": case.open}
        | {way: statistics.median(one) for way, one in zip(WAYS, times, strict=True)}
        for operation, caller, case, times in found
    ]
    file.write_text(json.dumps(rows, indent=1) + "\n")


def _plans(found: list[Any], options: argparse.Namespace) -> None:
    """What the server tells of the slowest cases, by their exact count and without one."""
    if not options.plans:
        return
    app = application(options.database, explain=True)
    for number, way in ((0, "exact"), (2, "none")):
        slowest = sorted(found, key=lambda one: -statistics.median(one[3][number]))
        for operation, caller, case, times in slowest[: options.plans]:
            print(f"\n### {operation.id}, {case.name}, {caller}, count={way}: {_cell(times[number], 1e9)} ms\n\n```")
            ask(client_of(app, caller), operation, case, way)
            print("```")


if __name__ == "__main__":
    main()
