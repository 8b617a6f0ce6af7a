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
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import airflow
from cases import LISTS, Case, ask, cases
from flask import Flask, Request
from flask.testing import FlaskClient
from sqlalchemy import Connection, bindparam, create_engine, event, text

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
    print("| list | page | caller | " + " | ".join(f"{way}: p50, p95; CPU" for way in WAYS) + " |")
    print("|---|---|---|" + "---:|" * len(WAYS))
    database = create_engine(options.database.replace("postgresql://", "postgresql+psycopg://")).connect()
    clock = Clock(database)
    for operation in (o for o in LISTS if not options.only or o.id in options.only):
        for caller in options.caller:
            client = client_of(app, caller)
            for case in cases(client, operation, database):
                if options.open and not case.open:
                    break
                timed = [_time(client, operation, case, way, options, clock) for way in WAYS]
                found.append((operation, caller, case, timed))
                cells = [_cell(one, options.limit) for one in timed]
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
    given = {
        ("database", "sql_alchemy_conn"): database,
        ("webserver", "secret_key"): "only for the benchmark",
        ("windsock", "access_log"): "False",
    }
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
    return find_caller(_BY_NAME, name=request.headers["Authorization"].removeprefix("Name "))


_BY_NAME = User.username == bindparam("name")  # made once, so that its statement is kept
_named.challenge = "Name"  # type: ignore[attr-defined]


def _explain(connection: Any, _: Any) -> None:
    connection.execute(EXPLAIN)
    connection.commit()
    connection.add_notice_handler(lambda notice: print(notice.message_primary, "\n"))


# ---------------------------------------------------------------- times
class Timed(NamedTuple):
    """Milliseconds on the clock, of each request, and CPU milliseconds of a request."""

    wall: list[float]
    cpu: float

    @property
    def p95(self) -> float:
        """The 95th percentile of the milliseconds on the clock."""
        ordered = sorted(self.wall)
        return ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]


class Clock:
    """CPU seconds of this process and of all that the local PostgreSQL server has started for its clients."""

    def __init__(self, database: Connection) -> None:
        backend = database.scalar(text("SELECT pg_backend_pid()"))
        self.postmaster = int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])

    def read(self) -> float:
        """The seconds until now; of parallel workers, which have ended, in steps of 10 ms."""
        ended = Path(f"/proc/{self.postmaster}/stat").read_text().rpartition(")")[2].split()
        spent = (int(ended[13]) + int(ended[14])) / os.sysconf("SC_CLK_TCK")  # cutime and cstime; see proc(5)
        for process in airflow._tree(self.postmaster)[1:]:
            with suppress(OSError):
                spent += int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9
        return spent + time.process_time()


def _time(
    client: FlaskClient, operation: Operation, case: Case, way: str, options: argparse.Namespace, clock: Clock
) -> Timed:
    found: list[float] = []
    begun = time.perf_counter()
    for number in range(options.rounds + 1):
        start = time.perf_counter()
        response = ask(client, operation, case, way)
        taken = (time.perf_counter() - start) * 1000
        if response.status_code != 200:
            print(operation.id, case, response.get_data(as_text=True), file=sys.stderr)
            return Timed([float("nan")], float("nan"))
        if number:
            found.append(taken)
        else:  # the first one plans and reads from the disk
            spent = clock.read()
        if found and time.perf_counter() - begun > options.patience:
            break
    return Timed(found, (clock.read() - spent) / len(found) * 1000)


def _cell(timed: Timed, limit: float) -> str:
    shown = f"{statistics.median(timed.wall):,.0f}, {timed.p95:,.0f}; {timed.cpu:,.1f}"
    return f"**{shown}**" if timed.p95 > limit else shown


def _summary(found: list[Any], options: argparse.Namespace) -> None:
    """Of each list, how many cases stay below the limit, and what the most expensive one takes."""
    print(f"\nCases below {options.limit:g} ms (p95; CPU), the most expensive case by CPU milliseconds; load average "
          f"{os.getloadavg()[0]:.1f}.\n")  # fmt: skip
    print("| list | caller | cases | " + " | ".join(WAYS) + " |\n|---|---|---:|" + "---|" * len(WAYS))
    lists = dict.fromkeys((operation.id, caller) for operation, caller, *_ in found)
    for name in [*lists, None]:
        mine = [one for one in found if name in (None, (one[0].id, one[1]))]
        cells = []
        for number in range(len(WAYS)):
            _, _, case, timed = max(mine, key=lambda one: one[3][number].cpu)
            below = [sum(one[3][number].p95 < options.limit for one in mine)]
            below.append(sum(one[3][number].cpu < options.limit for one in mine))
            cells.append(f"{below[0]}; {below[1]}; {timed[number].cpu:,.0f} ms ({case.name})")
        print(f"| {' | '.join(name or ('all', ''))} | {len(mine)} | {' | '.join(cells)} |")


def _save(file: Path, found: list[Any]) -> None:
    rows = [
        {"list": operation.id, "caller": caller, "page": case.name, "open": case.open}
        | {
            way: {"ms": statistics.median(one.wall), "p95": one.p95, "times": len(one.wall), "cpu": one.cpu}
            for way, one in zip(WAYS, timed, strict=True)
        }
        for operation, caller, case, timed in found
    ]
    file.write_text(json.dumps(rows, indent=1) + "\n")


def _plans(found: list[Any], options: argparse.Namespace) -> None:
    """What the server tells of the slowest cases, by their exact count and without one."""
    if not options.plans:
        return
    app = application(options.database, explain=True)
    for number, way in ((0, "exact"), (2, "none")):
        slowest = sorted(found, key=lambda one: -one[3][number].cpu)
        for operation, caller, case, timed in slowest[: options.plans]:
            print(f"\n### {operation.id}, {case.name}, {caller}, count={way}: {_cell(timed[number], 1e9)} ms\n\n```")
            ask(client_of(app, caller), operation, case, way)
            print("```")


if __name__ == "__main__":
    main()
