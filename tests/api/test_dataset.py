"""Datasets, their events, and updates that wait."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import insert

import factories as f
from clients import API
from problems import assert_problem
from windsock.models import dataset_alias_dataset

NOW = "2026-03-01T02:00:00.123456+00:00"


def uris(found: dict[str, Any]) -> list[str]:
    assert found["total_entries"] == len(found["datasets"])
    return [dataset["uri"] for dataset in found["datasets"]]


# ---------------------------------------------------------------- datasets
def test_a_dataset_names_who_produces_and_who_consumes_it(get, add, session):
    dataset = add(f.dataset("s3://bucket/key", extra={"owner": {"team": "sales"}}))
    alias = add(f.dataset_alias("sales"))
    session.execute(insert(dataset_alias_dataset), {"alias_id": alias.id, "dataset_id": dataset.id})
    times = {"created_at": f.START, "updated_at": f.START}
    add(f.dag("a"), f.dag("b"), f.consumer(dataset, "a", **times), f.producer(dataset, "b", "load", **times))
    shown = {"created_at": NOW, "updated_at": NOW}
    expected = {
        "id": dataset.id,
        "uri": "s3://bucket/key",
        "extra": {"owner": {"team": "sales"}},
        **shown,
        "consuming_dags": [{"dag_id": "a", **shown}],
        "producing_tasks": [{"dag_id": "b", "task_id": "load", **shown}],
        "aliases": [{"id": alias.id, "name": "sales"}],
    }
    assert get("datasets/" + quote("s3://bucket/key", safe="")) == expected
    assert get("datasets/s3://bucket/key") == expected
    assert get("datasets")["datasets"] == [expected]


@pytest.mark.parametrize("extra", [{}, {"a": [1, None]}, None, {"text": "Ž 🐴"}])
def test_the_extra_of_a_dataset_is_json(extra, get, add):
    dataset = add(f.dataset("plain", extra=extra))
    add(f.dataset_event(dataset, extra=extra))
    assert get("datasets/plain")["extra"] == extra
    assert get("datasets/events")["dataset_events"][0]["extra"] == extra


@pytest.fixture
def lake(add: Any) -> dict[str, Any]:
    """Four datasets between three DAGs."""
    found = {name: f.dataset(f"s3://lake/{name}") for name in ("raw", "Clean", "report", "orphan")}
    add(*(f.dag(dag_id) for dag_id in ("ingest", "clean", "publish")), *found.values())
    add(
        f.producer(found["raw"], "ingest", "a"),
        f.producer(found["raw"], "ingest", "b"),
        f.consumer(found["raw"], "clean"),
        f.producer(found["Clean"], "clean"),
        f.consumer(found["Clean"], "publish"),
        f.producer(found["report"], "publish"),
    )
    return found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["raw", "Clean", "report", "orphan"]),
        ({"order_by": "-uri", "uri_pattern": "r"}, ["report", "raw", "orphan"]),
        ({"dag_ids": "ingest"}, ["raw"]),
        ({"dag_ids": "clean"}, ["raw", "Clean"]),
        ({"dag_ids": "ingest,publish"}, ["raw", "Clean", "report"]),
        ({"dag_ids": "nothing"}, []),
        ({"dag_ids": ""}, ["raw", "Clean", "report", "orphan"]),
        ({"uri_pattern": "CLEAN"}, ["Clean"]),
        ({"uri_pattern": "lake/r%"}, ["raw", "report"]),
        ({"uri_pattern": "_aw"}, ["raw"]),
        ({"uri_pattern": "report", "dag_ids": "clean"}, []),
        ({"uri_pattern": "raw", "dag_ids": "clean,ingest"}, ["raw"]),
    ],
)
def test_a_list_of_datasets_and_its_total_hold_what_all_filters_leave(query, expected, get, lake):
    assert uris(get("datasets", **query)) == [f"s3://lake/{name}" for name in expected]


def test_a_filter_by_dag_leaves_the_dataset_whole(get, lake):
    found = get("datasets", dag_ids="clean", uri_pattern="raw")["datasets"][0]
    assert [task["task_id"] for task in found["producing_tasks"]] == ["a", "b"]
    assert [dag["dag_id"] for dag in found["consuming_dags"]] == ["clean"]


@pytest.mark.parametrize("uri", ["s3://lake/RAW", "s3://lake", "raw"])
def test_a_dataset_is_found_by_its_exact_uri(uri, client, lake):
    assert_problem(client.get(f"{API}/datasets/{uri}"), 404)


# ---------------------------------------------------------------- events
def test_an_event_names_its_source_and_the_runs_that_it_made(get, add):
    dataset, run = f.dataset("s3://a"), f.dag_run(execution_date=f.START, state="running", end_date=None)
    add(dataset, run)
    event = add(f.dataset_event(dataset, created_dagruns=[run], source_map_index=3))
    created = {
        "dag_run_id": f.RUN_ID,
        "dag_id": "etl",
        "logical_date": NOW,
        "start_date": NOW,
        "end_date": None,
        "data_interval_start": NOW,
        "data_interval_end": "2026-03-01T03:00:00.123456+00:00",
        "state": "running",
    }
    expected = {
        "id": event.id,
        "dataset_id": dataset.id,
        "dataset_uri": "s3://a",
        "extra": {},
        "source_dag_id": "etl",
        "source_task_id": "extract",
        "source_run_id": f.RUN_ID,
        "source_map_index": 3,
        "created_dagruns": [created],
        "timestamp": NOW,
    }
    assert get("datasets/events") == {"dataset_events": [expected], "total_entries": 1}


def test_an_event_outlives_its_dataset(get, add, session):
    dataset = add(f.dataset())
    number = dataset.id
    add(f.dataset_event(dataset))
    session.delete(dataset)
    session.commit()
    event = get("datasets/events")["dataset_events"][0]
    assert (event["dataset_id"], event["dataset_uri"]) == (number, "")


@pytest.fixture
def happened(add: Any) -> dict[str, int]:
    """The numbers of two datasets with five events, an hour apart but the newest first."""
    one, two = f.dataset("s3://one"), f.dataset("s3://two")
    add(one, two)
    sources = [
        (one, "a", "load", "r1", -1),
        (one, "a", "load", "r1", 0),
        (one, "a", "store", "r2", 1),
        (two, "b", "load", "r1", -1),
        (two, None, None, None, -1),
    ]
    names = ("source_dag_id", "source_task_id", "source_run_id", "source_map_index")
    for number, (dataset, *source) in enumerate(sources):
        columns = dict(zip(names, source, strict=True))
        add(f.dataset_event(dataset, extra={"n": number}, timestamp=f.START - number * f.HOUR, **columns))
    return {"one": one.id, "two": two.id}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "43210"),
        ({"order_by": "-timestamp"}, "01234"),
        ({"dataset_id": "two"}, "43"),
        ({"dataset_id": 0}, ""),
        ({"source_dag_id": "a"}, "210"),
        ({"source_task_id": "load"}, "310"),
        ({"source_run_id": "r2"}, "2"),
        ({"source_map_index": 0}, "1"),
        ({"source_map_index": -1}, "430"),
        ({"source_dag_id": "a", "source_task_id": "load", "source_map_index": -1}, "0"),
        ({"source_run_id": "nothing"}, ""),
    ],
)
def test_a_list_of_events_holds_what_all_filters_leave(query, expected, get, happened):
    if query.get("dataset_id"):
        query = {**query, "dataset_id": happened[query["dataset_id"]]}
    found = get("datasets/events", **query)
    assert "".join(str(event["extra"]["n"]) for event in found["dataset_events"]) == expected
    assert found["total_entries"] == len(expected)


# ---------------------------------------------------------------- queued events
@pytest.fixture
def queue(add: Any) -> None:
    """Three updates that wait; of `third` nothing does."""
    one, two, third = f.dataset("s3://one"), f.dataset("s3://two"), f.dataset("s3://third")
    add(f.dag("a"), f.dag("b"), f.dag("c"), one, two, third)
    add(f.queued_event(one, "a"), f.queued_event(two, "a", created_at=f.START + f.HOUR), f.queued_event(one, "b"))


AFTER = {"before": "2026-03-01T02:00:00.123457Z"}
AT = {"before": NOW}


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("dags/a/datasets/queuedEvent", {}, {("s3://one", "a"), ("s3://two", "a")}),
        ("dags/a/datasets/queuedEvent", AFTER, {("s3://one", "a")}),
        ("dags/b/datasets/queuedEvent", {}, {("s3://one", "b")}),
        ("datasets/queuedEvent/s3://one", {}, {("s3://one", "a"), ("s3://one", "b")}),
        ("datasets/queuedEvent/s3%3A%2F%2Ftwo", {}, {("s3://two", "a")}),
    ],
)
def test_queued_events_are_those_of_the_dag_or_of_the_dataset(path, query, expected, get, queue):
    found = get(path, **query)
    assert {(event["uri"], event["dag_id"]) for event in found["queued_events"]} == expected
    assert found["total_entries"] == len(expected)
    assert all(event.keys() == {"uri", "dag_id", "created_at"} for event in found["queued_events"])


@pytest.mark.parametrize("uri", ["s3://one", "s3%3A%2F%2Fone"])
def test_one_queued_event_is_an_object(uri, get, queue):
    event = {"uri": "s3://one", "dag_id": "a", "created_at": NOW}
    assert get(f"dags/a/datasets/queuedEvent/{uri}") == event
    assert get(f"dags/a/datasets/queuedEvent/{uri}", **AFTER) == event


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("dags/c/datasets/queuedEvent", {}),
        ("dags/nothing/datasets/queuedEvent", {}),
        ("dags/b/datasets/queuedEvent", AT),
        ("datasets/queuedEvent/s3://third", {}),
        ("datasets/queuedEvent/s3://nothing", {}),
        ("datasets/queuedEvent/s3://one", AT),
        ("dags/b/datasets/queuedEvent/s3://two", {}),
        ("dags/a/datasets/queuedEvent/s3://one", AT),
        ("dags/~/datasets/queuedEvent", {}),
        ("datasets/queuedEvent/~", {}),
        ("dags/a/datasets/queuedEvent/~", {}),
    ],
)
def test_where_nothing_is_queued_the_answer_is_404(path, query, client, queue):
    assert_problem(client.get(f"{API}/{path}", query_string=query), 404)


def test_queued_events_are_on_one_page_however_many_there_are(get, add):
    waited_for = f.dataset("s3://one")
    names = [f"dag {number:02}" for number in range(30)]
    add(waited_for, *(f.dag(name) for name in names))
    add(*(f.queued_event(waited_for, name) for name in names))
    found = get("datasets/queuedEvent/s3://one")
    assert [event["dag_id"] for event in found["queued_events"]] == names
    assert found["total_entries"] == 30
