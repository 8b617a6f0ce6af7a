"""How many runs each DAG has in each state."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from windsock import access, db
from windsock.models import Dag, DagRun
from windsock.rows import all_narrowed

_STATES = ("queued", "running", "success", "failed")


def get_dag_stats(dag_ids: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Count the runs of those of the given DAGs that exist."""
    named = dag_ids.split(",")
    of_state = (DagRun.dag_id, DagRun.state)
    runs = (
        select(*of_state, func.count().label("number")).where(DagRun.dag_id.in_(named)).group_by(*of_state).subquery()
    )
    statement = select(Dag.dag_id, runs.c.state, runs.c.number).outerjoin(runs, runs.c.dag_id == Dag.dag_id)
    statement = access.scope(statement.where(Dag.dag_id.in_(named)), Dag).order_by(Dag.dag_id)
    counts: dict[str, dict[str, int]] = {}
    for dag_id, state, number in db.execute(statement):  # the runs are counted in their index, before they are joined
        counts.setdefault(dag_id, {})[state] = number
    dags = [
        {"dag_id": dag_id, "stats": [{"state": s, "count": found.get(s, 0)} for s in _STATES]}
        for dag_id, found in counts.items()
    ]
    return {"dags": all_narrowed(dags, fields), "total_entries": len(dags)}
