"""Windsock beside real Airflow servers on one PostgreSQL server, two workers and eight connections each.

    make bench ARGS="--windsock-config s.cfg --airflow3-home af3" WINDSOCK_AIRFLOW_BIN=... WINDSOCK_AIRFLOW3_BIN=...

`airflow.py` calls this for `--postgresql`. The databases have to hold the same rows: see bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import airflow
from airflow import Server

PATHS = {
    "pools": "/pools?limit=100",
    "100 DAGs": "/dags?limit=100",
    "100 DAG runs": "/dags/~/dagRuns?limit=100",
    "100 task instances": "/dags/~/dagRuns/~/taskInstances?limit=100",
    "one variable": "/variables/{variable}",
    "100 audit rows": "/eventLogs?limit=100",
}
WORKERS, CONNECTIONS = 2, 8
#: How much cheaper Windsock is meant to be.
TARGETS = {"2, basic": 50, "2, cookie": 10, "3, token": 10}


class Peer(NamedTuple):
    """One way of asking one server."""

    server: Server
    prefix: str
    headers: dict[str, str]


class Load:
    """Eight clients, each with a connection that it keeps if the server does."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.connections = [HTTPConnection("127.0.0.1", peer.server.port, timeout=120) for _ in range(CONNECTIONS)]

    def block(self, path: str, seconds: float) -> float:
        """CPU milliseconds of the server's processes for each request, over about so many seconds of CPU time."""
        each = self._spent(path, 1) / CONNECTIONS
        count = min(max(2, round(seconds / max(each, 1e-4) / CONNECTIONS)), 1000)
        return self._spent(path, count) / (count * CONNECTIONS) * 1000

    def _spent(self, path: str, count: int) -> float:
        begin = self.peer.server.cpu()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(lambda connection: [self._get(connection, path) for _ in range(count)], self.connections))
        return self.peer.server.cpu() - begin

    def _get(self, connection: HTTPConnection, path: str) -> bytes:
        for attempt in (1, 2):
            try:
                connection.request("GET", self.peer.prefix + path, headers=self.peer.headers)
                response = connection.getresponse()
                body = response.read()
            except (HTTPException, ConnectionError):  # gunicorn closed it just now
                connection.close()
                if attempt == 2:
                    raise
            else:
                break
        if response.status != 200:
            sys.exit(f"{self.peer.server.name} answers {response.status} to {path}: {body[:300]!r}")
        return body

    def answer(self, path: str) -> Any:
        """One answer."""
        return json.loads(self._get(self.connections[0], path))


