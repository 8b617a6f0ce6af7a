"""The cookie of Airflow's web server: whose it is, when it counts, and which pages may use it."""

from __future__ import annotations

import pickle
import time
from datetime import datetime, timezone
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Connection, Engine, select

from clients import API, SETTINGS, credentials
from cookies import KEY, SESSION_ID, data, flask_cookie, in_minutes, signature, signed, stored
from problems import assert_problem
from windsock import accounts
from windsock.app import create_app
from windsock.config import Config, ConfigError
from windsock.context import KEY as KEY_OF_APP
from windsock.db import Database
from windsock.models import WebSession

BACKEND = ("api", "auth_backends"), "airflow.api.auth.backend.session"
SECURE = ("webserver", "session_backend"), "securecookie"


def ask(app: Flask, cookie: str, method: str = "GET", **headers: str) -> Any:
    json_body = {"name": "p", "slots": 1, "include_deferred": False} if method == "POST" else None
    return app.test_client(use_cookies=False).open(
        f"{API}/pools", method=method, headers={"Cookie": f"session={cookie}", **headers}, json=json_body
    )


@pytest.fixture(scope="module")
def apps(engine: Engine) -> list[Flask]:
    """An application for each form of session; a test gives them its connection."""
    return [create_app(Config({**SETTINGS, **dict(more)}), Database(engine)) for more in ([BACKEND], [BACKEND, SECURE])]


@pytest.fixture
def site(apps: list[Flask], connection: Connection) -> Flask:
    """Takes sessions in the database."""
    apps[0].extensions[KEY_OF_APP].database = Database(connection)
    return apps[0]


@pytest.fixture
def secure_site(apps: list[Flask], connection: Connection) -> Flask:
    """Takes sessions in the cookie."""
    apps[1].extensions[KEY_OF_APP].database = Database(connection)
    return apps[1]


# ---------------------------------------------------------------- sessions in the database
def test_a_cookie_signs_in_the_user_of_its_row_with_their_rights(site, make_user, add):
    viewer = make_user("Viewer")
    add(stored(viewer.id))
    assert ask(site, signed()).status_code == 200
    assert_problem(ask(site, signed(), "POST"), 403, "Pools.can_create")


def test_the_number_of_the_user_may_be_written_in_digits(site, make_user, add):
    add(stored(str(make_user("Admin").id)))
    assert ask(site, signed()).status_code == 200


def test_basic_credentials_and_a_cookie_work_beside_each_other(make_app, make_user, add):
    names = "airflow.api.auth.backend.basic_auth,airflow.api.auth.backend.session"
    app, user = make_app({BACKEND[0]: names}), make_user("Admin")
    add(stored(user.id))
    assert ask(app, signed()).status_code == 200
    assert ask(app, "nonsense", Authorization=credentials(user.username)).status_code == 200


@pytest.mark.parametrize("expiry", [None, -0.01, -60, -60 * 24 * 365])
def test_a_session_counts_until_it_expires(expiry, site, make_user, add):
    add(stored(make_user("Admin").id, expiry=expiry if expiry is None else in_minutes(expiry)))
    assert_problem(ask(site, signed()), 401)


FORGED = {
    "no signature": SESSION_ID,
    "an empty signature": SESSION_ID + ".",
    "another key": signed(key="another key"),
    "an empty key": signed(key=""),
    "another salt": signed(salt="cookie-session"),
    "another session's signature": f"{SESSION_ID}.{signature('x')}",
    "one character less": signed()[:-1],
    "no such row": signed("no such row"),
    "nothing": "",
    "only a signature": f".{signature(SESSION_ID)}",
    "bytes that are no text": "\xff\xfe",
    "much": "x" * 100_000,
}


@pytest.mark.parametrize("cookie", FORGED.values(), ids=FORGED.keys())
def test_a_cookie_that_airflow_did_not_sign_is_refused(cookie, site, secure_site, make_user, add):
    add(stored(make_user("Admin").id))
    for app in (site, secure_site):
        assert_problem(ask(app, cookie), 401)


