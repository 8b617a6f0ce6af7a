"""A server of one worker on a database that `windsock demo load` has filled, for `memory.py` and `walk.py`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import airflow
from airflow import Server

from windsock.config import Config


class Given(NamedTuple):
    """What the command line names: the database's `airflow.cfg`, who asks, and a number of the script's own."""

    config: Path
    headers: dict[str, str]
    number: int

    @property
    def database(self) -> str:
        """The URL of the database."""
        return Config.load(self.config).database_url


def given(what: str | None, option: str, default: int) -> Given:
    """Read the command line; `what` is the script's docstring, and `option` names its number."""
    parser = argparse.ArgumentParser(description=(what or "").partition("\n")[0])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--user", default="all")
    parser.add_argument("--password", required=True)
    parser.add_argument(option, type=int, default=default, dest="number")
    found = parser.parse_args()
    return Given(found.config, airflow.basic_header(found.user, found.password), found.number)


@contextmanager
def served(given: Given) -> Iterator[Server]:
    """Serve the database until the end of the block."""
    command = [str(Path(sys.executable).with_name("windsock")), "serve", "--port", "{port}", "--workers", "1"]
    with tempfile.TemporaryDirectory() as scratch:
        environment = airflow.clean_environment() | {"AIRFLOW_HOME": scratch, "AIRFLOW_CONFIG": str(given.config)}
        with airflow.serve("windsock", command, environment, given.headers) as server:
            yield server


def rss(pid: int) -> float:
    """Megabytes of a process that are in memory."""
    return airflow._kilobytes(pid, "status", "VmRSS:") / 1024
