"""`windsock standalone` as a process of its own, and what its demo data has: for tools that come from outside.

The tools of tests/real/ run with this directory on PYTHONPATH.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from clusters import free_port

BIN = Path(sys.executable).parent
PASSWORD = "only for this test"
_LOOPBACK = ("0.0.0.0/0", "127.0.0.0/8"), ("::/0", "::1/128")
#: Everything that settings can switch on is on; tests of connections never leave this machine.
SETTINGS = {
    "AIRFLOW__API__ENABLE_XCOM_DESERIALIZE_SUPPORT": "True",
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    "AIRFLOW__WEBSERVER__EXPOSE_CONFIG": "True",
    "AIRFLOW__WINDSOCK__TEST_CONNECTION_TIMEOUT": "1",
    "AIRFLOW__WINDSOCK__TEST_CONNECTION_DENY": ",".join(
        str(part) for every, own in _LOOPBACK for part in ip_network(every).address_exclude(ip_network(own))
    ),
}
#: In the demo data: a DAG, a task of it with XComs and a mapped one, and datasets.
DAG, TASK, MAPPED, DATASET = "nightly_sales", "load", "transform", "s3://lake/customers/profiles.parquet"


class Server:
    """A demo server and its administrator."""

    def __init__(self, address: str, home: Path, password: str) -> None:
        self.address, self.url, self.home, self.admin = address, f"{address}/api/v1", home, ("admin", password)

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """The JSON of an answer to the administrator."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": basic(*self.admin), "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read() or b"null")

    @contextlib.contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """For what the API has no operation for."""
        with contextlib.closing(sqlite3.connect(self.home / "airflow.db", timeout=30)) as database, database:
            yield database

    def add_import_error(self) -> int:
        """As the parser of DAG files does, for the file of DAG; return its id."""
        file = self.ask(f"/dags/{DAG}")["fileloc"]
        with self.database() as database:
            insert = "INSERT INTO import_error (timestamp, filename, stacktrace) VALUES (?, ?, ?) RETURNING id"
            return database.execute(insert, ("2026-03-02 02:00:00.000000", file, "SyntaxError")).fetchone()[0]

    def queue_datasets(self, *dag_ids: str) -> None:
        """As the scheduler does for DAGs that wait for further datasets."""
        with self.database() as database:
            for dag_id in dag_ids:
                values = "SELECT id, ?, '2026-01-12 08:15:20.000000' FROM dataset"
                columns = "dataset_id, target_dag_id, created_at"
                database.execute(f"INSERT OR IGNORE INTO dataset_dag_run_queue ({columns}) {values}", (dag_id,))


def basic(user: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@contextlib.contextmanager
def demo(settings: Mapping[str, str] = SETTINGS) -> Iterator[Server]:
    """`windsock standalone` in a directory of its own. Raises SystemExit with its log if it does not start."""
    port = free_port()
    with tempfile.TemporaryDirectory() as home, open(f"{home}/log", "w+", encoding="utf-8") as log:
        command = [BIN / "windsock", "standalone", "--port", str(port), "--home", f"{home}/demo"]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **settings})
        try:
            yield Server(f"http://127.0.0.1:{port}", Path(home) / "demo", _password(Path(log.name)))
        finally:
            process.terminate()
            process.wait(20)


def _password(log: Path) -> str:
    for _ in range(600):
        for line in log.read_text("utf-8").splitlines():
            if line.strip().startswith("password "):
                return line.split()[1]
        time.sleep(0.1)
    raise SystemExit(f"The server did not start:\n{log.read_text('utf-8')}")
