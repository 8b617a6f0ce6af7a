"""Health and version."""

from __future__ import annotations

import socket
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import create_engine

import factories as f
from clients import API, SETTINGS
from problems import assert_problem
from windsock import migrate
from windsock.app import create_app
from windsock.config import Config

STANDALONE = {("scheduler", "standalone_dag_processor"): "True"}
JOBS = {"scheduler": "SchedulerJob", "triggerer": "TriggererJob", "dag_processor": "DagProcessorJob"}
SILENT = {"scheduler": "unhealthy", "triggerer": None, "dag_processor": None}


def ago(seconds: float) -> datetime:
    return datetime.now(timezone.utc) - timedelta(seconds=seconds)


def health(client: Any) -> Any:
    response = client.get(f"{API}/health")
    assert response.status_code == 200
    return response.get_json()


def test_a_fresh_database_is_healthy_and_its_scheduler_is_not(stranger, connection):
    assert health(stranger) == {
        "metadatabase": {"status": "healthy"},
        **{name: {"status": SILENT[name], f"latest_{name}_heartbeat": None} for name in JOBS},
    }


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize(
    ("jobs", "status"),
    [
        ([("running", 5)], "healthy"),
        ([("running", 35)], "unhealthy"),
        ([("running", 86400)], "unhealthy"),
        ([("success", 5)], "unhealthy"),
        ([("failed", 5)], "unhealthy"),
        ([("running", 5), ("running", 4000)], "healthy"),
        ([("running", 4000), ("running", 5)], "healthy"),
        ([("running", 8), ("success", 5)], "healthy"),
    ],
)
def test_a_process_is_healthy_while_its_newest_running_job_sends_heartbeats(jobs, status, name, make_app, add):
    beats = [ago(seconds) for _, seconds in jobs]
    add(*(f.job(JOBS[name], state=s, latest_heartbeat=b) for (s, _), b in zip(jobs, beats, strict=True)))
    found = health(make_app(STANDALONE).test_client())
    shown = max(beat for beat, (state, _) in zip(beats, jobs, strict=True) if state == "running" or len(jobs) == 1)
    assert found.pop(name) == {"status": status, f"latest_{name}_heartbeat": shown.isoformat()}
    assert found.pop("metadatabase") == {"status": "healthy"}
    assert {other: found[other]["status"] for other in found} == {o: SILENT[o] for o in JOBS if o != name}


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("scheduler", ("scheduler", "scheduler_health_check_threshold")),
        ("triggerer", ("triggerer", "triggerer_health_check_threshold")),
        ("dag_processor", ("scheduler", "scheduler_heartbeat_sec")),
    ],
)
@pytest.mark.parametrize(("threshold", "status"), [("120.0", "healthy"), ("10", "unhealthy")])
def test_how_long_a_process_may_be_silent_can_be_set(threshold, status, name, setting, make_app, add):
    add(f.job(JOBS[name], latest_heartbeat=ago(60)))
    threshold = threshold.removesuffix(".0") if name == "scheduler" else threshold  # seconds, and whole ones
    assert health(make_app({**STANDALONE, setting: threshold}).test_client())[name]["status"] == status


@pytest.mark.parametrize(("seconds", "status"), [(9, "healthy"), (12, "unhealthy")])
def test_a_dag_processor_may_miss_one_heartbeat(seconds, status, make_app, add):
    add(f.job(JOBS["dag_processor"], latest_heartbeat=ago(seconds)))
    assert health(make_app(STANDALONE).test_client())["dag_processor"]["status"] == status


def test_the_dag_processor_is_not_judged_where_the_scheduler_parses_the_files(stranger, add):
    add(f.job(JOBS["dag_processor"], latest_heartbeat=ago(1)))
    assert health(stranger)["dag_processor"] == {"status": None, "latest_dag_processor_heartbeat": None}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_that_never_sent_a_heartbeat_is_unhealthy(name, make_app, add):
    add(f.job(JOBS[name], latest_heartbeat=None))
    found = health(make_app(STANDALONE).test_client())
    assert found[name] == {"status": "unhealthy", f"latest_{name}_heartbeat": None}
    assert found["metadatabase"] == {"status": "healthy"}


UNKNOWN = {
    "metadatabase": {"status": "unhealthy"},
    **{name: {"status": "unhealthy", f"latest_{name}_heartbeat": None} for name in JOBS},
}
BROKEN = ["sqlite:////no/such/directory/airflow.db", "postgresql+psycopg://nobody:hidden@127.0.0.1:1/nothing"]


@pytest.mark.parametrize("url", BROKEN, ids=["sqlite", "postgres"])
def test_health_is_answered_although_the_database_is_down(url):
    client = create_app(Config({**SETTINGS, ("database", "sql_alchemy_conn"): url})).test_client()
    for _ in range(2):
        assert health(client) == UNKNOWN
    assert client.get(f"{API}/version").status_code == 200


def test_a_database_that_is_no_airflow_database_is_unhealthy(tmp_path):
    url = f"sqlite:///{tmp_path}/empty.db"
    client = create_app(Config({**SETTINGS, ("database", "sql_alchemy_conn"): url})).test_client()
    assert health(client)["metadatabase"] == {"status": "unhealthy"}


@pytest.mark.parametrize("url", BROKEN, ids=["sqlite", "postgres"])
def test_another_operation_says_that_the_database_is_down_and_no_more(url, caplog):
    client = create_app(Config({**SETTINGS, ("database", "sql_alchemy_conn"): url})).test_client()
    headers = {"Authorization": "Basic YWRhOmFkYQ=="}
    response = client.get(f"{API}/pools", headers=headers)
    assert response.status_code >= 500
    assert_problem(response, response.status_code)
    assert "hidden" not in response.get_data(as_text=True) + caplog.text
    assert "no/such" not in response.get_data(as_text=True)


def test_a_database_that_keeps_silent_does_not_keep_the_answer_back():
    with socket.socket() as silent:  # takes connections, and never says a word
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://ada@127.0.0.1:{silent.getsockname()[1]}/airflow"
        client = create_app(Config({**SETTINGS, ("database", "sql_alchemy_conn"): url})).test_client()
        with ThreadPoolExecutor(3) as probes:
            asked = [probes.submit(health, client) for _ in range(3)]
            # the driver by itself would wait for ten seconds, one after the other
            assert [answer.result(timeout=8) for answer in asked] == [UNKNOWN] * 3


def test_a_locked_database_does_not_keep_the_answer_back(tmp_path):
    path = tmp_path / "locked.db"
    migrate.init(create_engine(f"sqlite:///{path}"))
    app = create_app(Config({**SETTINGS, ("database", "sql_alchemy_conn"): f"sqlite:///{path}"}))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=DELETE")
        other.execute("BEGIN EXCLUSIVE")
        assert health(app.test_client()) == UNKNOWN
        other.execute("ROLLBACK")
    settled = monotonic() + 60
    while (found := health(app.test_client())) == UNKNOWN and monotonic() < settled:
        pass
    assert found["metadatabase"] == {"status": "healthy"}


def test_the_version_is_that_of_airflow_with_the_servers_own_beside_it(stranger):
    response = stranger.get(f"{API}/version")
    assert response.get_json() == {"version": "2.11.2", "git_version": f"windsock {version('windsock')}"}
