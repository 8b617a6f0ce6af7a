"""Windsock against a real Airflow web server on copies of one database: CPU time per request, memory, time to start.

See bench/README.md. Linux only: the figures come from /proc. The output is Markdown.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from http.client import HTTPConnection, HTTPException
from http.cookiejar import CookieJar
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote, urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

PATHS = {
    "100 task instances": "/dags/~/dagRuns/~/taskInstances?limit=100",
    "100 DAG runs": "/dags/~/dagRuns?limit=100",
    "one variable": "/variables/{variable}",
    "pools": "/pools",
}
BACKENDS = "airflow.api.auth.backend.basic_auth,airflow.api.auth.backend.session"
TICKS = os.sysconf("SC_CLK_TCK")
START_LIMIT = 180  # seconds
NO_AIRFLOW = """\
The benchmark needs a real Airflow 2.11: WINDSOCK_AIRFLOW_BIN names its executable, or the directory that holds it.
  python3.12 -m venv airflow-venv
  airflow-venv/bin/pip install apache-airflow==2.11.2 apache-airflow-providers-fab==1.5.4
  make bench WINDSOCK_AIRFLOW_BIN=airflow-venv/bin/airflow"""


@dataclass
class Server:
    """A running server: its process tree, one client connection, and what its worker weighs."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    started: float  # seconds from process start to the first 200
    started_cpu: float = 0  # and the CPU seconds in them
    connection: HTTPConnection = field(init=False)
    peak: dict[str, float] = field(default_factory=dict)  # MB

    def __post_init__(self) -> None:
        self.connection = HTTPConnection("127.0.0.1", self.port, timeout=60)

    def get(self, path: str, headers: dict[str, str]) -> bytes:
        """The body of a GET that must answer 200. The connection is kept when the server keeps it."""
        self.connection.request("GET", f"/api/v1{path}", headers=headers)
        response = self.connection.getresponse()
        body = response.read()
        if response.status != 200:
            sys.exit(f"{self.name} answers {response.status} to {path}: {body[:300]!r}")
        return body

    def cpu(self) -> float:
        """Seconds of CPU time, user and system, that the process tree has used."""
        return sum(_cpu(pid) for pid in _tree(self.process.pid))

    def weigh(self) -> None:
        """Note the memory of the worker, the process that has used most CPU time, and of the tree."""
        tree = _tree(self.process.pid)
        worker = max(tree, key=_cpu)
        found = {
            "rss": _kilobytes(worker, "status", "VmHWM:") / 1024,
            "pss": _kilobytes(worker, "smaps_rollup", "Pss:") / 1024,
            "tree": sum(_kilobytes(pid, "smaps_rollup", "Pss:") for pid in tree) / 1024,
        }
        self.peak = {name: max(value, self.peak.get(name, 0)) for name, value in found.items()}


def _tree(root: int) -> list[int]:
    found = [root]
    for pid in found:
        with suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return found


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / TICKS  # utime and stime; see proc(5)


