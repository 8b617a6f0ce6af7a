"""Why a task instance does not start: each failed check of the scheduler by its name."""

from __future__ import annotations

import dataclasses
import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from windsock.dagdoc import DagDoc, load
from windsock.dependencies import PreviousRun, Situation, dependencies, needs_previous_run
from windsock.triggerrules import Instance

MARCH = datetime(2026, 3, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)


def dag(*tasks: tuple[str, list[str], dict[str, Any]], **members: Any) -> DagDoc:
    """A document of tasks given as id, ids of the downstream tasks and further encoded members."""
    bodies = [{"task_id": task_id, "downstream_task_ids": after, **more} for task_id, after, more in tasks]
    return load({"dag": {"_dag_id": "nightly_sales", "tasks": bodies, **members}})


def chain(**members: Any) -> DagDoc:
    return dag(("extract", ["load"], {}), ("load", [], members))


def situation(*instances: Instance, **changes: Any) -> Situation:
    """An instance of `load` for which everything is met, unless the changes say otherwise."""
    ready = Situation(
        dag_id="nightly_sales", task_id="load", map_index=-1, state="scheduled", pool="warehouse", pool_slots=1,
        run_state="running", run_type="scheduled", logical_date=MARCH, now=MARCH + DAY, dag_is_paused=False,
        dag_max_active_tasks=16, instances=instances or [Instance("extract", -1, "success")], pool_open_slots=4,
    )  # fmt: skip
    return dataclasses.replace(ready, **changes)


def failed(doc: DagDoc, found: Situation) -> dict[str, str]:
    return {item["name"]: item["reason"] for item in dependencies(doc, found)}


def test_nothing_is_listed_when_every_check_is_met() -> None:
    assert dependencies(chain(), situation()) == []


@pytest.mark.parametrize("state", ["running", "success", "failed", "queued", "up_for_retry", "deferred"])
def test_an_instance_that_is_past_waiting_has_no_dependencies(state: str) -> None:
    assert dependencies(chain(), situation(state=state, dag_is_paused=True)) == []


def test_a_task_that_the_dag_has_no_more_has_no_dependencies() -> None:
    assert dependencies(chain(), situation(task_id="gone", dag_is_paused=True)) == []


def test_failed_checks_are_sorted_by_name_and_worded_as_clients_know_them() -> None:
    found = situation(Instance("extract", -1, None), state=None, dag_is_paused=True, run_state="queued",
                      pool_open_slots=None)  # fmt: skip
    assert dependencies(chain(), found) == [
        {"name": "Dag Not Paused", "reason": "Task's DAG 'nightly_sales' is paused."},
        {
            "name": "Dagrun Running",
            "reason": "Task instance's dagrun was not in the 'running' state but in the state 'queued'.",
        },
        {
            "name": "Pool Slots Available",
            "reason": "Tasks using non-existent pool 'warehouse' will not be scheduled",
        },
        {"name": "Task Instance State", "reason": "Task is in the 'None' state."},
        {
            "name": "Trigger Rule",
            "reason": "Task's trigger rule 'all_success' requires all upstream tasks to have succeeded, but found 1 "
            "non-success(es). upstream_states=_UpstreamTIStates(success=0, skipped=0, failed=0, upstream_failed=0, "
            "removed=0, done=0, success_setup=0, skipped_setup=0), upstream_task_ids={'extract'}",
        },
    ]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("DagRun is not backfill job", {"run_type": "backfill"}),
        ("Pool Slots Available", {"pool_slots": 5}),
        ("Task Instance Slots Available", {"dag_running": 16}),
        ("Execution Date", {"logical_date": MARCH + 2 * DAY}),
        ("Execution Date", {"logical_date": MARCH + 2 * DAY, "allow_future": True}),
        ("Execution Date", {"logical_date": MARCH - 40 * DAY}),
    ],
)
def test_a_check_fails_alone_with_its_cause(name: str, changes: dict[str, Any]) -> None:
    doc = dag(("load", [], {}), start_date=(MARCH - 30 * DAY).timestamp(), schedule_interval="@daily")
    assert list(failed(doc, situation(**changes))) == [name]


