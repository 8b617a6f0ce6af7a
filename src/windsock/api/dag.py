"""DAGs, their tasks and their source."""

from __future__ import annotations

from typing import Any

from flask import Response
from marshmallow import fields
from sqlalchemy import select
from sqlalchemy import update as sql_update

from windsock import db, sources
from windsock.accepting import preferred
from windsock.callers import ANY
from windsock.changing import add_missing, fetch, update
from windsock.definitions import definition
from windsock.errors import BadRequest, NotFound
from windsock.lifecycle import clearing, deletion, selection, states
from windsock.listing import page
from windsock.models import Dag, DagPriorityParsingRequest, DagTag
from windsock.rows import Derived, RowSchema, Timestamp, all_narrowed, narrowed, read


def _owners(owners: str | None) -> list[str]:
    return owners.split(",") if owners else []


#: Members of a RelativeDelta: those that shift a date, and those that replace a part of it.
_SHIFTS = ("years", "months", "days", "leapdays", "hours", "minutes", "seconds", "microseconds")
_PARTS = ("year", "month", "day", "hour", "minute", "second", "microsecond")


def _schedule(stored: Any) -> dict[str, Any] | None:
    """`dag.schedule_interval`: null, a cron expression or preset, or {"type": ..., "attrs": ...} for a duration."""
    if isinstance(stored, str):
        return {"__type": "CronExpression", "value": stored}
    if not isinstance(stored, dict):
        return None
    kind, attrs = stored.get("type"), stored.get("attrs") or {}
    if kind == "timedelta":
        return {"__type": "TimeDelta", **attrs}
    if kind == "relativedelta":  # stored without the members that are 0 or None
        shifts, parts = {n: attrs.get(n, 0) for n in _SHIFTS}, {n: attrs.get(n) for n in _PARTS}
        return {"__type": "RelativeDelta", **shifts, **parts}
    return None


class TagSchema(RowSchema):
    """A tag."""

    model = DagTag
    name = fields.String()


class DagSchema(RowSchema):
    """A DAG as its row tells."""

    model, plural = Dag, "dags"
    dag_id = fields.String()
    dag_display_name = Derived(lambda shown, dag_id: shown or dag_id, "dag_display_name", "dag_id")
    root_dag_id = fields.String()
    is_paused = fields.Boolean()
    is_active = fields.Boolean()
    is_subdag = Derived(bool, "is_subdag")
    last_parsed_time = Timestamp()
    last_pickled = Timestamp()
    last_expired = Timestamp()
    scheduler_lock = fields.Boolean()
    pickle_id = Derived(lambda number: None if number is None else str(number), "pickle_id")
    default_view = fields.String()
    fileloc = fields.String()
    file_token = Derived(sources.file_token, "fileloc")
    owners = Derived(_owners, "owners")
    description = fields.String()
    schedule_interval = Derived(_schedule, "schedule_interval")
    timetable_description = fields.String()
    tags = fields.List(fields.Nested(TagSchema))
    max_active_tasks = fields.Integer()
    max_active_runs = fields.Integer()
    max_consecutive_failed_dag_runs = fields.Integer()
    has_task_concurrency_limits = fields.Boolean()
    has_import_errors = fields.Boolean()
    next_dagrun = Timestamp()
    next_dagrun_data_interval_start = Timestamp()
    next_dagrun_data_interval_end = Timestamp()
    next_dagrun_create_after = Timestamp()


class DagDetailRowSchema(DagSchema):
    """What the details of a DAG take from its row; Airflow's server shows no owners here."""

    owners = Derived(lambda _: [], "dag_id")
    concurrency = fields.Integer(attribute="max_active_tasks", dump_only=True)
    dataset_expression = fields.Raw()


_CHANGES = "is_paused"
dag_schema = DagSchema(dump_only=DagSchema._declared_fields.keys() - {_CHANGES})
dag_detail_row_schema = DagDetailRowSchema()
#: What a list of DAGs has: sub-DAGs never, and those whose file is gone unless `only_active`.
_LISTED = {False: (no_subdag := Dag.is_subdag.is_not(True),), True: (no_subdag, Dag.is_active.is_(True))}


