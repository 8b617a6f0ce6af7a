"""Clearing task instances and runs, as a client asks for it and as the scheduler finds the rows."""

from __future__ import annotations

import pickle
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import select, text

import factories as f
from clients import API
from problems import assert_problem
from windsock.models import DagRun, Job, Log, TaskInstance, TaskInstanceHistory, TaskReschedule

URL = f"{API}/dags/{f.DAG_ID}/clearTaskInstances"
ALL = {"dry_run": False, "only_failed": False}


@pytest.fixture
def dag(add):
    """extract -> transform (mapped) -> load, with a run that has ended."""
    tasks = [
        f.operator("extract", downstream_task_ids=["transform"], retries=2, pool="warehouse", priority_weight=5),
        f.mapped_operator("transform", downstream_task_ids=["load"]),
        f.operator("load"),
    ]
    add(f.dag(), f.serialized_dag(tasks=tasks))


@pytest.fixture
def make_run(add):
    def make_run(run_id: str = f.RUN_ID, states: Any = (), **columns: Any) -> DagRun:
        run = add(f.dag_run(run_id=run_id, **columns))
        given = {"extract": "success", "transform": "success", "load": "success", **dict(states)}
        add(f.task_instance(run_id=run_id, task_id="extract", state=given["extract"]))
        for index in range(3):
            add(f.task_instance(run_id=run_id, task_id="transform", map_index=index, state=given["transform"]))
        add(f.task_instance(run_id=run_id, task_id="load", state=given["load"]))
        return run

    return make_run


def clear(client, **form: Any) -> list[tuple[str, str]]:
    response = client.post(URL, json=form)
    assert response.status_code == 200, response.get_json()
    return [(found["dag_run_id"], found["task_id"]) for found in response.get_json()["task_instances"]]


def tasks(client, **form: Any) -> list[str]:
    return [task_id for _, task_id in clear(client, **form)]


def one(session, model: Any = TaskInstance, **columns: Any) -> Any:
    session.expire_all()
    return session.scalars(select(model).filter_by(**columns)).one()


# ---------------------------------------------------------------- what is selected
def test_by_default_failed_instances_are_named_and_nothing_changes(client, dag, make_run, session):
    make_run(states={"load": "failed", "extract": "upstream_failed"})
    assert tasks(client) == ["extract", "load"]
    assert one(session, task_id="load").state == "failed"
    assert session.scalars(select(TaskInstanceHistory)).all() == []


def test_the_answer_names_task_dag_run_and_logical_date(client, dag, make_run):
    run = make_run(states={"load": "failed"})
    expected = {"task_id": "load", "dag_id": f.DAG_ID, "dag_run_id": f.RUN_ID}
    found = client.post(URL, json={}).get_json()["task_instances"]
    assert found == [{**expected, "execution_date": run.execution_date.isoformat()}]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"task_ids": ["extract"]}, ["extract"]),
        ({"task_ids": ["transform"]}, ["transform"] * 3),
        ({"task_ids": [["transform", 1]]}, ["transform"]),
        ({"task_ids": ["load", ["transform", 1], ["transform", 7]]}, ["load", "transform"]),
        ({"task_ids": [["transform", 1]], "include_upstream": True}, ["extract", "transform"]),
        ({"task_ids": [["transform", 1]], "include_downstream": True}, ["load", "transform"]),
        ({"task_ids": ["load"], "include_upstream": True}, ["extract", "load"] + ["transform"] * 3),
        ({"task_ids": ["no such task"]}, []),
        ({"task_ids": ["extrac"]}, []),
        ({"only_running": True}, []),
        ({"start_date": "2099-01-01T00:00:00Z"}, []),
        ({"end_date": "2020-01-01T00:00:00Z"}, []),
    ],
)
def test_tasks_and_dates_select(client, dag, make_run, form, expected):
    make_run()
    assert tasks(client, only_failed=False, **form) == expected


def test_past_and_future_reach_beyond_the_run(client, dag, make_run):
    for number in range(3):
        make_run(f"run-{number}", execution_date=f.START + number * f.HOUR)
    form = {"only_failed": False, "dag_run_id": "run-1", "task_ids": ["load"]}
    assert clear(client, **form) == [("run-1", "load")]
    assert clear(client, **form, include_past=True) == [("run-0", "load"), ("run-1", "load")]
    assert clear(client, **form, include_future=True) == [("run-1", "load"), ("run-2", "load")]


