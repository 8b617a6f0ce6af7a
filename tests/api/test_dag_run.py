"""Runs of DAGs: their configuration, their notes, and what made them."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

import factories as f
from clients import API
from problems import assert_problem

RUNS = "dags/etl/dagRuns"


@pytest.fixture
def store_conf(session: Any) -> Callable[[str, bytes | None], None]:
    """`store_conf(run_id, bytes)` puts bytes where a pickle belongs."""

    def store(run_id: str, stored: bytes | None) -> None:
        session.execute(text("UPDATE dag_run SET conf = :conf WHERE run_id = :id"), {"conf": stored, "id": run_id})
        session.commit()

    return store


# ---------------------------------------------------------------- one run
def test_a_run_shows_what_is_stored(get, add):
    run = add(f.dag_run(execution_date=f.START, conf={"a": 1}, last_scheduling_decision=f.START))
    add(f.dag_run_note(run, content="Žluťoučký\nnote"))
    expected = {
        "dag_run_id": f.RUN_ID,
        "dag_id": "etl",
        "logical_date": "2026-03-01T02:00:00.123456+00:00",
        "execution_date": "2026-03-01T02:00:00.123456+00:00",
        "start_date": "2026-03-01T02:00:00.123456+00:00",
        "end_date": "2026-03-01T03:00:00.123456+00:00",
        "data_interval_start": "2026-03-01T02:00:00.123456+00:00",
        "data_interval_end": "2026-03-01T03:00:00.123456+00:00",
        "last_scheduling_decision": "2026-03-01T02:00:00.123456+00:00",
        "run_type": "scheduled",
        "state": "success",
        "external_trigger": False,
        "conf": {"a": 1},
        "note": "Žluťoučký\nnote",
    }
    assert get(f"{RUNS}/{f.RUN_ID}") == expected
    assert get(RUNS)["dag_runs"] == [expected]


@pytest.mark.parametrize("protocol", [0, 4, 5])
@pytest.mark.parametrize(
    "conf", [{}, {"a": [1, 2.5, None, True]}, {"a": {"b": {"c": "Ž 🐴"}}}, {"": ""}, {"big": 2**70}, {"1": -(2**63)}]
)
def test_a_conf_of_any_pickle_protocol_is_a_json_object(conf, protocol, get, add, store_conf):
    add(f.dag_run())
    store_conf(f.RUN_ID, pickle.dumps(conf, protocol=protocol))
    assert get(f"{RUNS}/{f.RUN_ID}")["conf"] == conf


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (None, {}),
        (b"", None),
        (b"garbage", None),
        (pickle.dumps({"a": 1})[:-3], None),
        (pickle.dumps([1, 2]), None),
        (pickle.dumps("text"), None),
        (pickle.dumps({"a": float("nan")}), {"a": None}),
        (pickle.dumps({"a": (1, 2)}), {"a": [1, 2]}),
        (pickle.dumps({"a": timedelta(1)}), None),
        (pickle.dumps({"a": {1}}), None),
        (pickle.dumps({"a": b"bytes"}), None),
        (b"\x80\x05}\x94\x8c\x01a\x94h\x00s.", None),  # it holds itself
        (b"cos\nsystem\n(S'false'\ntR.", None),
    ],
)
def test_a_conf_that_is_no_json_object_is_null_and_breaks_no_list(stored, shown, get, add, store_conf):
    add(f.dag_run(), f.dag_run(run_id="good", conf={"good": True}))
    store_conf(f.RUN_ID, stored)
    assert get(f"{RUNS}/{f.RUN_ID}")["conf"] == shown
    assert [run["conf"] for run in get(RUNS, order_by="id")["dag_runs"]] == [shown, {"good": True}]


@pytest.mark.parametrize(
    "stored",
    ["c{0}\nspring\n)R.", "(dS'a'\nc{0}\nBoom\ns.", "\x80\x02c{0}\nspring\n)R.", "\x80\x02}}U\x01ac{0}\nBoom\n)\x81s."],
    ids=["a call", "a class inside", "a call of protocol 2", "an object inside"],
)
def test_a_conf_that_names_a_class_is_null_and_imports_nothing(stored, get, add, store_conf, trap):
    add(f.dag_run())
    payload = stored.format(trap).encode("latin-1")
    store_conf(f.RUN_ID, payload)
    assert get(f"{RUNS}/{f.RUN_ID}")["conf"] is None
    assert get(RUNS)["dag_runs"][0]["conf"] is None
    assert trap not in sys.modules
    pickle.loads(payload)  # another reader would have
    assert sys.modules.pop(trap)


@pytest.mark.parametrize(("notes", "shown"), [(["kept"], "kept"), ([""], ""), ([None], None), ([], None)])
def test_a_note_is_text_or_null(notes, shown, get, add):
    run = add(f.dag_run())
    add(*(f.dag_run_note(run, content=content) for content in notes))
    assert get(f"{RUNS}/{f.RUN_ID}")["note"] == shown


@pytest.mark.parametrize("fields", ["dag_run_id,note", "conf", "logical_date,execution_date"])
def test_fields_narrow_a_run(fields, get, add):
    run = add(f.dag_run(conf={"a": 1}))
    add(f.dag_run_note(run))
    whole = get(f"{RUNS}/{f.RUN_ID}")
    narrowed = {name: whole[name] for name in fields.split(",")}
    assert get(f"{RUNS}/{f.RUN_ID}", fields=fields) == narrowed
    assert get(RUNS, fields=fields)["dag_runs"] == [narrowed]


@pytest.mark.parametrize("path", [RUNS, f"{RUNS}/{f.RUN_ID}"])
def test_an_unknown_field_of_a_run_is_refused_by_name(path, client, add):
    add(f.dag_run())
    assert_problem(client.get(f"{API}/{path}?fields=dag_run_id,bogus"), 400, "bogus")


# ---------------------------------------------------------------- which runs
@pytest.fixture
def several(add: Any) -> None:
    """Four runs of two DAGs, an hour apart."""
    states = {"a": ("etl", "success"), "b": ("etl", "failed"), "c": ("etl", "running"), "d": ("other", "failed")}
    for hour, (run_id, (dag_id, state)) in enumerate(states.items()):
        moment = f.START.replace(microsecond=0) + hour * f.HOUR
        add(f.dag_run(dag_id, run_id, state=state, execution_date=moment, updated_at=moment + 12 * f.HOUR))


CASES = [
    ({}, "abcd"),
    ({"state": "failed"}, "bd"),
    ({"state": ["failed", "running"]}, "bcd"),
    ({"execution_date_gte": "2026-03-01T03:00:00Z"}, "bcd"),
    ({"execution_date_lte": "2026-03-01T03:00:00Z"}, "ab"),
    ({"start_date_gte": "2026-03-01T04:00:00Z", "start_date_lte": "2026-03-01T04:00:00Z"}, "c"),
    ({"end_date_gte": "2026-03-01T06:00:00Z"}, "d"),
    ({"end_date_lte": "2026-03-01T03:00:00Z", "state": "failed"}, ""),
    ({"order_by": "-execution_date"}, "dcba"),
    ({"order_by": "state"}, "bdca"),
    ({"order_by": "-dag_run_id"}, "dcba"),
]


def run_ids(found: dict[str, Any]) -> str:
    assert found["total_entries"] == len(found["dag_runs"])
    return "".join(run["dag_run_id"] for run in found["dag_runs"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        *CASES,
        ({"state": "failed,running"}, "bcd"),
        ({"state": "bogus"}, ""),
        ({"updated_at_gte": "2026-03-01T16:00:00Z"}, "cd"),
        ({"updated_at_lte": "2026-03-01T16:00:00+02:00"}, "a"),
    ],
)
def test_a_list_of_runs_holds_what_all_filters_leave(query, expected, get, several):
    assert run_ids(get("dags/~/dagRuns", **query)) == expected


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        *((dict(query), expected) for query, expected in CASES),
        ({"dag_ids": ["other"]}, "d"),
        ({"dag_ids": ["other", "etl"], "states": ["failed"]}, "bd"),
        ({"dag_ids": ["nothing"]}, ""),
        ({"dag_ids": [], "states": []}, "abcd"),
        ({"page_limit": 500}, "abcd"),
    ],
)
def test_a_batch_form_holds_what_all_filters_leave(form, expected, client, several):
    if "state" in form:
        states = form.pop("state")
        form["states"] = [states] if isinstance(states, str) else states
    response = client.post(f"{API}/dags/~/dagRuns/list", json=form)
    assert response.status_code == 200, response.get_json()
    assert run_ids(response.get_json()) == expected


@pytest.mark.parametrize(("dag_id", "expected"), [("etl", "abc"), ("other", "d"), ("nothing", ""), ("~", "abcd")])
def test_runs_are_those_of_the_dag_in_the_path(dag_id, expected, get, several):
    assert run_ids(get(f"dags/{dag_id}/dagRuns")) == expected


# ---------------------------------------------------------------- what made a run
def test_the_dataset_events_that_made_a_run_are_listed_in_their_order(get, add):
    run, other = f.dag_run(), f.dag_run(run_id="other")
    first, second = f.dataset("s3://a"), f.dataset("s3://b")
    add(run, other, first, second)
    add(
        f.dataset_event(second, created_dagruns=[run, other], extra={"n": 1}, timestamp=f.START + f.HOUR),
        f.dataset_event(first, created_dagruns=[run], extra={"n": 2}),
        f.dataset_event(first, created_dagruns=[other], extra={"n": 3}),
        f.dataset_event(first, extra={"n": 4}),
    )
    found = get(f"{RUNS}/{f.RUN_ID}/upstreamDatasetEvents")
    assert found["total_entries"] == 2
    assert [(e["dataset_uri"], e["extra"]) for e in found["dataset_events"]] == [
        ("s3://b", {"n": 1}),
        ("s3://a", {"n": 2}),
    ]
    assert {r["dag_run_id"] for r in found["dataset_events"][0]["created_dagruns"]} == {f.RUN_ID, "other"}


def test_a_run_that_no_event_made_has_none(get, add):
    add(f.dag_run())
    assert get(f"{RUNS}/{f.RUN_ID}/upstreamDatasetEvents") == {"dataset_events": [], "total_entries": 0}


@pytest.mark.parametrize("path", ["etl/dagRuns/none", "other/dagRuns/" + f.RUN_ID])
@pytest.mark.parametrize("tail", ["", "/upstreamDatasetEvents"])
def test_a_run_that_is_not_there_is_404(path, tail, client, add):
    add(f.dag_run())
    assert_problem(client.get(f"{API}/dags/{path}{tail}"), 404)


def test_a_link_to_the_next_page_is_sent_for_a_dag_with_letters_beyond_latin_1(client, add):
    add(f.dag("účty ☃"), *(f.dag_run(dag_id="účty ☃", run_id=f"r{n}") for n in range(3)))
    found = client.get("/api/v1/dags/účty ☃/dagRuns?limit=2")
    assert len(found.get_json()["dag_runs"]) == 2
    rest = client.get(found.headers["Link"].partition(">")[0].strip("<"))
    assert [run["dag_run_id"] for run in rest.get_json()["dag_runs"]] == ["r2"]
