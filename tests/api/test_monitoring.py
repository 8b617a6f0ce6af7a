"""Health and version."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import factories as f
from clients import API, SETTINGS
from problems import assert_problem
from windsock.app import create_app
from windsock.config import Config

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
        ([("running", 25)], "healthy"),
        ([("running", 35)], "unhealthy"),
        ([("running", 86400)], "unhealthy"),
        ([("success", 5)], "unhealthy"),
        ([("failed", 5)], "unhealthy"),
        ([("running", 5), ("running", 4000)], "healthy"),
        ([("running", 4000), ("running", 5)], "healthy"),
        ([("running", 10), ("success", 5)], "healthy"),
    ],
)
def test_a_process_is_healthy_while_its_newest_running_job_sends_heartbeats(jobs, status, name, stranger, add):
    beats = [ago(seconds) for _, seconds in jobs]
    add(*(f.job(JOBS[name], state=s, latest_heartbeat=b) for (s, _), b in zip(jobs, beats, strict=True)))
    found = health(stranger)
    shown = max(beat for beat, (state, _) in zip(beats, jobs, strict=True) if state == "running" or len(jobs) == 1)
    assert found.pop(name) == {"status": status, f"latest_{name}_heartbeat": shown.isoformat()}
    assert found.pop("metadatabase") == {"status": "healthy"}
    assert {other: found[other]["status"] for other in found} == {o: SILENT[o] for o in JOBS if o != name}


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("scheduler", ("scheduler", "scheduler_health_check_threshold")),
        ("triggerer", ("triggerer", "triggerer_health_check_threshold")),
    ],
)
@pytest.mark.parametrize(("threshold", "status"), [("120", "healthy"), ("10", "unhealthy")])
def test_how_long_a_process_may_be_silent_can_be_set(threshold, status, name, setting, make_app, add):
    add(f.job(JOBS[name], latest_heartbeat=ago(60)))
    assert health(make_app({setting: threshold}).test_client())[name]["status"] == status


BROKEN = ["sqlite:////no/such/directory/airflow.db", "postgresql+psycopg://nobody:hidden@127.0.0.1:1/nothing"]


@pytest.mark.parametrize("url", BROKEN, ids=["sqlite", "postgres"])
def test_health_is_answered_although_the_database_is_down(url):
    client = create_app(Config({**SETTINGS, ("database", "sql_alchemy_conn"): url})).test_client()
    for _ in range(2):
        assert health(client) == {
            "metadatabase": {"status": "unhealthy"},
            **{name: {"status": SILENT[name], f"latest_{name}_heartbeat": None} for name in JOBS},
        }
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


def test_the_version_is_that_of_airflow(stranger):
    response = stranger.get(f"{API}/version")
    assert response.get_json() == {"version": "2.11.2", "git_version": ""}
