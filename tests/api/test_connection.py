"""Connections: nothing secret is shown."""

from __future__ import annotations

import json

import pytest
from cryptography.fernet import Fernet

import factories as f
from clients import FERNET_KEY
from problems import assert_problem

OTHER_KEY = Fernet.generate_key().decode()
SHOWN = {
    "connection_id": "a connection",
    "conn_type": "postgres",
    "description": "A connection",
    "host": "db.example.com",
    "login": "reader",
    "schema": "sales",
    "port": 5432,
}


def test_a_list_shows_neither_password_nor_extra(client, add):
    add(f.connection(extra='{"a": "hidden"}', password="hidden"))
    response = client.get("/api/v1/connections")
    assert response.get_json() == {"connections": [SHOWN], "total_entries": 1}
    assert "hidden" not in response.get_data(as_text=True)


@pytest.mark.parametrize("encrypted", [True, False])
def test_a_connection_never_shows_its_password(encrypted, client, add, token):
    password = token("hidden") if encrypted else "hidden"
    add(f.connection(password=password, is_encrypted=encrypted))
    response = client.get("/api/v1/connections/a connection")
    assert response.get_json() == {**SHOWN, "extra": '{"sslmode": "require"}'}
    assert "hidden" not in response.get_data(as_text=True) and password not in response.get_data(as_text=True)


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ({"password": "hidden"}, {"password": "***"}),
        ({"PASSWORD": "hidden", "Api_Key": "hidden"}, {"PASSWORD": "***", "Api_Key": "***"}),
        ({"extra__google__keyfile_dict": "hidden"}, {"extra__google__keyfile_dict": "***"}),
        ({"token": 5, "secret": None, "passphrase": True}, {"token": "***", "secret": None, "passphrase": True}),
        ({"a": {"b": [{"client_secret": "hidden"}]}}, {"a": {"b": [{"client_secret": "***"}]}}),
        ({"secret": {"a": ["hidden", 1]}}, {"secret": {"a": ["***", "***"]}}),
        ({"url": "https://ada:hidden@host:8080/a?b=c"}, {"url": "https://ada:***@host:8080/a?b=c"}),
        ({"url": "https://host/?token=hidden&b=c"}, {"url": "https://host/?token=***&b=c"}),
        ({"inner": '{"password": "hidden", "a": 1}'}, {"inner": '{"password": "***", "a": 1}'}),
        ({"sslmode": "require", "port": 5432, "on": True}, {"sslmode": "require", "port": 5432, "on": True}),
        (["in a list", {"password": "hidden"}], ["in a list", {"password": "***"}]),
    ],
)  # fmt: skip
def test_what_is_sensitive_in_the_extra_is_masked(stored, shown, get, add):
    add(f.connection(extra=json.dumps(stored)))
    assert json.loads(get("connections/a connection")["extra"]) == shown


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ('{"a":1,  "b":"é"}', '{"a": 1, "b": "\\u00e9"}'),
        ("[1,2]", "[1, 2]"),
        ("no json", "no json"),
        ("", ""),
        (None, None),
    ],
)
def test_an_extra_is_written_anew_when_it_is_json_and_stays_when_not(stored, shown, get, add):
    add(f.connection(extra=stored))
    assert get("connections/a connection")["extra"] == shown


@pytest.mark.parametrize(
    "broken", ['{"password": "hidden"', "password=hidden", "{'token': 'hidden'}", "https://ada:hidden@host"]
)
def test_a_secret_in_an_extra_that_is_no_json_is_masked(broken, get, add):
    add(f.connection(extra=broken))
    shown = get("connections/a connection")["extra"]
    assert "***" in shown and "hidden" not in shown


@pytest.mark.parametrize("keys", [FERNET_KEY, f"{OTHER_KEY},{FERNET_KEY}"], ids=["the key", "an older key"])
def test_an_encrypted_extra_is_decrypted_and_masked(keys, get, add, token, make_app, as_user):
    add(f.connection(extra=token('{"password": "hidden", "a": 1}'), is_extra_encrypted=True))
    reader = as_user("Admin", of=make_app({("core", "fernet_key"): keys}))
    assert json.loads(get("connections/a connection", by=reader)["extra"]) == {"password": "***", "a": 1}


@pytest.mark.parametrize("keys", [OTHER_KEY, ""], ids=["a wrong key", "no key"])
def test_without_the_right_key_the_extra_is_null_and_the_rest_is_shown(
    keys, get, add, token, make_app, as_user, caplog
):
    hidden = token("hidden")
    add(f.connection(extra=hidden, is_extra_encrypted=True, password=hidden, is_encrypted=True))
    reader = as_user("Admin", of=make_app({("core", "fernet_key"): keys}))
    assert get("connections/a connection", by=reader) == {**SHOWN, "extra": None}
    assert get("connections", by=reader)["connections"] == [SHOWN]
    assert "the extra of a connection" in caplog.text and hidden not in caplog.text


@pytest.mark.parametrize(
    ("setting", "value", "shown"),
    [
        ("hide_sensitive_var_conn_fields", "False", {"password": "hidden", "certificate": "hidden"}),
        ("sensitive_var_conn_names", "Certificate, other", {"password": "***", "certificate": "***"}),
    ],
)
def test_what_is_sensitive_can_be_set(setting, value, shown, get, add, make_app, as_user):
    add(f.connection(extra=json.dumps({"password": "hidden", "certificate": "hidden"})))
    reader = as_user("Admin", of=make_app({("core", setting): value}))
    assert json.loads(get("connections/a connection", by=reader)["extra"]) == shown


@pytest.mark.parametrize("body", [{}, {"connection_id": "t", "conn_type": "sqlite"}])
def test_testing_a_connection_is_refused_unless_it_is_switched_on(body, client):
    assert_problem(client.post("/api/v1/connections/test", json=body), 403, "[core] test_connection")
