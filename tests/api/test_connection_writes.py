"""Connections: created, changed, deleted; their secrets are stored encrypted and never come out."""

from __future__ import annotations

import json

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import select

import factories as f
from clients import API, FERNET_KEY
from problems import assert_problem
from windsock.models import Connection, Log

NULLS = dict.fromkeys(("description", "host", "login", "schema", "port", "extra"))
SECRETS = {
    "token": "hidden1",
    "nested": {"client_secret": ["hidden2", 7], "b": 1},
    "hosts": [{"name": "a", "password": "hidden3"}, {"name": "b", "password": "hidden4"}],
    "url": "https://ada:hidden5@host/x",
    "inner": '{"api_key": "hidden6", "c": 2}',
}


@pytest.fixture
def stored(session):
    """`stored("id")`: password and extra in clear, each with its mark."""

    def stored(conn_id):
        row = session.execute(select(Connection.__table__).where(Connection.conn_id == conn_id)).one()
        return (
            (_clear(row.password, row.is_encrypted), row.is_encrypted),
            (_clear(row.extra, row.is_extra_encrypted), row.is_extra_encrypted),
        )

    return stored


def _clear(text, encrypted):
    return Fernet(FERNET_KEY).decrypt(text).decode() if encrypted else text


@pytest.fixture
def kept(add, token):
    """A connection with secrets of every kind, stored as Airflow does."""
    extra = token(json.dumps(SECRETS))
    return add(f.connection("c", password=token("hidden0"), is_encrypted=True, extra=extra, is_extra_encrypted=True))


def test_a_new_connection_is_answered_whole(client, get):
    response = client.post(f"{API}/connections", json={"connection_id": "c", "conn_type": "http"})
    assert response.status_code == 201
    assert response.get_json() == get("connections/c") == {"connection_id": "c", "conn_type": "http"} | NULLS


def test_password_and_extra_are_stored_encrypted_and_not_answered(client, stored):
    extra = '{"token":  "hidden", "é": 1}'
    body = {"connection_id": "c", "conn_type": "http", "password": "pässword 🔑", "extra": extra}
    response = client.post(f"{API}/connections", json=body)
    assert stored("c") == (("pässword 🔑", True), (extra, True))
    assert json.loads(response.get_json()["extra"]) == {"token": "***", "é": 1}
    assert "password" not in response.get_json()


def test_without_a_key_secrets_are_stored_in_clear(make_app, as_user, stored):
    client = as_user("Admin", of=make_app({("core", "fernet_key"): ""}))
    body = {"connection_id": "c", "conn_type": "http", "password": "p", "extra": '{"a": 1}'}
    client.post(f"{API}/connections", json=body)
    assert stored("c") == (("p", False), ('{"a": 1}', False))


def test_empty_texts_are_stored_as_airflow_does(client, stored):
    body = {"connection_id": "c", "conn_type": "", "password": "", "extra": "", "host": "", "port": 0}
    response = client.post(f"{API}/connections", json=body)
    assert response.get_json() == {"connection_id": "c", "conn_type": ""} | NULLS | {"host": "", "extra": "", "port": 0}
    assert stored("c") == ((None, False), ("", False))


def test_an_id_that_exists_is_refused(client, add):
    add(f.connection("c"))
    response = client.post(f"{API}/connections", json={"connection_id": "c", "conn_type": "x", "password": "hidden"})
    assert_problem(response, 409, "Connection", "'c'")
    assert "hidden" not in response.get_data(as_text=True)


@pytest.mark.parametrize("name", ["a b", "a:1", "a/b", "", "x" * 201, "a\n"])
def test_an_id_that_tasks_could_not_ask_for_is_refused(name, client):
    response = client.post(f"{API}/connections", json={"connection_id": name, "conn_type": "x"})
    assert_problem(response, 400, "connection_id", "dashes")


@pytest.mark.parametrize("name", ["a.b-c_1", "é", "x" * 200])
def test_an_id_of_letters_digits_dashes_dots_and_underscores_is_taken(name, client):
    assert client.post(f"{API}/connections", json={"connection_id": name, "conn_type": "x"}).status_code == 201


