"""Variables: created, changed, deleted; their values are stored encrypted."""

from __future__ import annotations

import json

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select

import factories as f
from clients import API, FERNET_KEY
from problems import assert_problem
from windsock.models import Log, Variable


@pytest.fixture
def stored(session):
    """`stored("key")`: the value in the row, and whether it is marked as encrypted."""

    def stored(key):
        return session.execute(select(Variable.val, Variable.is_encrypted).where(Variable.key == key)).one()

    return stored


@pytest.mark.parametrize("value", ["one", "", "5", "null", '{"a": [1, "é"]}', "[broken", "🔑\n", "x" * 100_000])
def test_any_text_is_a_value_and_is_stored_encrypted(value, client, get, stored):
    response = client.post(f"{API}/variables", json={"key": "k", "value": value})
    assert response.status_code == 201
    assert response.get_json() == get("variables/k") == {"key": "k", "value": value, "description": None}
    token, encrypted = stored("k")
    assert encrypted and Fernet(FERNET_KEY).decrypt(token).decode() == value


def test_the_first_key_encrypts(make_app, as_user, stored):
    first = Fernet.generate_key().decode()
    client = as_user("Admin", of=make_app({("core", "fernet_key"): f"{first},{FERNET_KEY}"}))
    client.post(f"{API}/variables", json={"key": "k", "value": "one"})
    assert Fernet(first).decrypt(stored("k").val) == b"one"


def test_without_a_key_a_value_is_stored_in_clear(make_app, as_user, stored):
    client = as_user("Admin", of=make_app({("core", "fernet_key"): ""}))
    client.post(f"{API}/variables", json={"key": "k", "value": "one"})
    assert tuple(stored("k")) == ("one", False)


def test_a_key_that_exists_is_refused_and_keeps_its_value(client, add, get):
    add(f.variable("k", "old"))
    assert_problem(client.post(f"{API}/variables", json={"key": "k", "value": "new"}), 409, "Variable", "'k'")
    assert get("variables/k")["value"] == "old"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"key": "k"}, "value"),
        ({"value": "v"}, "key"),
        ({"key": "", "value": "v"}, "key"),
        ({"key": "k", "value": 5}, "value"),
        ({"key": "k", "value": None}, "value"),
        ({"key": "k", "value": True}, "value"),
        ({"key": None, "value": "v"}, "key"),
        ({"key": "k", "value": "v", "description": None}, "description"),
        ({"key": "x" * 251, "value": "v"}, "251 characters"),
        ({"key": "k", "value": "a\0b"}, "NUL"),
        ({"key": "k", "value": "v", "id": 1}, "id"),
    ],
)
def test_what_is_no_variable_is_refused(body, word, client):
    assert_problem(client.post(f"{API}/variables", json=body), 400, word)


@pytest.mark.parametrize("value", [{"password": "hidden"}, [{"password": "hidden"}]])
def test_a_refusal_does_not_repeat_what_is_inside_a_value(value, client):
    found = assert_problem(client.post(f"{API}/variables", json={"key": "k", "value": value}), 400, "value", "string")
    assert "hidden" not in found["detail"]


def test_a_change_encrypts_the_value_and_keeps_the_description(client, add, stored):
    add(f.variable("k", "old", description="kept"))
    response = client.patch(f"{API}/variables/k", json={"key": "k", "value": "new"})
    assert response.get_json() == {"key": "k", "value": "new", "description": "kept"}
    assert stored("k").is_encrypted and Fernet(FERNET_KEY).decrypt(stored("k").val) == b"new"


@pytest.mark.parametrize(
    "body", [{}, {"value": "new"}, {"description": "new"}, {"description": None}, {"description": ""}, {"key": "k"}]
)
def test_a_partial_body_leaves_the_rest_alone(body, client, add, get):
    add(f.variable("k", "old", description="kept"))
    response = client.patch(f"{API}/variables/k", json=body)
    expected = {"key": "k", "value": "old", "description": "kept"} | body
    assert response.status_code == 200 and response.get_json() == get("variables/k") == expected


