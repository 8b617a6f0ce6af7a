"""Actions that permissions are made of."""

from __future__ import annotations

from windsock.models import Action


def test_the_actions_of_a_fresh_database_are_listed_by_name_alone(get):
    names = ["can_edit", "can_read", "can_create", "can_delete", "menu_access"]
    found = get("permissions")
    assert found["total_entries"] == len(names)
    assert sorted(action["name"] for action in found["actions"]) == sorted(names)
    assert all(action.keys() == {"name"} for action in found["actions"])


def test_an_action_of_a_plug_in_is_listed_too(get, add):
    add(Action(name="can_dance"))
    assert {"name": "can_dance"} in get("permissions")["actions"]
