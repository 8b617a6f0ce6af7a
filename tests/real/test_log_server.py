"""A real Airflow 2.11.2 serves a log to Windsock: it takes the signature, for this file and no other.

Needs $WINDSOCK_AIRFLOW_BIN, as the other tests here.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

import factories as f
from beside import until
from clients import API, SETTINGS, signed_in
from databases import free_port

AIRFLOW = os.environ.get("WINDSOCK_AIRFLOW_BIN", "")
pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not AIRFLOW, reason="$WINDSOCK_AIRFLOW_BIN names no airflow executable"),
]
RUN_ID = "a run/é %2F"
SERVE = "from airflow.utils.serve_logs import create_app; create_app().run(host='127.0.0.1', port={port})"


@pytest.fixture
def airflow_port(tmp_path: Path) -> Iterator[int]:
    """Airflow's log server over `tmp_path/logs`, with the key of the tests."""
    place = Path(AIRFLOW) if Path(AIRFLOW).is_dir() else Path(AIRFLOW).parent
    port = free_port()
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(tmp_path / "logs"),
        "AIRFLOW__WEBSERVER__SECRET_KEY": str(SETTINGS["webserver", "secret_key"]),
    }
    with (tmp_path / "server.log").open("wb") as log:
        command = [str(place / "python"), "-W", "ignore", "-c", SERVE.format(port=port)]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            until(lambda: _refuses_strangers(port), but=(tmp_path / "server.log").read_text)
            yield port
        finally:
            server.terminate()
            server.wait(10)


def _refuses_strangers(port: int) -> bool:
    try:
        urlopen(f"http://127.0.0.1:{port}/log/x")
    except HTTPError as error:
        return error.code == 403
    except URLError:
        return False
    return False


def test_airflow_serves_the_log_of_a_running_try(
    airflow_port: int, tmp_path: Path, make_app: Any, make_user: Any, add: Any
):
    add(f.dag(), f.dag_run(run_id=RUN_ID), f.task_instance(run_id=RUN_ID, hostname="127.0.0.1", state="running"))
    path = f"dag_id={f.DAG_ID}/run_id={RUN_ID}/task_id={f.TASK_ID}/attempt=1.log"
    file = tmp_path / "logs" / path
    file.parent.mkdir(parents=True)
    file.write_text("on the worker\n")
    settings = {
        ("logging", "base_log_folder"): tmp_path / "another",
        ("logging", "worker_log_server_port"): airflow_port,
        ("windsock", "log_server_hosts"): "127.0.0.1",
    }
    url = f"{API}/dags/{f.DAG_ID}/dagRuns/a%20run%2F%C3%A9%20%252F/taskInstances/{f.TASK_ID}/logs/1"
    for key, served in ((SETTINGS["webserver", "secret_key"], True), ("another key", False)):
        app = make_app({**settings, ("webserver", "secret_key"): key})
        text = (
            signed_in(app, make_user("Admin").username)
            .get(url, headers={"Accept": "text/plain"})
            .get_data(as_text=True)
        )
        assert text.endswith("on the worker\n") is served
        assert ("refuses the request" in text) is not served
