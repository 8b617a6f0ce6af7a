"""Events of datasets that are reported from outside, and events that are forgotten."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import func, select

import factories as f
from clients import API
from problems import assert_problem
from windsock.models import DatasetDagRunQueue, DatasetEvent, Log

URI, OTHER = "s3://bucket/a key?x=1", "s3://bucket/other"
EVENTS = f"{API}/datasets/events"
EVERY_DAG = ["DAGs.can_edit", "DAG Runs.can_create"]
ONE_DAG = ["DAG:one.can_edit", "DAG Run:one.can_create"]


def queued(session: Any) -> set[tuple[str, int]]:
    session.expire_all()
    return {(row.target_dag_id, row.dataset_id) for row in session.scalars(select(DatasetDagRunQueue))}


@pytest.fixture
def dataset(add: Any) -> Any:
    """A dataset that schedules two active DAGs, a paused one and one whose file is gone."""
    consumers = [f.dag("one"), f.dag("two"), f.dag("paused", is_paused=True), f.dag("gone", is_active=False)]
    made = add(f.dataset(URI), f.dataset(OTHER), *consumers)
    add(*(f.consumer(made, dag.dag_id) for dag in consumers))
    return made


# ---------------------------------------------------------------- reporting
def test_an_event_is_stored_and_shown(client, dataset, session):
    began = datetime.now(timezone.utc)
    answer = client.post(EVENTS, json={"dataset_uri": URI, "extra": {"by": {"name": "ada"}, "from_rest_api": False}})
    row = session.scalars(select(DatasetEvent)).one()
    assert answer.status_code == 201
    assert answer.get_json() == {
        "id": row.id,
        "dataset_id": dataset.id,
        "dataset_uri": URI,
        "extra": {"by": {"name": "ada"}, "from_rest_api": True},
        "source_dag_id": None,
        "source_task_id": None,
        "source_run_id": None,
        "source_map_index": -1,
        "created_dagruns": [],
        "timestamp": row.timestamp.isoformat(),
    }
    assert row.extra == answer.get_json()["extra"]
    assert began - timedelta(seconds=1) < row.timestamp < datetime.now(timezone.utc) + timedelta(seconds=1)
    assert session.scalars(select(Log.event)).all() == ["api.create_dataset_event"]


@pytest.mark.parametrize("extra", [{}, {"extra": {}}, {"extra": None}])
def test_an_event_says_where_it_came_from_without_an_extra_too(extra, client, dataset):
    answer = client.post(EVENTS, json={"dataset_uri": URI, **extra})
    assert answer.status_code == 201 and answer.get_json()["extra"] == {"from_rest_api": True}


def test_the_active_and_unpaused_dags_of_the_dataset_wait_for_a_run(client, dataset, session, add):
    add(f.queued_event(dataset, "two"))
    for _ in range(2):
        assert client.post(EVENTS, json={"dataset_uri": URI}).status_code == 201
    assert queued(session) == {("one", dataset.id), ("two", dataset.id)}
    assert session.scalar(select(func.count()).select_from(DatasetEvent)) == 2
    since = dict(session.execute(select(DatasetDagRunQueue.target_dag_id, DatasetDagRunQueue.created_at)).all())
    assert since["two"] == f.START < since["one"]


def test_an_event_without_consumers_queues_nothing(client, dataset, session):
    assert client.post(EVENTS, json={"dataset_uri": OTHER}).status_code == 201
    assert queued(session) == set()


@pytest.mark.parametrize(
    ("rights", "expected"),
    [
        ([], set()),
        (["DAGs.can_edit"], set()),
        (["DAG Runs.can_create", "DAGs.can_read"], set()),
        (EVERY_DAG, {"one", "two"}),
        (ONE_DAG, {"one"}),
        (["DAGs.can_edit", "DAG Run:two.can_create"], {"two"}),
        (["DAG:two.can_edit", "DAG Runs.can_create"], {"two"}),
        (["DAG:one.can_edit", "DAG Run:two.can_create"], set()),
        (["DAG:paused.can_edit", "DAG Runs.can_create"], set()),
    ],
)
def test_only_dags_that_the_reporter_may_trigger_are_queued(rights, expected, as_user, dataset, session):
    reporter = as_user(permissions=["Datasets.can_create", *rights])
    assert reporter.post(EVENTS, json={"dataset_uri": URI}).status_code == 201
    assert queued(session) == {(dag_id, dataset.id) for dag_id in expected}


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"dataset_uri": "nope"}, 404, "nope"),
        ({"dataset_uri": URI.upper()}, 404, "uri"),
        ({}, 400, "dataset_uri"),
        ({"dataset_uri": 7}, 400, "dataset_uri"),
        ({"dataset_uri": URI, "extra": []}, 400, "extra"),
        ({"dataset_uri": URI, "timestamp": "2026-01-01T00:00:00Z"}, 400, "timestamp"),
    ],
)
def test_a_refused_event_leaves_nothing(body, status, word, client, dataset, session):
    assert_problem(client.post(EVENTS, json=body), status, word)
    assert queued(session) == set()
    assert session.scalars(select(DatasetEvent)).all() == session.scalars(select(Log)).all() == []


def test_reporting_takes_a_right_on_datasets(as_user, dataset, session):
    reader = as_user("Viewer", permissions=EVERY_DAG)
    assert_problem(reader.post(EVENTS, json={"dataset_uri": URI}), 403, "Datasets.can_create")
    assert session.scalars(select(DatasetEvent)).all() == []


# ---------------------------------------------------------------- forgetting
@pytest.fixture
def waiting(dataset: Any, add: Any, session: Any) -> Any:
    """Both datasets are queued for `one` and `two`; the second dataset an hour later."""
    other = session.scalars(select(type(dataset)).filter_by(uri=OTHER)).one()
    for dag_id in ("one", "two"):
        add(f.queued_event(dataset, dag_id), f.queued_event(other, dag_id, created_at=f.START + f.HOUR))
    return {URI: dataset.id, OTHER: other.id}


def kept(waiting: Any, *gone: tuple[str, str]) -> set[tuple[str, int]]:
    every = {(dag_id, uri) for dag_id in ("one", "two") for uri in (URI, OTHER)}
    assert every >= set(gone)
    return {(dag_id, waiting[uri]) for dag_id, uri in every - set(gone)}


@pytest.mark.parametrize(
    ("path", "query", "gone"),
    [
        ("dags/one/datasets/queuedEvent", {}, [("one", URI), ("one", OTHER)]),
        ("dags/one/datasets/queuedEvent", {"before": f.START + f.HOUR}, [("one", URI)]),
        (f"dags/one/datasets/queuedEvent/{quote(URI, safe='')}", {}, [("one", URI)]),
        (f"dags/one/datasets/queuedEvent/{quote(OTHER, safe='')}", {"before": f.START + 2 * f.HOUR}, [("one", OTHER)]),
        (f"datasets/queuedEvent/{quote(URI, safe='')}", {}, [("one", URI), ("two", URI)]),
        (
            f"datasets/queuedEvent/{quote(OTHER, safe='')}",
            {"before": f.START + 2 * f.HOUR},
            [("one", OTHER), ("two", OTHER)],
        ),
    ],
)
def test_queued_events_that_match_are_forgotten_and_no_others(path, query, gone, client, waiting, session):
    query = {name: value.isoformat() for name, value in query.items()}
    answer = client.delete(f"{API}/{path}", query_string=query)
    assert (answer.status_code, answer.data) == (204, b"")
    assert queued(session) == kept(waiting, *gone)
    assert_problem(client.delete(f"{API}/{path}", query_string=query), 404)
    assert session.scalar(select(func.count()).select_from(Log)) == 1


@pytest.mark.parametrize("dag_id", ["nope", "~", "%", "ONE"])
@pytest.mark.parametrize("uri", ["", "/" + quote(URI, safe="")])
def test_nothing_is_forgotten_for_a_dag_that_is_not_named_exactly(dag_id, uri, client, waiting, session):
    assert_problem(client.delete(f"{API}/dags/{quote(dag_id)}/datasets/queuedEvent{uri}"), 404)
    assert queued(session) == kept(waiting)


@pytest.mark.parametrize("path", ["dags/one/datasets/queuedEvent", f"datasets/queuedEvent/{quote(URI, safe='')}"])
def test_before_is_a_moment_and_excludes_itself(path, client, waiting, session):
    assert_problem(client.delete(f"{API}/{path}?before=zz"), 400, "before")
    assert_problem(client.delete(f"{API}/{path}", query_string={"before": f.START.isoformat()}), 404)
    assert queued(session) == kept(waiting)


def test_the_events_of_a_dataset_are_forgotten_for_readable_dags_only(as_user, waiting, session):
    url = f"{API}/datasets/queuedEvent/{quote(URI, safe='')}"
    assert as_user(permissions=["Datasets.can_delete", "DAG:two.can_read"]).delete(url).status_code == 204
    assert queued(session) == kept(waiting, ("two", URI))
    assert_problem(as_user(permissions=["Datasets.can_delete"]).delete(url), 404)
    assert queued(session) == kept(waiting, ("two", URI))


def test_forgetting_takes_a_right_on_datasets_and_on_the_dag(as_user, waiting, session):
    url = f"{API}/dags/one/datasets/queuedEvent"
    assert_problem(as_user(permissions=["DAGs.can_read"]).delete(url), 403, "Datasets.can_delete")
    assert_problem(as_user(permissions=["Datasets.can_delete", "DAG:two.can_read"]).delete(url), 403)
    assert queued(session) == kept(waiting)