@pytest.mark.parametrize("mask", ["", "?update_mask=description", "?update_mask=key,value,description"])
def test_a_whole_variable_can_be_sent_back(mask, client, add, get):
    add(f.variable("k", description=None))
    whole = get("variables/k")
    assert whole["description"] is None
    response = client.patch(f"{API}/variables/k{mask}", json=whole)
    assert response.status_code == 200 and response.get_json() == whole


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("value", ("new", "A variable")),
        ("description", ("value", "changed")),
        ("value,description", ("new", "changed")),
        ("value,%20description", ("new", "changed")),
    ],
)
def test_a_mask_says_what_changes(mask, expected, client, add):
    add(f.variable("k"))
    body = {"key": "k", "value": "new", "description": "changed"}
    found = client.patch(f"{API}/variables/k?update_mask={mask}", json=body).get_json()
    assert (found["value"], found["description"]) == expected


def test_a_whole_variable_without_description_can_be_sent_back_with_a_mask(client, add, get):
    add(f.variable("k", description=None))
    whole = get("variables/k") | {"value": "new"}
    found = client.patch(f"{API}/variables/k?update_mask=value", json=whole).get_json()
    assert found == {"key": "k", "value": "new", "description": None}


def test_a_value_that_no_key_fits_stays_when_the_mask_leaves_it_out(client, add, get, token, stored):
    lost = token("lost", Fernet.generate_key())
    add(f.variable("k", lost, is_encrypted=True))
    whole = get("variables/k") | {"description": "changed"}
    assert client.patch(f"{API}/variables/k?update_mask=description", json=whole).get_json() == whole
    assert stored("k").val == lost


@pytest.mark.parametrize(
    ("mask", "body", "word"),
    [
        ("", {"key": "other", "value": "v"}, "key"),
        ("", {"key": None}, "key"),
        ("", {"key": "k", "value": None}, "value"),
        ("", {"value": None}, "value"),
        ("?update_mask=value", {"value": None}, "value"),
        ("?update_mask=bogus", {"key": "k", "value": "v"}, "bogus"),
        ("?update_mask=description", {"key": "k", "value": "v"}, "description"),
    ],
)
def test_a_change_that_does_not_fit_is_refused_and_nothing_changes(mask, body, word, client, add, get):
    add(f.variable("k"))
    before = get("variables/k")
    assert_problem(client.patch(f"{API}/variables/k{mask}", json=body), 400, word)
    assert get("variables/k") == before


def test_a_variable_with_a_slash_is_changed_and_deleted(client, add):
    add(f.variable("a/b"))
    assert client.patch(f"{API}/variables/a/b", json={"key": "a/b", "value": "v"}).status_code == 200
    assert client.delete(f"{API}/variables/a%2Fb").status_code == 204
    assert_problem(client.delete(f"{API}/variables/a/b"), 404, "'a/b'")
    assert_problem(client.patch(f"{API}/variables/a/b", json={"key": "a/b", "value": "v"}), 404)


@pytest.mark.parametrize(
    ("key", "value", "logged"),
    [
        ("limit", "5", "5"),
        ("db_password", "hidden", "***"),
        ("config", '{"token": "hidden", "a": 1}', '{"token": "***", "a": 1}'),
        ("url", "https://ada:hidden@host", "https://ada:***@host"),
    ],
)
def test_the_audit_row_holds_no_secret(key, value, logged, client, session):
    client.post(f"{API}/variables", json={"key": key, "value": value})
    client.patch(f"{API}/variables/{key}", json={"key": key, "value": value})
    client.patch(f"{API}/variables/{key}", json={"value": value})
    client.delete(f"{API}/variables/{key}")
    rows = session.execute(select(Log.event, Log.extra).order_by(Log.id)).all()
    assert [event.removeprefix("api.variable.") for event, _ in rows] == ["create", "edit", "edit", "delete"]
    assert [json.loads(extra) for _, extra in rows[:3]] == [{"key": key, "value": logged}] * 3
    assert json.loads(rows[3].extra) == {"variable_key": key}
