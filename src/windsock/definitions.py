"""Find the serialized DAG of a DAG in the database."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select

from windsock import dagdoc, db
from windsock.context import context
from windsock.dagdoc import DagDoc
from windsock.errors import NotFound
from windsock.models import Dag, SerializedDag
from windsock.taskdoc import Defaults


class Definition(NamedTuple):
    """A serialized DAG, its hash (None for a sub-DAG, which is inside of its root's) and when it was written."""

    doc: DagDoc
    dag_hash: str | None
    written: datetime


def definition(dag_id: str) -> Definition:
    """The definition of a DAG. Raises NotFound when the scheduler has left none."""
    root = select(Dag.root_dag_id).where(Dag.dag_id == dag_id).scalar_subquery()
    row = SerializedDag
    columns = select(row.dag_id, row.data, row.data_compressed, row.dag_hash, row.last_updated)
    found = db.execute(columns.where(row.dag_id == func.coalesce(root, dag_id))).first()
    doc = found and dagdoc.load(found.data, found.data_compressed, _defaults())
    if doc and found.dag_id != dag_id:
        doc = doc.subdag(dag_id)
    if not doc or not doc.data:
        raise NotFound(f"There is no serialized DAG with dag_id {dag_id!r}; the scheduler may not have read it yet")
    return Definition(doc, found.dag_hash if found.dag_id == dag_id else None, found.last_updated)


def _defaults() -> Defaults:
    """What Airflow's configuration gives where a serialized DAG says nothing."""
    config = context.config
    timeout = config.get("core", "default_task_execution_timeout")
    return Defaults(
        owner=config.get("operators", "default_owner"),
        queue=config.get("operators", "default_queue"),
        retries=config.get_int("core", "default_task_retries"),
        retry_delay=config.get_float("core", "default_task_retry_delay"),
        execution_timeout=float(timeout) if timeout else None,
        weight_rule=config.get("core", "default_task_weight_rule"),
        ignore_first_depends_on_past=config.get_bool("scheduler", "ignore_first_depends_on_past_by_default"),
        catchup=config.get_bool("scheduler", "catchup_by_default"),
        orientation=config.get("webserver", "dag_orientation"),
    )
