"""How many runs each DAG has in each state."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from windsock import access, db
from windsock.models import DagRun

_STATES = ("queued", "running", "success", "failed")


def get_dag_stats(dag_ids: str) -> dict[str, Any]:
    """Count the runs of the given DAGs; a DAG without runs is left out."""
    statement = select(DagRun.dag_id, DagRun.state, func.count()).where(DagRun.dag_id.in_(dag_ids.split(",")))
    counts: dict[str, dict[str, int]] = {}
    for dag_id, state, count in db.execute(access.scope(statement, DagRun).group_by(DagRun.dag_id, DagRun.state)):
        counts.setdefault(dag_id, {})[state] = count
    dags = [
        {"dag_id": dag_id, "stats": [{"state": s, "count": found.get(s, 0)} for s in _STATES]}
        for dag_id, found in sorted(counts.items())
    ]
    return {"dags": dags, "total_entries": len(dags)}
