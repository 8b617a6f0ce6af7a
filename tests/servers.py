"""`windsock serve` as a process of its own, for tests that need real workers and threads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

from sqlalchemy import Engine

from clients import API, SETTINGS
from databases import free_port

_COMMAND = [sys.executable, "-c", "from windsock.cli import main; main()", "serve"]


class Server(NamedTuple):
    """A running server and what it has printed so far."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def serving(home: Path, database: Engine, *arguments: str, settings: Mapping[Any, str] = {}) -> Iterator[Server]:
    """Serve a database until the end of the block, with the settings of the tests and further ones."""
    port, log = free_port(), home / "log"
    url = database.url.render_as_string(hide_password=False)
    given = {**SETTINGS, ("database", "sql_alchemy_conn"): url, **settings}
    environ = {f"AIRFLOW__{section}__{key}".upper(): value for (section, key), value in given.items()}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_COMMAND, "--port", str(port), *arguments], stdout=output, stderr=output,
            env={**os.environ, **environ, "AIRFLOW_HOME": str(home)},
        )  # fmt: skip
    try:
        _wait(process, port, log)
        yield Server(port, process, log)
    finally:
        process.terminate()
        process.wait(timeout=20)
    assert "Traceback" not in log.read_text()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = monotonic() + 30
    while monotonic() < deadline and process.poll() is None:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", f"{API}/version")
            if connection.getresponse().status == 200:
                return
        except OSError:
            sleep(0.05)
    raise AssertionError(log.read_text())