def test_runs_that_lie_in_the_future_are_cleared_by_their_id_only(client, dag, make_run):
    make_run("later", execution_date=datetime.now(timezone.utc) + timedelta(days=30))
    assert clear(client, only_failed=False) == []
    assert len(clear(client, only_failed=False, dag_run_id="later")) == 5


def test_a_setup_and_its_teardown_come_with_the_work_between_them(client, add):
    bracket = [
        f.operator("up", is_setup=True, downstream_task_ids=["work", "down"]),
        f.operator("work", downstream_task_ids=["down", "after"]),
        f.operator("down", is_teardown=True),
        f.operator("after"),
    ]
    add(f.dag(), f.serialized_dag(tasks=bracket), f.dag_run())
    add(*(f.task_instance(task_id=name) for name in ("up", "work", "down", "after")))
    assert tasks(client, only_failed=False, task_ids=["work"]) == ["down", "up", "work"]


def test_an_empty_match_changes_nothing(client, dag, make_run, session):
    make_run()
    before = session.execute(text("SELECT count(*), max(updated_at) FROM task_instance")).one()
    assert tasks(client, dry_run=False, reset_dag_runs=True) == []
    assert session.execute(text("SELECT count(*), max(updated_at) FROM task_instance")).one() == before
    assert one(session, DagRun).state == "success"
    assert session.scalars(select(TaskInstanceHistory)).all() == []


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"only_running": True}, ["only_failed", "only_running"]),
        ({"dag_run_id": f.RUN_ID, "start_date": "2026-03-01T02:00:00Z"}, ["dag_run_id", "start_date"]),
        ({"start_date": "2026-03-02T02:00:00Z", "end_date": "2026-03-01T02:00:00Z"}, ["end_date"]),
        ({"start_date": "2026-03-01T02:00:00"}, ["start_date"]),
        ({"task_ids": []}, ["task_ids"]),
        ({"task_ids": [["transform"]]}, ["task_ids"]),
        ({"task_ids": [["transform", "one"]]}, ["task_ids"]),
        ({"task_ids": [[1, "transform"]]}, ["task_ids"]),
        ({"task_ids": [["transform", True]]}, ["task_ids"]),
        ({"task_ids": [["transform", 2**31]]}, ["task_ids"]),
        ({"task_ids": [7]}, ["task_ids"]),
        ({"task_ids": ["extract", None]}, ["task_ids"]),
        ({"task_ids": [{"transform": 1}]}, ["task_ids"]),
        ({"bogus": 1}, ["bogus"]),
    ],
)
def test_a_form_that_contradicts_itself_is_refused(client, dag, make_run, form, words):
    make_run()
    assert_problem(client.post(URL, json=form), 400, *words)


def test_an_unknown_dag_or_run_is_not_found(client, dag):
    assert_problem(client.post(URL, json={"dag_run_id": "nope"}), 404, "nope")
    assert_problem(client.post(f"{API}/dags/nope/clearTaskInstances", json={}), 404, "nope")
    assert_problem(client.post(f"{API}/dags/~/clearTaskInstances", json={}), 404)


# ---------------------------------------------------------------- what is written
def test_a_cleared_instance_waits_for_as_many_tries_as_its_task_has(client, dag, make_run, session):
    make_run()
    tasks(client, **ALL, task_ids=["extract"])
    found = one(session, task_id="extract")
    assert (found.state, found.try_number, found.max_tries) == (None, 1, 3)
    assert (found.pool, found.priority_weight, found.start_date) == ("warehouse", 5, f.START)
    assert one(session, task_id="load").state == "success"


def test_the_try_is_kept_once(client, dag, make_run, session):
    make_run()
    for _ in range(2):
        tasks(client, **ALL, task_ids=["extract"])
    kept = one(session, TaskInstanceHistory)
    assert (kept.task_id, kept.state, kept.try_number, kept.max_tries) == ("extract", "success", 1, 0)
    assert (kept.start_date, kept.end_date, kept.hostname) == (f.START, f.START + f.HOUR, "worker-1")


def test_a_try_that_had_not_ended_is_kept_as_failed_now(client, dag, make_run, session):
    make_run(states={"extract": "queued"})
    session.execute(text("UPDATE task_instance SET end_date = NULL, duration = NULL"))
    session.commit()
    tasks(client, **ALL, task_ids=["extract"])
    kept, now = one(session, TaskInstanceHistory), one(session, task_id="extract")
    assert (kept.state, kept.end_date) == ("failed", now.end_date)
    assert kept.duration == pytest.approx((kept.end_date - f.START).total_seconds(), rel=1e-5)  # MySQL has six digits


