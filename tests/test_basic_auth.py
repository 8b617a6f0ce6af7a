"""Basic authentication: who is let in, how soon a change counts, and how often a hash is computed."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from clients import API, PASSWORD, PASSWORD_HASH, credentials, signed_in
from problems import assert_problem

SALT = "saltSALT12345678"


def pbkdf2(rounds: int | None, algorithm: str = "sha256", default: int = 50_000) -> str:
    method = f"pbkdf2:{algorithm}" + (f":{rounds}" if rounds else "")
    digest = hashlib.pbkdf2_hmac(algorithm, PASSWORD.encode(), SALT.encode(), rounds or default)
    return f"{method}${SALT}${digest.hex()}"


def scrypt(n: int, r: int, p: int, written: str | None = None) -> str:
    digest = hashlib.scrypt(PASSWORD.encode(), salt=SALT.encode(), n=n, r=r, p=p, maxmem=132 * n * r * p)
    return f"{written or f'scrypt:{n}:{r}:{p}'}${SALT}${digest.hex()}"


HASHES = {
    "werkzeug 0.x and 1.x, 50000 rounds": pbkdf2(50_000),
    "werkzeug 2.0, 150000 rounds": pbkdf2(150_000),
    "werkzeug 2.1 and 2.2, 260000 rounds": pbkdf2(260_000),
    "werkzeug 2.3, 600000 rounds": pbkdf2(600_000),
    "sha512": pbkdf2(1000, "sha512"),
    "werkzeug 2.3 and 3.x, scrypt": scrypt(32768, 8, 1),
    "another scrypt": scrypt(1024, 4, 2),
}
UNREADABLE = {
    "an old default number of rounds": pbkdf2(None),
    "none at all": None,
    "nothing": "",
    "no separators": "garbage",
    "an unknown method": "md4$salt$00",
    "an unknown digest": "pbkdf2:nosuch:1$salt$00",
    "rounds that are no number": "pbkdf2:sha256:many$salt$00",
    "scrypt with words": "scrypt:a:b:c$salt$00",
    "scrypt with impossible parameters": "scrypt:3:8:1$salt$00",
    "scrypt that needs too much memory": "scrypt:1073741824:8:1$salt$00",
    "plain sha1": "sha1$salt$da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "the password itself": PASSWORD,
}


def status(app: Any, username: str, password: str = PASSWORD) -> int:
    return signed_in(app, username, password).get(f"{API}/pools").status_code


@pytest.mark.parametrize("stored", HASHES.values(), ids=HASHES.keys())
def test_hashes_of_every_werkzeug_generation_are_understood(stored, app, make_user):
    user = make_user("Admin", password=stored)
    assert status(app, user.username) == 200
    assert status(app, user.username, "wrong") == 401
    assert status(app, user.username, "") == 401


@pytest.mark.parametrize("stored", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_hash_that_cannot_be_read_lets_nobody_in(stored, app, make_user):
    user = make_user("Admin", password=stored)
    assert_problem(signed_in(app, user.username).get(f"{API}/pools"), 401)


def test_the_name_is_taken_in_any_case_and_the_address_too(app, make_user):
    user = make_user("Admin", username="Ada.Lovelace", email="Countess@Example.com")
    for name in (user.username, "ada.lovelace", "ADA.LOVELACE", user.email, "countess@example.COM"):
        assert status(app, name) == 200, name
    for name in ("ada", "ada.lovelac_", "%", "", "Countess"):
        assert status(app, name) == 401, name


def test_names_and_passwords_are_utf_8_and_a_password_may_hold_a_colon(app, make_user):
    password = "pass:wörd ☃"
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), b"s", 1).hex()
    user = make_user("Admin", username="žofie", password=f"pbkdf2:sha256:1$s${digest}")
    assert status(app, user.username, password) == 200
    assert status(app, user.username, "pass") == 401


@pytest.mark.parametrize("active", [False, None])
def test_an_inactive_user_is_refused(active, app, make_user):
    user = make_user("Admin", active=active)
    assert_problem(signed_in(app, user.username).get(f"{API}/pools"), 401)


def test_a_deactivated_user_is_refused_at_the_next_request(app, make_user, session):
    user = make_user("Admin")
    assert status(app, user.username) == 200
    user.active = False
    session.commit()
    assert status(app, user.username) == 401


def test_a_changed_password_counts_at_the_next_request(app, make_user, session):
    user = make_user("Admin")
    assert status(app, user.username) == 200
    user.password = f"pbkdf2:sha256:1$s${hashlib.pbkdf2_hmac('sha256', b'new', b's', 1).hex()}"
    session.commit()
    assert status(app, user.username) == 401
    assert status(app, user.username, "new") == 200
    user.password = PASSWORD_HASH
    session.commit()
    assert (status(app, user.username), status(app, user.username, "new")) == (200, 401)


def test_a_removed_role_counts_at_the_next_request(app, make_user, session):
    user = make_user("Admin")
    assert status(app, user.username) == 200
    user.roles.clear()
    session.commit()
    assert status(app, user.username) == 403


def test_a_deleted_user_is_refused_at_the_next_request(app, make_user, session):
    user = make_user("Admin")
    assert status(app, user.username) == 200
    session.delete(user)
    session.commit()
    assert status(app, user.username) == 401


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What every computation of a hash by the standard library costs: its `n`, or its rounds."""
    calls: list[Any] = []
    scrypt, pbkdf2 = hashlib.scrypt, hashlib.pbkdf2_hmac

    def counting_scrypt(*arguments: Any, **named: Any) -> bytes:
        calls.append(named["n"])
        return scrypt(*arguments, **named)

    def counting_pbkdf2(name: str, password: bytes, salt: bytes, rounds: int) -> bytes:
        calls.append(rounds)
        return pbkdf2(name, password, salt, rounds)

    monkeypatch.setattr(hashlib, "scrypt", counting_scrypt)
    monkeypatch.setattr(hashlib, "pbkdf2_hmac", counting_pbkdf2)
    return calls


