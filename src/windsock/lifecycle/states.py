"""Set the state of task instances and of whole runs.

What is written follows `airflow.api.common.mark_tasks` and `TaskInstance.set_state` of Airflow 2.11. It differs where
that touches what was not asked for: an instance of a mapped task that has ended stays as it is when its run fails,
and task instances downstream that were just set are not cleared again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import and_, not_, or_, select

from windsock import access, db, locks, outdated
from windsock.changing import fetch
from windsock.dagdoc import DagDoc
from windsock.definitions import definition
from windsock.errors import BadRequest, NotFound
from windsock.lifecycle import clearing, history, run_states, selection
from windsock.lifecycle.selection import FINISHED, Condition, Instance
from windsock.models import DagRun, TaskInstance

RUNNING = ("running", "deferred", "up_for_reschedule")
_SET = ("state", "start_date", "end_date", "duration", "try_number")


# ---------------------------------------------------------------- task instances
@dataclass(frozen=True)
class Reach:
    """How far setting a state goes beyond the task instance that is named."""

    upstream: bool = False
    downstream: bool = False
    future: bool = False
    past: bool = False


ALONE = Reach()


def by_form(dag_id: str, form: dict[str, Any]) -> list[Instance]:
    """Set what a form selects to its `new_state`, or with `dry_run`, its default, only find what changes."""
    run_id, task_id = form.get("dag_run_id"), form["task_id"]
    logical_date = clearing.moment(form, "execution_date")
    if (run_id is None) == (logical_date is None):
        raise BadRequest("Name the run by either dag_run_id or execution_date")
    doc = definition(dag_id).doc
    require_task(doc, dag_id, task_id)
    run = fetch(DagRun, dag_id=dag_id, **({"run_id": run_id} if run_id else {"execution_date": logical_date}))
    selection.only(dag_id=dag_id, run_id=run.run_id, task_id=task_id, map_index=-1)
    reach = Reach(*(form[f"include_{direction}"] for direction in ("upstream", "downstream", "future", "past")))
    return set_task_state(doc, run, task_id, form["new_state"], reach, form.get("dry_run", True))


def require_task(doc: DagDoc, dag_id: str, task_id: str) -> None:
    """Raise NotFound unless the DAG has the task."""
    if task_id not in doc.task_docs:
        raise NotFound(f"DAG {dag_id!r} has no task with task_id {task_id!r}")


def set_task_state(
    doc: DagDoc, run: DagRun, name: str | list[Any], state: str, reach: Reach = ALONE, dry_run: bool = False
) -> list[Instance]:
    """Set a task, or one mapped instance `[task_id, map_index]`, to a state; clear what failed after it.

    Gives all task instances that change, or in a dry run would: those that are set and those that are cleared.
    """
    task_id = name if isinstance(name, str) else name[0]
    also = selection.relatives(doc, task_id, reach.upstream, reach.downstream)
    in_runs = _runs(doc, run, reach)
    own = and_(TaskInstance.dag_id == run.dag_id, selection.named([name, *also]))
    chosen = or_(own, TaskInstance.dag_id.in_(selection.subdags(doc, also | {task_id})))
    changed = selection.find(in_runs, chosen, TaskInstance.state.is_distinct_from(state), lock=not dry_run)
    after = selection.companions(doc, [task_id], downstream=True) - {task_id}
    failed = TaskInstance.state.in_(clearing.FAILED)
    cleared = [selection.tasks_of(run.dag_id, after), in_runs, failed, not_(chosen)]
    if not dry_run:
        write(changed, state)
    return changed + clearing.clear(cleared, dry_run, docs={run.dag_id: selection.subset(doc, after | {task_id})})


def _runs(doc: DagDoc, run: DagRun, reach: Reach) -> Condition:
    """The run, and on request those before and after it that the schedule made.

    A DAG without schedule has manual runs only, and all count. Runs that datasets or `@once` made stand alone.
    """
    date = DagRun.execution_date
    this = date == run.execution_date
    further = [date < run.execution_date] * reach.past + [date > run.execution_date] * reach.future
    if not further or (doc.is_scheduled and not doc.is_periodic):
        return this
    made = [DagRun.run_type.in_(("scheduled", "backfill"))] * doc.is_scheduled
    return or_(this, and_(or_(*further), *made))


def write(instances: Sequence[Instance], state: str) -> None:
    """Set task instances to a state in which they have ended; dates that they have stay."""
    now, uncounted = datetime.now(timezone.utc), outdated.uncounted()
    ended = [_ended(one, state, now, one.state in uncounted) for one in instances]
    history.write(ended, *_SET, **clearing.NO_TRIGGER)


def _ended(one: Instance, state: str, now: datetime, uncounted: bool) -> dict[str, Any]:
    start, end = one.start_date or now, one.end_date or now
    dates = {"start_date": start, "end_date": end, "duration": (end - start).total_seconds()}
    tries = (one.try_number or 0) + 1 if uncounted else one.try_number
    return {**history.identity(one), "state": state, "try_number": tries, **dates}


# ---------------------------------------------------------------- runs
def set_run_state(run: DagRun, state: str) -> None:
    """Set a run to `queued`, `success` or `failed`, with its task instances and the runs of sub-DAGs inside it.

    Teardowns are left to do their work; while one is to come, the run goes on and its state is the scheduler's affair.
    """
    if state == "queued":
        return run_states.move(run, state)
    doc = clearing.definition_or_nothing(run.dag_id)
    for dag_id, inner in selection.subdags(doc).items():
        below = access.scope(select(DagRun).filter_by(dag_id=dag_id, execution_date=run.execution_date), DagRun)
        locks.by_primary_key(below, DagRun)
        for one in db.session().scalars(below.with_for_update()):
            _end(one, inner, state)
    return _end(run, doc, state)


def _end(run: DagRun, doc: DagDoc, state: str) -> None:
    teardowns = {name for name, task in doc.task_docs.items() if task.is_teardown}
    of_run = [TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.run_id]
    if state == "success":
        known = [TaskInstance.task_id.in_(doc.task_docs)] if doc.task_docs else []
        found = selection.find(*of_run, *known, TaskInstance.state.is_distinct_from(state), lock=True)
        write([one for one in found if one.task_id not in teardowns], state)
        waits = bool(teardowns)
    else:
        unfinished = or_(TaskInstance.state.is_(None), TaskInstance.state.not_in(FINISHED))
        found = selection.find(*of_run, unfinished, lock=True)
        stopped = [one for one in found if one.task_id not in teardowns]
        write([one for one in stopped if one.state in RUNNING], "failed")
        write([one for one in stopped if one.state not in RUNNING], outdated.state_of_the_undone())
        waits = len(stopped) < len(found)
    if not waits:
        run_states.move(run, state)