def test_a_pool_without_limit_and_a_future_run_of_an_unscheduled_dag_are_no_hindrance() -> None:
    found = situation(pool_open_slots=math.inf, pool_slots=99, logical_date=MARCH + 2 * DAY, allow_future=True)
    assert dependencies(dag(("load", [], {}), schedule_interval=None), found) == []


def test_a_run_after_the_end_of_the_task_is_not_started() -> None:
    assert list(failed(chain(end_date=(MARCH - DAY).timestamp()), situation())) == ["Execution Date"]


def test_concurrency_limits_count_running_instances_in_all_runs_or_in_this_one() -> None:
    running = [Instance("extract", -1, "success"), Instance("load", 0, "running"), Instance("load", 1, "running")]
    assert "Task Concurrency" in failed(chain(max_active_tis_per_dag=3), situation(task_running=3))
    assert "Task Concurrency" not in failed(chain(max_active_tis_per_dag=4), situation(task_running=3))
    assert "Task Concurrency" in failed(chain(max_active_tis_per_dagrun=2), situation(*running))
    assert "Task Concurrency" not in failed(chain(max_active_tis_per_dagrun=3), situation(*running))


@pytest.mark.parametrize(
    ("rule", "states", "waits"),
    [
        ("all_success", ["success", "success"], False), ("all_success", ["success", "skipped"], True),
        ("all_failed", ["failed", "upstream_failed"], False), ("all_failed", ["failed", "success"], True),
        ("all_done", ["failed", "skipped"], False), ("all_done", ["failed", "running"], True),
        ("all_skipped", ["skipped", "skipped"], False), ("all_skipped", ["skipped", "success"], True),
        ("none_failed", ["success", "skipped"], False), ("none_failed", ["success", "failed"], True),
        ("none_failed_min_one_success", ["success", "skipped"], False),
        ("none_failed_min_one_success", ["success", None], True),
        ("none_skipped", ["success", "failed"], False), ("none_skipped", ["success", "skipped"], True),
        ("none_skipped", ["success", None], True),
        ("one_success", ["success", None], False), ("one_success", ["failed", None], True),
        ("one_failed", ["upstream_failed", None], False), ("one_failed", ["success", "success"], True),
        ("one_done", ["failed", None], False), ("one_done", ["skipped", None], True),
        ("all_done_setup_success", ["success", "failed"], False),
        ("all_done_setup_success", ["failed", "success"], True), ("all_done_setup_success", ["success", None], True),
        ("always", [None, None], False), ("none_failed_or_skipped", ["success", "success"], True),
    ],
)  # fmt: skip
def test_each_trigger_rule_waits_for_its_states(rule: str, states: list[str | None], waits: bool) -> None:
    doc = dag(
        ("create", ["load"], {"is_setup": True}), ("extract", ["load"], {}),
        ("load", [], {"trigger_rule": rule, "is_teardown": True}),
    )  # fmt: skip
    found = situation(Instance("create", -1, states[0]), Instance("extract", -1, states[1]))
    assert ("Trigger Rule" in failed(doc, found)) is waits


def test_all_instances_of_a_mapped_upstream_task_count() -> None:
    doc = dag(("extract", ["load"], {"_is_mapped": True}), ("load", [], {}))
    reason = failed(doc, situation(Instance("extract", 0, "success"), Instance("extract", 1, "failed")))["Trigger Rule"]
    assert "found 1 non-success(es)" in reason
    assert "success=1, skipped=0, failed=1" in reason


