"""What an update of a dataset leaves for the scheduler, and who may see where it came from."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from windsock import access, db
from windsock.changing import add_missing
from windsock.models import Dag, DagScheduleDatasetReference, Dataset, DatasetDagRunQueue, DatasetEvent
from windsock.rows import missing
from windsock.spec import Permission

#: What the caller needs on a DAG to trigger it, and so to have it queued.
TRIGGER = (Permission("can_edit", "DAGs"), Permission("can_create", "DAG Runs"))
#: Members of an event that tell what made it.
SOURCE = ("source_dag_id", "source_task_id", "source_run_id", "source_map_index")


def report_update(uri: str, extra: dict[str, Any]) -> DatasetEvent:
    """Add an event of the dataset and queue the active, unpaused DAGs that it schedules and the caller may trigger.

    A DAG that is scheduled by an alias is queued if the alias has been resolved to the dataset. Raises NotFound.
    """
    known = select(Dataset).where(Dataset.uri == uri).with_for_update(read=True, key_share=True)
    dataset = db.session().scalar(known)
    if dataset is None:
        raise missing(Dataset, {"uri": uri})
    event = DatasetEvent(dataset_id=dataset.id, extra=extra | {"from_rest_api": True})
    db.session().add(event)
    db.session().flush()  # a run consumes the events that are not later than the rows of the queue
    queued = [{"dataset_id": dataset.id, "target_dag_id": dag_id} for dag_id in _consumers(dataset.id)]
    add_missing(DatasetDagRunQueue, queued)
    return event


def hide_sources(events: list[dict[str, Any]]) -> None:
    """Make the source of dumped events null where the caller may not read its DAG."""
    if access.touches_all() or not events:
        return
    shown = DatasetEvent.id.in_([event["id"] for event in events])
    foreign = select(DatasetEvent.id).where(shown, ~access.touches(DatasetEvent.source_dag_id))
    hidden = set(db.execute(foreign).scalars())
    for event in events:
        if event["id"] in hidden:
            event.update(dict.fromkeys(SOURCE))


def _consumers(dataset_id: int) -> list[str]:
    """In one order for all, so that two requests do not wait for each other."""
    reference = DagScheduleDatasetReference
    statement = (
        select(Dag.dag_id)
        .join(reference, reference.dag_id == Dag.dag_id)
        .where(reference.dataset_id == dataset_id, Dag.is_active.is_(True), Dag.is_paused.is_not(True))
        .where(*(access.holds(Dag.dag_id, right) for right in TRIGGER))
        .order_by(Dag.dag_id)
        .with_for_update(read=True, key_share=True, of=Dag)
    )
    return list(db.execute(statement).scalars())
