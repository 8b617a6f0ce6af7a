"""Task instances: the present try of each task in a run, its earlier tries, and what keeps it waiting."""

from __future__ import annotations

from typing import Any, ClassVar

from flask import Response
from marshmallow import fields
from sqlalchemy import select

from windsock import access
from windsock.changing import fetch
from windsock.context import context
from windsock.definitions import definition
from windsock.dependencies import dependencies
from windsock.errors import NotFound
from windsock.lifecycle import notes, selection, states
from windsock.links import extra_links
from windsock.listing import page, slice_of
from windsock.models import DagRun, Job, SlaMiss, TaskInstance, TaskInstanceHistory, Trigger
from windsock.rows import Derived, RowSchema, Timestamp, also, chosen, missing, narrowed, plan_of, read
from windsock.situation import gather
from windsock.tasklogs.answers import answer
from windsock.tasklogs.attempts import find_attempt
from windsock.text_forms import executor_config_text, trigger_kwargs_text


def _rendered(found: Any) -> Any:
    """Airflow masks what it renders, but releases before 2.3.1 did not, and later ones masked texts only."""
    return {} if found is None else context.vault.masker.mask_parsed(found)


class SlaMissSchema(RowSchema):
    """An SLA that was missed."""

    model = SlaMiss
    task_id = fields.String()
    dag_id = fields.String()
    execution_date = Timestamp()
    email_sent = fields.Boolean()
    timestamp = Timestamp()
    description = fields.String()
    notification_sent = fields.Boolean()


class TriggerSchema(RowSchema):
    """What a deferred task instance waits for."""

    model = Trigger
    id = fields.Integer()
    classpath = fields.String()
    kwargs = Derived(lambda stored: trigger_kwargs_text(stored, context.vault), "kwargs")
    created_date = Timestamp()
    triggerer_id = fields.Integer()


class JobSchema(RowSchema):
    """The triggerer that runs the trigger."""

    model = Job
    id = fields.Integer()
    dag_id = fields.String()
    state = fields.String()
    job_type = fields.String()
    start_date = Timestamp()
    end_date = Timestamp()
    latest_heartbeat = Timestamp()
    executor_class = fields.String()
    hostname = fields.String()
    unixname = fields.String()


class TrySchema(RowSchema):
    """What a task instance and its earlier tries have in common."""

    model: ClassVar[type[Any]] = TaskInstanceHistory
    plural = "task_instances"
    task_id = fields.String()
    task_display_name = Derived(lambda shown, task_id: shown or task_id, "task_display_name", "task_id")
    dag_id = fields.String()
    dag_run_id = fields.String(attribute="run_id")
    start_date = Timestamp()
    end_date = Timestamp()
    duration = fields.Float()
    state = fields.String()
    try_number = fields.Integer()
    map_index = fields.Integer()
    max_tries = fields.Integer()
    hostname = fields.String()
    unixname = fields.String()
    pool = fields.String()
    pool_slots = fields.Integer()
    queue = fields.String()
    priority_weight = fields.Integer()
    operator = fields.String()
    queued_when = Timestamp(attribute="queued_dttm")
    pid = fields.Integer()
    executor = fields.String()
    executor_config = Derived(executor_config_text, "executor_config")


class PresentTrySchema(TrySchema):
    """The present try in the shape of an earlier one."""

    model = TaskInstance


class TaskInstanceSchema(PresentTrySchema):
    """A task instance."""

    large = True
    execution_date = Timestamp(attribute="dag_run.execution_date")
    sla_miss = fields.Nested(SlaMissSchema)
    rendered_map_index = fields.String()
    rendered_fields = Derived(_rendered, "rendered.rendered_fields")
    trigger = fields.Nested(TriggerSchema)
    triggerer_job = fields.Nested(JobSchema, attribute="trigger.triggerer_job")
    note = fields.String(attribute="note_row.content")


task_instance_schema, past_schema, present_schema = TaskInstanceSchema(), TrySchema(), PresentTrySchema()
_MAPPED = TaskInstance.map_index >= 0


def get_task_instances(**query: Any) -> dict[str, Any]:
    """List task instances of a run; `~` stands for any DAG or run."""
    return page(task_instance_schema, query)


def get_task_instances_batch(body: dict[str, Any]) -> dict[str, Any]:
    """List task instances by a form, for filters too long for a URL."""
    return page(task_instance_schema, body)


def get_mapped_task_instances(**query: Any) -> dict[str, Any]:
    """List the mapped instances of a task in a run."""
    found = page(task_instance_schema, query, _MAPPED)
    if not found["total_entries"]:
        _require_mapped(query["dag_id"], query["task_id"])
    return found


def _require_mapped(dag_id: str, task_id: str) -> None:
    """A list without rows is an answer only for a task that is mapped. Raises NotFound otherwise."""
    task = definition(dag_id).doc.task(task_id)
    if task is None or not task["is_mapped"]:
        raise NotFound(f"DAG {dag_id!r} has no mapped task with task_id {task_id!r}")


