"""Pools: what is left of the slots."""

from __future__ import annotations

from typing import Any

import pytest

import factories as f

HELD = {"running": [2, 1], "queued": [3], "scheduled": [4], "deferred": [5], "success": [7], None: [9]}


@pytest.fixture
def busy(add: Any) -> None:
    """A run whose task instances hold slots of `busy`, in every state."""
    slots = [(state, held) for state, each in HELD.items() for held in each]
    add(
        f.dag_run(),
        *(f.task_instance(task_id=f"t{n}", state=s, pool="busy", pool_slots=h) for n, (s, h) in enumerate(slots)),
        f.task_instance(task_id="elsewhere", state="running", pool="another", pool_slots=50),
    )


@pytest.mark.parametrize(
    ("slots", "include_deferred", "occupied", "left"),
    [
        (20, False, 6, 14),
        (20, True, 11, 9),
        (6, False, 6, 0),
        (6, True, 11, -5),
        (-1, False, 6, None),
        (-5, True, 11, -16),
    ],
)
def test_open_slots_are_those_that_running_and_queued_instances_leave(
    slots, include_deferred, occupied, left, get, add, busy
):
    add(f.pool("busy", slots=slots, include_deferred=include_deferred))
    expected = {
        "name": "busy",
        "slots": slots,
        "description": "A pool",
        "include_deferred": include_deferred,
        "occupied_slots": occupied,
        "running_slots": 3,
        "queued_slots": 3,
        "scheduled_slots": 4,
        "deferred_slots": 5,
        "open_slots": left,
    }
    assert get("pools/busy") == expected
    assert expected in get("pools")["pools"]


@pytest.mark.parametrize("slots", [0, 7, 2**31 - 1])
def test_all_slots_of_a_pool_that_nobody_uses_are_open(slots, get, add, busy):
    found = get(f"pools/{add(f.pool('idle', slots=slots)).pool}")
    held = {name: found[name] for name in found if name.endswith("_slots")}
    nothing = dict.fromkeys(("occupied_slots", "running_slots", "queued_slots", "scheduled_slots", "deferred_slots"), 0)
    assert held == {**nothing, "open_slots": slots}


@pytest.mark.parametrize("name", ["Busy", "bus", "busy "])
def test_a_pool_is_found_by_its_exact_name(name, client, add):
    add(f.pool("busy"))
    assert client.get(f"/api/v1/pools/{name}").status_code == 404
