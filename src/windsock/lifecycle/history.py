"""Keep the present try of task instances as an earlier one, before they are cleared.

What is kept follows `TaskInstanceHistory.record_ti` of Airflow 2.11.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, case, func, insert, inspect, literal, select, tuple_, update

from windsock import db
from windsock.lifecycle.selection import FINISHED, Instance, chunks, key
from windsock.models import TaskInstance, TaskInstanceHistory
from windsock.models.base import TASK_INSTANCE_KEY

KEY = tuple_(*(getattr(TaskInstance, name) for name in TASK_INSTANCE_KEY))


def keep(instances: Sequence[Instance], now: datetime) -> None:
    """Copy the present try of each instance, once for a try number; one that has not ended ends now, as failed.

    The copy is made inside the database, so that an executor_config that cannot be read here is kept as it is.
    """
    fresh = [found for found in instances if not found.recorded]
    write([end(found, now) for found in fresh if found.state not in FINISHED], "end_date", "duration")
    names = [column.name for column in inspect(TaskInstanceHistory).columns if column.name != "id"]
    for chunk in chunks(fresh):
        copied = select(*map(_copied, names)).where(KEY.in_(map(key, chunk)))
        db.execute(insert(TaskInstanceHistory).from_select(names, copied))


def _copied(name: str) -> Any:
    column = getattr(TaskInstance, name)
    if name == "state":
        return case((column.in_(FINISHED), column), else_=literal("failed"))
    return func.coalesce(column, 0) if name == "try_number" else column


def end(found: Instance, now: datetime) -> dict[str, Any]:
    """The parameters of `write` for an instance that ends now."""
    duration = None if found.start_date is None else (now - found.start_date).total_seconds()
    return {**identity(found), "end_date": now, "duration": duration}


def identity(found: Instance) -> dict[str, Any]:
    """The parameters of `write` that say which row is meant."""
    return {f"of_{name}": value for name, value in zip(TASK_INSTANCE_KEY, key(found), strict=True)}


def write(parameters: list[dict[str, Any]], *names: str, **same: Any) -> None:
    """Update task instances, each to values of its own in the columns `names`; those in `same` are alike for all."""
    if parameters:
        this = [getattr(TaskInstance, name) == bindparam(f"of_{name}") for name in TASK_INSTANCE_KEY]
        values = {name: bindparam(name) for name in names} | same
        db.session().connection().execute(update(TaskInstance).where(*this).values(values), parameters)
