"""Read from the database what the checks of `dependencies` want to know about one task instance."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import aliased

from windsock import dependencies as checks
from windsock.context import context
from windsock.dagdoc import DagDoc
from windsock.db import execute
from windsock.models import Dag, DagRun, Pool, PoolUsage, TaskInstance, TaskMap, TaskReschedule, XCom
from windsock.models.usage import occupied
from windsock.text_forms import xcom_native
from windsock.triggerrules import Instance

_SKIP_KEY = "skipmixin_key"


def gather(doc: DagDoc, key: dict[str, Any]) -> checks.Situation | None:
    """The situation of the task instance with the attributes in `key`, in a fixed number of statements.

    None when there is no such task instance.
    """
    own = execute(_own(key)).first()
    if own is None:
        return None
    running = _running(own.dag_id)
    previous, earlier = _previous(doc, own) if checks.needs_previous_run(doc, own.task_id) else (None, False)
    return checks.Situation(
        dag_id=own.dag_id,
        task_id=own.task_id,
        map_index=own.map_index,
        state=own.state,
        pool=own.pool,
        pool_slots=own.pool_slots,
        run_state=own.run_state,
        run_type=own.run_type,
        logical_date=own.execution_date,
        now=datetime.now(timezone.utc),
        dag_is_paused=bool(own.is_paused),
        dag_max_active_tasks=own.max_active_tasks,
        instances=_instances(own.dag_id, own.run_id),
        dag_running=sum(running.values()),
        task_running=running.get(own.task_id, 0),
        pool_open_slots=_open_slots(own),
        previous_run=previous,
        has_earlier_instances=earlier,
        reschedule_date=_reschedule_date(own),
        skip_xcoms=_skip_decisions(own),
        map_lengths=_map_lengths(own),
        allow_future=context.config.get_bool("scheduler", "allow_trigger_in_future"),
    )


def _own(key: dict[str, Any]) -> Any:
    """The instance with its run, its DAG and its pool."""
    run, ti = DagRun, TaskInstance
    return (
        select(ti.dag_id, ti.task_id, ti.run_id, ti.map_index, ti.state, ti.pool, ti.pool_slots, ti.try_number)
        .filter_by(**key)
        .add_columns(run.state.label("run_state"), run.run_type, run.execution_date, Dag.is_paused)
        .add_columns(Dag.max_active_tasks, Pool.slots, Pool.include_deferred)
        .add_columns(PoolUsage.running, PoolUsage.queued, PoolUsage.deferred)
        .join(run, (run.dag_id == ti.dag_id) & (run.run_id == ti.run_id))
        .join(Dag, Dag.dag_id == ti.dag_id)
        .outerjoin(Pool, Pool.pool == ti.pool)
        .outerjoin(PoolUsage, PoolUsage.pool == ti.pool)
    )


def _open_slots(own: Row[Any]) -> float | None:
    if own.slots is None:
        return None
    taken = occupied(own.running, own.queued, own.deferred, own.include_deferred)
    return math.inf if own.slots < 0 else own.slots - taken


def _instances(dag_id: str, run_id: str) -> list[Instance]:
    columns = select(TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state)
    return [Instance(*row) for row in execute(columns.filter_by(dag_id=dag_id, run_id=run_id))]


def _running(dag_id: str) -> dict[str, int]:
    counted = select(TaskInstance.task_id, func.count()).filter_by(dag_id=dag_id, state="running")
    return dict(execute(counted.group_by(TaskInstance.task_id)).all())


def _previous(doc: DagDoc, own: Row[Any]) -> tuple[checks.PreviousRun | None, bool]:
    """The run before, and whether any earlier run has an instance of the task."""
    before = select(DagRun.run_id, DagRun.execution_date).filter_by(dag_id=own.dag_id)
    before = before.where(DagRun.execution_date < own.execution_date)
    latest = before.where(DagRun.run_type != "manual") if doc.catchup else before
    found = execute(latest.order_by(DagRun.execution_date.desc()).limit(1)).first()
    run = aliased(DagRun)
    same = (run.dag_id == TaskInstance.dag_id) & (run.run_id == TaskInstance.run_id)
    ever = select(TaskInstance.task_id).filter_by(dag_id=own.dag_id, task_id=own.task_id).join(run, same)
    earlier = execute(ever.where(run.execution_date < own.execution_date).limit(1)).first() is not None
    if found is None:
        return None, earlier
    return checks.PreviousRun(found.execution_date, _instances(own.dag_id, found.run_id)), earlier


def _this_instance(own: Row[Any]) -> dict[str, Any]:
    return {"dag_id": own.dag_id, "run_id": own.run_id, "task_id": own.task_id, "map_index": own.map_index}


def _reschedule_date(own: Row[Any]) -> datetime | None:
    newest = select(TaskReschedule.reschedule_date).filter_by(**_this_instance(own), try_number=own.try_number)
    return execute(newest.order_by(TaskReschedule.id.desc()).limit(1)).scalar()


def _skip_decisions(own: Row[Any]) -> dict[str, Any]:
    own_index = {"dag_id": own.dag_id, "run_id": own.run_id, "map_index": own.map_index}
    decisions = select(XCom.task_id, XCom.value).filter_by(**own_index, key=_SKIP_KEY)
    return {task_id: xcom_native(value) for task_id, value in execute(decisions)}


def _map_lengths(own: Row[Any]) -> dict[str, int]:
    lengths = select(TaskMap.task_id, TaskMap.length).filter_by(dag_id=own.dag_id, run_id=own.run_id, map_index=-1)
    return dict(execute(lengths).all())
