"""From starting `windsock serve` to its first 200: the clock and the CPU time, medians of several starts.

    .venv/bin/python bench/start.py [--before OTHER/src] [--starts 10] [--workers 1] [--database FILE --config FILE]

The request is `GET /pools` with basic authentication, as in airflow.py. The output is Markdown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from base64 import b64encode
from pathlib import Path

from airflow import _environment, _make_demo, serve

HERE = Path(__file__).resolve().parent
COMMAND = [sys.executable, "-c", "from windsock.cli import main; main()", "serve", "--port", "{port}", "--workers"]


def measure(options: argparse.Namespace, scratch: Path) -> dict[str, list[tuple[float, float]]]:
    """Name -> seconds on the clock and of CPU time for each start; the versions take turns."""
    if options.database is None:
        _make_demo(options, scratch / "demo")
    basic = {"Authorization": "Basic " + b64encode(f"{options.user}:{options.password}".encode()).decode()}
    environment = _environment(options, scratch / "windsock")
    sources = {"now": HERE.parent / "src", **({"before": options.before} if options.before else {})}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sources}
    for number in range(options.starts + 1):
        for name, source in sources.items():
            path = environment | {"PYTHONPATH": str(Path(source).resolve())}
            with serve(name, [*COMMAND, str(options.workers)], path, basic) as server:
                if number:  # the first start fills caches of the file system
                    found[name].append((server.started, server.started_cpu))
    return found


def main() -> None:
    """Parse the options, start as often as asked, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", help="the src directory of another version of Windsock, to start in turns")
    parser.add_argument("--starts", type=int, default=10, help="default: 10")
    parser.add_argument("--workers", type=int, default=1, help="default: 1")
    parser.add_argument("--database", type=Path, metavar="FILE", help="an SQLite metadata database, which is copied")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the airflow.cfg of that database: its Fernet key")
    parser.add_argument("--user", default="admin", help="default: admin")
    parser.add_argument("--password", default="admin", help="default: admin")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="windsock-start-") as scratch:
        found = measure(options, Path(scratch))
    load = " ".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"Load average {load}; {options.starts} starts, {options.workers} worker(s).\n")
    print("| | start to first 200, s (range) | CPU time until then, s |\n|---|---|---|")
    for name, starts in found.items():
        clock, cpu = ([start[part] for start in starts] for part in (0, 1))
        span = f"{statistics.median(clock):.2f} ({min(clock):.2f}-{max(clock):.2f})"
        print(f"| {name} | {span} | {statistics.median(cpu):.2f} |")


if __name__ == "__main__":
    main()
