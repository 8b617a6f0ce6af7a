"""Roles and what they allow."""

from __future__ import annotations

from typing import Any

import pytest

import factories as f
from windsock.security_defaults import default_permissions


def pairs(role: dict[str, Any]) -> set[tuple[str, str]]:
    return {(pair["action"]["name"], pair["resource"]["name"]) for pair in role["actions"]}


@pytest.mark.parametrize(("name", "expected"), default_permissions().items())
def test_a_default_role_shows_each_of_its_permissions_once(name, expected, get):
    found = get(f"roles/{name}")
    assert found["name"] == name
    assert pairs(found) == expected and len(found["actions"]) == len(expected)
    assert next(role for role in get("roles")["roles"] if role["name"] == name) == found


def test_a_list_keeps_the_permissions_of_each_role_apart(get, add, session):
    rights = {"one": ["DAG:a.can_read"], "two": ["DAG:a.can_read", "DAG:b.can_edit"], "none": []}
    add(*(f.role(name, f.permissions(session, wanted)) for name, wanted in rights.items()))
    found = {role["name"]: pairs(role) for role in get("roles")["roles"]}
    assert found["one"] == {("can_read", "DAG:a")}
    assert found["two"] == {("can_read", "DAG:a"), ("can_edit", "DAG:b")}
    assert found["none"] == set()


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("name", ["Admin", "Op", "Public", "User", "Viewer"]),
        ("-name", ["Viewer", "User", "Public", "Op", "Admin"]),
        ("id", ["Admin", "Public", "Viewer", "User", "Op"]),
    ],
)
def test_roles_are_ordered_by(order, expected, get):
    assert [role["name"] for role in get("roles", order_by=order)["roles"]] == expected


@pytest.mark.parametrize("name", ["admin", "ADMIN", "Admi"])
def test_a_role_is_found_by_its_exact_name(name, client):
    assert client.get(f"/api/v1/roles/{name}").status_code == 404