def get_dags(only_active: bool = True, **query: Any) -> dict[str, Any]:
    """List DAGs without sub-DAGs; `only_active=false` includes those whose file is gone."""
    return page(dag_schema, query, *_LISTED[only_active])


def get_dag(dag_id: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Show a DAG."""
    return read(dag_schema, fields, dag_id=dag_id)


def get_dag_details(dag_id: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Show a DAG with what only its definition tells."""
    document, _, written = definition(dag_id)
    found = {**read(dag_detail_row_schema, dag_id=dag_id), **document.details(), "last_parsed": written}
    return narrowed(found, fields)


def get_tasks(dag_id: str, order_by: str = "task_id", fields: list[str] | None = None) -> dict[str, Any]:
    """List the tasks of a DAG."""
    try:
        tasks = definition(dag_id).doc.tasks(order_by)
    except ValueError as error:
        raise BadRequest(f"order_by: {error}") from None
    return {"tasks": all_narrowed(tasks, fields), "total_entries": len(tasks)}


def get_task(dag_id: str, task_id: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Show a task of a DAG."""
    task = definition(dag_id).doc.task(task_id)
    if task is None:
        raise NotFound(f"DAG {dag_id!r} has no task with task_id {task_id!r}")
    return narrowed(task, fields)


def patch_dag(dag_id: str, body: dict[str, Any], update_mask: list[str] | None = None) -> dict[str, Any]:
    """Pause or unpause a DAG."""
    return update(fetch(Dag, dag_id=dag_id), dag_schema, body, update_mask)


def patch_dags(
    body: dict[str, Any], dag_id_pattern: str, only_active: bool = True, update_mask: Any = None, **query: Any
) -> dict[str, Any]:
    """Pause or unpause the DAGs on one page of those that the caller may edit."""
    for name in update_mask or body:
        if name != _CHANGES:
            raise BadRequest(f"Member {name!r} cannot be changed; only {_CHANGES!r} can")
    pattern = None if dag_id_pattern == ANY else dag_id_pattern
    found = page(dag_schema, {**query, "dag_id_pattern": pattern}, *_LISTED[only_active])
    _pause([dag["dag_id"] for dag in found["dags"]], body[_CHANGES])
    return {**found, "dags": [{**dag, _CHANGES: body[_CHANGES]} for dag in found["dags"]]}


def _pause(dag_ids: list[str], paused: bool) -> None:
    """Lock the rows in one order for all, so that two requests do not wait for each other; then change them."""
    which = Dag.dag_id.in_(dag_ids)
    db.execute(select(Dag.dag_id).where(which).order_by(Dag.dag_id).with_for_update(key_share=True))
    db.execute(sql_update(Dag).where(which).values({_CHANGES: paused}))


def delete_dag(dag_id: str) -> None:
    """Delete a DAG with everything that refers to it."""
    deletion.delete_dag(fetch(Dag, dag_id=dag_id))


def reparse_dag_file(file_token: str) -> Response:
    """Ask the processor to parse a file next; the caller must be allowed to edit all of its DAGs."""
    fileloc = sources.file_of(file_token)
    new = add_missing(DagPriorityParsingRequest, [{"fileloc": fileloc}])
    return Response("" if new else "Duplicate request", 201, content_type="text/plain")


def get_dag_source(file_token: str) -> Response | dict[str, str]:
    """Show the text of a file; the caller must be allowed to read all of its DAGs."""
    content = sources.source_of(sources.file_of(file_token))
    if preferred("text/plain", "application/json") == "application/json":
        return {"content": content}
    return Response(content, content_type="text/plain; charset=utf-8")


def post_clear_task_instances(dag_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Clear task instances; `dry_run`, the default, only names them."""
    return {"task_instances": [selection.reference(found) for found in clearing.by_form(dag_id, body)]}


def post_set_task_instances_state(dag_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Set the state of a task in one run or more; `dry_run`, the default, only names the instances."""
    return {"task_instances": [selection.reference(found) for found in states.by_form(dag_id, body)]}