def get_task_instance(dag_id: str, dag_run_id: str, task_id: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Show the instance of a task that is not mapped."""
    key = {"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id}
    found = read(task_instance_schema, also(fields, "map_index"), **key)
    if found["map_index"] >= 0:
        raise NotFound(f"Task {task_id!r} is mapped in this run; add a map index, such as /0, to the path")
    return narrowed(found, fields)


def get_mapped_task_instance(
    dag_id: str, dag_run_id: str, task_id: str, map_index: int, fields: list[str] | None = None
) -> dict[str, Any]:
    """Show one mapped instance of a task."""
    key: dict[str, Any] = {"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
    return read(task_instance_schema, fields, **key)


def _instances(model: Any = TaskInstance, **key: Any) -> Any:
    return select(model).filter_by(**key).order_by(model.map_index)


def get_task_instance_tries(dag_id: str, dag_run_id: str, task_id: str, **query: Any) -> dict[str, Any]:
    """List the tries of a task instance that is not mapped."""
    return _tries({"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": -1}, query)


def get_mapped_task_instance_tries(
    dag_id: str, dag_run_id: str, task_id: str, map_index: int, **query: Any
) -> dict[str, Any]:
    """List the tries of one mapped instance."""
    return _tries({"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": map_index}, query)


def _tries(key: dict[str, Any], query: dict[str, Any]) -> dict[str, Any]:
    """Earlier tries, then the present one unless it waits to be tried again: then it is among the earlier already."""
    earlier = plan_of(past_schema).fetch(access.scope(_instances(TaskInstanceHistory, **key), TaskInstanceHistory))
    present = _instances(**key).where(TaskInstance.state.is_distinct_from("up_for_retry"))
    tries = earlier + plan_of(present_schema).fetch(access.scope(present, TaskInstance))
    if not tries and "/" in key["task_id"]:  # a path that is none of ours, read as an id with a slash
        raise missing(TaskInstance, key)
    return slice_of(sorted(tries, key=lambda found: found["try_number"] or 0), past_schema.plural, query)


def get_task_instance_try_details(
    dag_id: str, dag_run_id: str, task_id: str, task_try_number: int, fields: list[str] | None = None
) -> dict[str, Any]:
    """Show one try of a task instance that is not mapped."""
    return get_mapped_task_instance_try_details(dag_id, dag_run_id, task_id, -1, task_try_number, fields)


def get_mapped_task_instance_try_details(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    map_index: int,
    task_try_number: int,
    fields: list[str] | None = None,
) -> dict[str, Any]:
    """Show one try of a mapped instance."""
    key = {"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
    key["try_number"] = task_try_number
    for schema in (present_schema, past_schema):
        found = plan_of(schema, chosen(schema, fields)).fetch(
            access.scope(_instances(schema.model, **key), schema.model)
        )
        if found:
            return found[0]
    raise missing(TaskInstance, key)


def get_task_instance_dependencies(dag_id: str, dag_run_id: str, task_id: str) -> dict[str, Any]:
    """List what keeps a task instance that is not mapped from being started."""
    return get_mapped_task_instance_dependencies(dag_id, dag_run_id, task_id, -1)


def get_mapped_task_instance_dependencies(dag_id: str, dag_run_id: str, task_id: str, map_index: int) -> dict[str, Any]:
    """List what keeps a mapped instance from being started."""
    key = {"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
    document = definition(dag_id).doc
    found = gather(document, key)
    if found is None:
        raise missing(TaskInstance, key)
    return {"dependencies": dependencies(document, found)}


def patch_task_instance(dag_id: str, dag_run_id: str, task_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Set the state of a task instance that is not mapped; `dry_run`, the default, changes nothing."""
    return patch_mapped_task_instance(dag_id, dag_run_id, task_id, -1, body)


def patch_mapped_task_instance(
    dag_id: str, dag_run_id: str, task_id: str, map_index: int, body: dict[str, Any]
) -> dict[str, Any]:
    """Set the state of one mapped instance; `dry_run`, the default, changes nothing."""
    document = definition(dag_id).doc
    states.require_task(document, dag_id, task_id)
    found = selection.only(dag_id=dag_id, run_id=dag_run_id, task_id=task_id, map_index=map_index)
    if not body.get("dry_run", True):
        run = fetch(DagRun, dag_id=dag_id, run_id=dag_run_id)
        states.set_task_state(document, run, [task_id, map_index], body["new_state"])
    return selection.reference(found)


def set_task_instance_note(dag_id: str, dag_run_id: str, task_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Write the note of a task instance that is not mapped."""
    return set_mapped_task_instance_note(dag_id, dag_run_id, task_id, -1, body)


def set_mapped_task_instance_note(
    dag_id: str, dag_run_id: str, task_id: str, map_index: int, body: dict[str, Any]
) -> dict[str, Any]:
    """Write the note of one mapped instance."""
    key: dict[str, Any] = {"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
    notes.on_task_instance(fetch(TaskInstance, **key), body["note"])
    return read(task_instance_schema, **key)


def get_extra_links(dag_id: str, dag_run_id: str, task_id: str, map_index: int = -1) -> dict[str, str | None]:
    """Show the links that the operator offers for a task instance; unknown ones and those without a URL are null."""
    document = definition(dag_id).doc
    states.require_task(document, dag_id, task_id)
    key: dict[str, Any] = {"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
    return extra_links(document.task_docs[task_id], key)


def get_log(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    task_try_number: int,
    map_index: int = -1,
    full_content: bool = False,
    token: str | None = None,
    tail: int | None = None,
) -> Response:
    """Stream the log of one try, as text or JSON; `full_content` changes nothing, since an answer is always whole."""
    key: dict[str, Any] = {"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
    attempt = find_attempt(task_try_number, **key)
    if attempt is None:
        raise missing(TaskInstance, key)
    return answer(attempt, context.config, token, tail)
