"""How much the server's memory grows while it streams a log of 1 GB: a real server, Linux only (/proc).

    .venv/bin/python bench/logs.py [--megabytes 1024]

The log is asked for as text and as JSON, also by a client that reads slowly and by four at a time. See bench/README.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from airflow import _kilobytes, _stop, _tree

from databases import free_port
from windsock.cli import standalone

LIMIT = 50  # megabytes
LINE = (
    "[2026-03-01T02:{minute:02d}:{second:06.3f}+0000] {{subprocess.py:106}} INFO - row {number} of the day was read\n"
)


def write_log(file: Path, megabytes: int) -> None:
    """Lines as Airflow writes them, in the order of time."""
    size, number = megabytes * 1024 * 1024, 0
    with file.open("w", encoding="utf-8") as log:
        while log.tell() < size:
            lines = range(number, number := number + 100_000)
            log.writelines(LINE.format(minute=n // 600_000 % 60, second=n % 600_000 / 10_000, number=n) for n in lines)


class Memory:
    """The resident megabytes of all processes of a server: at the beginning, and the most that was seen."""

    def __init__(self, root: int) -> None:
        self.root, self.ended = root, threading.Event()
        self.first = self.most = self.now()

    def now(self) -> float:
        return sum(_kilobytes(pid, "status", "VmRSS:") for pid in _tree(self.root)) / 1024

    def watch(self) -> None:
        while not self.ended.wait(0.05):
            self.most = max(self.most, self.now())


def read(port: int, path: str, headers: dict[str, str], pause: float = 0) -> int:
    """The number of bytes of an answer; `pause` seconds are waited after each megabyte."""
    connection = HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("GET", path, headers=headers)
    response, received = connection.getresponse(), 0
    while data := response.read(1024 * 1024):
        received += len(data)
        time.sleep(pause)
    connection.close()
    return received


def measure(root: int, title: str, clients: int, *request: object) -> float:
    """Print one line of the table; the growth in megabytes."""
    memory = Memory(root)
    watcher = threading.Thread(target=memory.watch)
    watcher.start()
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        received = sum(pool.map(lambda _: read(*request), range(clients)))  # type: ignore[arg-type]
    seconds = time.perf_counter() - start
    memory.ended.set()
    watcher.join()
    grown = memory.most - memory.first
    cells = [title, f"{received / 1024**2:,.0f}", f"{seconds:.0f}", f"{memory.first:.0f}", f"{memory.most:.0f}"]
    print("|", " | ".join([*cells, f"**{grown:.1f}**"]), "|", flush=True)
    return grown


def main() -> None:
    """Print the table; the status is 1 when the memory grew by more than 50 MB for one client."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1024, help="size of the log; default: 1024")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home, port = Path(scratch, "home"), free_port()
        password = standalone.create(home)
        file = next((home / "logs").rglob("attempt=1.log"))
        write_log(file, options.megabytes)
        parts = [part.partition("=")[2] for part in file.relative_to(home / "logs").parts]
        mapped = f"?map_index={parts[3]}" if len(parts) == 5 else ""
        dag_id, run_id, task_id = (quote(part, safe="") for part in parts[:3])
        path = f"/api/v1/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/1{mapped}"
        known = {"Authorization": "Basic " + b64encode(f"admin:{password}".encode()).decode()}
        text, json = known | {"Accept": "text/plain"}, known | {"Accept": "application/json"}
        command = [str(Path(sys.executable).with_name("windsock")), "serve", "--config", str(home / "airflow.cfg")]
        server = subprocess.Popen([*command, "--workers", "1", "--port", str(port)], stderr=subprocess.DEVNULL)
        try:
            _until_it_answers(port, known)
            read(port, path.replace("/logs/1", "/logs/2"), text)
            print("| request | MB received | s | RSS before, MB | highest RSS, MB | growth, MB |")
            print("|---|---|---|---|---|---|")
            one = [measure(server.pid, "text", 1, port, path, text), measure(server.pid, "JSON", 1, port, path, json)]
            one.append(measure(server.pid, "text, a slow client", 1, port, path, text, 0.05))
            measure(server.pid, "text, 4 clients", 4, port, path, text)
        finally:
            _stop(server)
    raise SystemExit(max(one) > LIMIT)


def _until_it_answers(port: int, headers: dict[str, str]) -> None:
    for _ in range(200):
        try:
            read(port, "/api/v1/version", headers)
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("The server does not start")


if __name__ == "__main__":
    main()
