"""DAGs, their tasks and their source."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from itsdangerous import URLSafeSerializer
from marshmallow import fields
from sqlalchemy import select

from windsock.context import context
from windsock.errors import BadRequest, NotFound, not_yet_served
from windsock.listing import page
from windsock.models import Dag, DagTag
from windsock.rows import Derived, RowSchema, Timestamp, read
from windsock.situation import serialized


def _owners(owners: str | None) -> list[str]:
    return owners.split(",") if owners else []


def _file_token(fileloc: str | None) -> str:
    """The file's path, signed as Airflow's web server signs it."""
    return _signed(context.config.get("webserver", "secret_key"), fileloc)


@lru_cache(10_000)
def _signed(key: str, fileloc: str | None) -> str:
    return str(URLSafeSerializer(key).dumps(fileloc))


def _schedule(stored: Any) -> dict[str, Any] | None:
    """`dag.schedule_interval`: null, a cron expression or preset, or {"type": ..., "attrs": ...} for a duration."""
    if isinstance(stored, str):
        return {"__type": "CronExpression", "value": stored}
    if not isinstance(stored, dict):
        return None
    kind = {"timedelta": "TimeDelta", "relativedelta": "RelativeDelta"}.get(str(stored.get("type")))
    return {"__type": kind, **stored.get("attrs", {})} if kind else None


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
    file_token = Derived(_file_token, "fileloc")
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


dag_schema, dag_detail_row_schema = DagSchema(), DagDetailRowSchema()


def get_dags(only_active: bool = True, **query: Any) -> dict[str, Any]:
    """List DAGs without sub-DAGs; `only_active=false` includes those whose file is gone."""
    statement = select(Dag).where(Dag.is_subdag.is_not(True))
    return page(statement.where(Dag.is_active.is_(True)) if only_active else statement, dag_schema, query)


def get_dag(dag_id: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Show a DAG."""
    return read(dag_schema, fields, dag_id=dag_id)


def get_dag_details(dag_id: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Show a DAG with what only its definition tells."""
    document, written = serialized(dag_id)
    found = {**read(dag_detail_row_schema, dag_id=dag_id), **document.details(), "last_parsed": written}
    if fields is None:
        return found
    unknown = sorted(set(fields) - found.keys())
    if unknown:
        raise BadRequest(f"fields: {unknown[0]!r} is unknown; known: {', '.join(sorted(found))}")
    return {name: found[name] for name in fields}


def get_tasks(dag_id: str, order_by: str = "task_id") -> dict[str, Any]:
    """List the tasks of a DAG."""
    try:
        tasks = serialized(dag_id)[0].tasks(order_by)
    except ValueError as error:
        raise BadRequest(f"order_by: {error}") from None
    return {"tasks": tasks, "total_entries": len(tasks)}


def get_task(dag_id: str, task_id: str) -> dict[str, Any]:
    """Show a task of a DAG."""
    task = serialized(dag_id)[0].task(task_id)
    if task is None:
        raise NotFound(f"DAG {dag_id!r} has no task with task_id {task_id!r}")
    return task


patch_dags = patch_dag = delete_dag = reparse_dag_file = get_dag_source = not_yet_served
post_clear_task_instances = post_set_task_instances_state = not_yet_served
