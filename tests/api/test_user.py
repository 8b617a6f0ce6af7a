"""Users: who they are, never their passwords."""

from __future__ import annotations

from datetime import datetime

import pytest

import factories as f
from clients import PASSWORD_HASH

MOMENT = datetime(2026, 3, 1, 2, 0, 0, 5)


def test_a_user_is_shown_without_password_and_with_naive_times(client, session, add):
    roles = f.existing_roles(session, ["Viewer", "Op"])
    times = {"last_login": MOMENT, "created_on": MOMENT.replace(microsecond=0), "changed_on": MOMENT}
    add(f.user("ada", password=PASSWORD_HASH, fail_login_count=2, roles=roles, **times))
    response = client.get("/api/v1/users/ada")
    found = response.get_json()
    assert sorted(role["name"] for role in found.pop("roles")) == ["Op", "Viewer"]
    assert found == {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "username": "ada",
        "email": "ada@example.com",
        "active": True,
        "last_login": "2026-03-01T02:00:00.000005",
        "login_count": 3,
        "fail_login_count": 2,
        "created_on": "2026-03-01T02:00:00",
        "changed_on": "2026-03-01T02:00:00.000005",
    }
    for text in (response.get_data(as_text=True), client.get("/api/v1/users").get_data(as_text=True)):
        assert PASSWORD_HASH not in text and '"password"' not in text


@pytest.mark.parametrize("asked", ["Ada.L", "ada.l", "ADA.L", "aDA.l"])
def test_a_user_is_found_by_the_name_in_any_case(asked, get, add):
    add(f.user("Ada.L"))
    assert get(f"users/{asked}")["username"] == "Ada.L"


@pytest.mark.parametrize("name", ["Žofie", "ŁUKASZ", "Ö", "İlker", "straße"])
def test_a_name_with_letters_beyond_ascii_is_found_as_it_is_written(name, get, add):
    add(f.user(name, email="x@example.com"))
    assert get(f"users/{name}")["username"] == name


@pytest.mark.parametrize("asked", ["ada@example.com", "ad", "%", "ada ", "nobody"])
def test_a_user_is_found_by_nothing_else(asked, client, add):
    add(f.user("ada"))
    assert client.get("/api/v1/users/" + asked.replace("%", "%25")).status_code == 404


def test_an_inactive_user_without_roles_is_listed_too(get, add):
    add(f.user("gone", active=False))
    found = next(user for user in get("users")["users"] if user["username"] == "gone")
    assert found["active"] is False and found["roles"] == []


def test_a_list_keeps_the_roles_of_each_user_apart(get, session, add):
    add(*(f.user(name, roles=f.existing_roles(session, names)) for name, names in ROLES.items()))
    found = {user["username"]: sorted(role["name"] for role in user["roles"]) for user in get("users")["users"]}
    assert found.items() >= {name: sorted(names) for name, names in ROLES.items()}.items()


ROLES = {"a": ["Viewer"], "b": ["Viewer", "Op"], "c": []}
