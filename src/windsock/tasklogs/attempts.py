"""The try of a task instance whose log is asked for, with all that says where its log lies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select

from windsock import access, db
from windsock.models import DagRun, Job, LogTemplate, TaskInstance, TaskInstanceHistory, Trigger

#: States in which a try may still write, and those in which a task instance has not come to its end (Airflow 2.11).
LIVE = frozenset({"running", "deferred"})
UNFINISHED = LIVE | {None, "scheduled", "queued", "restarting", "up_for_retry", "up_for_reschedule"}


@dataclass(frozen=True)
class Attempt:
    """One try; all but its number is of the present try of its task instance, as in Airflow."""

    try_number: int
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    present_try: int | None
    state: str | None
    hostname: str | None
    execution_date: datetime
    data_interval_start: datetime | None
    data_interval_end: datetime | None
    run_type: str
    triggerer_id: int | None
    triggerer_host: str | None
    stored_template: str | None  # that of the run in the table log_template

    @property
    def ended(self) -> bool:
        """Whether nothing more can be written into the log of this try."""
        return self.try_number != self.present_try or self.state not in LIVE


def find_attempt(try_number: int, **key: Any) -> Attempt | None:
    """The try of the task instance with this `dag_id`, `run_id`, `task_id` and `map_index`; None when there is none.

    A try that the present task instance has not come to is found, too: its log does not exist.
    """
    for model in (TaskInstance, TaskInstanceHistory):
        wanted = key if model is TaskInstance else {**key, "try_number": try_number}
        statement = _statement(model).where(*(getattr(model, name) == value for name, value in wanted.items()))
        found = db.execute(access.scope(statement, model).limit(1)).first()
        if found:
            return Attempt(try_number, *found)
    return None


def _statement(model: type[Any]) -> Select[Any]:
    first = select(func.min(LogTemplate.id)).scalar_subquery()  # for runs that are older than the table
    wanted = func.coalesce(DagRun.log_template_id, first)
    template = select(LogTemplate.filename).where(LogTemplate.id == wanted).correlate(DagRun).scalar_subquery()
    own = (model.dag_id, model.run_id, model.task_id, model.map_index, model.try_number, model.state, model.hostname)
    run = (DagRun.execution_date, DagRun.data_interval_start, DagRun.data_interval_end, DagRun.run_type)
    statement = select(*own, *run, Job.id, Job.hostname, template).select_from(model)
    return (
        statement.join(DagRun, (DagRun.dag_id == model.dag_id) & (DagRun.run_id == model.run_id))
        .outerjoin(Trigger, Trigger.id == model.trigger_id)
        .outerjoin(Job, Job.id == Trigger.triggerer_id)
    )
