"""The cookie of Airflow's web server: whose it is, when it counts, and which pages may use it."""

from __future__ import annotations

import hashlib
import hmac
import json
import pickle
import time
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from sqlalchemy import Connection, Engine

from clients import API, SETTINGS, credentials
from problems import assert_problem
from windsock.app import create_app
from windsock.config import Config, ConfigError
from windsock.context import KEY as KEY_OF_APP
from windsock.db import Database
from windsock.models import WebSession

KEY = SETTINGS["webserver", "secret_key"]
BACKEND = ("api", "auth_backends"), "airflow.api.auth.backend.session"
SECURE = ("webserver", "session_backend"), "securecookie"
SESSION_ID = "eefc6195-e73a-480c-b496-4aa31f9c06d8"


def signature(text: str, key: str = KEY, salt: str = "flask-session") -> str:
    derived = hmac.digest(key.encode(), salt.encode(), hashlib.sha1)
    return urlsafe_b64encode(hmac.digest(derived, text.encode(), hashlib.sha1)).decode().rstrip("=")


def signed(text: str = SESSION_ID, **how: str) -> str:
    return f"{text}.{signature(text, **how)}"


def data(user_id: Any, **members: Any) -> bytes:
    return json.dumps({"_fresh": False, "_permanent": True, "_user_id": user_id, **members}).encode()


def in_minutes(minutes: float) -> datetime:
    """As the table stores it: UTC without offset."""
    return datetime.now(timezone.utc).replace(tzinfo=None) + timedelta(minutes=minutes)


def stored(user_id: Any = None, **columns: Any) -> WebSession:
    return WebSession(**{"session_id": SESSION_ID, "data": data(user_id), "expiry": in_minutes(5), **columns})


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
        b"[" * 100_000,
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
def flask_cookie(session: dict[str, Any], key: str = KEY) -> str:
    """What Flask itself writes."""
    airflow = Flask("airflow")
    airflow.secret_key = key
    serializer = SecureCookieSessionInterface().get_signing_serializer(airflow)
    assert serializer is not None
    return str(serializer.dumps(session))


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
