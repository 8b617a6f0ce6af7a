"""Datasets, their events, and updates that wait for a run."""

from __future__ import annotations

from functools import cache
from typing import Any

from marshmallow import fields
from sqlalchemy import ColumnElement, bindparam, delete, or_, select

from windsock import access, db
from windsock.changing import show
from windsock.errors import NotFound
from windsock.lifecycle.datasets import SOURCE, hide_sources, report_update
from windsock.listing import page
from windsock.models import (
    DagRun,
    DagScheduleDatasetReference,
    Dataset,
    DatasetAlias,
    DatasetDagRunQueue,
    DatasetEvent,
    TaskOutletDatasetReference,
)
from windsock.rows import Derived, RowSchema, Timestamp, also, chosen, narrowed, plan_of, read


class ConsumingDagSchema(RowSchema):
    """A DAG that a dataset schedules."""

    model = DagScheduleDatasetReference
    dag_id = fields.String()
    created_at = Timestamp()
    updated_at = Timestamp()


class ProducingTaskSchema(RowSchema):
    """A task that updates a dataset."""

    model = TaskOutletDatasetReference
    dag_id = fields.String()
    task_id = fields.String()
    created_at = Timestamp()
    updated_at = Timestamp()


class AliasSchema(RowSchema):
    """An alias that was resolved to a dataset."""

    model = DatasetAlias
    id = fields.Integer()
    name = fields.String()


class DatasetSchema(RowSchema):
    """A dataset."""

    model, plural = Dataset, "datasets"
    id = fields.Integer()
    uri = fields.String()
    extra = fields.Raw()
    created_at = Timestamp()
    updated_at = Timestamp()
    consuming_dags = fields.List(fields.Nested(ConsumingDagSchema))
    producing_tasks = fields.List(fields.Nested(ProducingTaskSchema))
    aliases = fields.List(fields.Nested(AliasSchema))


class CreatedRunSchema(RowSchema):
    """A run that an event made."""

    model = DagRun
    dag_run_id = fields.String(attribute="run_id")
    dag_id = fields.String()
    logical_date = Timestamp(attribute="execution_date")
    start_date = Timestamp()
    end_date = Timestamp()
    data_interval_start = Timestamp()
    data_interval_end = Timestamp()
    state = fields.String()


class DatasetEventSchema(RowSchema):
    """An update of a dataset."""

    model, plural = DatasetEvent, "dataset_events"
    id = fields.Integer()
    dataset_id = fields.Integer()
    dataset_uri = Derived(lambda uri: uri or "", "dataset.uri")
    extra = fields.Raw()
    source_dag_id = fields.String()
    source_task_id = fields.String()
    source_run_id = fields.String()
    source_map_index = fields.Integer()
    created_dagruns = fields.List(fields.Nested(CreatedRunSchema))
    timestamp = Timestamp()


class QueuedEventSchema(RowSchema):
    """A dataset update that a DAG has seen while it waits for others."""

    model, plural = DatasetDagRunQueue, "queued_events"
    uri = fields.String(attribute="dataset.uri")
    dag_id = fields.String()
    created_at = Timestamp()


dataset_schema, event_schema, queued_schema = DatasetSchema(), DatasetEventSchema(), QueuedEventSchema()


def get_datasets(dag_ids: str | None = None, **query: Any) -> dict[str, Any]:
    """List datasets; `dag_ids` keeps those that one of the DAGs consumes or produces."""
    if not dag_ids:
        return page(dataset_schema, query)
    return page(dataset_schema, query, _refers(access.touches_all()), dag_ids=dag_ids.split(","))


@cache
def _refers(everywhere: bool) -> ColumnElement[bool]:
    """That one of `:dag_ids`, which the caller may touch, consumes or produces a dataset."""

    def meant(dag_id: Any) -> ColumnElement[bool]:
        named = dag_id.in_(bindparam("dag_ids", expanding=True))
        return named if everywhere else named & access.touches(dag_id)

    return or_(
        Dataset.consuming_dags.any(meant(DagScheduleDatasetReference.dag_id)),
        Dataset.producing_tasks.any(meant(TaskOutletDatasetReference.dag_id)),
    )


