"""Clients of version 1 of the API against a server with demo data; prints what works and the cause of what does not.

    PYTHONPATH=tests python tests/real/clients/run.py [--only NAME] [--environments DIR]

Each client lives in an environment of its own, made here from PyPI. Exit status 1 when a call fails for another reason
than those in CLIENTS. With $WINDSOCK_AIRFLOW_BIN (an executable `airflow` 2.11) every client also calls Airflow's own
web server on the same data, for comparison.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from clusters import free_port
from demoserver import DAG, DATASET, MAPPED, SETTINGS, TASK, Server, demo

HERE = Path(__file__).parent
AIRFLOW = os.environ.get("WINDSOCK_AIRFLOW_BIN", "")


class Client(NamedTuple):
    """A script beside this file, run in an environment with these packages."""

    name: str
    packages: tuple[str, ...]
    script: str
    settings: dict[str, str] = {}
    explained: dict[str, str] = {}  # a pattern of causes -> why the client, and not the server, is at fault


CLIENTS = (
    Client("apache-airflow-client-2.10.0", ("apache-airflow-client==2.10.0",), "official.py"),
    Client(
        "apache-airflow-client-2.5.1",
        ("apache-airflow-client==2.5.1",),
        "official.py",
        explained={
            r"'(trigger|execution_timeout|dag_run_timeout)'. Required value type is \w+ and passed type was NoneType":
                "it takes no null where there is no such thing; Airflow sends one there, too",
        },
    ),
    Client(
        "dagster-airlift",
        ("dagster-airlift[core]==0.29.27",),
        "airlift.py",
        settings={"AIRFLOW__WINDSOCK__CREATED_STATUS": "200"},
    ),
    Client(
        "mcp-server-apache-airflow",
        ("mcp-server-apache-airflow==0.2.10",),
        "mcp_tools.py",
        explained={
            r"'(NoneType|dict)' object has no attribute 'to_dict'":
                "the server has answered, but the tool wants an object where its client returns none",
            r"missing 1 required positional argument|got multiple values for keyword argument":
                "the tool calls its client with other arguments than that has, so nothing is sent",
            r"'get_dag_stats': Invalid type for variable 'dag_ids'. Required value type is str and passed":
                "the tool gives its client a list where that takes a text, so nothing is sent",
            r"'set_task_instances_state': \(400\)":
                "the tool sends `state` and `task_ids`, which the API calls `new_state` and `task_id`",
        },
    ),
)  # fmt: skip


def facts(server: Server) -> dict[str, Any]:
    """What a client is told about the demo data."""
    runs = [run["dag_run_id"] for run in server.ask(f"/dags/{DAG}/dagRuns?state=success&limit=2")["dag_runs"]]
    server.queue_datasets(DAG, "supplier_feed")
    host, _, port = server.address.removeprefix("http://").partition(":")
    return {
        "address": server.address,
        "url": server.url,
        "user": server.admin[0],
        "password": server.admin[1],
        "dag_ids": [dag["dag_id"] for dag in server.ask("/dags")["dags"]],
        "dag_id": DAG,
        "lost_dag": "customer_segments",
        "queued_dag_id": "supplier_feed",
        "dag_run_id": runs[0],
        "other_dag_run_id": runs[1],
        "task_id": TASK,
        "mapped_task_id": MAPPED,
        "map_index": 0,
        "task_try_number": 1,
        "xcom_key": "return_value",
        "uri": DATASET,
        "queued_uri": "s3://lake/stock/snapshot.parquet",
        "file_token": server.ask(f"/dags/{DAG}")["file_token"],
        "section": "core",
        "option": "parallelism",
        "event_log_id": server.ask("/eventLogs?limit=1")["event_logs"][0]["event_log_id"],
        "import_error_id": server.add_import_error(),
        "connection_id": server.ask("/connections?limit=1")["connections"][0]["connection_id"],
        "pool_name": "warehouse",
        "role_name": "Viewer",
        "username": "ada",
        "variable_key": server.ask("/variables?limit=1")["variables"][0]["key"],
        "itself": {"conn_type": "http", "host": host, "port": int(port)},
    }


def environment(client: Client, folder: Path) -> Path:
    """The Python of the client's environment."""
    home = folder / client.name
    python = home / "bin" / "python"
    if not (home / "installed").exists():
        venv.create(home, with_pip=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *client.packages]
        subprocess.run(pip, check=True)
        (home / "installed").touch()
    return python


def call(client: Client, folder: Path, told: dict[str, Any]) -> dict[str, str | None]:
    """What a client met: the cause of the failure of each call, or None. Raises SystemExit if its script fails."""
    command = [str(environment(client, folder)), "-W", "ignore", str(HERE / client.script)]
    done = subprocess.run(command, input=json.dumps(told), capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise SystemExit(f"{client.script}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def airflow(home: Path) -> Iterator[str]:
    """Airflow's own web server on the same database; yields its address."""
    port = free_port()
    environ = {**os.environ, **SETTINGS, "AIRFLOW_HOME": str(home), "AIRFLOW__WEBSERVER__WORKERS": "1"}
    with (home / "webserver.log").open("wb") as log:
        command = [AIRFLOW, "webserver", "--hostname", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        try:
            yield _ready(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(60)


def _ready(address: str) -> str:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{address}/api/v1/version", timeout=10).close()
            return address
        except (urllib.error.URLError, TimeoutError):
            time.sleep(1)
    raise SystemExit("Airflow's web server did not start")


def compare(client: Client, folder: Path) -> None:
    """Print what Airflow's own server gives the client."""
    with demo({**SETTINGS, **client.settings}) as server, airflow(server.home) as address:
        results = call(client, folder, {**facts(server), "address": address, "url": f"{address}/api/v1"})
    print(f"   Airflow: {_good(results)} of {len(results)}")
    for name, cause in results.items():
        if cause is not None:
            print(f"   failed at Airflow: {name}: {cause}")


def run(client: Client, folder: Path) -> bool:
    """Run one client and print its figures; return whether every failure is explained."""
    with demo({**SETTINGS, **client.settings}) as server:
        results = call(client, folder, facts(server))
    print(f"\n== {client.name}: {_good(results)} of {len(results)} calls", flush=True)
    unexplained = 0
    for name, cause in results.items():
        reasons = [reason for pattern, reason in client.explained.items() if re.search(pattern, cause or "")]
        unexplained += cause is not None and not reasons
        if cause is not None:
            print(f"   {name}: {reasons[0]}" if reasons else f"   FAILED {name}: {cause}")
    if AIRFLOW:
        compare(client, folder)
    return not unexplained


def _good(results: dict[str, str | None]) -> int:
    return sum(cause is None for cause in results.values())


def main() -> None:
    """Run the clients one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[client.name for client in CLIENTS], action="append")
    parser.add_argument("--environments", metavar="DIR", type=Path, help="where they are kept; default: nowhere")
    options = parser.parse_args()
    wanted = [client for client in CLIENTS if client.name in (options.only or [client.name])]
    with tempfile.TemporaryDirectory() as temporary:
        fine = [run(client, options.environments or Path(temporary)) for client in wanted]
    sys.exit(not all(fine))


if __name__ == "__main__":
    main()
