"""Datasets, their events, and updates that wait for a run."""

from __future__ import annotations

from typing import Any

from marshmallow import fields
from sqlalchemy import or_, select

from windsock.errors import NotFound, not_yet_served
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
from windsock.rows import Derived, RowSchema, Timestamp, read


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
    statement = select(Dataset)
    if dag_ids:
        named = dag_ids.split(",")
        consumed = Dataset.consuming_dags.any(DagScheduleDatasetReference.dag_id.in_(named))
        produced = Dataset.producing_tasks.any(TaskOutletDatasetReference.dag_id.in_(named))
        statement = statement.where(or_(consumed, produced))
    return page(statement, dataset_schema, query)


def get_dataset(uri: str) -> dict[str, Any]:
    """Show a dataset."""
    return read(dataset_schema, uri=uri)


def get_dataset_events(**query: Any) -> dict[str, Any]:
    """List events of datasets."""
    return page(select(DatasetEvent), event_schema, query)


def _queued(**query: Any) -> dict[str, Any]:
    """All queued events that match; Airflow answers 404 rather than an empty list."""
    found = page(select(DatasetDagRunQueue), queued_schema, query)
    if not found["queued_events"]:
        named = ", ".join(f"{name} {value!r}" for name, value in query.items() if value is not None)
        raise NotFound(f"No event is queued for {named}")
    return found


def get_dag_dataset_queued_events(dag_id: str, before: Any = None) -> dict[str, Any]:
    """List what is queued for a DAG."""
    return _queued(dag_id=dag_id, before=before)


def get_dataset_queued_events(uri: str, before: Any = None) -> dict[str, Any]:
    """List what is queued of a dataset, over all DAGs."""
    return _queued(uri=uri, before=before)


def get_dag_dataset_queued_event(dag_id: str, uri: str, before: Any = None) -> dict[str, Any]:
    """Show the queued update of one dataset for one DAG."""
    return _queued(dag_id=dag_id, uri=uri, before=before)["queued_events"][0]


delete_dag_dataset_queued_event = delete_dag_dataset_queued_events = not_yet_served
delete_dataset_queued_events = create_dataset_event = not_yet_served
