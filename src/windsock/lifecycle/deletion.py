"""Delete a DAG with everything that refers to it.

The tables are those that `airflow.api.common.delete_dag` of Airflow 2.11 clears: every one with a `dag_id` but the
audit log, and import errors of the DAG's file. The rights on the DAG stay, as do the events of datasets.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, or_, select

from windsock import db, locks
from windsock.errors import AlreadyExists
from windsock.models import Base, Dag, DagImportError, DagRun, Log, TaskFail, TaskInstance


def delete_dag(dag: Dag) -> None:
    """Delete a locked DAG, its sub-DAGs and their history. Raises AlreadyExists while a task instance runs."""
    dag_ids = [dag.dag_id, *_subdags(dag)]
    # Runs before instances: the scheduler takes its locks in this order.
    runs = select(DagRun.id).where(DagRun.dag_id.in_(dag_ids)).order_by(DagRun.id)
    locks.by_primary_key(runs, DagRun)
    db.execute(runs.with_for_update())
    _delete_instances(dag, dag_ids)
    for table in reversed(Base.metadata.sorted_tables):
        if "dag_id" in table.c and table is not Log.__table__:
            db.execute(delete(table).where(table.c.dag_id.in_(dag_ids)))
    db.execute(delete(DagImportError).where(DagImportError.filename == dag.fileloc))


def _subdags(dag: Dag) -> list[str]:
    """Ids that begin with the DAG's and a dot; not with LIKE, for which an underscore is any character."""
    prefix = dag.dag_id + "."
    below = select(Dag.dag_id).where(func.substr(Dag.dag_id, 1, len(prefix)) == prefix, Dag.is_subdag.is_(True))
    return list(db.execute(below.order_by(Dag.dag_id).with_for_update()).scalars())


def _delete_instances(dag: Dag, dag_ids: list[str]) -> None:
    """Delete the task instances, with that of a sub-DAG in its parent, unless one of them runs.

    Those that run are looked for after the others are locked, so that none begins to run in between.
    """
    idle = TaskInstance.state.is_distinct_from("running")
    db.execute(delete(TaskInstance).where(_belongs(TaskInstance, dag, dag_ids), idle))
    running = select(TaskInstance.task_id).where(_belongs(TaskInstance, dag, dag_ids), ~idle).limit(1)
    task_id = db.execute(running).scalar()
    if task_id is not None:
        raise AlreadyExists(f"Task {task_id!r} of DAG {dag.dag_id!r} is running; a DAG is deleted when nothing runs")
    db.execute(delete(TaskFail).where(_belongs(TaskFail, dag, dag_ids)))


def _belongs(model: Any, dag: Dag, dag_ids: list[str]) -> ColumnElement[bool]:
    own = model.dag_id.in_(dag_ids)
    if not dag.is_subdag:
        return own
    parent, _, task_id = dag.dag_id.rpartition(".")
    return or_(own, and_(model.dag_id == parent, model.task_id == task_id))
