"""Roles: created, given permissions, deleted."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import func, select

import factories as f
from clients import API
from problems import assert_problem
from windsock.models import Log, Permission, Role, role_permission, user_role
from windsock.security_defaults import DEFAULT_ROLES


def actions(*rights):
    """The form of permissions written `Resource.action`."""
    pairs = (right.rpartition(".")[::2] for right in rights)
    return [{"action": {"name": action}, "resource": {"name": resource}} for resource, action in pairs]


def rights(role):
    return sorted(f"{pair['resource']['name']}.{pair['action']['name']}" for pair in role["actions"])


def test_a_new_role_is_answered_whole_and_its_users_may_what_it_says(client, get, as_user):
    body = {"name": "Pool keeper", "actions": actions("Pools.can_read", "Pools.can_edit", "Pools.can_read")}
    response = client.post(f"{API}/roles", json=body)
    assert response.status_code == 201
    assert rights(response.get_json()) == rights(get("roles/Pool keeper")) == ["Pools.can_edit", "Pools.can_read"]
    keeper = as_user("Pool keeper")
    assert keeper.get(f"{API}/pools").status_code == 200
    assert_problem(keeper.post(f"{API}/pools", json={"name": "p", "slots": 1}), 403)


def test_a_pair_that_nobody_had_yet_is_made_once(client, session):
    count = select(func.count()).select_from(Permission)
    before = session.scalar(count)
    for name in ("one", "two"):
        body = {"name": name, "actions": actions("DocsView.can_delete", "Pools.can_read")}
        assert client.post(f"{API}/roles", json=body).status_code == 201
    assert session.scalar(count) == before + 1


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "name"),
        ({"name": "r"}, "actions"),
        ({"name": "", "actions": []}, "name"),
        ({"name": "x" * 65, "actions": []}, "65 characters"),
        ({"name": "r", "actions": [{"action": {"name": "can_read"}}]}, "resource"),
        ({"name": "r", "actions": [{"action": None, "resource": {"name": "Pools"}}]}, "action"),
        ({"name": "r", "actions": [{"action": {}, "resource": {"name": "Pools"}}]}, "name"),
        ({"name": "r", "actions": [actions("Pools.can_read")[0] | {"bogus": 1}]}, "bogus"),
        ({"name": "r", "actions": actions("Pools.can_fly")}, "can_fly"),
        ({"name": "r", "actions": actions("Nowhere.can_read")}, "Nowhere"),
    ],
)
def test_what_is_no_role_is_refused_and_leaves_nothing(body, word, client, session):
    before = session.scalar(select(func.count()).select_from(Permission))
    assert_problem(client.post(f"{API}/roles", json=body), 400, word)
    assert session.scalar(select(func.count()).select_from(Permission)) == before
    assert session.scalar(select(Role.id).where(Role.name == "r")) is None


def test_a_name_that_exists_is_refused(client):
    assert_problem(client.post(f"{API}/roles", json={"name": "Viewer", "actions": []}), 409, "Role", "'Viewer'")


def test_permissions_are_added_as_airflow_adds_them(client, add, session):
    add(f.role("r", f.permissions(session, ["Website.can_read"])))
    found = client.patch(f"{API}/roles/r", json={"name": "r", "actions": actions("Pools.can_read")}).get_json()
    assert rights(found) == ["Pools.can_read", "Website.can_read"]
    found = client.patch(f"{API}/roles/r", json={"name": "r"}).get_json()
    assert rights(found) == ["Pools.can_read", "Website.can_read"]


@pytest.mark.parametrize("mask", ["", "?update_mask=actions"])
def test_permissions_alone_are_a_body_and_leave_the_name_alone(mask, client, add, get, session):
    add(f.role("r", f.permissions(session, ["Website.can_read"])))
    response = client.patch(f"{API}/roles/r{mask}", json={"actions": actions("Pools.can_read")})
    assert response.status_code == 200 and response.get_json() == get("roles/r")
    assert rights(get("roles/r")) == ["Pools.can_read", "Website.can_read"]


@pytest.mark.parametrize("body", [{}, {"actions": []}, {"name": "r"}, {"name": "s"}])
def test_a_partial_body_leaves_the_rest_alone(body, client, add, session):
    add(f.role("r", f.permissions(session, ["Website.can_read"])))
    found = client.patch(f"{API}/roles/r", json=body).get_json()
    assert (found["name"], rights(found)) == (body.get("name", "r"), ["Website.can_read"])


def test_a_mask_says_what_changes(client, add, session):
    add(f.role("r", f.permissions(session, ["Website.can_read"])))
    body = {"name": "s", "actions": actions("Pools.can_read")}
    found = client.patch(f"{API}/roles/r?update_mask=actions", json=body).get_json()
    assert (found["name"], rights(found)) == ("r", ["Pools.can_read", "Website.can_read"])
    body = {"name": "s", "actions": actions("Variables.can_read")}
    found = client.patch(f"{API}/roles/r?update_mask=name", json=body).get_json()
    assert (found["name"], rights(found)) == ("s", ["Pools.can_read", "Website.can_read"])


@pytest.mark.parametrize(
    ("mask", "body", "status", "word"),
    [
        ("", {"name": None}, 400, "name"),
        ("", {"actions": None}, 400, "actions"),
        ("?update_mask=name", {"actions": []}, 400, "name"),
        ("", {"name": "Viewer", "actions": []}, 409, "'Viewer'"),
        ("", {"name": "r", "actions": actions("Pools.can_fly")}, 400, "can_fly"),
        ("?update_mask=bogus", {"name": "r"}, 400, "bogus"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(mask, body, status, word, client, add):
    add(f.role("r"))
    assert_problem(client.patch(f"{API}/roles/r{mask}", json=body), status, word)


@pytest.mark.parametrize("name", DEFAULT_ROLES)
def test_a_default_role_keeps_its_name_and_cannot_be_deleted(name, client, get):
    assert_problem(client.delete(f"{API}/roles/{name}"), 400, name)
    assert_problem(client.patch(f"{API}/roles/{name}", json={"name": "other"}), 400, name)
    assert client.patch(f"{API}/roles/{name}", json={"name": name}).get_json() == get(f"roles/{name}")


def test_a_deleted_role_is_taken_from_its_users(client, add, session, as_user):
    role = add(f.role("r", f.permissions(session, ["Pools.can_read"])))
    holder, role_id = as_user("r"), role.id
    assert holder.get(f"{API}/pools").status_code == 200
    assert client.delete(f"{API}/roles/r").status_code == 204
    assert_problem(holder.get(f"{API}/pools"), 403)
    for table in (user_role, role_permission):
        assert session.execute(select(table).where(table.c.role_id == role_id)).all() == []
    assert_problem(client.delete(f"{API}/roles/r"), 404, "'r'")


def test_the_role_that_gives_the_last_right_to_edit_users_stays(add, session, as_user, app):
    add(f.role("keepers", f.permissions(session, ["Users.can_edit", "Roles.can_delete"])))
    keeper = as_user("keepers")
    assert_problem(keeper.delete(f"{API}/roles/keepers"), 409, "Users.can_edit")
    as_user("Admin")
    assert keeper.delete(f"{API}/roles/keepers").status_code == 204


def test_each_change_is_audited(client, session):
    client.post(f"{API}/roles", json={"name": "r", "actions": []})
    client.patch(f"{API}/roles/r", json={"name": "s"})
    client.delete(f"{API}/roles/s")
    assert_problem(client.delete(f"{API}/roles/s"), 404)
    rows = session.execute(select(Log.event, Log.extra).order_by(Log.id)).all()
    assert [(event, json.loads(extra)) for event, extra in rows] == [
        ("api.post_role", {"name": "r", "actions": []}),
        ("api.patch_role", {"role_name": "r", "name": "s"}),
        ("api.delete_role", {"role_name": "s"}),
    ]