def _kilobytes(pid: int, file: str, name: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    return 0


@contextmanager
def serve(
    name: str, command: list[str], environment: dict[str, str], headers: dict[str, str], path: str = "/api/v1/pools"
) -> Iterator[Server]:
    """Run a server until the end of the block; `{port}` in the command becomes a free port.

    It has started when it answers 200 to `path`.
    """
    port = _free_port()
    log = Path(environment["AIRFLOW_HOME"]) / f"{name}.log"
    with log.open("wb") as out:
        begin = time.monotonic()
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            _wait(process, port, (path, headers), log)
            server = Server(name, process, port, time.monotonic() - begin)
            server.started_cpu = server.cpu()
            yield server
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, asked: tuple[str, dict[str, str]], log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        connection = HTTPConnection("127.0.0.1", port, timeout=START_LIMIT)
        with suppress(OSError, HTTPException):
            connection.request("GET", asked[0], headers=asked[1])
            if connection.getresponse().status == 200:
                return connection.close()
        connection.close()
        time.sleep(0.01)
    sys.exit(f"The server did not answer 200. The end of its log:\n{log.read_text(errors='replace')[-3000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the session that `serve` made for it
        process.wait()


def block(server: Server, path: str, headers: dict[str, str], seconds: float) -> float:
    """CPU milliseconds per request, over as many requests as take about `seconds` of CPU time."""
    begin, clock = server.cpu(), time.monotonic()
    done, goal = 0, 5
    while done < goal:
        server.get(path, headers)
        done += 1
        if done == 5:  # the clock tick is too coarse for five short requests, wall time is not
            each = max((server.cpu() - begin), (time.monotonic() - clock) / 2) / 5
            goal = min(max(5, math.ceil(seconds / each)), 5000)
    return (server.cpu() - begin) / done * 1000


def compare(windsock: Server, airflow: Server, basic: dict[str, str], options: argparse.Namespace) -> list[str]:
    """Interleaved rounds over all paths; the lines of a Markdown table with medians."""
    session = _log_in(airflow.port, options.user, options.password)
    ways = {"windsock": (windsock, basic), "airflow": (airflow, basic), "session": (airflow, session)}
    paths = {label: path.format(variable=_variable(windsock, basic)) for label, path in PATHS.items()}
    for path in paths.values():
        _same_answer(windsock, airflow, path, basic)
    spent: dict[tuple[str, str], list[float]] = {(label, way): [] for label in paths for way in ways}
    for number in range(options.rounds + 1):
        for label, path in paths.items():
            for way, (server, headers) in ways.items():
                figure = block(server, path, headers, options.seconds if number else 0.2)
                if number:  # the first round warms up
                    spent[label, way].append(figure)
        windsock.weigh()
        airflow.weigh()
        print(f"round {number} of {options.rounds}", file=sys.stderr)
    return [_line(label, *(spent[label, way] for way in ways)) for label in paths]


def basic_header(user: str, password: str) -> dict[str, str]:
    """The header of basic authentication."""
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def _log_in(port: int, user: str, password: str) -> dict[str, str]:
    """The header of a browser session of Airflow: it spares the server the password hash that basic costs it."""
    jar = CookieJar()
    browser = build_opener(ProxyHandler({}), HTTPCookieProcessor(jar))
    url = f"http://127.0.0.1:{port}/login/"
    with browser.open(url) as form:
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form.read().decode())
    if token is None:
        sys.exit("The login page of Airflow holds no CSRF token")
    sent = urlencode({"username": user, "password": password, "csrf_token": token[1]}).encode()
    browser.open(url, sent).close()
    return {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)}


def _line(label: str, windsock: list[float], airflow: list[float], session: list[float]) -> str:
    def ratio(theirs: list[float]) -> str:  # of each round, then the median: what slows a round slows both
        return f"1/{statistics.median(b / a for a, b in zip(windsock, theirs, strict=True)):.1f}"

    own, basic, cookie = (f"{statistics.median(values):.2f}" for values in (windsock, airflow, session))
    spread = f"{min(windsock):.2f}-{max(windsock):.2f}"
    return f"| {label} | {own} ({spread}) | {basic} | **{ratio(airflow)}** | {cookie} | {ratio(session)} |"


def _variable(server: Server, headers: dict[str, str]) -> str:
    """A variable with a plain key that holds a value."""
    found = json.loads(server.get("/variables?limit=100", headers))["variables"]
    return quote(next(v["key"] for v in found if v["value"] and v["key"].isidentifier()))


def _same_answer(windsock: Server, airflow: Server, path: str, headers: dict[str, str]) -> None:
    """Both must list equally many items; else a ratio says nothing."""
    ours, theirs = (json.loads(server.get(path, headers)) for server in (windsock, airflow))
    sizes = [{name: len(v) if isinstance(v, list) else v for name, v in body.items()} for body in (ours, theirs)]
    if ours.keys() != theirs.keys() or sizes[0] != sizes[1]:
        sys.exit(f"The answers to {path} differ: {sizes}")


def main() -> None:
    """Parse the options, start both servers as often as asked, measure, print."""
    options = _options()
    found = executable("WINDSOCK_AIRFLOW_BIN")
    with tempfile.TemporaryDirectory(prefix="windsock-bench-") as scratch:
        if options.postgresql:
            import peers

            print("\n".join(peers.report(options, Path(scratch))))
        elif found:
            print("\n".join(measure(options, found, Path(scratch))))
        else:
            sys.exit(NO_AIRFLOW)


def executable(variable: str) -> Path | None:
    """The program `airflow` that an environment variable names, or the directory that holds it."""
    named = os.environ.get(variable, "")
    found = Path(named, "airflow") if os.path.isdir(named) else Path(named)
    return found.absolute() if named and os.access(found, os.X_OK) else None


