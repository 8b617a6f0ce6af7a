"""The CPU time of a request to Windsock against that of a bare Flask view (bare_app.py) with the same answer.

    .venv/bin/python bench/bare.py [--before OTHER/src] [--rounds 5] [--only sqlite] [--ways process,server]

The figures come from /proc, so Linux only. See bench/README.md. The output is Markdown.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import create_engine, insert, text

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from airflow import Server, block, serve

from databases import postgres
from windsock.models import Pool

HERE = Path(__file__).resolve().parent
USER, PASSWORD = "all", "benchmark"
BASIC = {"Authorization": "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
#: What a ratio may be, for one resource and for a list.
LIMITS = {False: 1.3, True: 1.5}
APPS = {"windsock": "windsock.wsgi:app", "before": "windsock.wsgi:app", "bare": "bare_app:create"}
Ask = Callable[[str, float], float]


# ---------------------------------------------------------------- the database
def fill(url: str, environment: dict[str, str]) -> None:
    """`windsock demo load --size S`, and pools until there are 150."""
    command = Path(sys.executable).with_name("windsock")
    load = ["demo", "load", "--size", "S", "--password", PASSWORD, "--yes"]
    for arguments in (["db", "init"], load):
        subprocess.run([command, *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        pools = [{"pool": f"extra_{number}", "slots": number, "include_deferred": False} for number in range(150)]
        connection.execute(insert(Pool), pools)
        connection.execute(text("VACUUM"))
        connection.execute(text("ANALYZE"))
    engine.dispose()


def paths(url: str) -> dict[str, str]:
    """What is asked for; a path with `limit` is a list."""
    engine = create_engine(url)
    with engine.connect() as connection:
        key = connection.execute(text("SELECT key FROM variable WHERE is_encrypted ORDER BY id LIMIT 1")).scalar_one()
        run = connection.execute(text("SELECT dag_id, run_id FROM dag_run ORDER BY id LIMIT 1")).one()
    engine.dispose()
    return {
        "one pool": "/pools/default_pool",
        "one variable": f"/variables/{quote(key)}",
        "one DAG run": "/dags/{}/dagRuns/{}".format(*map(quote, run)),
        "100 pools": "/pools?limit=100",
        "99 DAGs": "/dags?limit=100",
        "100 DAG runs": "/dags/~/dagRuns?limit=100",
        "100 task instances": "/dags/~/dagRuns/~/taskInstances?limit=100",
        "100 audit rows": "/eventLogs?limit=100",
    }


# ---------------------------------------------------------------- in a process, without a server
def child(name: str) -> None:
    """Answer lines of JSON, `[path, seconds]`: CPU milliseconds of a request; for 0 seconds, the body in base64."""
    app = _application(name)
    for line in sys.stdin:
        path, seconds = json.loads(line)
        print(_measure(app, path, seconds) if seconds else base64.b64encode(_answer(app, path)).decode(), flush=True)


def _application(name: str) -> Any:
    if name == "bare":
        from bare_app import create

        return create()
    from windsock.wsgi import app

    return app


def _environ(path: str) -> dict[str, Any]:
    from werkzeug.test import EnvironBuilder

    return EnvironBuilder(path=f"/api/v1{path}", headers=BASIC).get_environ()


def _answer(app: Any, path: str, environ: dict[str, Any] | None = None) -> bytes:
    started: list[str] = []
    found = app(dict(environ or _environ(path)), lambda status, headers, info=None: started.append(status))
    body = b"".join(found)
    found.close()
    if started != ["200 OK"]:
        raise SystemExit(f"{started} to {path}: {body[:300]!r}")
    return body


def _measure(app: Any, path: str, seconds: float) -> float:
    environ, done, begin = _environ(path), 0, time.process_time()
    while (spent := time.process_time() - begin) < seconds:
        for _ in range(10):
            _answer(app, path, environ)
        done += 10
    return spent / done * 1000


@contextmanager
def in_process(name: str, environment: dict[str, str]) -> Iterator[tuple[Ask, Callable[[str], bytes]]]:
    """What measures, and what gets the body of, a path in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--child", name], env=environment, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin and process.stdout

    def said(path: str, seconds: float) -> str:
        print(json.dumps([path, seconds]), file=process.stdin, flush=True)
        return process.stdout.readline() or sys.exit(f"{name} ended")

    try:
        yield lambda path, seconds: float(said(path, seconds)), lambda path: base64.b64decode(said(path, 0))
    finally:
        process.stdin.close()
        process.wait(20)