def get_dataset(uri: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Show a dataset."""
    return read(dataset_schema, fields, uri=uri)


def get_dataset_events(fields: list[str] | None = None, **query: Any) -> dict[str, Any]:
    """List events of datasets; a filter by the source finds those of readable DAGs only."""
    by_source = any(query.get(name) is not None for name in SOURCE)
    conditions = [access.touches(DatasetEvent.source_dag_id)] if by_source else []
    found = page(event_schema, {**query, "fields": also(fields, "id")}, *conditions)
    hide_sources(found["dataset_events"])
    return {**found, "dataset_events": [narrowed(event, fields) for event in found["dataset_events"]]}


def _queued(fields: list[str] | None, **wanted: Any) -> dict[str, Any]:
    """All queued events that match, on one page; Airflow answers 404 rather than an empty list."""
    plan, queued = plan_of(queued_schema, chosen(queued_schema, fields)), DatasetDagRunQueue
    statement = access.scope(plan.join(select(queued)), queued).where(*_matching(**wanted))
    found = plan.fetch(statement.order_by(queued.dataset_id, queued.target_dag_id))
    if not found:
        raise _nothing_queued(**wanted)
    return {queued_schema.plural: found, "total_entries": len(found)}


def _forget(**wanted: Any) -> None:
    """Delete the queued events that match. Raises NotFound when there are none."""
    statement = access.scope(delete(DatasetDagRunQueue), DatasetDagRunQueue).where(*_matching(**wanted))
    if not db.execute(statement).rowcount:
        raise _nothing_queued(**wanted)


def _matching(dag_id: str | None = None, uri: str | None = None, before: Any = None) -> list[ColumnElement[bool]]:
    """Conditions on queued events; those from `before` on are kept, as its `x-filter` says."""
    queued, found = DatasetDagRunQueue, []
    if dag_id is not None:
        found.append(queued.target_dag_id == dag_id)
    if uri is not None:
        found.append(queued.dataset_id.in_(select(Dataset.id).where(Dataset.uri == uri)))
    if before is not None:
        found.append(queued.created_at < before)
    return found


def _nothing_queued(**wanted: Any) -> NotFound:
    named = ", ".join(f"{name} {value!r}" for name, value in wanted.items() if value is not None)
    return NotFound(f"No event is queued for {named}")


def get_dag_dataset_queued_events(dag_id: str, before: Any = None, fields: list[str] | None = None) -> dict[str, Any]:
    """List what is queued for a DAG."""
    return _queued(fields, dag_id=dag_id, before=before)


def get_dataset_queued_events(uri: str, before: Any = None, fields: list[str] | None = None) -> dict[str, Any]:
    """List what is queued of a dataset, over all DAGs."""
    return _queued(fields, uri=uri, before=before)


def get_dag_dataset_queued_event(
    dag_id: str, uri: str, before: Any = None, fields: list[str] | None = None
) -> dict[str, Any]:
    """Show the queued update of one dataset for one DAG."""
    return _queued(fields, dag_id=dag_id, uri=uri, before=before)["queued_events"][0]


def delete_dag_dataset_queued_events(dag_id: str, before: Any = None) -> None:
    """Forget what is queued for a DAG."""
    _forget(dag_id=dag_id, before=before)


def delete_dataset_queued_events(uri: str, before: Any = None) -> None:
    """Forget what is queued of a dataset, for the DAGs that the caller may read."""
    _forget(uri=uri, before=before)


def delete_dag_dataset_queued_event(dag_id: str, uri: str, before: Any = None) -> None:
    """Forget the queued update of one dataset for one DAG."""
    _forget(dag_id=dag_id, uri=uri, before=before)


def create_dataset_event(body: dict[str, Any]) -> dict[str, Any]:
    """Report an update of a dataset; queues the DAGs that it schedules and that the caller may trigger."""
    return show(event_schema, report_update(body["dataset_uri"], body.get("extra") or {}))
