"""Setting the states of task instances and of runs."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, text

import factories as f
from clients import API
from problems import assert_problem
from windsock.models import DagRun, TaskInstance, TaskInstanceHistory

DAG = f"{API}/dags/{f.DAG_ID}"
RUN = f"{DAG}/dagRuns/{f.RUN_ID}"
ALONE = {f"include_{direction}": False for direction in ("upstream", "downstream", "future", "past")}


@pytest.fixture
def dag(add):
    """extract -> transform (mapped) -> load -> report."""
    tasks = [
        f.operator("extract", downstream_task_ids=["transform"]),
        f.mapped_operator("transform", downstream_task_ids=["load"]),
        f.operator("load", downstream_task_ids=["report"]),
        f.operator("report"),
    ]
    add(f.dag(), f.serialized_dag(tasks=tasks))


@pytest.fixture
def make_run(add, session):
    """`make_run(extract="failed")`: what is not given is a success; None stays None."""

    def make_run(run_id: str = f.RUN_ID, columns: Any = (), **states: Any) -> DagRun:
        run = add(f.dag_run(run_id=run_id, **dict(columns)))
        for task_id in ("extract", "load", "report"):
            add(f.task_instance(run_id=run_id, task_id=task_id, state=states.get(task_id, "success")))
        for index, state in enumerate(states.get("transform", ("success", "success"))):
            add(f.task_instance(run_id=run_id, task_id="transform", map_index=index, state=state))
        return run

    return make_run


def states(session, run_id: str = f.RUN_ID) -> dict[str, Any]:
    """State by task, and by `task[index]` for mapped ones."""
    session.expire_all()
    found = session.scalars(select(TaskInstance).filter_by(run_id=run_id))
    return {ti.task_id + (f"[{ti.map_index}]" if ti.map_index >= 0 else ""): ti.state for ti in found}


def run_of(session, run_id: str = f.RUN_ID) -> DagRun:
    session.expire_all()
    return session.scalars(select(DagRun).filter_by(run_id=run_id)).one()


def update(client, task_id: str, state: str, **form: Any) -> list[tuple[str, str]]:
    form = {**ALONE, "dry_run": False, "dag_run_id": f.RUN_ID, "task_id": task_id, "new_state": state, **form}
    response = client.post(f"{DAG}/updateTaskInstancesState", json={n: v for n, v in form.items() if v is not None})
    assert response.status_code == 200, response.get_json()
    return [(found["dag_run_id"], found["task_id"]) for found in response.get_json()["task_instances"]]


# ---------------------------------------------------------------- one task instance
@pytest.mark.parametrize(("path", "name"), [("extract", "extract"), ("transform/1", "transform[1]")])
def test_one_instance_gets_a_new_state(client, dag, make_run, session, path, name):
    run = make_run()
    before = states(session)
    body = {"dry_run": False, "new_state": "skipped"}
    response = client.patch(f"{RUN}/taskInstances/{path}", json=body)
    assert response.status_code == 200, response.get_json()
    key = {"task_id": path.split("/")[0], "dag_id": f.DAG_ID, "dag_run_id": f.RUN_ID}
    assert response.get_json() == {**key, "execution_date": run.execution_date.isoformat()}
    assert states(session) == {**before, name: "skipped"}


def test_without_a_word_on_it_nothing_changes(client, dag, make_run, session):
    make_run()
    response = client.patch(f"{RUN}/taskInstances/extract", json={"new_state": "failed"})
    assert (response.status_code, response.get_json()["task_id"]) == (200, "extract")
    assert set(states(session).values()) == {"success"}


def test_dates_that_are_missing_are_set_and_others_stay(client, dag, make_run, session):
    make_run(extract=None, load=None)
    session.execute(text("UPDATE task_instance SET start_date = NULL, end_date = NULL WHERE task_id = 'extract'"))
    session.commit()
    for task_id in ("extract", "load"):
        client.patch(f"{RUN}/taskInstances/{task_id}", json={"dry_run": False, "new_state": "success"})
    found = {ti.task_id: ti for ti in session.scalars(select(TaskInstance))}
    extract, load = found["extract"], found["load"]
    assert extract.start_date == extract.end_date > f.START + 100 * f.HOUR
    assert extract.duration == 0
    assert (load.start_date, load.end_date, load.duration) == (f.START, f.START + f.HOUR, 3600)


def test_what_failed_downstream_is_cleared_and_its_run_queued(client, dag, make_run, session):
    make_run(extract="failed", load="upstream_failed", report="failed", columns={"state": "failed"})
    client.patch(f"{RUN}/taskInstances/extract", json={"dry_run": False, "new_state": "success"})
    expected = {"extract": "success", "transform[0]": "success", "transform[1]": "success"}
    assert states(session) == {**expected, "load": None, "report": None}
    assert (run_of(session).state, run_of(session).clear_number) == ("queued", 1)
    kept = sorted(session.execute(select(TaskInstanceHistory.task_id, TaskInstanceHistory.state)).all())
    assert kept == [("load", "upstream_failed"), ("report", "failed")]


def test_a_deferred_instance_forgets_its_trigger(client, dag, make_run, add, session):
    make_run(extract="deferred")
    ti = session.scalars(select(TaskInstance).filter_by(task_id="extract")).one()
    ti.trigger_id, ti.next_method, ti.next_kwargs = add(f.trigger()).id, "execute_complete", {}
    add(ti)
    client.patch(f"{RUN}/taskInstances/extract", json={"dry_run": False, "new_state": "failed"})
    session.expire_all()
    assert (ti.state, ti.trigger_id, ti.next_method) == ("failed", None, None)


@pytest.mark.parametrize("path", ["nope", "transform", "transform/7", "extract/0"])
def test_an_instance_that_is_not_there_is_not_found(client, dag, make_run, path):
    make_run()
    body = {"dry_run": False, "new_state": "success"}
    assert_problem(client.patch(f"{RUN}/taskInstances/{path}", json=body), 404)


@pytest.mark.parametrize("body", [{}, {"new_state": "running"}, {"new_state": "bogus"}, {"dry_run": False}])
def test_only_final_states_can_be_set(client, dag, make_run, body):
    make_run()
    assert_problem(client.patch(f"{RUN}/taskInstances/extract", json=body), 400, "new_state")


# ---------------------------------------------------------------- in bulk
def test_a_task_can_be_named_by_the_logical_date_of_its_run(client, dag, make_run, session):
    run = make_run()
    named = {"dag_run_id": None, "execution_date": run.execution_date.isoformat()}
    assert update(client, "extract", "failed", **named) == [(f.RUN_ID, "extract")]
    assert states(session)["extract"] == "failed"


def test_states_reach_up_and_down_the_graph(client, dag, make_run, session):
    make_run(report=None)
    found = update(client, "load", "failed", include_upstream=True, include_downstream=True)
    assert sorted(task_id for _, task_id in found) == ["extract", "load", "report", "transform", "transform"]
    assert set(states(session).values()) == {"failed"}


def test_instances_that_have_the_state_already_are_not_touched(client, dag, make_run, session):
    make_run(extract="failed")
    before = session.execute(text("SELECT max(updated_at) FROM task_instance")).scalar()
    assert update(client, "extract", "failed") == []
    assert session.execute(text("SELECT max(updated_at) FROM task_instance")).scalar() == before


def _three_runs(make_run) -> None:
    for number, kind in enumerate(("scheduled", "manual", "scheduled", "scheduled")):
        make_run(f"run-{number}", {"execution_date": f.START + number * f.HOUR, "run_type": kind})


def test_states_reach_into_the_scheduled_runs_before_and_after(client, dag, make_run, session):
    _three_runs(make_run)
    assert update(client, "load", "failed", dag_run_id="run-2") == [("run-2", "load")]
    assert update(client, "load", "failed", dag_run_id="run-2", include_past=True) == [("run-0", "load")]
    assert update(client, "load", "failed", dag_run_id="run-2", include_future=True) == [("run-3", "load")]
    assert states(session, "run-1")["load"] == "success"


@pytest.mark.parametrize(
    ("members", "reached"),
    [
        ({"schedule_interval": None}, ["run-0", "run-1"]),
        ({"timetable": {"__type": "airflow.timetables.simple.OnceTimetable", "__var": {}}}, ["run-1"]),
    ],
)
def test_runs_without_a_schedule_all_count_and_other_runs_stand_alone(client, add, make_run, members, reached):
    add(f.dag(), f.serialized_dag(tasks=[f.operator("load")], members=members))
    _three_runs(make_run)
    found = update(client, "load", "failed", dag_run_id="run-1", include_past=True)
    assert [run_id for run_id, _ in found] == reached


def test_a_dry_run_also_names_what_is_cleared_downstream(client, dag, make_run, session):
    make_run(extract="failed", load="upstream_failed")
    expected = [(f.RUN_ID, "extract"), (f.RUN_ID, "load")]
    assert update(client, "extract", "success", dry_run=True) == expected
    assert states(session)["load"] == "upstream_failed"
    assert update(client, "extract", "success") == expected
    assert states(session)["load"] is None


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"dag_run_id": f.RUN_ID, "execution_date": f.START.isoformat()}, ["dag_run_id", "execution_date"]),
        ({}, ["dag_run_id", "execution_date"]),
        ({"dag_run_id": f.RUN_ID, "include_past": None}, ["include_past"]),
        ({"dag_run_id": f.RUN_ID, "new_state": "running"}, ["new_state"]),
    ],
)
def test_a_form_that_says_too_much_or_too_little_is_refused(client, dag, make_run, form, words):
    make_run()
    form = {**ALONE, "task_id": "extract", "new_state": "failed", **form}
    form = {name: value for name, value in form.items() if value is not None}
    assert_problem(client.post(f"{DAG}/updateTaskInstancesState", json=form), 400, *words)


@pytest.mark.parametrize(
    "named",
    [{"task_id": "nope"}, {"dag_run_id": "nope"}, {"task_id": "transform"}],
    ids=lambda named: next(iter(named)),
)
def test_what_is_not_there_or_is_mapped_is_not_found(client, dag, make_run, named):
    make_run()
    form = {**ALONE, "task_id": "extract", "dag_run_id": f.RUN_ID, "new_state": "failed", **named}
    assert_problem(client.post(f"{DAG}/updateTaskInstancesState", json=form), 404)


# ---------------------------------------------------------------- runs
def test_failing_a_run_stops_what_runs_and_skips_what_waits(client, dag, make_run, session):
    going_on = {"state": "running", "end_date": None, "last_scheduling_decision": f.START}
    make_run(extract="success", transform=("running", "success", "deferred"), load="queued", report=None,
             columns=going_on)  # fmt: skip
    found = client.patch(RUN, json={"state": "failed"}).get_json()
    assert (found["state"], found["last_scheduling_decision"]) == ("failed", f.START.isoformat())
    assert found["end_date"] is not None
    mapped = {"transform[0]": "failed", "transform[1]": "success", "transform[2]": "failed"}
    assert states(session) == {"extract": "success", **mapped, "load": "skipped", "report": "skipped"}


def test_a_run_that_succeeds_takes_all_its_instances_along(client, dag, make_run, session):
    make_run(extract="failed", load="running", report=None, columns={"state": "running", "end_date": None})
    found = client.patch(RUN, json={"state": "success"}).get_json()
    assert (found["state"], found["end_date"] is None) == ("success", False)
    assert set(states(session).values()) == {"success"}


def test_a_run_that_has_ended_keeps_its_end(client, dag, make_run):
    run = make_run()
    found = client.patch(RUN, json={"state": "failed"}).get_json()
    assert (found["state"], found["end_date"]) == ("failed", run.end_date.isoformat())


def test_a_queued_run_forgets_its_dates_and_its_instances_stay(client, dag, make_run, session):
    make_run(load="failed")
    found = client.patch(RUN, json={"state": "queued"}).get_json()
    assert (found["state"], found["start_date"], found["end_date"]) == ("queued", None, None)
    assert run_of(session).queued_at > f.START + 100 * f.HOUR
    assert (run_of(session).clear_number, states(session)["load"]) == (0, "failed")


@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_teardown_still_does_its_work(client, add, make_run, session, state):
    tasks = [f.operator(name) for name in ("extract", "transform", "load")] + [f.operator("report", is_teardown=True)]
    add(f.dag(), f.serialized_dag(tasks=tasks))
    make_run(load="running", report=None, columns={"state": "running", "end_date": None})
    assert client.patch(RUN, json={"state": state}).get_json()["state"] == "running"
    assert (states(session)["load"], states(session)["report"]) == (state, None)


def test_other_runs_stay_as_they_are(client, dag, make_run, session):
    make_run()
    make_run("another", load="running", columns={"state": "running"})
    client.patch(RUN, json={"state": "failed"})
    assert (run_of(session, "another").state, states(session, "another")["load"]) == ("running", "running")


@pytest.mark.parametrize("body", [{}, {"state": "running"}, {"state": "bogus"}, {"state": None}])
def test_a_run_takes_no_other_state(client, dag, make_run, body):
    make_run()
    assert_problem(client.patch(RUN, json=body), 400, "state")


def test_a_run_that_is_not_there_is_not_found(client, dag):
    assert_problem(client.patch(f"{DAG}/dagRuns/nope", json={"state": "failed"}), 404, "nope")
