"""Health and version."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import case, literal, select, union_all
from sqlalchemy.exc import SQLAlchemyError

from windsock import db, spec
from windsock.context import context
from windsock.models import Job

#: Process -> its job type, and the setting with the seconds after which silence means unhealthy.
_PROCESSES = {
    "scheduler": ("SchedulerJob", ("scheduler", "scheduler_health_check_threshold")),
    "triggerer": ("TriggererJob", ("triggerer", "triggerer_health_check_threshold")),
    "dag_processor": ("DagProcessorJob", ("scheduler", "scheduler_health_check_threshold")),
}


def get_health() -> dict[str, Any]:
    """Judge each process by the last heartbeat of its newest job; answers although the database is down."""
    try:
        jobs = {name: (state, beat) for name, state, beat in db.execute(_newest())}
        database = "healthy"
    except SQLAlchemyError:
        jobs, database = {}, "unhealthy"
    answer: dict[str, Any] = {"metadatabase": {"status": database}}
    for name, (_, setting) in _PROCESSES.items():
        state, beat = jobs.get(name, (None, None))
        alive = state == "running" and _age(beat) < timedelta(seconds=context.config.get_int(*setting))
        status = "healthy" if alive else "unhealthy" if beat or name == "scheduler" else None
        answer[name] = {"status": status, f"latest_{name}_heartbeat": beat}
    return answer


def _newest() -> Any:
    """The newest job of each process, a running one first."""
    return union_all(
        *(
            select(
                select(literal(name), Job.state, Job.latest_heartbeat)
                .where(Job.job_type == job_type)
                .order_by(case((Job.state == "running", 0), else_=1), Job.latest_heartbeat.desc())
                .limit(1)
                .subquery()
            )
            for name, (job_type, _) in _PROCESSES.items()
        )
    )


def _age(beat: datetime | None) -> timedelta:
    return timedelta.max if beat is None else datetime.now(timezone.utc) - beat


def get_version() -> dict[str, Any]:
    """The version of Airflow whose API the document describes."""
    return {"version": spec.lean()["info"]["version"], "git_version": ""}
