"""Users: created, changed, deleted; somebody can always get in."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from werkzeug.security import check_password_hash

import factories as f
from clients import API, signed_in
from problems import assert_problem
from windsock.models import DagRunNote, Log, User

GRACE = {"username": "grace", "first_name": "Grace", "last_name": "Hopper", "email": "grace@example.com"}


@pytest.fixture
def stored(session):
    """`stored("name")`: the row of a user."""
    return lambda name: session.execute(select(User.__table__).where(User.username == name)).one()


def names(user):
    return sorted(role["name"] for role in user["roles"])


def test_a_new_user_is_answered_whole_and_can_sign_in(client, app, get, stored):
    body = GRACE | {"password": "sesame", "roles": [{"name": "Viewer"}, {"name": "Op"}, {"name": "Viewer"}]}
    response = client.post(f"{API}/users", json=body)
    found = response.get_json()
    assert response.status_code == 201 and found == get("users/grace")
    assert found.items() >= (GRACE | {"active": True, "login_count": None, "last_login": None}).items()
    assert names(found) == ["Op", "Viewer"] and "password" not in found
    assert signed_in(app, "grace", "sesame").get(f"{API}/pools").status_code == 200
    assert stored("grace").password.startswith("pbkdf2:sha256:600000$")
    assert check_password_hash(stored("grace").password, "sesame")


def test_times_are_naive_local_ones_and_the_creator_is_known(client, stored):
    client.post(f"{API}/users", json=GRACE)
    row = stored("grace")
    assert abs(datetime.now() - row.created_on) < timedelta(minutes=1)
    assert abs(row.changed_on - row.created_on) < timedelta(seconds=1)
    assert row.created_by_fk == row.changed_by_fk is not None


def test_a_user_without_password_cannot_sign_in(client, app, stored):
    client.post(f"{API}/users", json=GRACE)
    assert stored("grace").password is None
    assert signed_in(app, "grace", "").get(f"{API}/pools").status_code == 401


@pytest.mark.parametrize("roles", [{}, {"roles": []}])
def test_a_user_without_roles_gets_the_role_public(roles, client):
    assert names(client.post(f"{API}/users", json=GRACE | roles).get_json()) == ["Public"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"username": "ADA"}, "username"),
        ({"username": "ada"}, "username"),
        ({"email": "ada@example.com"}, "email"),
        ({"email": "Ada@Example.com"}, "email"),
    ],
)
def test_a_name_or_e_mail_that_is_taken_is_refused(change, word, client, add):
    add(f.user("ada"), f.user("grace2"))
    assert_problem(client.post(f"{API}/users", json=GRACE | change), 409, word)
    changed = GRACE | {"username": "grace2", "email": "grace2@example.com"} | change
    assert_problem(client.patch(f"{API}/users/grace2", json=changed), 409, word)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "username"),
        (GRACE | {"username": ""}, "username"),
        (GRACE | {"first_name": None}, "first_name"),
        (GRACE | {"username": "x" * 513}, "513 characters"),
        (GRACE | {"last_name": "x" * 257}, "257 characters"),
        (GRACE | {"active": False}, "read-only"),
        (GRACE | {"password": ""}, "password"),
        (GRACE | {"password": 5}, "password"),
        (GRACE | {"roles": [{"name": "Nobody"}]}, "'Nobody'"),
        (GRACE | {"roles": [{}]}, "name"),
        (GRACE | {"bogus": 1}, "bogus"),
    ],
)
def test_what_is_no_user_is_refused_and_leaves_nothing(body, word, client, session):
    assert_problem(client.post(f"{API}/users", json=body), 400, word)
    assert session.scalar(select(User.id).where(User.username == "grace")) is None


def test_a_change_leaves_alone_what_the_body_leaves_out(client, add, session, stored):
    old = datetime(2026, 1, 2)
    add(f.user("grace", password="kept", roles=f.existing_roles(session, ["Op"]), created_on=old, changed_on=old))
    found = client.patch(f"{API}/users/grace", json=GRACE | {"first_name": "Á"}).get_json()
    assert (found["first_name"], names(found), found["created_on"]) == ("Á", ["Op"], "2026-01-02T00:00:00")
    assert stored("grace").password == "kept"
    assert stored("grace").changed_on > old and stored("grace").changed_by_fk is not None


@pytest.mark.parametrize(
    "body",
    [{}, {"first_name": "Á"}, {"email": "g@example.com"}, {"username": "hopper"}, {"roles": [{"name": "Viewer"}]}],
)
def test_a_partial_body_leaves_the_rest_alone(body, client, add, get, session, stored):
    add(f.user("grace", password="kept", roles=f.existing_roles(session, ["Op"])))
    before = get("users/grace")
    for mask in ("", f"?update_mask={','.join(body)}" if body else ""):
        response = client.patch(f"{API}/users/grace{mask}", json=body)
        found = response.get_json()
        assert response.status_code == 200
        assert found == before | body | {"changed_on": found["changed_on"]}
        assert stored(found["username"]).password == "kept"
        client.patch(f"{API}/users/{found['username']}", json={"username": "grace"})


def test_a_whole_user_can_be_sent_back(client, add, get):
    add(f.user("grace", email="grace@example.com", last_login=datetime(2026, 1, 2)))
    whole = get("users/grace")
    found = client.patch(f"{API}/users/grace", json=whole | {"last_name": "H"}).get_json()
    assert found["last_name"] == "H"
    masked = whole | {"last_name": "I", "active": False, "login_count": 99}
    found = client.patch(f"{API}/users/grace?update_mask=last_name", json=masked).get_json()
    assert (found["last_name"], found["active"], found["login_count"]) == ("I", True, 3)


def test_a_list_of_roles_replaces_the_old_one(client, add, session):
    add(f.user("grace", roles=f.existing_roles(session, ["Op", "Viewer"])))
    for roles in (["Viewer", "User"], []):
        body = GRACE | {"roles": [{"name": name} for name in roles], "last_name": "ignored"}
        found = client.patch(f"{API}/users/grace?update_mask=roles", json=body).get_json()
        assert names(found) == sorted(roles) and found["last_name"] == "Lovelace"


def test_a_new_password_replaces_the_old_one_at_once(client, app, add, session):
    add(f.user("grace", roles=f.existing_roles(session, ["Viewer"])))
    for password, refused in (("first", "second"), ("second", "first")):
        client.patch(f"{API}/users/grace?update_mask=password", json=GRACE | {"password": password})
        assert signed_in(app, "grace", password).get(f"{API}/pools").status_code == 200
        assert signed_in(app, "grace", refused).get(f"{API}/pools").status_code == 401


def test_a_user_is_renamed_and_found_in_any_case(client, add):
    add(f.user("Grace"))
    body = GRACE | {"username": "Hopper"}
    assert client.patch(f"{API}/users/gRACE", json=body).get_json()["username"] == "Hopper"
    assert_problem(client.get(f"{API}/users/grace"), 404)
    assert client.patch(f"{API}/users/hopper", json=body | {"username": "HOPPER"}).status_code == 200


@pytest.mark.parametrize(
    ("mask", "body", "word"),
    [
        ("", {"first_name": None}, "first_name"),
        ("", {"email": ""}, "email"),
        ("?update_mask=last_name", {"first_name": "only"}, "last_name"),
        ("?update_mask=bogus", GRACE, "bogus"),
        ("?update_mask=active", GRACE | {"active": False}, "active"),
        ("", GRACE | {"active": False}, "active"),
        ("", GRACE | {"roles": [{"name": "Nobody"}]}, "Nobody"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(mask, body, word, client, add):
    add(f.user("grace"))
    assert_problem(client.patch(f"{API}/users/grace{mask}", json=body), 400, word)


def test_a_deleted_user_leaves_what_was_written(client, add, session, app):
    grace = add(f.user("grace"))
    other = add(f.user("other", created_by_fk=grace.id, changed_by_fk=grace.id))
    run = add(f.dag(), f.dag_run()) and session.scalars(select(f.DagRun)).one()
    add(f.dag_run_note(run, user_id=grace.id))
    assert client.delete(f"{API}/users/GRACE").status_code == 204
    assert_problem(client.delete(f"{API}/users/grace"), 404, "'grace'")
    assert session.execute(select(User.created_by_fk).where(User.id == other.id)).scalar_one() is None
    assert session.execute(select(DagRunNote.user_id)).scalar_one() is None


# ---------------------------------------------------------------- the last way in
@pytest.fixture
def last(make_user, app):
    """A client of the only administrator, and the name."""
    user = make_user("Admin", username="boss", email="boss@example.com")
    make_user("Admin", active=False)
    make_user("Op")
    return signed_in(app, user.username)


BOSS = {"username": "boss", "first_name": "Ada", "last_name": "Lovelace", "email": "boss@example.com"}


def test_the_last_administrator_cannot_be_deleted_nor_demoted(last):
    assert_problem(last.delete(f"{API}/users/boss"), 409, "last", "Admin")
    for roles in ([], [{"name": "Op"}]):
        for body in ({"roles": roles}, BOSS | {"roles": roles}):
            assert_problem(last.patch(f"{API}/users/boss", json=body), 409, "last", "Admin")
    assert_problem(last.patch(f"{API}/users/boss", json=BOSS | {"active": False}), 400, "active")
    assert names(last.get(f"{API}/users/boss").get_json()) == ["Admin"]


def test_the_last_administrator_changes_everything_else(last):
    roles = [{"name": "Op"}, {"name": "Admin"}]
    assert last.patch(f"{API}/users/boss", json=BOSS | {"last_name": "L", "roles": roles}).status_code == 200


def test_an_administrator_beside_another_can_go(last, make_user):
    make_user("Admin")
    assert last.delete(f"{API}/users/boss").status_code == 204


def test_where_nobody_is_administrator_users_are_changed_but_the_last_who_may_edit_them_stays(add, as_user):
    keeper = as_user(permissions=["Users.can_edit", "Users.can_delete"], username="keeper")
    add(f.user("grace"))
    assert keeper.delete(f"{API}/users/grace").status_code == 204
    assert_problem(keeper.delete(f"{API}/users/keeper"), 409, "Users.can_edit")


def test_each_change_is_audited_and_no_password_is_kept(client, session):
    client.post(f"{API}/users", json=GRACE | {"password": "sesame"})
    client.patch(f"{API}/users/grace", json=GRACE | {"password": "sesame"})
    client.delete(f"{API}/users/grace")
    assert_problem(client.delete(f"{API}/users/grace"), 404)
    rows = session.execute(select(Log.event, Log.extra).order_by(Log.id)).all()
    assert [event for event, _ in rows] == ["api.post_user", "api.patch_user", "api.delete_user"]
    assert json.loads(rows[1].extra) == GRACE | {"password": "***"}
    assert "sesame" not in str(rows)


def test_passwords_are_masked_in_audit_rows_whatever_the_settings(make_app, as_user, session):
    client = as_user("Admin", of=make_app({("core", "hide_sensitive_var_conn_fields"): "False"}))
    client.post(f"{API}/users", json=GRACE | {"password": "sesame"})
    assert json.loads(session.scalar(select(Log.extra)))["password"] == "***"
