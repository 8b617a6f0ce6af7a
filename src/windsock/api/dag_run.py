"""Runs of DAGs."""

from __future__ import annotations

import logging
from typing import Any

from flask import Response
from marshmallow import fields
from sqlalchemy import delete, select

from windsock.api.dataset import event_schema
from windsock.changing import fetch, remove, show
from windsock.db import execute
from windsock.lifecycle import clearing, notes, selection, states
from windsock.lifecycle.datasets import hide_sources
from windsock.lifecycle.trigger import trigger
from windsock.listing import page
from windsock.models import DagRun, DatasetEvent, SlaMiss
from windsock.rows import Derived, RowSchema, Timestamp, also, chosen, narrowed, plan_of, read
from windsock.text_forms import writable
from windsock.waiting.stream import Patience, answer

log = logging.getLogger(__name__)


def _conf(stored: Any, given: bool) -> Any:
    """The run's configuration; {} when none was given, null when what is stored cannot be shown as a JSON object."""
    if not given:
        return {}
    try:
        return writable(stored) if isinstance(stored, dict) else None
    except (TypeError, ValueError, RecursionError) as error:
        log.warning("A dag_run.conf cannot be written as JSON: %s", error)
        return None


class DagRunSchema(RowSchema):
    """A run of a DAG."""

    model, plural, large = DagRun, "dag_runs", True
    dag_run_id = fields.String(attribute="run_id")
    dag_id = fields.String()
    logical_date = Timestamp(attribute="execution_date")
    execution_date = Timestamp(dump_only=True)
    start_date = Timestamp()
    end_date = Timestamp()
    data_interval_start = Timestamp()
    data_interval_end = Timestamp()
    last_scheduling_decision = Timestamp()
    run_type = fields.String()
    state = fields.String()
    external_trigger = fields.Boolean()
    conf = Derived(_conf, "conf", "has_conf")
    note = fields.String(attribute="note_row.content")


dag_run_schema = DagRunSchema()
_DATES = {
    "logical_date": "execution_date",
    **{name: name for name in ("execution_date", "data_interval_start", "data_interval_end")},
}


def get_dag_runs(**query: Any) -> dict[str, Any]:
    """List the runs of a DAG, or of all."""
    return page(dag_run_schema, query)


def get_dag_runs_batch(body: dict[str, Any]) -> dict[str, Any]:
    """List runs by a form, for filters too long for a URL."""
    return page(dag_run_schema, body)


def get_dag_run(dag_id: str, dag_run_id: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Show a run."""
    return read(dag_run_schema, fields, dag_id=dag_id, run_id=dag_run_id)


def wait_dag_run(dag_id: str, dag_run_id: str, timeout: int, interval: int) -> Response:
    """Stream the states of a run until it ends."""
    return answer(Patience(timeout, interval), dag_id=dag_id, run_id=dag_run_id)


def post_dag_run(dag_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Trigger a DAG; the dates of the answer are in the offset that the client sent."""
    run = trigger(dag_id, body)
    return {**show(dag_run_schema, run), **{name: getattr(run, column) for name, column in _DATES.items()}}


def delete_dag_run(dag_id: str, dag_run_id: str) -> None:
    """Delete a run with everything that refers to it; only the audit log goes on to name it."""
    run = fetch(DagRun, dag_id=dag_id, run_id=dag_run_id)
    execute(delete(SlaMiss).filter_by(dag_id=dag_id, execution_date=run.execution_date))  # has no foreign key
    remove(run)


def get_upstream_dataset_events(dag_id: str, dag_run_id: str, fields: list[str] | None = None) -> dict[str, Any]:
    """List the dataset events that made a run."""
    read(dag_run_schema, ["dag_run_id"], dag_id=dag_id, run_id=dag_run_id)
    plan = plan_of(event_schema, chosen(event_schema, also(fields, "id")))
    consumers = DatasetEvent.created_dagruns.any((DagRun.dag_id == dag_id) & (DagRun.run_id == dag_run_id))
    events = plan.fetch(plan.join(select(DatasetEvent)).where(consumers).order_by(DatasetEvent.id))
    hide_sources(events)
    events = [narrowed(event, fields) for event in events]
    return {"dataset_events": events, "total_entries": len(events)}


def update_dag_run_state(dag_id: str, dag_run_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Set the state of a run, and end its task instances with it."""
    run = fetch(DagRun, dag_id=dag_id, run_id=dag_run_id)
    states.set_run_state(run, body["state"])
    return show(dag_run_schema, run)


def clear_dag_run(dag_id: str, dag_run_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Clear a run; `dry_run`, the default, only names its task instances."""
    run = fetch(DagRun, dag_id=dag_id, run_id=dag_run_id)
    found = clearing.whole_run(run, dry_run := body.get("dry_run", True))
    return {"task_instances": list(map(selection.reference, found))} if dry_run else show(dag_run_schema, run)


def set_dag_run_note(dag_id: str, dag_run_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Write the note of a run."""
    run = fetch(DagRun, dag_id=dag_id, run_id=dag_run_id)
    notes.on_run(run, body["note"])
    return show(dag_run_schema, run)
