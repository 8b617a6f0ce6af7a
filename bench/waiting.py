"""How many requests can wait for a run while others are answered as before.

    .venv/bin/python bench/waiting.py [--waiters 200 900] [--workers 2]

The server has 4 threads for each worker, and a SQLite database. CPU time and memory come from /proc, so Linux only. The
output is Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import create_engine, update
from sqlalchemy.orm import Session

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import factories as f
from changes import USERNAME, fill
from clients import API, credentials
from servers import serving
from windsock.models import DagRun

#: Seconds for which the CPU time of a server whose requests all wait is measured.
IDLE = 10


class Used(NamedTuple):
    """CPU seconds and proportional megabytes of all processes of a server."""

    cpu: float
    memory: float


def tree(pid: int) -> list[int]:
    """A process and all that it has started."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return [pid, *(one for child in children for one in tree(child))]


def used(pid: int) -> Used:
    cpu = memory = 0.0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        cpu += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        memory += int(re.search(r"Pss:\s+(\d+)", Path(f"/proc/{one}/smaps_rollup").read_text())[1]) / 1024
    return Used(cpu, memory)


def latency(port: int, requests: int = 200) -> float:
    """The median of milliseconds that `/version` takes, each time on a new connection."""

    def once() -> float:
        begin = time.perf_counter()
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", f"{API}/version")
        assert connection.getresponse().status == 200
        return (time.perf_counter() - begin) * 1000

    return statistics.median(once() for _ in range(requests))


async def wait(port: int, path: str, begun: asyncio.Semaphore) -> float:
    """Wait for a run; when its end was told."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {credentials(USERNAME)}\r\n\r\n".encode())
    await reader.readuntil(b'"event":"state"')
    begun.release()
    await reader.readuntil(b'"reason":"finished"')
    writer.close()
    return time.monotonic()


async def measure(waiters: int, workers: int, home: Path) -> str:
    engine = create_engine(f"sqlite:///{home}/airflow.db")
    fill(engine)
    with Session(engine) as session, session.begin():
        session.add(f.dag_run("etl", "waited", state="running"))
    settings = {("windsock", "max_waiters"): str(waiters)}
    with serving(home, engine, "--workers", str(workers), "--threads", "4", settings=settings) as server:
        alone, before = latency(server.port), used(server.process.pid)
        begun, path = asyncio.Semaphore(0), f"{API}/dags/etl/dagRuns/{quote('waited')}/wait?interval=1"
        tasks = [asyncio.create_task(wait(server.port, path, begun)) for _ in range(waiters)]
        for _ in tasks:
            await begun.acquire()
        meanwhile, first = await asyncio.to_thread(latency, server.port), used(server.process.pid)
        await asyncio.sleep(IDLE)
        last = used(server.process.pid)
        with engine.begin() as connection:
            connection.execute(update(DagRun).where(DagRun.run_id == "waited").values(state="success"))
        ended = time.monotonic()
        told = max(await asyncio.gather(*tasks)) - ended
    cells = (waiters, f"{alone:.1f}", f"{meanwhile:.1f}", f"{last.cpu - first.cpu:.2f}",
             f"{first.memory - before.memory:.0f}", f"{told:.1f}")  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--waiters", type=int, nargs="+", default=[200, 900])
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    print(f"| waiting | `/version` alone, ms | meanwhile, ms | CPU s in {IDLE} s | MB more | all told after, s |")
    print("|---|---|---|---|---|---|")
    for waiters in given.waiters:
        with tempfile.TemporaryDirectory() as home:
            print(asyncio.run(measure(waiters, given.workers, Path(home))), flush=True)


if __name__ == "__main__":
    main()