def test_an_executor_config_that_cannot_be_read_survives_in_the_history(client, dag, make_run, session):
    make_run()
    damaged = pickle.dumps(timedelta(1))
    session.execute(text("UPDATE task_instance SET executor_config = :it"), {"it": damaged})
    session.commit()
    tasks(client, **ALL, task_ids=["extract"])
    assert bytes(session.execute(text("SELECT executor_config FROM task_instance_history")).scalar_one()) == damaged


def test_a_running_instance_is_restarted_with_its_job(client, dag, make_run, add, session):
    make_run(states={"extract": "running"}, state="running")
    job = add(f.job("LocalTaskJob"))
    session.execute(text("UPDATE task_instance SET job_id = :id WHERE task_id = 'extract'"), {"id": job.id})
    session.commit()
    assert tasks(client, dry_run=False, only_failed=False, only_running=True) == ["extract"]
    found = one(session, task_id="extract")
    assert (found.state, found.max_tries) == ("restarting", 0)
    assert one(session, Job, id=job.id).state == "restarting"
    assert one(session, TaskInstanceHistory).state == "failed"


def test_a_deferred_instance_forgets_its_trigger(client, dag, make_run, add, session):
    make_run(states={"extract": "deferred"}, state="running")
    deferred = one(session, task_id="extract")
    deferred.trigger_id, deferred.next_method = add(f.trigger()).id, "execute_complete"
    deferred.next_kwargs, deferred.external_executor_id = {"event": 1}, "worker task"
    add(deferred)
    tasks(client, **ALL, task_ids=["extract"])
    found = one(session, task_id="extract")
    assert (found.trigger_id, found.next_method, found.external_executor_id) == (None, None, None)
    assert session.execute(text("SELECT count(*) FROM task_instance WHERE next_kwargs IS NOT NULL")).scalar() == 0
    assert one(session, TaskInstanceHistory).next_method == "execute_complete"


def test_reschedules_of_the_present_try_go_and_others_stay(client, dag, make_run, add, session):
    make_run()
    given = {"start_date": f.START, "end_date": f.START, "duration": 0, "reschedule_date": f.START, "map_index": -1}
    for task_id, try_number in (("extract", 0), ("extract", 1), ("load", 1)):
        key = {"dag_id": f.DAG_ID, "run_id": f.RUN_ID, "task_id": task_id, "try_number": try_number}
        add(TaskReschedule(**key, **given))
    tasks(client, **ALL, task_ids=["extract"])
    left = session.execute(select(TaskReschedule.task_id, TaskReschedule.try_number).order_by(TaskReschedule.id)).all()
    assert left == [("extract", 0), ("load", 1)]


def test_rendered_fields_xcoms_and_notes_stay(client, dag, make_run, add, session):
    run = make_run()
    ti = one(session, task_id="extract")
    add(f.rendered_fields(ti), f.xcom(run, ti), f.task_instance_note(ti))
    tasks(client, **ALL)
    url = f"{API}/dags/{f.DAG_ID}/dagRuns/{f.RUN_ID}/taskInstances/extract"
    found = client.get(url).get_json()
    assert (found["rendered_fields"], found["note"], found["state"]) == ({"bash_command": "echo 1"}, "a note", None)
    assert client.get(f"{url}/xcomEntries").get_json()["total_entries"] == 1


def test_a_task_that_the_dag_has_no_longer_gets_no_further_tries(client, dag, make_run, add, session):
    make_run()
    add(f.task_instance(task_id="gone", try_number=3, max_tries=1, pool="old", priority_weight=9))
    assert "gone" in tasks(client, **ALL)
    found = one(session, task_id="gone")
    assert (found.state, found.max_tries, found.pool, found.priority_weight) == (None, 3, "old", 9)


def test_ended_runs_are_queued_on_request_only(client, dag, make_run, session):
    make_run(last_scheduling_decision=f.START)
    tasks(client, **ALL, task_ids=["load"])
    assert one(session, DagRun).state == "success"
    tasks(client, **ALL, task_ids=["load"], reset_dag_runs=True)
    run = one(session, DagRun)
    assert (run.state, run.start_date, run.end_date, run.last_scheduling_decision) == ("queued", None, None, None)
    assert run.clear_number == 1
    assert run.queued_at > f.START + timedelta(days=1)


