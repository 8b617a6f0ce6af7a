"""Health and version."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from functools import cache
from importlib.metadata import version
from typing import Any

from sqlalchemy import case, literal, select, union_all

from windsock import spec
from windsock.config import Config
from windsock.context import context
from windsock.models import Job
from windsock.patience import within

#: Process -> its job type, and the setting with the seconds, and how many of them, after which it is unhealthy.
_PROCESSES = {
    "scheduler": ("SchedulerJob", ("scheduler", "scheduler_health_check_threshold"), 1.0),
    "triggerer": ("TriggererJob", ("triggerer", "triggerer_health_check_threshold"), 1.0),
    "dag_processor": ("DagProcessorJob", ("scheduler", "scheduler_heartbeat_sec"), 2.1),
}
#: Seconds that the database has for its answer; probes of health rarely wait longer.
_PATIENCE = 3.0


def get_health() -> dict[str, Any]:
    """Judge each process by the last heartbeat of its newest job; answers soon, although the database is down."""
    rows = within(_PATIENCE, context.database.reading, _newest())
    answer: dict[str, Any] = {"metadatabase": {"status": "unhealthy" if rows is None else "healthy"}}
    return answer | _processes(rows, context.config)


def _processes(rows: Iterable[Any] | None, config: Config) -> dict[str, Any]:
    """The health of each process; when nothing is known (None), as Airflow has it, all are unhealthy."""
    jobs = {name: (state, beat) for name, state, beat in rows or ()}
    if not config.get_bool("scheduler", "standalone_dag_processor"):
        jobs.pop("dag_processor", None)  # part of the scheduler
    answer = {}
    for name, (_, setting, times) in _PROCESSES.items():
        state, beat = jobs.get(name, (None, None))
        alive = state == "running" and _age(beat) < timedelta(seconds=config.get_float(*setting) * times)
        dead = "unhealthy" if rows is None or name in jobs or name == "scheduler" else None
        answer[name] = {"status": "healthy" if alive else dead, f"latest_{name}_heartbeat": beat}
    return answer


@cache
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
            for name, (job_type, *_) in _PROCESSES.items()
        )
    )


def _age(beat: datetime | None) -> timedelta:
    return timedelta.max if beat is None else datetime.now(timezone.utc) - beat


def get_version() -> dict[str, Any]:
    """The version of Airflow whose API the document describes, and Windsock's own in the place of a revision."""
    return {"version": spec.lean()["info"]["version"], "git_version": f"windsock {version('windsock')}"}
