"""The memory of a worker over many requests of all kinds.

    .venv/bin/python bench/memory.py --config s.cfg --user all --password PASSWORD

The `airflow.cfg` names a database that `windsock demo load` has filled. One line for each tenth of the requests.
"""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import quote

import airflow
from airflow import Server
from loaded import given, rss, served
from sqlalchemy import create_engine, select

from windsock.models import DagRun

CONNECTIONS = 4


def targets(url: str) -> list[str]:
    """Lists, pages of them, single resources, and what is refused."""
    with create_engine(url).connect() as connection:
        runs = connection.execute(select(DagRun.dag_id, DagRun.run_id).order_by(DagRun.id).limit(500)).all()
    single = [f"/dags/{quote(run.dag_id, safe='')}/dagRuns/{quote(run.run_id, safe='')}" for run in runs]
    return [
        *single,
        *(f"{one}/taskInstances" for one in single[:100]),
        *(f"/dags/{quote(run.dag_id, safe='')}" for run in runs[:100]),
        *(f"/variables/setting_{number:05}" for number in range(60)),  # some of them do not exist: 404
        *(f"/dags/~/dagRuns?limit=10&offset={number}" for number in range(40)),
        *(f"/eventLogs?limit=10&offset={number}&order_by=-when" for number in range(40)),
        *("/pools", "/connections", "/roles", "/users", "/dags?limit=10", "/config", "/health", "/version") * 10,
        *("/pools?limit=-1", "/dags/nothing", "/dags?order_by=nothing", "/dags?fields=nothing") * 5,
    ]


def main() -> None:
    """Print the table."""
    options = given(__doc__, "--requests", 200_000)
    found = itertools.cycle(targets(options.database))
    share = options.number // 10 // CONNECTIONS
    with served(options) as server:
        connections = [HTTPConnection("127.0.0.1", server.port, timeout=120) for _ in range(CONNECTIONS)]
        print("| requests | RSS of the worker, MB | requests a second |\n|---:|---:|---:|")
        print(f"| 1 | {rss(worker(server)):.1f} | |")
        for tenth in range(1, 11):
            begun = time.perf_counter()
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                asked = [[next(found) for _ in range(share)] for _ in connections]
                list(pool.map(ask, connections, asked, [options.headers] * CONNECTIONS))
            speed = share * CONNECTIONS / (time.perf_counter() - begun)
            print(f"| {tenth * share * CONNECTIONS:,} | {rss(worker(server)):.1f} | {speed:.0f} |", flush=True)


def worker(server: Server) -> int:
    """The process that has used most CPU time."""
    return max(airflow._tree(server.process.pid), key=airflow._cpu)


def ask(connection: HTTPConnection, paths: list[str], headers: dict[str, str]) -> None:
    """Ask for each path; no answer may be a 5xx."""
    for path in paths:
        connection.request("GET", f"/api/v1{path}", headers=headers)
        response = connection.getresponse()
        body = response.read()
        assert response.status < 500, (path, body[:300])


if __name__ == "__main__":
    main()