def test_a_run_that_goes_on_is_not_queued_again(client, dag, make_run, session):
    make_run(state="running", end_date=None)
    tasks(client, **ALL, reset_dag_runs=True)
    run = one(session, DagRun)
    assert (run.state, run.clear_number, run.start_date) == ("running", 0, run.execution_date)


def test_a_thousand_instances_are_cleared_by_few_statements(client, dag, add, session, statements):
    add(f.dag_run())
    session.add_all(f.task_instance(task_id="transform", map_index=index) for index in range(1000))
    session.commit()
    with statements() as seen:
        assert len(tasks(client, **ALL, reset_dag_runs=True)) == 1000
    assert len(seen) < 60
    assert len(session.scalars(select(TaskInstanceHistory)).all()) == 1000


# ---------------------------------------------------------------- a whole run
def test_clearing_a_run_names_its_instances_unless_told_otherwise(client, dag, make_run, session):
    make_run()
    make_run("another")
    found = client.post(f"{API}/dags/{f.DAG_ID}/dagRuns/{f.RUN_ID}/clear", json={}).get_json()
    assert [ti["task_id"] for ti in found["task_instances"]] == ["extract", "load"] + ["transform"] * 3
    assert {ti["dag_run_id"] for ti in found["task_instances"]} == {f.RUN_ID}
    assert one(session, DagRun, run_id=f.RUN_ID).state == "success"


def test_a_cleared_run_is_queued_with_all_its_instances(client, dag, make_run, session):
    make_run()
    make_run("another")
    response = client.post(f"{API}/dags/{f.DAG_ID}/dagRuns/{f.RUN_ID}/clear", json={"dry_run": False})
    found = response.get_json()
    assert (response.status_code, found["state"], found["start_date"]) == (200, "queued", None)
    states = session.execute(select(TaskInstance.run_id, TaskInstance.state).distinct()).all()
    assert sorted(states) == [("another", "success"), (f.RUN_ID, None)]
    assert one(session, DagRun, run_id="another").state == "success"
    log = session.scalars(select(Log)).one()
    assert (log.event, log.run_id, log.extra) == ("api.clear_dag_run", f.RUN_ID, '{"dry_run": false}')


def test_a_run_that_is_not_there_cannot_be_cleared(client, dag):
    assert_problem(client.post(f"{API}/dags/{f.DAG_ID}/dagRuns/nope/clear", json={"dry_run": False}), 404, "nope")


# ---------------------------------------------------------------- sub-DAGs
@pytest.fixture
def family(add):
    """A DAG with a task that is a DAG inside it."""
    inner = {"_dag_id": "etl.section", "tasks": [f.operator("inner")]}
    outer = [f.operator("section", subdag=inner, downstream_task_ids=["end"]), f.operator("end"), f.operator("start")]
    add(f.dag(), f.dag("etl.section", is_subdag=True, root_dag_id="etl"), f.serialized_dag(tasks=outer))
    moment = f.START
    add(f.dag_run(execution_date=moment), f.dag_run("etl.section", "inner run", execution_date=moment))
    add(*(f.task_instance(task_id=name) for name in ("section", "end", "start")))
    add(f.task_instance("etl.section", "inner run", "inner"))


def test_sub_dags_are_cleared_on_request(client, family):
    assert "inner" not in tasks(client, only_failed=False)
    assert "inner" in tasks(client, only_failed=False, include_subdags=True)


def _clear_inner(client) -> list[str]:
    url = f"{API}/dags/etl.section/dagRuns/inner%20run/clear"
    return sorted(found["task_id"] for found in client.post(url, json={}).get_json()["task_instances"])


def test_clearing_a_sub_dag_reaches_what_comes_after_it_in_its_parent(client, family):
    assert _clear_inner(client) == ["end", "inner", "section"]


def test_clearing_never_leaves_the_dag_without_a_right_on_the_other_one(as_user, family):
    rights = ["DAG:etl.section.can_edit", "DAG:etl.section.can_read", "DAG Runs.can_edit", "Task Instances.can_edit"]
    assert _clear_inner(as_user(permissions=rights)) == ["inner"]


def test_clearing_needs_the_right_to_edit_the_dag(as_user, dag, make_run):
    make_run()
    assert_problem(as_user("Viewer").post(URL, json={}), 403, "can_edit")