class Harmful:
    """Unpickling one would stop the tests."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.exit, ("a pickle was loaded",)


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        pickle.dumps({"_user_id": 1}),
        pickle.dumps(Harmful()),
        b"\x81\xa8_user_id\x01",  # what msgpack writes
        b"\xff\xfe\x00",
        b"[" * 60_000,
        b"[]",
        b"1",
        b"null",
        b'{"locale": "en"}',
        b'{"_user_id": {" t": [1]}}',
    ],
)
def test_a_row_without_a_readable_user_signs_nobody_in(content, site, add):
    add(stored(data=content))
    assert_problem(ask(site, signed()), 401)


@pytest.mark.parametrize(
    "user_id",
    [
        None,
        True,
        0,
        -1,
        1.0,
        "",
        " 1",
        "1 ",
        "+1",
        "1.0",
        "one",
        "\u0661",
        "0x1",
        [1],
        {"1": 1},
        2**31,
        2**70,
        "9" * 99,
    ],
)
def test_what_is_no_number_of_a_user_signs_nobody_in(user_id, site, secure_site, make_user, add):
    make_user("Admin", id=1)
    add(stored(user_id))
    assert_problem(ask(site, signed()), 401)
    assert_problem(ask(secure_site, flask_cookie({"_user_id": user_id})), 401)


def test_a_user_who_was_deactivated_or_removed_is_refused_at_the_next_request(site, make_user, add, session):
    user = make_user("Admin")
    add(stored(user.id))
    assert ask(site, signed()).status_code == 200
    user.active = False
    session.commit()
    assert_problem(ask(site, signed()), 401)
    session.delete(user)
    session.commit()
    assert_problem(ask(site, signed()), 401)


def test_a_session_that_airflow_ended_is_refused_at_the_next_request(site, make_user, add, session):
    row = add(stored(make_user("Admin").id))
    assert ask(site, signed()).status_code == 200
    session.delete(row)
    session.commit()
    assert_problem(ask(site, signed()), 401)


def test_a_cookie_costs_one_statement_and_no_answer_sets_one(site, make_user, add, statements):
    add(stored(make_user("Admin").id))
    ask(site, signed())
    with statements() as seen:
        response = ask(site, signed())
    assert len([text for text in seen if "FROM session" in text]) == 1
    assert len([text for text in seen if "FROM ab_user" in text]) == 1
    assert not any(text.startswith(("UPDATE", "INSERT", "DELETE")) for text in seen)
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("settings", [[BACKEND], [BACKEND, SECURE]])
def test_without_a_secret_key_no_cookie_is_taken(settings, make_app, make_user, add):
    user = make_user("Admin")
    add(stored(user.id))
    app = make_app([*settings, (("webserver", "secret_key"), "")])
    for cookie in (signed(key=""), signed(), signed(key="None"), flask_cookie({"_user_id": user.id})):
        assert_problem(ask(app, cookie), 401)


# ---------------------------------------------------------------- sessions in the cookie
def test_a_signed_session_signs_its_user_in(secure_site, make_user):
    user = make_user("Viewer")
    moment = datetime.now(timezone.utc)
    for session in ({"_user_id": user.id}, {"_user_id": str(user.id), "at": moment, "visited": ("x" * 1000,)}):
        assert ask(secure_site, flask_cookie(session)).status_code == 200
    assert_problem(ask(secure_site, flask_cookie(session), "POST"), 403)


def test_a_signed_session_is_refused_when_it_is_old_forged_or_of_nobody(make_app, secure_site, make_user, session):
    user = make_user("Admin")
    good = flask_cookie({"_user_id": user.id})
    assert ask(secure_site, good).status_code == 200
    for bad in (good[:-2], "x" + good, flask_cookie({"_user_id": user.id}, "another key"), flask_cookie({})):
        assert_problem(ask(secure_site, bad), 401)
    assert_problem(ask(make_app([BACKEND, SECURE, (("webserver", "session_lifetime_minutes"), "-1")]), good), 401)
    user.active = False
    session.commit()
    assert_problem(ask(secure_site, good), 401)


def test_a_signed_session_is_taken_for_its_lifetime(secure_site, make_user, monkeypatch):
    good = flask_cookie({"_user_id": make_user("Admin").id})
    lifetime = 43200 * 60
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + lifetime - 10)
    assert ask(secure_site, good).status_code == 200
    monkeypatch.setattr(time, "time", lambda: now + lifetime + 10)
    assert_problem(ask(secure_site, good), 401)


def test_only_the_configured_form_of_session_counts(site, secure_site, make_user, add):
    user = make_user("Admin")
    add(stored(user.id))
    assert_problem(ask(site, flask_cookie({"_user_id": user.id})), 401)
    assert_problem(ask(secure_site, signed()), 401)


def test_an_unknown_form_of_session_stops_the_start():
    with pytest.raises(ConfigError, match="database or securecookie"):
        Config({SECURE[0]: "redis"}).check()


# ---------------------------------------------------------------- keys that were replaced
def test_cookies_of_an_old_key_are_taken_while_the_key_is_named(make_app, make_user, add):
    user = make_user("Admin")
    add(stored(user.id))
    named = ("windsock", "old_secret_keys"), "older,old"
    new = ("webserver", "secret_key"), "new"
    for form, cookie in (
        ([], lambda key: signed(key=key)),
        ([SECURE], lambda key: flask_cookie({"_user_id": user.id}, key)),
    ):
        rotated, done = make_app([BACKEND, *form, new, named]), make_app([BACKEND, *form, new])
        asked = [(ask(rotated, cookie(key)), ask(done, cookie(key))) for key in ("new", "old", "older", "other")]
        codes = [(first.status_code, second.status_code) for first, second in asked]
        assert codes == [(200, 200), (200, 401), (200, 401), (401, 401)]


def test_an_old_key_alone_opens_nothing(make_app, make_user, add):
    add(stored(make_user("Admin").id))
    app = make_app([BACKEND, (("webserver", "secret_key"), ""), (("windsock", "old_secret_keys"), KEY)])
    assert_problem(ask(app, signed()), 401)


# ---------------------------------------------------------------- what ends the sessions of a user
OTHERS = [pickle.dumps({"_user_id": 1}), b"\x81\xa8_user_id\x01", b"not JSON", b"[1]", b"", None]


@pytest.fixture
def many(make_user, add, session):
    """`many(user)`: sessions of the user in both forms, of somebody else, and rows that nobody can read."""

    def many(user: Any) -> Any:
        other = make_user("Viewer", id=user.id * 10 + 1)
        contents = [data(user.id), data(str(user.id)), data(other.id), data(str(other.id)), *OTHERS]
        rows = [stored(session_id=f"s{n}", data=content) for n, content in enumerate(contents)]
        add(*rows, stored(session_id="expired", data=data(user.id), expiry=in_minutes(-5)))
        return lambda: set(session.scalars(select(WebSession.session_id).where(WebSession.expiry > in_minutes(0))))

    return many


KEPT = {f"s{number}" for number in range(2, 4 + len(OTHERS))}


def test_a_new_password_ends_the_sessions_of_its_user_only(client, make_user, many, site):
    left = many(make_user("Admin", username="ada"))
    assert ask(site, signed("s0")).status_code == 200
    assert client.patch(f"{API}/users/ada", json={"first_name": "A", "last_name": "B"}).status_code == 200
    assert len(left()) == len(KEPT) + 2
    assert client.patch(f"{API}/users/ada", json={"password": "another"}).status_code == 200
    assert left() == KEPT
    assert [ask(site, signed(f"s{n}")).status_code for n in range(4)] == [401, 401, 200, 200]


def test_a_change_that_is_refused_ends_no_session(client, make_user, many):
    make_user("Admin", username="grace")
    left = many(make_user("Admin", username="ada"))
    assert client.patch(f"{API}/users/ada", json={"password": "another", "username": "grace"}).status_code == 409
    assert client.patch(f"{API}/users/ada", json={"password": ""}).status_code == 400
    assert len(left()) == len(KEPT) + 2


def test_a_user_who_is_deleted_leaves_no_session_for_the_next_one_with_the_same_id(client, make_user, many):
    left = many(make_user("Viewer", username="ada"))
    assert client.delete(f"{API}/users/ada").status_code == 204
    assert left() == KEPT


def test_a_password_that_a_command_replaces_ends_sessions_too(make_user, many, connection):
    user = make_user("Viewer", username="ada")
    left = many(user)
    accounts.set_password(connection, "Ada", "another")
    assert left() == KEPT


# ---------------------------------------------------------------- other pages
@pytest.mark.parametrize("origin", ["http://localhost", "https://localhost", "HTTP://LOCALHOST", None])
def test_our_own_page_may_change_things(origin, site, make_user, add):
    add(stored(make_user("Admin").id))
    assert ask(site, signed(), "POST", **({"Origin": origin} if origin else {})).status_code == 201


FOREIGN = ["http://evil.example", "http://localhost:8080", "http://localhost.evil.example", "null", "", "localhost",
           "http://", "file://localhost", "http://[", "http://evil.example@localhost"]  # fmt: skip


@pytest.mark.parametrize("origin", FOREIGN)
def test_another_page_may_not_change_things_with_the_cookie(origin, site, make_user, add):
    user = make_user("Admin")
    add(stored(user.id))
    assert_problem(ask(site, signed(), "POST", Origin=origin), 401)
    assert ask(site, signed(), "GET", Origin=origin).status_code == 200


def test_the_page_at_base_url_may_change_things(make_app, make_user, add):
    app = make_app([BACKEND, (("webserver", "base_url"), "https://airflow.example:8443/team")])
    add(stored(make_user("Admin").id))
    assert ask(app, signed(), "POST", Origin="https://airflow.example:8443").status_code == 201
    for other in ("http://airflow.example:8443", "https://airflow.example"):
        assert_problem(ask(app, signed(), "POST", Origin=other), 401)


def test_the_origin_does_not_matter_to_basic_credentials(app, make_user):
    header = credentials(make_user("Admin").username)
    response = ask(app, "", "POST", Origin="http://evil.example", Authorization=header)
    assert response.status_code == 201
