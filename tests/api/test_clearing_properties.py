"""Whatever is asked: a dry run names exactly what the real call changes, and nothing else is ever touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

import factories as f
from clients import API
from windsock.models import DagRun, TaskInstance, TaskInstanceHistory

RUNS = ("run-0", "run-1", "run-2")
TASKS = {"setup": ["work"], "work": ["mapped", "teardown"], "mapped": ["end"], "teardown": [], "end": [], "alone": []}
STATES = ("success", "failed", "upstream_failed", "skipped", "running", "queued", "deferred", "up_for_retry", None)
INDEXES = {"mapped": (0, 1)}

quick = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
    phases=[Phase.generate],
)
states = st.lists(st.sampled_from(STATES), min_size=21, max_size=21)
run_states = st.lists(st.sampled_from(["success", "failed", "running", "queued"]), min_size=3, max_size=3)
names = st.sampled_from([*TASKS, "no such task"])
pairs = st.tuples(names, st.integers(-1, 2)).map(list)
flags = {name: st.booleans() for name in ("include_upstream", "include_downstream", "include_past", "include_future")}
date = st.integers(-1, 3).map(lambda hours: (f.START + hours * f.HOUR).isoformat())
one_run = st.fixed_dictionaries({"dag_run_id": st.sampled_from(RUNS)})
dates = st.fixed_dictionaries({}, optional={"start_date": date, "end_date": date}).filter(
    lambda form: form.get("start_date", "") <= form.get("end_date", "~")
)
kinds = st.sampled_from([{}, {"only_failed": False}, {"only_failed": False, "only_running": True}])
clear_forms = st.builds(
    lambda *parts: {name: value for part in parts for name, value in part.items()},
    st.fixed_dictionaries(
        {"reset_dag_runs": st.booleans()},
        optional={"task_ids": st.lists(names | pairs, min_size=1, max_size=3), **flags},
    ),
    one_run | dates,
    kinds,
)
state_forms = st.fixed_dictionaries(
    {
        "task_id": st.sampled_from([name for name in TASKS if name not in INDEXES]),
        "dag_run_id": st.sampled_from(RUNS),
        "new_state": st.sampled_from(["success", "failed", "skipped"]),
        **flags,
    }
)


@pytest.fixture
def dag(add):
    marks = {"setup": {"is_setup": True}, "teardown": {"is_teardown": True}}
    made = [
        (f.mapped_operator if name in INDEXES else f.operator)(name, downstream_task_ids=after, **marks.get(name, {}))
        for name, after in TASKS.items()
    ]
    add(f.dag(), f.serialized_dag(tasks=made))
    add(f.dag("other"), f.serialized_dag("other"), f.dag_run("other", "run-0"))
    add(f.task_instance("other", "run-0", state="failed"))


@contextmanager
def rows(session, of_runs: list[str], of_instances: list[Any]) -> Iterator[None]:
    """Three runs with task instances in the given states, gone afterwards."""
    made = [
        f.dag_run(run_id=name, state=state, execution_date=f.START + number * f.HOUR)
        for number, (name, state) in enumerate(zip(RUNS, of_runs, strict=True))
    ]
    session.add_all(made)
    session.flush()
    keys = [(run, task, index) for run in RUNS for task in TASKS for index in INDEXES.get(task, (-1,))]
    for (run, task, index), state in zip(keys, of_instances, strict=True):
        session.add(f.task_instance(run_id=run, task_id=task, map_index=index, state=state))
    session.commit()
    try:
        yield
    finally:
        session.expire_all()
        for run in session.scalars(select(DagRun).filter_by(dag_id=f.DAG_ID)).all():
            session.delete(run)
        session.commit()


def snapshot(session) -> dict[Any, Any]:
    """Every column of every task instance, run and earlier try."""
    session.expire_all()
    found = {}
    for model in (TaskInstance, DagRun, TaskInstanceHistory):
        keys = [column.name for column in model.__table__.primary_key]
        for row in session.execute(select(*model.__table__.columns)):
            found[(model.__name__, *(getattr(row, name) for name in keys))] = row
    return found


def changed(before: dict[Any, Any], after: dict[Any, Any], model: Any) -> Counter[Any]:
    """(run id, task id) of the rows of a model that are new or differ."""
    differing = [row for key, row in after.items() if key[0] == model.__name__ and before.get(key) != row]
    return Counter((row.dag_id, row.run_id, getattr(row, "task_id", None)) for row in differing)


def named(response: Any) -> Counter[Any]:
    assert response.status_code == 200, response.get_json()
    found = response.get_json()["task_instances"]
    return Counter((ti["dag_id"], ti["dag_run_id"], ti["task_id"]) for ti in found)


def check(client, session, url: str, form: dict[str, Any]) -> tuple[Counter[Any], dict[Any, Any], dict[Any, Any]]:
    """Ask without and with consequences; what was named is what changed, and runs change with their instances only."""
    start = snapshot(session)
    promised = named(client.post(url, json={**form, "dry_run": True}))
    assert snapshot(session) == start
    done = named(client.post(url, json={**form, "dry_run": False}))
    end = snapshot(session)
    assert promised == done
    assert {dag_id for dag_id, _, _ in done} <= {f.DAG_ID}
    touched = {run_id for _, run_id, _ in done}
    assert {run_id for _, run_id, _ in changed(start, end, DagRun)} <= touched
    if not done:
        assert start == end
    return done, start, end


@quick
@given(of_runs=run_states, of_instances=states, form=clear_forms)
def test_clearing_does_what_its_dry_run_says(client, session, dag, of_runs, of_instances, form):
    with rows(session, of_runs, of_instances):
        done, start, end = check(client, session, f"{API}/dags/{f.DAG_ID}/clearTaskInstances", form)
        # One that had no state may have nothing to change but its history.
        assert changed(start, end, TaskInstance) <= done
        assert changed(start, end, TaskInstanceHistory) == done
        assert all(row.state in (None, "restarting") for row in _rows(end, done))
        if not form["reset_dag_runs"]:
            assert not changed(start, end, DagRun)


def _rows(snapshot: dict[Any, Any], done: Counter[Any]) -> list[Any]:
    """The present rows of the tasks that were named with all their instances."""
    found = [row for key, row in snapshot.items() if key[0] == "TaskInstance"]
    of_task = Counter((row.dag_id, row.run_id, row.task_id) for row in found)
    return [row for row in found if done[key := (row.dag_id, row.run_id, row.task_id)] == of_task[key]]


@quick
@given(of_runs=run_states, of_instances=states, run_id=st.sampled_from(RUNS))
def test_clearing_a_run_does_what_its_dry_run_says(client, session, dag, of_runs, of_instances, run_id):
    url = f"{API}/dags/{f.DAG_ID}/dagRuns/{run_id}/clear"
    with rows(session, of_runs, of_instances):
        start = snapshot(session)
        promised = named(client.post(url, json={}))
        assert snapshot(session) == start
        assert client.post(url, json={"dry_run": False}).status_code == 200
        assert changed(start, snapshot(session), TaskInstanceHistory) == promised
        assert {found[1] for found in promised} == {run_id}


@quick
@given(of_runs=run_states, of_instances=states, form=state_forms)
def test_setting_states_does_what_its_dry_run_says(client, session, dag, of_runs, of_instances, form):
    with rows(session, of_runs, of_instances):
        url = f"{API}/dags/{f.DAG_ID}/updateTaskInstancesState"
        done, start, end = check(client, session, url, form)
        assert changed(start, end, TaskInstance) == done
        assert end["TaskInstance", f.DAG_ID, form["task_id"], form["dag_run_id"], -1].state == form["new_state"]