def measure(options: argparse.Namespace, executable: Path, scratch: Path) -> list[str]:
    """The report, as lines of Markdown."""
    if options.database is None:
        _make_demo(options, scratch / "demo")
    basic = basic_header(options.user, options.password)
    binaries = Path(sys.executable).parent
    ours = [str(binaries / "windsock"), "serve", "--port", "{port}", "--workers", "1", "--threads", "4"]
    theirs = [str(executable), "webserver", "--hostname", "127.0.0.1", "--port", "{port}", "--workers", "1"]
    starts: dict[str, list[tuple[float, float]]] = {"windsock": [], "airflow": []}
    environments = {name: _environment(options, scratch / name) for name in starts}
    with (
        serve("windsock", ours, environments["windsock"], basic) as windsock,
        serve("airflow", theirs, environments["airflow"], basic) as airflow,
    ):
        table = compare(windsock, airflow, basic, options)
        program = Path(f"/proc/{max(_tree(airflow.process.pid), key=_cpu)}/exe").resolve().name
        peer = json.loads(airflow.get("/version", basic))["version"]
    for _ in range(options.starts):  # alternating, with nothing else of ours running
        for name, command in (("windsock", ours), ("airflow", theirs)):
            with serve(name, command, environments[name], basic) as server:
                starts[name].append((server.started, server.started_cpu))
    wall, cpu = ([_median(starts[name], part) for name in starts] for part in (0, 1))
    return [
        f"Windsock {version('windsock')} on Python {sys.version.split()[0]}; Airflow {peer} on {program}; "
        f"{_cores()} cores, {_gigabytes()} GB of memory, Linux; {date.today()}.",
        "",
        "CPU milliseconds of the server's process tree per request, medians of "
        f"{options.rounds} interleaved rounds (range of Windsock's rounds in brackets):",
        "",
        "| request | Windsock, basic | Airflow, basic | ratio | Airflow, session cookie | ratio |",
        "|---|---|---|---|---|---|",
        *table,
        "",
        "| | Windsock | Airflow |",
        "|---|---|---|",
        f"| start to first 200, s (median of {options.starts}) | {wall[0]} | {wall[1]} |",
        f"| CPU time of all processes until then, s | {cpu[0]} | {cpu[1]} |",
        f"| peak RSS of the worker, MB | {windsock.peak['rss']:.0f} | {airflow.peak['rss']:.0f} |",
        f"| peak PSS of the worker, MB | {windsock.peak['pss']:.0f} | {airflow.peak['pss']:.0f} |",
        f"| peak PSS of all processes, MB | {windsock.peak['tree']:.0f} | {airflow.peak['tree']:.0f} |",
    ]


def _median(found: list[tuple[float, float]], part: int) -> str:
    return f"{statistics.median(values[part] for values in found):.2f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", type=Path, metavar="FILE", help="an SQLite metadata database, which is copied")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the airflow.cfg of that database: its Fernet key")
    parser.add_argument("--user", default="admin", help="default: admin")
    parser.add_argument("--password", default="admin", help="default: admin")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--seconds", type=float, default=1.0, help="of CPU time per block of requests; default: 1")
    parser.add_argument("--starts", type=int, default=3, help="how often each server is started; default: 3")
    parser.add_argument(
        "--postgresql", type=Path, metavar="FILE", help="compare on PostgreSQL, on the database of this airflow.cfg"
    )
    parser.add_argument(
        "--postgresql3", type=Path, metavar="FILE", help="the airflow.cfg of Airflow 3, with a migrated copy"
    )
    options = parser.parse_args()
    if options.database and not options.config:
        parser.error("--database needs --config: the airflow.cfg that holds its Fernet key")
    return options


def _make_demo(options: argparse.Namespace, home: Path) -> None:
    from windsock.cli import standalone

    options.password, options.user = standalone.create(home), standalone.ADMIN
    options.database, options.config = home / "airflow.db", home / "airflow.cfg"


def _environment(options: argparse.Namespace, home: Path) -> dict[str, str]:
    """Both servers read the same configuration and each has a copy of the database."""
    home.mkdir()
    shutil.copyfile(options.database, home / "airflow.db")
    return clean_environment() | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONFIG": str(options.config.absolute()),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__API__AUTH_BACKENDS": BACKENDS,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__WEBSERVER__SECRET_KEY": "windsock-benchmark",
        "AIRFLOW__WEBSERVER__WORKERS": "1",
    }


def clean_environment() -> dict[str, str]:
    """The environment without anything that would configure a server or its Python."""
    own = ("AIRFLOW", "PYTHON", "WINDSOCK", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _gigabytes() -> int:
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9)


if __name__ == "__main__":
    main()