@pytest.mark.parametrize("extra", ["5", "[1, 2]", "null", '"hidden"', "true", '{"a": ' * 101 + "1" + "}" * 101])
def test_an_extra_that_is_json_but_no_object_is_refused_without_repeating_it(extra, client, add):
    body = {"connection_id": "c", "conn_type": "x", "extra": extra}
    found = assert_problem(client.post(f"{API}/connections", json=body), 400, "extra", "object")
    assert "hidden" not in found["detail"]
    add(f.connection("d"))
    assert_problem(client.patch(f"{API}/connections/d", json={"extra": extra}), 400, "extra")


def test_an_extra_that_is_no_json_is_kept_as_it_is(client, stored):
    body = {"connection_id": "c", "conn_type": "x", "extra": "not json"}
    assert client.post(f"{API}/connections", json=body).get_json()["extra"] == "not json"
    assert stored("c")[1] == ("not json", True)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"connection_id": "c"}, "conn_type"),
        ({"conn_type": "x"}, "connection_id"),
        ({"connection_id": "c", "conn_type": None}, "conn_type"),
        ({"connection_id": "c", "conn_type": "x" * 501}, "501 characters"),
        ({"connection_id": "c", "conn_type": "x", "host": "x" * 501}, "501 characters"),
        ({"connection_id": "c", "conn_type": "x", "port": 2**31}, "port"),
        ({"connection_id": "c", "conn_type": "x", "port": "1"}, "port"),
        ({"connection_id": "c", "conn_type": "x", "extra": {"token": "hidden"}}, "extra"),
        ({"connection_id": "c", "conn_type": "x", "password": ["hidden"]}, "password"),
        ({"connection_id": "c", "conn_type": "x", "password": None}, "password"),
    ],
)
def test_what_is_no_connection_is_refused_without_repeating_secrets(body, word, client):
    assert "hidden" not in assert_problem(client.post(f"{API}/connections", json=body), 400, word)["detail"]


def test_a_partial_body_leaves_the_rest_alone(client, kept, get, stored):
    before = get("connections/c")
    found = client.patch(f"{API}/connections/c", json={"host": None, "port": 1}).get_json()
    assert found == before | {"host": None, "port": 1}
    assert stored("c") == (("hidden0", True), (json.dumps(SECRETS), True))


def test_a_whole_connection_can_be_sent_back_and_keeps_its_secrets(client, kept, get, session):
    query = select(Connection.password, Connection.extra).where(Connection.conn_id == "c")
    before = session.execute(query).one()
    whole = get("connections/c") | {"password": "***"}
    found = client.patch(f"{API}/connections/c", json=whole | {"description": "new"}).get_json()
    assert found["description"] == "new"
    assert session.execute(query).one() == before
    mask = "description,password,extra"
    assert client.patch(f"{API}/connections/c?update_mask={mask}", json=whole).status_code == 200
    assert session.execute(query).one() == before


def test_secrets_stay_where_something_else_in_the_extra_changes(client, kept, get, stored):
    shown = json.loads(get("connections/c")["extra"])
    assert "hidden" not in json.dumps(shown)
    shown["nested"]["b"] = 2
    shown["hosts"][1]["name"] = "changed"
    shown["new"] = {"password": "hidden9", "separator": "***"}
    response = client.patch(f"{API}/connections/c", json={"extra": json.dumps(shown)})
    expected = json.loads(json.dumps(SECRETS))
    expected["nested"]["b"] = 2
    expected["hosts"][1]["name"] = "changed"
    expected["new"] = shown["new"]
    assert json.loads(stored("c")[1][0]) == expected
    assert "hidden" not in response.get_data(as_text=True)


def test_secrets_of_a_list_move_with_their_items(client, kept, get, stored):
    shown = json.loads(get("connections/c")["extra"])
    shown["hosts"] = shown["hosts"][1:]
    client.patch(f"{API}/connections/c", json={"extra": json.dumps(shown)})
    assert json.loads(stored("c")[1][0])["hosts"] == SECRETS["hosts"][1:]


def test_a_text_inside_the_extra_that_is_json_keeps_its_secrets(client, kept, get, stored):
    shown = json.loads(get("connections/c")["extra"])
    shown["inner"] = json.dumps(json.loads(shown["inner"]) | {"c": 3})
    client.patch(f"{API}/connections/c", json={"extra": json.dumps(shown)})
    assert json.loads(json.loads(stored("c")[1][0])["inner"]) == {"api_key": "hidden6", "c": 3}


