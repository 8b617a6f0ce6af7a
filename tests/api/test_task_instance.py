"""Task instances: their present try, earlier tries, what hangs on them, and what keeps them waiting."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import select, text

import factories as f
from clients import API
from problems import assert_problem
from windsock.models import DagRun, TaskInstance, TaskReschedule

RUN = f"dags/etl/dagRuns/{f.RUN_ID}"
ONE = f"{RUN}/taskInstances/extract"
NOW, LATER = "2026-03-01T02:00:00.123456+00:00", "2026-03-01T03:00:00.123456+00:00"


@pytest.fixture
def run(add: Any) -> Any:
    """A run of the DAG `etl`."""
    return add(f.dag_run(execution_date=f.START))


@pytest.fixture
def keep(run: Any, add: Any) -> Callable[..., Any]:
    """`keep(state="failed", ...)` stores the task instance `extract` of the run."""
    return lambda **columns: add(f.task_instance(**columns))


# ---------------------------------------------------------------- one task instance
def test_a_task_instance_shows_what_is_stored(get, keep):
    keep(
        task_display_name="Extract all", rendered_map_index="first", executor="LocalExecutor", max_tries=2, try_number=3
    )
    expected = {
        "task_id": "extract",
        "task_display_name": "Extract all",
        "dag_id": "etl",
        "dag_run_id": f.RUN_ID,
        "execution_date": NOW,
        "start_date": NOW,
        "end_date": LATER,
        "duration": 3600.0,
        "state": "success",
        "try_number": 3,
        "map_index": -1,
        "max_tries": 2,
        "hostname": "worker-1",
        "unixname": "airflow",
        "pool": "default_pool",
        "pool_slots": 1,
        "queue": "default",
        "priority_weight": 1,
        "operator": "EmptyOperator",
        "queued_when": NOW,
        "pid": 4711,
        "executor": "LocalExecutor",
        "executor_config": "{}",
        "sla_miss": None,
        "rendered_map_index": "first",
        "rendered_fields": {},
        "trigger": None,
        "triggerer_job": None,
        "note": None,
    }
    assert get(ONE) == expected
    assert get(f"{RUN}/taskInstances") == {"task_instances": [expected], "total_entries": 1}


@pytest.mark.parametrize(("stored", "shown"), [("Extract", "Extract"), (None, "extract"), ("", "extract")])
def test_a_task_without_display_name_is_displayed_by_its_id(stored, shown, get, keep):
    keep(task_display_name=stored)
    assert get(ONE)["task_display_name"] == shown


@pytest.mark.parametrize("rendered", [{"bash_command": "echo 1", "env": {"a": [1, None]}}, {}, {"text": "Ž 🐴"}])
def test_rendered_fields_are_json(rendered, get, keep, add):
    add(f.rendered_fields(keep(), rendered_fields=rendered))
    assert get(ONE)["rendered_fields"] == rendered


@pytest.mark.parametrize(("notes", "shown"), [(["kept\nŽ"], "kept\nŽ"), ([""], ""), ([None], None), ([], None)])
def test_a_note_is_text_or_null(notes, shown, get, keep, add):
    ti = keep()
    add(*(f.task_instance_note(ti, content=content) for content in notes))
    assert get(ONE)["note"] == shown


def test_an_sla_miss_is_that_of_the_task_and_the_date_of_the_run(get, keep, add, run):
    keep()
    keep(task_id="punctual")
    other = add(f.dag_run(run_id="other"), f.task_instance(run_id="other"))
    add(f.sla_miss(run), f.sla_miss(run, "nobody", description="foreign"))
    expected = {
        "task_id": "extract",
        "dag_id": "etl",
        "execution_date": NOW,
        "email_sent": True,
        "timestamp": NOW,
        "description": "late",
        "notification_sent": True,
    }
    assert get(ONE)["sla_miss"] == expected
    assert get(f"{RUN}/taskInstances/punctual")["sla_miss"] is None
    assert get(f"dags/etl/dagRuns/{other.run_id}/taskInstances/extract")["sla_miss"] is None


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        ({}, "{}"),
        (
            {"KubernetesExecutor": {"limits": {"cpu": 1, "mem": None}}, "é": [1, 2.5, True, ("t", 1)]},
            "{'KubernetesExecutor': {'limits': {'cpu': 1, 'mem': None}}, 'é': [1, 2.5, True, ('t', 1)]}",
        ),
        (["a", {"b": 1}], "['a', {'b': 1}]"),
        ("text", "text"),
    ],
)
def test_an_executor_config_is_the_text_that_python_prints(config, shown, get, keep, session):
    keep()
    store_executor_config(session, pickle.dumps(config))
    assert get(ONE)["executor_config"] == shown
    assert get(f"{ONE}/tries/1")["executor_config"] == shown


@pytest.mark.parametrize(
    "stored",
    ["c{0}\nspring\n)R.", "\x80\x02}}U\x0cpod_overridec{0}\nBoom\n)\x81s.", "garbage", ""],
    ids=["a call", "an object inside", "garbage", "nothing"],
)
def test_an_executor_config_that_cannot_be_read_is_null_and_imports_nothing(stored, get, keep, session, trap):
    keep()
    keep(task_id="good")
    store_executor_config(session, stored.format(trap).encode("latin-1"), "extract")
    assert get(ONE)["executor_config"] is None
    assert [ti["executor_config"] for ti in get(f"{RUN}/taskInstances")["task_instances"]] == [None, "{}"]
    assert trap not in sys.modules


def store_executor_config(session: Any, stored: bytes, task_id: str = "extract") -> None:
    statement = text("UPDATE task_instance SET executor_config = :stored WHERE task_id = :task_id")
    session.execute(statement, {"stored": stored, "task_id": task_id})
    session.commit()


# ---------------------------------------------------------------- triggers
def kwargs(**members: Any) -> str:
    return json.dumps({"__type": "dict", "__var": members})


MOMENT = {"__type": "datetime", "__var": 4102444799.0}
PRINTED = [
    (kwargs(delta=5, end_from_trigger=False), "{'delta': 5, 'end_from_trigger': False}"),
    (kwargs(moment=MOMENT), "{'moment': DateTime(2099, 12, 31, 23, 59, 59, tzinfo=Timezone('UTC'))}"),
    (
        kwargs(password="hidden", url="https://ada:hidden@host/"),
        "{'password': '***', 'url': 'https://ada:***@host/'}",
    ),
    (kwargs(conn={"__type": "dict", "__var": {"api_key": "hidden", "a": 1}}), "{'conn': {'api_key': '***', 'a': 1}}"),
    (kwargs(), "{}"),
]


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize(("stored", "shown"), PRINTED)
def test_the_kwargs_of_a_trigger_are_printed_with_secrets_masked(stored, shown, encrypted, get, keep, add, token):
    trigger = add(f.trigger(kwargs=token(stored) if encrypted else stored))
    keep(state="deferred", trigger_id=trigger.id)
    found = get(ONE)
    assert found["trigger"] == {
        "id": trigger.id,
        "classpath": "airflow.triggers.temporal.TimeDeltaTrigger",
        "kwargs": shown,
        "created_date": NOW,
        "triggerer_id": None,
    }
    assert found["triggerer_job"] is None


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "no token",
        "gAAAAA",
        "{",
        "[1]",
        '{"__type": "datetime", "__var": "x"}',
        '{"a": {"__type": "datetime", "__var": []}}',
    ],
)
def test_kwargs_that_cannot_be_read_are_null_and_break_no_list(stored, get, keep, add):
    keep(state="deferred", trigger_id=add(f.trigger(kwargs=stored)).id)
    assert get(ONE)["trigger"]["kwargs"] is None
    assert get(f"{RUN}/taskInstances")["task_instances"][0]["trigger"]["kwargs"] is None


def test_classes_that_a_trigger_names_are_not_imported(get, keep, add, token, trap):
    stored = token(kwargs(thing={"__type": f"{trap}.Boom", "__var": {"a": 1}}))
    keep(state="deferred", trigger_id=add(f.trigger(classpath=f"{trap}.Boom", kwargs=stored)).id)
    shown = get(ONE)["trigger"]
    assert shown["classpath"] == f"{trap}.Boom" and "Boom" in shown["kwargs"]
    assert trap not in sys.modules


def test_kwargs_without_the_right_key_are_null(get, keep, add, token, make_app, as_user):
    keep(trigger_id=add(f.trigger(kwargs=token(kwargs(a=1)))).id)
    reader = as_user("Admin", of=make_app({("core", "fernet_key"): ""}))
    assert get(ONE, by=reader)["trigger"]["kwargs"] is None


def test_the_job_of_a_triggerer_is_shown_beside_its_trigger(get, keep, add):
    job = add(f.job(latest_heartbeat=f.START, executor_class="LocalExecutor"))
    keep(state="deferred", trigger_id=add(f.trigger(triggerer_id=job.id)).id)
    found = get(ONE)
    assert found["trigger"]["triggerer_id"] == job.id
    assert found["triggerer_job"] == {
        "id": job.id,
        "dag_id": None,
        "state": "running",
        "job_type": "TriggererJob",
        "start_date": NOW,
        "end_date": None,
        "latest_heartbeat": NOW,
        "executor_class": "LocalExecutor",
        "hostname": "host-1",
        "unixname": "airflow",
    }


# ---------------------------------------------------------------- mapped tasks
@pytest.fixture
def mapped(keep: Any, add: Any) -> None:
    """`double` is mapped and has three instances, `empty` is mapped and has none, `extract` is not mapped."""
    tasks = [f.operator(), f.mapped_operator("double"), f.mapped_operator("empty"), f.mapped_operator("waiting")]
    add(f.dag(), f.serialized_dag(tasks=tasks))
    keep()
    keep(task_id="waiting", state=None)
    for index in (2, 0, 1):
        keep(task_id="double", map_index=index, state="failed" if index else "success", duration=10.0 * index)


@pytest.mark.parametrize(("path", "index"), [("extract", -1), ("double/0", 0), ("double/2", 2), ("waiting", -1)])
def test_an_instance_is_found_by_its_path(path, index, get, mapped):
    found = get(f"{RUN}/taskInstances/{path}")
    assert (found["task_id"], found["map_index"]) == (path.partition("/")[0], index)


@pytest.mark.parametrize("path", ["extract/0", "double/3", "empty", "empty/0", "nothing", "nothing/listMapped"])
def test_an_instance_that_is_not_there_is_404(path, client, mapped):
    assert_problem(client.get(f"{API}/{RUN}/taskInstances/{path}"), 404)


def test_a_mapped_task_without_a_map_index_is_404_and_says_what_to_add(client, mapped):
    assert_problem(client.get(f"{API}/{RUN}/taskInstances/double"), 404, "mapped", "map index")


@pytest.mark.parametrize(
    ("task_id", "query", "expected"),
    [
        ("double", {}, [0, 1, 2]),
        ("double", {"order_by": "-map_index"}, [2, 1, 0]),
        ("double", {"order_by": "-duration", "limit": 2}, [2, 1]),
        ("double", {"state": "failed"}, [1, 2]),
        ("double", {"state": "running"}, []),
        ("double", {"duration_gte": 10, "duration_lte": 10}, [1]),
        ("empty", {}, []),
        ("waiting", {}, []),
    ],
)
def test_the_list_of_a_mapped_task_holds_its_unfolded_instances(task_id, query, expected, get, mapped):
    found = get(f"{RUN}/taskInstances/{task_id}/listMapped", **query)
    assert [ti["map_index"] for ti in found["task_instances"]] == expected


@pytest.mark.parametrize("path", ["etl/dagRuns/{0}/taskInstances/extract", "other/dagRuns/{0}/taskInstances/double"])
def test_the_list_of_a_task_that_is_not_mapped_is_404(path, client, mapped):
    assert_problem(client.get(f"{API}/dags/{path.format(f.RUN_ID)}/listMapped"), 404)


# ---------------------------------------------------------------- which instances
@pytest.fixture
def several(keep: Any, add: Any) -> None:
    """Six task instances in two runs of two DAGs, whose ids are letters."""
    hour = f.START.replace(microsecond=0) + f.HOUR
    add(f.dag_run("other", "second", execution_date=f.START + 5 * f.HOUR))
    keep(task_id="a", state=None, start_date=None, end_date=None, duration=None)
    keep(task_id="b", state="failed", pool="big", queue="heavy", executor="CeleryExecutor", duration=10.5)
    keep(task_id="c", state="success", start_date=hour, end_date=hour + f.HOUR, updated_at=hour)
    keep(task_id="d", state="running", pool="big", end_date=None, duration=60.0)
    keep(dag_id="other", run_id="second", task_id="e", state="failed", executor="LocalExecutor")
    keep(dag_id="other", run_id="second", task_id="f", state=None, duration=None, start_date=None)


BOTH = [
    ({}, "abcdef"),
    ({"state": ["none"]}, "af"),
    ({"state": ["none", "failed"]}, "abef"),
    ({"state": ["failed", "running"]}, "bde"),
    ({"pool": ["big"]}, "bd"),
    ({"pool": ["big", "default_pool"]}, "abcdef"),
    ({"queue": ["heavy"]}, "b"),
    ({"executor": ["CeleryExecutor", "LocalExecutor"]}, "be"),
    ({"duration_gte": 60}, "cde"),
    ({"duration_lte": 60.0}, "bd"),
    ({"duration_gte": 10.5, "duration_lte": 10.5}, "b"),
    ({"start_date_gte": "2026-03-01T03:00:00Z"}, "c"),
    ({"start_date_lte": "2026-03-01T02:59:59Z"}, "bde"),
    ({"end_date_lte": "2026-03-01T03:30:00Z"}, "bef"),
    ({"execution_date_gte": "2026-03-01T05:00:00Z"}, "ef"),
    ({"execution_date_lte": "2026-03-01T05:00:00Z", "state": ["none"]}, "a"),
    ({"order_by": "-task_id"}, "fedcba"),
    ({"order_by": "-duration", "duration_lte": 100}, "db"),
]


def task_ids(found: dict[str, Any]) -> str:
    assert found["total_entries"] == len(found["task_instances"])
    return "".join(ti["task_id"] for ti in found["task_instances"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        *BOTH,
        ({"state": "none,running"}, "adf"),
        ({"pool": "big,nothing"}, "bd"),
        ({"updated_at_lte": "2026-03-02T00:00:00Z"}, "c"),
        ({"updated_at_gte": "2026-03-02T00:00:00Z", "pool": "big"}, "bd"),
    ],
)
def test_a_list_holds_what_all_filters_leave(query, expected, get, several):
    assert task_ids(get("dags/~/dagRuns/~/taskInstances", **query)) == expected


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        *BOTH,
        ({"state": [None]}, "af"),
        ({"state": [None, "none", "running"]}, "adf"),
        ({"dag_ids": ["other"]}, "ef"),
        ({"dag_run_ids": ["second", "nothing"]}, "ef"),
        ({"task_ids": ["a", "e"]}, "ae"),
        ({"task_ids": ["a", "e"], "dag_ids": ["etl"]}, "a"),
        ({"dag_ids": [], "state": [], "pool": []}, "abcdef"),
        ({"dag_ids": ["nothing"]}, ""),
    ],
)
def test_a_batch_form_holds_what_all_filters_leave(form, expected, client, several):
    response = client.post(f"{API}/dags/~/dagRuns/~/taskInstances/list", json=form)
    assert response.status_code == 200, response.get_json()
    assert task_ids(response.get_json()) == expected


@pytest.mark.parametrize("state", ["bogus", "Failed", "none,bogus"])
def test_a_state_that_does_not_exist_is_refused(state, client, several):
    assert_problem(client.get(f"{API}/{RUN}/taskInstances?state={state}"), 400, "state")
    response = client.post(f"{API}/dags/~/dagRuns/~/taskInstances/list", json={"state": state.split(",")})
    assert_problem(response, 400, "state")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"etl/dagRuns/{f.RUN_ID}", "abcd"),
        ("etl/dagRuns/~", "abcd"),
        ("~/dagRuns/second", "ef"),
        ("other/dagRuns/second", "ef"),
        ("etl/dagRuns/second", ""),
        ("nothing/dagRuns/nothing", ""),
    ],
)
def test_instances_are_those_of_the_path(path, expected, get, several):
    assert task_ids(get(f"dags/{path}/taskInstances")) == expected


# ---------------------------------------------------------------- tries
@pytest.fixture
def tried(keep: Any, add: Any) -> Callable[[str | None, int], None]:
    """`tried(state, map_index)`: two earlier tries, and the present one in a state."""

    def tried(state: str | None, map_index: int = -1) -> None:
        # A task that waits for its next try is in the history already, with the number that it still has.
        number = 2 if state == "up_for_retry" else 3
        keep(state=state, try_number=number, max_tries=3, map_index=map_index, hostname="present")
        for past in (2, 1):
            add(f.task_try(state="failed", try_number=past, max_tries=3, map_index=map_index, hostname=f"past {past}"))

    return tried


@pytest.mark.parametrize(("index", "path"), [(-1, ONE), (4, f"{ONE}/4")])
@pytest.mark.parametrize(
    ("state", "hosts"),
    [
        ("success", ["past 1", "past 2", "present"]),
        ("running", ["past 1", "past 2", "present"]),
        ("restarting", ["past 1", "past 2", "present"]),
        (None, ["past 1", "past 2", "present"]),
        ("up_for_retry", ["past 1", "past 2"]),
    ],
)
def test_tries_are_the_earlier_ones_and_then_the_present_one(state, hosts, index, path, get, tried):
    tried(state, index)
    found = get(f"{path}/tries")
    assert [one["hostname"] for one in found["task_instances"]] == hosts
    assert [one["try_number"] for one in found["task_instances"]] == list(range(1, len(hosts) + 1))
    assert {one["map_index"] for one in found["task_instances"]} == {index}
    assert found["total_entries"] == len(hosts)


@pytest.mark.parametrize(
    ("query", "hosts"),
    [
        ({"limit": 2}, ["past 1", "past 2"]),
        ({"limit": 2, "offset": 1}, ["past 2", "present"]),
        ({"offset": 3}, []),
        ({"order_by": "-try_number"}, ["present", "past 2", "past 1"]),
        ({"order_by": "hostname"}, ["past 1", "past 2", "present"]),
        ({"order_by": "-state", "limit": 1}, ["present"]),
    ],
)
def test_tries_are_paged_and_ordered(query, hosts, get, tried):
    tried("success")
    found = get(f"{ONE}/tries", **query)
    assert [one["hostname"] for one in found["task_instances"]] == hosts
    assert found["total_entries"] == 3


@pytest.mark.parametrize(("index", "path"), [(-1, ONE), (0, f"{ONE}/0")])
@pytest.mark.parametrize(("number", "host", "state"), [(1, "past 1", "failed"), (3, "present", "running")])
def test_one_try_is_found_by_its_number(number, host, state, index, path, get, tried):
    tried("running", index)
    found = get(f"{path}/tries/{number}")
    assert (found["try_number"], found["hostname"], found["state"]) == (number, host, state)
    assert found in get(f"{path}/tries")["task_instances"]


@pytest.mark.parametrize("path", ["extract/tries/4", "extract/tries/0", "extract/0/tries/1", "other/tries/1"])
def test_a_try_that_is_not_there_is_404(path, client, tried):
    tried("running")
    assert_problem(client.get(f"{API}/{RUN}/taskInstances/{path}"), 404)


# ---------------------------------------------------------------- dependencies
LOAD = f"{RUN}/taskInstances/load/dependencies"


@pytest.fixture
def waiting(add: Any) -> Callable[..., None]:
    """`waiting(dag={...}, run={...}, task={...}, ti={...}, upstream={...})`: `load`, for which all else is met."""

    def waiting(**changes: Any) -> None:
        def of(name: str, **given: Any) -> dict[str, Any]:
            return given | changes.get(name, {})

        tasks = [f.operator("extract", downstream_task_ids=["load"]), f.operator("load", **of("task"))]
        add(f.dag(**of("dag")), f.serialized_dag(tasks=tasks, members=of("members")))
        add(f.pool("warehouse", slots=4))
        add(f.dag_run(**of("run", state="running", execution_date=f.START + 24 * f.HOUR)))
        add(f.task_instance(task_id="extract", **of("upstream", state="success")))
        ti = of("ti", state="scheduled", pool="warehouse", start_date=None, end_date=None)
        add(f.task_instance(task_id="load", **ti))

    return waiting


def names(found: dict[str, Any]) -> list[str]:
    assert all(item.keys() == {"name", "reason"} and item["reason"] for item in found["dependencies"])
    return [item["name"] for item in found["dependencies"]]


RESCHEDULE = "airflow.ti_deps.deps.ready_to_reschedule.ReadyToRescheduleDep"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"ti": {"state": "running"}, "dag": {"is_paused": True}}, []),
        ({"ti": {"state": "success"}, "run": {"state": "failed"}}, []),
        ({"dag": {"is_paused": True}}, ["Dag Not Paused"]),
        ({"run": {"run_type": "backfill"}}, ["DagRun is not backfill job"]),
        ({"run": {"state": "queued"}}, ["Dagrun Running"]),
        ({"run": {"execution_date": datetime(2037, 1, 1, tzinfo=timezone.utc)}}, ["Execution Date"]),
        ({"run": {"execution_date": f.START - f.HOUR}}, ["Execution Date"] * 2),
        ({"ti": {"pool": "nothing"}}, ["Pool Slots Available"]),
        ({"ti": {"pool_slots": 5}}, ["Pool Slots Available"]),
        ({"dag": {"max_active_tasks": 0}}, ["Task Instance Slots Available"]),
        ({"ti": {"state": None}}, ["Task Instance State"]),
        ({"upstream": {"state": "failed"}}, ["Trigger Rule"]),
        ({"upstream": {"state": "failed"}, "task": {"trigger_rule": "all_done"}}, []),
        ({"upstream": {"state": "running"}, "task": {"trigger_rule": "always"}}, []),
        (
            {"dag": {"is_paused": True}, "run": {"state": "queued"}, "upstream": {"state": None}},
            ["Dag Not Paused", "Dagrun Running", "Trigger Rule"],
        ),
    ],
)
def test_dependencies_are_the_checks_that_fail(changes, expected, get, waiting):
    waiting(**changes)
    assert names(get(LOAD)) == expected


@pytest.mark.parametrize(
    ("others", "changes", "expected"),
    [
        ([{"state": "running", "pool_slots": 4}], {}, ["Pool Slots Available"]),
        ([{"state": "queued", "pool_slots": 3}], {}, []),
        ([{"state": "deferred", "pool_slots": 4}], {}, []),
        ([{"state": "running", "pool": "x"}], {"dag": {"max_active_tasks": 1}}, ["Task Instance Slots Available"]),
        ([{"state": "running", "pool": "x"}], {"task": {"max_active_tis_per_dag": 1}}, ["Task Concurrency"]),
        ([{"state": "running", "pool": "x"}], {"task": {"max_active_tis_per_dag": 2}}, []),
        ([{"state": "running", "pool": "x"}], {"task": {"max_active_tis_per_dagrun": 1}}, []),
        ([{"state": "failed"}], {"task": {"depends_on_past": True}}, ["Previous Dagrun State"]),
        ([{"state": "success"}], {"task": {"depends_on_past": True}}, []),
        ([{"state": "skipped"}], {"task": {"depends_on_past": True}}, []),
        ([], {"task": {"depends_on_past": True}}, []),
    ],
)
def test_instances_in_other_runs_may_keep_a_task_waiting(others, changes, expected, get, add, waiting):
    waiting(**changes)
    add(f.dag_run(run_id="before", execution_date=f.START))
    add(*(f.task_instance(run_id="before", task_id="load", **{"pool": "warehouse"} | other) for other in others))
    assert names(get(LOAD)) == expected


@pytest.mark.parametrize(("include_deferred", "expected"), [(True, ["Pool Slots Available"]), (False, [])])
def test_deferred_instances_hold_slots_of_a_pool_that_counts_them(include_deferred, expected, get, add, waiting):
    add(f.pool("counted", slots=1, include_deferred=include_deferred))
    waiting(ti={"pool": "counted"}, upstream={"state": "success", "pool": "counted"})
    add(f.task_instance(task_id="other", state="deferred", pool="counted"))
    assert names(get(LOAD)) == expected


@pytest.mark.parametrize(
    ("catchup", "expected"), [(True, []), (False, ["Previous Dagrun State"])], ids=["with catchup", "without catchup"]
)
def test_a_manual_run_is_no_previous_run_of_a_dag_with_catchup(catchup, expected, get, add, waiting):
    waiting(task={"depends_on_past": True}, members={"catchup": catchup})
    add(f.dag_run(run_id="scheduled", execution_date=f.START), f.task_instance(run_id="scheduled", task_id="load"))
    manual = f.dag_run(run_id="manual", run_type="manual", execution_date=f.START + f.HOUR)
    add(manual, f.task_instance(run_id="manual", task_id="load", state="failed"))
    assert names(get(LOAD)) == expected


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        ({"followed": ["other"]}, ["Not Previously Skipped"]),
        ({"followed": ["load"]}, []),
        ({"skipped": ["load"]}, ["Not Previously Skipped"]),
        ({"skipped": ["other"]}, []),
    ],
)
def test_an_upstream_task_may_have_decided_to_skip(decision, expected, get, add, session, waiting):
    waiting()
    run = session.scalars(select(DagRun)).one()
    upstream = session.scalars(select(TaskInstance).filter_by(task_id="extract")).one()
    add(f.xcom(run, upstream, "skipmixin_key", value=json.dumps(decision).encode()))
    assert names(get(LOAD)) == expected


@pytest.mark.parametrize(("hours", "expected"), [(1, ["Ready To Reschedule"]), (-1, [])])
def test_a_sensor_waits_until_its_next_look(hours, expected, get, add, waiting):
    waiting(task={"reschedule": True, "deps": [RESCHEDULE]}, ti={"state": None})
    times = {"start_date": f.START, "end_date": f.START, "duration": 0}
    again = datetime.now(timezone.utc) + timedelta(hours=hours)
    key = {"dag_id": "etl", "run_id": f.RUN_ID, "task_id": "load", "map_index": -1, "try_number": 1}
    add(TaskReschedule(**key, **times, reschedule_date=again))
    assert names(get(LOAD)) == [*expected, "Task Instance State"]


@pytest.mark.parametrize(("path", "expected"), [("double/0", []), ("double", ["Task has been mapped"])])
def test_a_mapped_task_must_be_unfolded(path, expected, get, add):
    add(f.dag(), f.serialized_dag(tasks=[f.mapped_operator()]), f.pool("warehouse"))
    add(f.dag_run(state="running"))
    ti = {"state": "scheduled", "pool": "warehouse"}
    add(*(f.task_instance(task_id="double", map_index=index, **ti) for index in (-1, 0)))
    assert names(get(f"{RUN}/taskInstances/{path}/dependencies")) == expected


@pytest.mark.parametrize("path", ["nothing/dependencies", "load/0/dependencies"])
def test_dependencies_of_an_instance_that_is_not_there_are_404(path, client, waiting):
    waiting()
    assert_problem(client.get(f"{API}/{RUN}/taskInstances/{path}"), 404)


def test_dependencies_of_a_dag_without_definition_are_404(client, keep, add):
    add(f.dag())
    keep(state="scheduled")
    assert_problem(client.get(f"{API}/{ONE}/dependencies"), 404, "etl")