def report(options: argparse.Namespace, scratch: Path) -> list[str]:
    """The table, as lines of Markdown."""
    with ExitStack() as opened:
        peers = dict(_peers(options, scratch, opened))
        loads = {name: Load(peer) for name, peer in peers.items()}
        variable = airflow._variable(peers["windsock"].server, peers["windsock"].headers)
        paths = {label: path.format(variable=variable) for label, path in PATHS.items()}
        for label, path in paths.items():
            _compare(label, {name: load.answer(path) for name, load in loads.items()})
        spent: dict[tuple[str, str], list[float]] = {(label, name): [] for label in paths for name in loads}
        for number in range(options.rounds + 1):
            for label, path in paths.items():
                for name, load in loads.items():
                    figure = load.block(path, options.seconds if number else 0.2)
                    if number:  # the first round warms up
                        spent[label, name].append(figure)
            print(f"round {number} of {options.rounds}; load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
        for peer in peers.values():
            peer.server.weigh()
        said = [f"Airflow {name}: {loads[name].answer('/version')['version']}" for name in TARGETS if name in loads]
    return [
        f"Windsock {version('windsock')} on Python {sys.version.split()[0]}; {'; '.join(said)}. {date.today()}, "
        f"{airflow._cores()} cores, load average {os.getloadavg()[0]:.1f}.",
        "",
        "| request | Windsock | " + " | ".join(f"Airflow {name} | ratio" for name in TARGETS if name in loads) + " |",
        "|---|---:|" + "---:|---|" * (len(loads) - 1),
        *(_line(label, {name: spent[label, name] for name in loads}) for label in paths),
        "",
        "| | " + " | ".join(f"peak memory of {name}, MB (PSS of all processes)" for name in peers) + " |",
        "|---|" + "---:|" * len(peers),
        "| after the last round | " + " | ".join(f"{peer.server.peak['tree']:.0f}" for peer in peers.values()) + " |",
    ]


def _line(label: str, spent: dict[str, list[float]]) -> str:
    own = spent["windsock"]
    cells = [f"{statistics.median(own):.2f} ({min(own):.2f}-{max(own):.2f})"]
    for name in list(spent)[1:]:
        ratios = [theirs / ours for theirs, ours in zip(spent[name], own, strict=True)]  # of each round
        ratio = statistics.median(ratios)
        met = "" if ratio >= TARGETS[name] else f", below {TARGETS[name]}"
        cells += [
            f"{statistics.median(spent[name]):.1f}",
            f"**1/{ratio:.0f}** ({min(ratios):.0f}-{max(ratios):.0f}){met}",
        ]
    return f"| {label} | {' | '.join(cells)} |"


def _compare(label: str, answers: dict[str, Any]) -> None:
    """All must list equally many rows, of equally many."""

    def sizes(found: Any) -> tuple[Any, ...]:
        return (found.get("total_entries"), *(len(v) for v in found.values() if isinstance(v, list)))

    found = {name: sizes(answer) for name, answer in answers.items()}
    if len(set(found.values())) > 1:
        print(f"The answers to {label} differ in size: {found}", file=sys.stderr)


# ---------------------------------------------------------------- servers
def _peers(options: argparse.Namespace, scratch: Path, opened: ExitStack) -> Any:
    basic = airflow.basic_header(options.user, options.password)
    environment = _environment(scratch / "windsock", options.postgresql)
    ours = [str(Path(sys.executable).with_name("windsock")), "serve", "--port", "{port}", "--workers", str(WORKERS)]
    server = opened.enter_context(airflow.serve("windsock", ours, environment, basic))
    yield "windsock", Peer(server, "/api/v1", basic)
    if two := airflow.executable("WINDSOCK_AIRFLOW_BIN"):
        command = [str(two), "webserver", "--hostname", "127.0.0.1", "--port", "{port}", "--workers", str(WORKERS)]
        server = opened.enter_context(
            airflow.serve("airflow 2", command, _environment(scratch / "airflow2", options.postgresql), basic)
        )
        yield "2, basic", Peer(server, "/api/v1", basic)
        yield "2, cookie", Peer(server, "/api/v1", airflow._log_in(server.port, options.user, options.password))
    if three := airflow.executable("WINDSOCK_AIRFLOW3_BIN"):
        environment = _environment(scratch / "airflow3", options.postgresql3)
        command = [str(three), "api-server", "--host", "127.0.0.1", "--port", "{port}", "--workers", str(WORKERS)]
        path = "/api/v2/version"
        server = opened.enter_context(airflow.serve("airflow 3", command, environment, {}, path))
        yield "3, token", Peer(server, "/api/v2", _token(server.port, options.user, options.password))


def _token(port: int, user: str, password: str) -> dict[str, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"username": user, "password": password})
    connection.request("POST", "/auth/token", body, {"Content-Type": "application/json"})
    return {"Authorization": f"Bearer {json.loads(connection.getresponse().read())['access_token']}"}


def _environment(home: Path, config: Path) -> dict[str, str]:
    """A home of its own for each server; the database and its Fernet key are those of an `airflow.cfg`."""
    home.mkdir()
    return airflow.clean_environment() | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONFIG": str(config.absolute()),
        "AIRFLOW__API__AUTH_BACKENDS": airflow.BACKENDS,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
    }
