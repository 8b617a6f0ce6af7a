"""How many runs a DAG has in each state."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import null

import factories as f

STATES = ("queued", "running", "success", "failed")


@pytest.fixture
def counted(add: Any) -> None:
    """DAGs with runs in some states."""
    states = {"etl": ["success", "success", "failed", "running"], "idle": [], "odd": [null(), "restarting", "queued"]}
    add(*(f.dag(dag_id) for dag_id in states))
    for dag_id, each in states.items():
        add(*(f.dag_run(dag_id, f"run {n}", state=state) for n, state in enumerate(each)))
    add(f.dag_run("orphan"))


@pytest.mark.parametrize(
    ("dag_ids", "expected"),
    [
        ("etl", {"etl": (0, 1, 2, 1)}),
        ("idle", {"idle": (0, 0, 0, 0)}),
        ("odd", {"odd": (1, 0, 0, 0)}),
        ("odd,etl,idle,etl", {"etl": (0, 1, 2, 1), "idle": (0, 0, 0, 0), "odd": (1, 0, 0, 0)}),
        ("nothing,idle", {"idle": (0, 0, 0, 0)}),
        ("orphan", {}),
        ("ETL", {}),
    ],
)
def test_each_dag_shows_all_four_states_in_their_order(dag_ids, expected, get, counted):
    dags = [
        {"dag_id": dag_id, "stats": [{"state": s, "count": n} for s, n in zip(STATES, numbers, strict=True)]}
        for dag_id, numbers in expected.items()
    ]
    assert get("dagStats", dag_ids=dag_ids) == {"dags": dags, "total_entries": len(dags)}
