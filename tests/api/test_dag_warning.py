"""Warnings about DAGs."""

from __future__ import annotations

from typing import Any

import pytest

import factories as f

POOL = "non-existent pool"


@pytest.fixture
def warned(add: Any) -> None:
    """Two DAGs with three warnings."""
    add(f.dag("a"), f.dag("b"))
    add(
        f.dag_warning("a", message="3"),
        f.dag_warning("a", warning_type="another kind", message="1", timestamp=f.START + f.HOUR),
        f.dag_warning("b", message="2"),
    )


def test_a_warning_shows_what_is_stored(get, add):
    add(f.dag())
    add(f.dag_warning())
    warning = {
        "dag_id": "etl",
        "warning_type": POOL,
        "message": "There is no pool 'x'",
        "timestamp": "2026-03-01T02:00:00.123456+00:00",
    }
    assert get("dagWarnings") == {"dag_warnings": [warning], "total_entries": 1}


@pytest.mark.parametrize(
    ("query", "messages"),
    [
        ({"dag_id": "a", "order_by": "message"}, "13"),
        ({"warning_type": POOL, "order_by": "-message"}, "32"),
        ({"dag_id": "b", "warning_type": POOL}, "2"),
        ({"dag_id": "nothing"}, ""),
        ({"order_by": "-timestamp", "limit": 1}, "1"),
    ],
)
def test_a_list_of_warnings_holds_what_all_filters_leave(query, messages, get, warned):
    found = get("dagWarnings", **query)["dag_warnings"]
    assert "".join(warning["message"] for warning in found) == messages