# ---------------------------------------------------------------- behind granian
@contextmanager
def served(name: str, environment: dict[str, str]) -> Iterator[tuple[Ask, Callable[[str], bytes]]]:
    """The same behind granian, with one worker and one client that keeps its connection."""
    command = [str(Path(sys.executable).with_name("granian")), "--interface", "wsgi", "--host", "127.0.0.1", "--port",
               "{port}", "--workers", "1", "--blocking-threads", "4", "--no-ws", APPS[name]]  # fmt: skip
    command += ["--factory"] if name == "bare" else []
    with serve(name, command, environment, BASIC) as server:
        yield _Block(server), lambda path: server.get(path, BASIC)


class _Block:
    def __init__(self, server: Server) -> None:
        self._server = server

    def __call__(self, path: str, seconds: float) -> float:
        return block(self._server, path, BASIC, seconds)


WAYS = {"process": (in_process, 0.25), "server": (served, 0.6)}


# ---------------------------------------------------------------- rounds and tables
def compare(way: str, environment: dict[str, str], options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Title of a path -> name -> CPU milliseconds of a request in each round."""
    names = ["windsock", "bare", *(["before"] if options.before else [])]
    start, seconds = WAYS[way]
    wanted = paths(environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    found: dict[str, dict[str, list[float]]] = {title: {name: [] for name in names} for title in wanted}
    with ExitStack() as stack:
        running = {name: stack.enter_context(start(name, _for(name, environment, options))) for name in names}
        for path in wanted.values():
            bodies = {name: body(path) for name, (_, body) in running.items()}
            if len(set(bodies.values())) > 1:
                sys.exit(f"Different answers to {path}: {bodies}")
        for number in range(options.rounds + 1):
            for title, path in wanted.items():
                for name in names if number % 2 else reversed(names):
                    figure = running[name][0](path, seconds if number else 0.1)
                    if number:  # the first round warms up
                        found[title][name].append(figure)
            print(f"{way}: round {number} of {options.rounds}", file=sys.stderr)
    return found


def _for(name: str, environment: dict[str, str], options: argparse.Namespace) -> dict[str, str]:
    source = options.before if name == "before" else HERE.parent / "src"
    return environment | {"PYTHONPATH": f"{Path(source).resolve()}{os.pathsep}{HERE}", "WINDSOCK_THREADS": "4"}


def show(title: str, found: dict[str, dict[str, list[float]]]) -> None:
    """Print a table."""
    load = " ".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"\n### {title} (load average {load})\n")
    before = any("before" in cells for cells in found.values())
    further = " before, ms | now/before |" * before
    print(f"| request | bare, ms | Windsock, ms | ratio (of the rounds) | at most |{further}")
    print("|---|---:|---:|---|---:|" + ("---:|---:|" * before))
    for what, cells in found.items():
        median = {name: statistics.median(values) for name, values in cells.items()}
        ratio, limit = median["windsock"] / median["bare"], LIMITS[what[0].isdigit()]
        rounds = [ours / bare for ours, bare in zip(cells["windsock"], cells["bare"], strict=True)]
        line = f"| {what} | {median['bare']:.3f} | {median['windsock']:.3f} | **{ratio:.2f}** "
        line += f"({min(rounds):.2f}-{max(rounds):.2f}) | {limit}{'' if ratio <= limit else ', missed'} |"
        if before:
            line += f" {median['before']:.3f} | {median['windsock'] / median['before']:.2f} |"
        print(line, flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", help="the src directory of another version of Windsock, to measure as well")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--only", choices=("sqlite", "postgres"), help="default: both")
    parser.add_argument("--ways", default="process,server", help="default: process,server")
    parser.add_argument("--child", choices=APPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child)
    with tempfile.TemporaryDirectory() as home, ExitStack() as stack:
        for kind in [options.only] if options.only else ["sqlite", "postgres"]:
            url = f"sqlite:///{home}/airflow.db"
            if kind == "postgres":
                url = stack.enter_context(postgres()).render_as_string(hide_password=False)
            environment = os.environ | {
                "AIRFLOW_HOME": home,
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
                "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth",
                "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(b"a key that only this knows......").decode(),
                "AIRFLOW__WEBSERVER__SECRET_KEY": "only for the benchmark",
                "AIRFLOW__WINDSOCK__ACCESS_LOG": "False",  # the bare views log nothing
            }
            fill(url, environment)
            for way in options.ways.split(","):
                where = "behind granian, one worker" if way == "server" else "in a process"
                show(f"{'SQLite' if kind == 'sqlite' else 'PostgreSQL'}, {where}", compare(way, environment, options))


if __name__ == "__main__":
    main()
