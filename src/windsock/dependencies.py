"""Why a task instance is not started: the checks of Airflow's scheduler, on plain values.

Which checks there are, their names and when each fails are facts of Airflow 2.11.2 (`ti_deps`); reasons that its web
server was seen to answer are worded as it words them, since clients show them. Nothing here changes a state: Airflow's
own server marks some instances as skipped or failed while it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from windsock import mapping
from windsock.dagdoc import DagDoc
from windsock.encoded import flag, number, texts
from windsock.taskdoc import TaskDoc
from windsock.triggerrules import FINISHED, NOWHERE, Instance, unmet


@dataclass(frozen=True)
class PreviousRun:
    """The run before this one: the latest of the same DAG with an earlier logical date, of any type, but for a DAG
    with `DagDoc.catchup` not of type manual."""

    logical_date: datetime
    instances: Sequence[Instance]


@dataclass(frozen=True)
class Situation:
    """One task instance and what surrounds it; all times are aware."""

    dag_id: str
    task_id: str
    map_index: int
    state: str | None
    pool: str
    pool_slots: int
    run_state: str | None
    run_type: str
    logical_date: datetime
    now: datetime
    dag_is_paused: bool
    dag_max_active_tasks: int
    instances: Sequence[Instance]
    """All task instances of the run."""
    dag_running: int = 0
    """Instances of the DAG in state running, over all its runs."""
    task_running: int = 0
    """Instances of the task in state running, over all runs of the DAG."""
    pool_open_slots: float | None = None
    """Slots of the pool less those of its running and queued (and, with include_deferred, deferred) instances;
    infinite for a pool of -1 slots, None if there is no such pool."""
    previous_run: PreviousRun | None = None
    """Wanted only when `needs_previous_run` says so."""
    has_earlier_instances: bool = False
    """Whether the task has an instance in any run with an earlier logical date; wanted with `previous_run`."""
    reschedule_date: datetime | None = None
    """`reschedule_date` of the newest row of task_reschedule for this instance and try."""
    skip_xcoms: Mapping[str, Any] = field(default_factory=dict)
    """By direct upstream task: its XCom `skipmixin_key` of this run and map index, as JSON."""
    map_lengths: Mapping[str, int] = field(default_factory=dict)
    """By task: `length` of its row in task_map for this run with map index -1."""
    allow_future: bool = False
    """[scheduler] allow_trigger_in_future."""


Check = Callable[[DagDoc, TaskDoc, Situation], Iterator[str]]


def dependencies(doc: DagDoc, situation: Situation) -> list[dict[str, str]]:
    """The failed checks as `{"name", "reason"}`, sorted by name.

    Empty for an instance that is past waiting (any state but none and scheduled) or a task that the DAG has no more.
    """
    task = doc.task_docs.get(situation.task_id)
    if task is None or situation.state not in (None, "scheduled"):
        return []
    # A task of an operator with checks of its own names them all; what a plug-in adds is not known here.
    named = [path.rpartition(".")[2] for path in texts(task.data["deps"])] if "deps" in task.data else DEFAULT_CHECKS
    names = [*named, "MappedTaskIsExpanded"] if task.is_mapped and "deps" not in task.data else named
    checks = SCHEDULER_CHECKS + [TASK_CHECKS[name] for name in dict.fromkeys(names) if name in TASK_CHECKS]
    found = [{"name": name, "reason": reason} for name, check in checks for reason in check(doc, task, situation)]
    return sorted(found, key=lambda failed: failed["name"])


def needs_previous_run(doc: DagDoc, task_id: str) -> bool:
    """Whether the task waits for its own instance in the run before."""
    task = doc.task_docs.get(task_id)
    return task is not None and flag(task.arguments.get("depends_on_past"))


def _dates(doc: DagDoc, task: TaskDoc, s: Situation) -> Iterator[str]:
    date = s.logical_date.isoformat()
    if s.logical_date > s.now and not (s.allow_future and not doc.is_scheduled):
        yield f"The run's date {date} lies in the future; it is now {s.now.isoformat()}."
    for owner, end in (("task", task.end_date), ("DAG", doc.end_date)):
        if end and s.logical_date > end:
            yield f"The run's date {date} is later than the end date of the {owner}, {end.isoformat()}."
    for owner, start in (("task", task.start_date), ("DAG", doc.start_date)):
        if start and s.logical_date < start:
            yield f"The run's date {date} is earlier than the start date of the {owner}, {start.isoformat()}."


def _state(doc: DagDoc, task: TaskDoc, s: Situation) -> Iterator[str]:
    if s.state != "scheduled":
        yield f"Task is in the '{s.state}' state."


def _dag_slots(doc: DagDoc, task: TaskDoc, s: Situation) -> Iterator[str]:
    if s.dag_running >= s.dag_max_active_tasks:
        yield f"DAG '{s.dag_id}' already runs {s.dag_running} tasks; it may run {s.dag_max_active_tasks} at a time."


def _concurrency(doc: DagDoc, task: TaskDoc, s: Situation) -> Iterator[str]:
    in_run = sum(item.task_id == s.task_id and item.state == "running" for item in s.instances)
    in_dag_limit = number(task.arguments.get("max_active_tis_per_dag"))
    in_run_limit = number(task.arguments.get("max_active_tis_per_dagrun"))
    if in_dag_limit is not None and s.task_running >= in_dag_limit:
        yield f"The task already runs {s.task_running} times; it may run {in_dag_limit:.0f} times at once."
    elif in_run_limit is not None and in_run >= in_run_limit:
        yield f"The task already runs {in_run} times in this run; it may run {in_run_limit:.0f} times at once."


def _pool(doc: DagDoc, task: TaskDoc, s: Situation) -> Iterator[str]:
    if s.pool_open_slots is None:
        yield f"Tasks using non-existent pool '{s.pool}' will not be scheduled"
    elif s.pool_open_slots < s.pool_slots:
        yield f"Pool '{s.pool}' has {s.pool_open_slots:.0f} open slots; the task needs {s.pool_slots}."


def _run_state(doc: DagDoc, task: TaskDoc, s: Situation) -> Iterator[str]:
    if s.run_state != "running":
        yield f"Task instance's dagrun was not in the 'running' state but in the state '{s.run_state}'."


def _not_backfill(doc: DagDoc, task: TaskDoc, s: Situation) -> Iterator[str]:
    if s.run_type == "backfill":
        yield "The run belongs to a backfill, which starts its tasks itself."


def _unpaused(doc: DagDoc, task: TaskDoc, s: Situation) -> Iterator[str]:
    if s.dag_is_paused:
        yield f"Task's DAG '{s.dag_id}' is paused."


def _previous_run(doc: DagDoc, task: TaskDoc, s: Situation) -> Iterator[str]:
    previous = s.previous_run
    if previous is None or not flag(task.arguments.get("depends_on_past")):
        return
    if doc.catchup and task.start_date and previous.logical_date < task.start_date:
        return
    own = [item for item in previous.instances if item.task_id == s.task_id]
    unsuccessful = sum(item.state not in ("success", "skipped") for item in own)
    first_is_free = flag(task.arguments.get("ignore_first_depends_on_past"), doc.defaults.ignore_first_depends_on_past)
    if not own:
        if s.has_earlier_instances or not first_is_free:
            yield "The task depends on its past, and the run before this one has no instance of it."
    elif unsuccessful:
        yield f"The task depends on its past, and {unsuccessful} of its instances in the run before did not succeed."
    elif flag(task.arguments.get("wait_for_downstream")) and any(
        item.task_id in task.downstream_task_ids and item.state not in ("success", "skipped")
        for item in previous.instances
    ):
        yield "The task waits for its downstream tasks of the run before, and not all of them have succeeded."


def _trigger_rule(doc: DagDoc, task: TaskDoc, s: Situation) -> Iterator[str]:
    yield from unmet(doc, task, s.map_index, s.instances, s.map_lengths)


def _not_skipped(doc: DagDoc, task: TaskDoc, s: Situation) -> Iterator[str]:
    finished = {item.task_id for item in s.instances if item.state in FINISHED}
    for name in sorted(doc.upstream_task_ids[s.task_id] & finished):
        decision = s.skip_xcoms.get(name)
        if not isinstance(decision, dict):
            continue
        passed_over = "followed" in decision and s.task_id not in texts(decision["followed"])
        if passed_over or s.task_id in texts(decision.get("skipped")):
            yield f"The upstream task {name} has decided to skip this task."
            return


def _mapped_upstream(doc: DagDoc, task: TaskDoc, s: Situation) -> Iterator[str]:
    names = mapping.dependencies(task.data, doc.places.get(s.task_id, NOWHERE))
    states = {item.state for item in s.instances if item.task_id in names and item.map_index == -1} & FINISHED
    if states - {"success"}:
        yield "A task that this one is mapped over has not succeeded."


def _expanded(doc: DagDoc, task: TaskDoc, s: Situation) -> Iterator[str]:
    if s.map_index == -1:
        yield "The task has not been unfolded into its mapped instances yet."


def _rescheduled(doc: DagDoc, task: TaskDoc, s: Situation) -> Iterator[str]:
    reschedules = task.is_mapped or flag(task.data.get("reschedule"))
    if reschedules and s.state is None and s.reschedule_date and s.now < s.reschedule_date:
        yield f"The task looks again at {s.reschedule_date.isoformat()}; it is now {s.now.isoformat()}."


SCHEDULER_CHECKS: list[tuple[str, Check]] = [
    ("Dag Not Paused", _unpaused),
    ("DagRun is not backfill job", _not_backfill),
    ("Dagrun Running", _run_state),
    ("Execution Date", _dates),
    ("Pool Slots Available", _pool),
    ("Task Concurrency", _concurrency),
    ("Task Instance Slots Available", _dag_slots),
    ("Task Instance State", _state),
]
# By the class that a serialized operator names; a check for states in which nothing waits is not among them.
TASK_CHECKS: dict[str, tuple[str, Check]] = {
    "MappedTaskIsExpanded": ("Task has been mapped", _expanded),
    "MappedTaskUpstreamDep": ("Mapped dependencies have succeeded", _mapped_upstream),
    "NotPreviouslySkippedDep": ("Not Previously Skipped", _not_skipped),
    "PrevDagrunDep": ("Previous Dagrun State", _previous_run),
    "ReadyToRescheduleDep": ("Ready To Reschedule", _rescheduled),
    "TriggerRuleDep": ("Trigger Rule", _trigger_rule),
}
DEFAULT_CHECKS = ["MappedTaskUpstreamDep", "NotPreviouslySkippedDep", "PrevDagrunDep", "TriggerRuleDep"]
