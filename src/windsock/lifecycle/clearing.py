"""Clear task instances: the scheduler then runs them again.

What is written follows `clear_task_instances` of Airflow 2.11, with two differences: a task instance that runs becomes
`restarting` whatever the caller, and one that was deferred lets go of its trigger at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import case, delete, func, null, tuple_, update

from windsock import db
from windsock.changing import fetch
from windsock.context import context
from windsock.dagdoc import DagDoc
from windsock.definitions import definition
from windsock.errors import BadRequest, NotFound
from windsock.lifecycle import expansion, history, run_states, selection
from windsock.lifecycle.selection import Condition, Instance, chunks
from windsock.models import DagRun, Job, TaskInstance, TaskReschedule
from windsock.models.base import TASK_INSTANCE_KEY
from windsock.parameters import INT32, date_time

FAILED = ("failed", "upstream_failed")
NO_DOCS: Mapping[str, DagDoc] = {}
#: What a task instance that waits for a trigger, or has waited, goes on with.
NO_TRIGGER = {"trigger_id": null(), "next_method": null(), "next_kwargs": null()}


# ---------------------------------------------------------------- what
def by_form(dag_id: str, form: dict[str, Any]) -> list[Instance]:
    """Clear what a form selects, or with `dry_run`, its default, only find it."""
    only_failed, only_running = form.get("only_failed", True), form.get("only_running", False)
    if only_failed and only_running:
        raise BadRequest("only_failed (true by default) and only_running exclude each other; set one to false")
    doc = definition(dag_id).doc
    conditions = _between(doc, *_dates(dag_id, form))
    names = form.get("task_ids")
    if names is not None:
        _check(names)
        conditions.append(_tasks(doc, names, form))
        doc = _subset(doc, names, form)
    if only_failed or only_running:
        conditions.append(TaskInstance.state.in_(FAILED if only_failed else ("running",)))
    around = {name: form.get(f"include_{name}", False) for name in ("subdags", "parentdag")}
    conditions.append(_dags(dag_id, doc, narrow=names is not None, **around))
    return clear(conditions, form.get("dry_run", True), form.get("reset_dag_runs", False), {dag_id: doc})


def whole_run(run: DagRun, dry_run: bool) -> list[Instance]:
    """Clear all task instances of a run, those of its sub-DAGs included, and queue it again."""
    doc = definition(run.dag_id).doc
    conditions = [_dags(run.dag_id, doc, narrow=False, subdags=True, parentdag=True)]
    return clear([*conditions, DagRun.execution_date == run.execution_date], dry_run=dry_run)


def _dates(dag_id: str, form: dict[str, Any]) -> tuple[datetime | None, datetime | None]:
    """The earliest and the latest logical date; None means any."""
    start, end = (moment(form, name) for name in ("start_date", "end_date"))
    run_id = form.get("dag_run_id")
    if run_id is not None and (start or end):
        raise BadRequest("dag_run_id names one run; leave out start_date and end_date, or give them alone")
    if start and end and start > end:
        raise BadRequest("end_date lies before start_date")
    if run_id is not None:
        start = end = fetch(DagRun, dag_id=dag_id, run_id=run_id).execution_date
    return None if form.get("include_past") else start, None if form.get("include_future") else end


def moment(form: dict[str, Any], name: str) -> datetime | None:
    """A date-time of a form, None without it. Raises BadRequest for one that is none."""
    try:
        return date_time(form[name]) if name in form else None
    except ValueError as error:
        raise BadRequest(f"Member {name!r} {error}") from None


def _between(doc: DagDoc, start: datetime | None, end: datetime | None) -> list[Condition]:
    """Runs whose logical dates lie in a stretch of time; without an end it ends now, unless future runs are allowed."""
    future = context.config.get_bool("scheduler", "allow_trigger_in_future") and not doc.is_scheduled
    if end is None and not future:
        end = datetime.now(timezone.utc)
    conditions = [] if start is None else [DagRun.execution_date >= start]
    return conditions if end is None else [*conditions, DagRun.execution_date <= end]


def _tasks(doc: DagDoc, names: list[str | list[Any]], form: dict[str, Any]) -> Condition:
    """Task instances that are named, and all those of the tasks that go with them."""
    return selection.named([*names, *_others(doc, names, form)])


def _subset(doc: DagDoc, names: list[str | list[Any]], form: dict[str, Any]) -> DagDoc:
    """The definition of no more than these tasks: Airflow weighs cleared tasks as if there were no others."""
    return selection.subset(doc, _ids(names) | _others(doc, names, form))


def _others(doc: DagDoc, names: list[str | list[Any]], form: dict[str, Any]) -> set[str]:
    up, down = form.get("include_upstream", False), form.get("include_downstream", False)
    return selection.companions(doc, _ids(names), up, down)


def _check(names: list[Any]) -> None:
    """The document leaves this to us: code that is generated for a text or a list does not compile in Java."""
    for name in names:
        is_pair = isinstance(name, list) and [type(half) for half in name] == [str, int] and abs(name[1]) <= INT32
        if not isinstance(name, str) and not is_pair:
            raise BadRequest(f"task_ids: {name!r} is no task id and no pair of it and a map index: ['transform', 0]")


def _ids(names: list[str | list[Any]]) -> set[str]:
    return {name if isinstance(name, str) else name[0] for name in names}


def _dags(dag_id: str, doc: DagDoc, narrow: bool, subdags: bool, parentdag: bool) -> Condition:
    """Task instances of the DAG; on request also of the DAGs inside it and, after the sub-DAG that it is, around it."""
    own = TaskInstance.dag_id == dag_id
    if subdags or narrow:
        own = selection.within(dag_id, doc) if subdags else selection.tasks_of(dag_id, doc.task_docs)
    parent_id, _, name = dag_id.rpartition(".")
    if not parentdag or not parent_id:
        return own
    try:
        parent = definition(parent_id).doc
        after = {name} | parent.all_downstream(name) if name in parent.task_docs else set()
    except NotFound:  # a dot in the name of a DAG that is no sub-DAG
        return own
    return own | selection.tasks_of(parent_id, after)


# ---------------------------------------------------------------- how
def clear(
    conditions: Sequence[Condition], dry_run: bool, requeue: bool = True, docs: Mapping[str, DagDoc] = NO_DOCS
) -> list[Instance]:
    """Clear the task instances that meet all conditions and, with `requeue`, hand their ended runs to the scheduler.

    A dry run only finds them. Where nothing is found, nothing changes. `docs` are definitions to go by, by DAG id;
    those of other DAGs are read.
    """
    found = selection.find(*conditions, lock=not dry_run)
    if found and not dry_run:
        now = datetime.now(timezone.utc)
        history.keep(found, now)
        _restart([one for one in found if one.state == "running"])
        _reset([one for one in found if one.state != "running"], docs)
        _forget_reschedules(found)
        if requeue:
            run_states.queue_again(selection.runs(found))
    return found


def _restart(instances: list[Instance]) -> None:
    """Have task instances that run stopped and run again: their jobs see the state."""
    for chunk in chunks(instances):
        this = history.KEY.in_(map(selection.key, chunk))
        db.execute(update(TaskInstance).where(this).values(state="restarting"))
        jobs = [one.job_id for one in chunk if one.job_id is not None]
        db.execute(update(Job).where(Job.id.in_(jobs)).values(state="restarting"))


def _reset(instances: list[Instance], docs: Mapping[str, DagDoc]) -> None:
    """Take the state away, and give as many further tries as the task has; the rest is what its definition says."""
    by_task = defaultdict(list)
    for one in instances:
        by_task[one.dag_id, one.task_id].append(one)
    docs = {dag_id: docs.get(dag_id) or definition_or_nothing(dag_id) for dag_id in {one.dag_id for one in instances}}
    for (dag_id, task_id), group in by_task.items():
        values = _defined(docs[dag_id], task_id) | NO_TRIGGER
        values |= {"state": null(), "external_executor_id": null()}
        for chunk in chunks(group):
            this = history.KEY.in_(map(selection.key, chunk))
            db.execute(update(TaskInstance).where(this).values(values))


def definition_or_nothing(dag_id: str) -> DagDoc:
    """The serialized DAG, or an empty document without one."""
    try:
        return definition(dag_id).doc
    except NotFound:
        return DagDoc({})


def _defined(doc: DagDoc, task_id: str) -> dict[str, Any]:
    """The columns that a definition decides; without one, the task gets no further tries than it had."""
    tries, most = func.coalesce(TaskInstance.try_number, 0), func.coalesce(TaskInstance.max_tries, -1)
    task = doc.task_docs.get(task_id)
    if task is None:
        return {"max_tries": case((most > tries, most), else_=tries)}
    columns = expansion.columns(doc, task)
    kept = ("queue", "pool", "pool_slots", "priority_weight", "executor", "executor_config", "operator")
    values = {name: columns[name] for name in kept} | {"custom_operator_name": columns["custom_operator_name"]}
    return values | {"max_tries": tries + columns["max_tries"]}


def _forget_reschedules(instances: list[Instance]) -> None:
    names = (*TASK_INSTANCE_KEY, "try_number")
    for chunk in chunks(instances):
        keys = [(*selection.key(one), one.try_number or 0) for one in chunk]
        db.execute(delete(TaskReschedule).where(tuple_(*(getattr(TaskReschedule, name) for name in names)).in_(keys)))