@pytest.mark.parametrize(
    "extra",
    ['{"other_token": "***"}', '{"url": "https://bob:***@host"}', '{"a": {"secret": {"b": "***"}}}', "password=***"],
)
def test_a_mask_in_the_place_of_no_stored_secret_is_refused(extra, client, kept, stored):
    assert_problem(client.patch(f"{API}/connections/c", json={"extra": extra}), 400, "***")
    assert stored("c")[1] == (json.dumps(SECRETS), True)


def test_a_masked_extra_that_is_no_json_keeps_its_secret(client, add, get, stored):
    add(f.connection("c", extra="password=hidden"))
    assert client.patch(f"{API}/connections/c", json=get("connections/c")).status_code == 200
    assert stored("c")[1] == ("password=hidden", False)


def test_an_extra_that_no_key_fits_survives_being_sent_back_as_null(client, add, get, token, session):
    lost = token("{}", Fernet.generate_key())
    add(f.connection("c", extra=lost, is_extra_encrypted=True))
    whole = get("connections/c")
    assert whole["extra"] is None
    assert client.patch(f"{API}/connections/c", json=whole | {"host": "new"}).status_code == 200
    assert session.scalar(select(Connection.extra).where(Connection.conn_id == "c")) == lost


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"password": "new"}, (("new", True), (json.dumps(SECRETS), True))),
        ({"password": ""}, ((None, False), (json.dumps(SECRETS), True))),
        ({"extra": None}, (("hidden0", True), (None, False))),
        ({"extra": '{"a": 1}'}, (("hidden0", True), ('{"a": 1}', True))),
    ],
)
def test_a_secret_is_replaced_or_removed(body, expected, client, kept, stored):
    assert client.patch(f"{API}/connections/c", json=body).status_code == 200
    assert stored("c") == expected


@pytest.mark.parametrize(
    ("mask", "body", "word"),
    [
        ("", {"connection_id": "other"}, "connection_id"),
        ("?update_mask=connection_id", {"connection_id": "other"}, "connection_id"),
        ("?update_mask=bogus", {"host": "x"}, "bogus"),
        ("?update_mask=login", {"host": "x"}, "login"),
        ("", {"conn_type": None}, "conn_type"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(mask, body, word, client, add, get):
    add(f.connection("c"))
    before = get("connections/c")
    assert_problem(client.patch(f"{API}/connections/c{mask}", json=body), 400, word)
    assert get("connections/c") == before


def test_a_mask_says_what_changes(client, add):
    add(f.connection("c"))
    body = {"connection_id": "c", "conn_type": "zzz", "login": "new", "port": 1}
    found = client.patch(f"{API}/connections/c?update_mask=login,port", json=body).get_json()
    assert (found["conn_type"], found["login"], found["port"]) == ("postgres", "new", 1)


def test_a_connection_is_deleted_once(client, add):
    add(f.connection("c"))
    assert client.delete(f"{API}/connections/c").status_code == 204
    assert_problem(client.delete(f"{API}/connections/c"), 404, "'c'")
    assert_problem(client.patch(f"{API}/connections/c", json={"host": "x"}), 404)


def test_audit_rows_and_logs_hold_no_secret(client, session, caplog):
    extra = '{"token": "hidden", "a": {"secret": "hidden"}, "url": "https://ada:hidden@host"}'
    client.post(f"{API}/connections", json={"connection_id": "c", "conn_type": "x", "password": "hidden"})
    client.patch(f"{API}/connections/c", json={"password": "hidden", "extra": extra})
    client.patch(f"{API}/connections/c", json={"extra": "some hidden text"})
    client.delete(f"{API}/connections/c")
    rows = session.execute(select(Log.event, Log.extra).order_by(Log.id)).all()
    assert [event.removeprefix("api.connection.") for event, _ in rows] == ["create", "edit", "edit", "delete"]
    shown = {"token": "***", "a": {"secret": "***"}, "url": "https://ada:***@host"}
    assert json.loads(rows[1].extra) == {"connection_id": "c", "password": "***", "extra": shown}
    assert "hidden" not in str(rows) and "hidden" not in caplog.text


def test_passwords_are_masked_in_audit_rows_whatever_the_settings(make_app, as_user, session):
    client = as_user("Admin", of=make_app({("core", "hide_sensitive_var_conn_fields"): "False"}))
    client.post(f"{API}/connections", json={"connection_id": "c", "conn_type": "x", "password": "hidden"})
    assert json.loads(session.scalar(select(Log.extra)))["password"] == "***"