def test_a_hash_is_computed_once_for_each_credential(app, make_user, hashed):
    user, twin = (make_user("Admin", password=scrypt(1024, 4, 2)) for _ in range(2))
    hashed.clear()
    assert [status(app, user.username) for _ in range(5)] == [200] * 5
    assert hashed == [1024]
    assert status(app, twin.username) == 200  # the same hash, but another name
    assert hashed == [1024, 1024]


def test_a_wrong_password_is_computed_every_time(app, make_user, hashed):
    user = make_user("Admin", password=scrypt(1024, 4, 2))
    hashed.clear()
    assert [status(app, user.username, "wrong") for _ in range(3)] == [401] * 3
    assert hashed == [1024] * 3


def test_an_unknown_or_inactive_user_costs_as_much_as_a_wrong_password(app, make_user, hashed):
    inactive = make_user("Admin", active=False, password=scrypt(1024, 4, 2))
    hashed.clear()
    assert status(app, "nobody") == 401
    assert status(app, inactive.username) == 401
    assert hashed == [600_000, 600_000]  # what Windsock takes for a new password


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
        "Basic " + base64.b64encode(b"a\0b:c\0d").decode(),
        "Basic " + base64.b64encode(b":").decode(),
        "Basic " + base64.b64encode(b"x" * 100_000 + b":y").decode(),
        "Bearer abc",
        "Digest username=x",
        "basic",
        "\x00",
    ],
)
def test_a_header_that_holds_no_credentials_is_refused(header, stranger):
    assert_problem(stranger.get(f"{API}/pools", headers={"Authorization": header}), 401)


def test_the_word_basic_is_taken_in_any_case(make_user, stranger):
    header = credentials(make_user("Admin").username)
    for scheme in ("basic", "BASIC"):
        response = stranger.get(f"{API}/pools", headers={"Authorization": header.replace("Basic", scheme)})
        assert response.status_code == 200


def test_a_password_appears_in_no_answer(app, make_user):
    response = signed_in(app, make_user("Admin").username, "a secret word").get(f"{API}/pools")
    assert "a secret word" not in response.get_data(as_text=True) + str(response.headers)