def test_an_instance_in_a_mapped_group_waits_for_its_own_neighbour_only() -> None:
    two = {"type": "dict-of-lists", "value": {"__type": "dict", "__var": {"region": ["north", "south"]}}}
    children = {name: ["operator", f"region.{name}"] for name in ("extract", "load")}
    group = {"is_mapped": True, "expand_input": two, "children": children}
    doc = dag(
        ("region.extract", ["region.load"], {"_needs_expansion": True}),
        ("region.load", [], {"_needs_expansion": True}),
        _task_group={"children": {"region": ["taskgroup", group]}},
    )
    instances = [Instance("region.extract", 0, "success"), Instance("region.extract", 1, "failed")]
    assert dependencies(doc, situation(*instances, task_id="region.load", map_index=0)) == []
    assert list(failed(doc, situation(*instances, task_id="region.load", map_index=1))) == ["Trigger Rule"]


def test_an_earlier_setup_must_succeed_although_it_is_not_directly_upstream() -> None:
    doc = dag(
        ("create", ["extract", "drop"], {"is_setup": True}), ("extract", ["load"], {}), ("load", ["drop"], {}),
        ("drop", [], {"is_teardown": True}),
    )  # fmt: skip
    ready = [Instance("create", -1, "success"), Instance("extract", -1, "success")]
    assert dependencies(doc, situation(*ready)) == []
    reason = failed(doc, situation(ready[1], Instance("create", -1, None)))["Trigger Rule"]
    assert "create" in reason


def test_a_mapped_task_must_be_unfolded_and_its_source_must_have_succeeded() -> None:
    numbers = {"__type": "xcomref", "__var": {"task_id": "extract", "key": "return_value"}}
    source = {"type": "dict-of-lists", "value": {"__type": "dict", "__var": {"x": numbers}}}
    doc = chain(_is_mapped=True, expand_input=source, _expand_input_attr="expand_input", partial_kwargs={})
    assert list(failed(doc, situation())) == ["Task has been mapped"]
    assert dependencies(doc, situation(map_index=0)) == []
    found = failed(doc, situation(Instance("extract", -1, "skipped"), map_index=0))
    assert "Mapped dependencies have succeeded" in found


def test_a_branch_that_was_not_taken_is_skipped() -> None:
    assert dependencies(chain(), situation(skip_xcoms={"extract": {"followed": ["load"]}})) == []
    for decision in ({"followed": ["report"]}, {"skipped": ["load"]}):
        assert list(failed(chain(), situation(skip_xcoms={"extract": decision}))) == ["Not Previously Skipped"]


def test_a_task_that_depends_on_its_past_waits_for_the_run_before() -> None:
    doc = dag(("extract", ["load"], {}), ("load", ["report"], {"depends_on_past": True, "wait_for_downstream": True}),
              ("report", [], {}))  # fmt: skip
    assert needs_previous_run(doc, "load") and not needs_previous_run(doc, "extract")

    def waits(*instances: Instance, **changes: Any) -> bool:
        previous = PreviousRun(MARCH - DAY, instances)
        return "Previous Dagrun State" in failed(doc, situation(previous_run=previous, **changes))

    assert dependencies(doc, situation()) == []
    assert not waits(Instance("load", -1, "success"), Instance("report", -1, "skipped"))
    assert waits(Instance("load", -1, "success"), Instance("report", -1, "running"))
    assert waits(Instance("load", -1, "failed"), Instance("report", -1, "success"))
    assert waits(has_earlier_instances=True)
    # The first instance that the task ever has waits for nothing.
    assert not waits(has_earlier_instances=False)


def test_a_sensor_waits_until_its_next_look() -> None:
    checks = ["airflow.ti_deps.deps.ready_to_reschedule.ReadyToRescheduleDep", "plugins.custom.UnknownDep"]
    doc = chain(reschedule=True, deps=checks)
    now = MARCH + DAY
    later, earlier = now + timedelta(minutes=1), now - timedelta(minutes=1)
    assert "Ready To Reschedule" in failed(doc, situation(state=None, reschedule_date=later))
    assert "Ready To Reschedule" not in failed(doc, situation(state=None, reschedule_date=earlier))
    # An operator that names its checks has no others: this one knows no trigger rule.
    assert dependencies(doc, situation(Instance("extract", -1, "failed"))) == []
