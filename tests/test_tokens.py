"""Windsock's own bearer tokens: what a command prints, whom a token lets in, and what ends it."""

from __future__ import annotations

import hashlib
import json
import re
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy import URL, Connection, Engine, create_engine, inspect, select, text, update

from clients import API, PASSWORD_HASH, SETTINGS, credentials, signed_in
from databases import KINDS, engine_of, fresh
from problems import assert_problem
from windsock import accounts, migrate, tokens, tokentext
from windsock.app import create_app
from windsock.cli import main
from windsock.config import Config, ConfigError
from windsock.context import KEY as KEY_OF_APP
from windsock.db import Database
from windsock.models import User
from windsock.models.token import token_table
from windsock.parameters import date_time

TAKEN = {("api", "auth_backends"): "token"}
KEY = ("webserver", "secret_key")
OLD_KEYS = ("windsock", "old_secret_keys")
NEW_POOL = {"name": "new", "slots": 1, "include_deferred": False}
CHALLENGE = 'Bearer realm="Windsock"'


@pytest.fixture(scope="module")
def app_of_module(engine: Engine) -> Flask:
    return create_app(Config({**SETTINGS, **TAKEN}), Database(engine))


@pytest.fixture
def app(app_of_module: Flask, connection: Connection) -> Flask:
    """Takes tokens only."""
    app_of_module.extensions[KEY_OF_APP].database = Database(connection)
    return app_of_module


@pytest.fixture
def issue(connection: Connection) -> Any:
    """`issue(user, days=1, read_only=True)`: the text of a token, signed with the key of the tests or another."""

    def issue(user: User, key: str = SETTINGS[KEY], days: float = 1, **more: Any) -> str:
        wanted = tokens.Wanted(user.username, timedelta(days=days), **more)
        return tokens.make(connection, Config({KEY: key}), wanted).text

    return issue


def ask(app: Flask, token: str, path: str = "/pools", **how: Any) -> Any:
    return app.test_client().open(API + path, headers={"Authorization": f"Bearer {token}"}, **how)


def only_row(connection: Connection) -> Any:
    return connection.execute(select(token_table)).one()


# ---------------------------------------------------------------- who comes in
def test_a_token_gives_the_rights_of_its_user(app, make_user, issue):
    token = issue(make_user("Viewer"))
    assert ask(app, token).status_code == 200
    assert_problem(ask(app, token, method="POST", json=NEW_POOL), 403, "Pools.can_create")


def test_a_token_of_an_administrator_may_change_things_and_is_logged_under_their_name(app, make_user, issue):
    user = make_user("Admin")
    token = issue(user)
    assert ask(app, token, method="POST", json=NEW_POOL).status_code == 201
    (row,) = ask(app, token, "/eventLogs?event=api.post_pool").get_json()["event_logs"]
    assert row["owner"] == user.username


def test_a_token_that_may_only_read_is_refused_every_change(app, make_user, issue):
    token = issue(make_user("Admin"), read_only=True)
    assert ask(app, token).status_code == 200
    assert ask(app, token, "/dags/~/dagRuns/list", method="POST", json={}).status_code == 200
    for method in ("POST", "PATCH", "DELETE"):
        path = "/pools" if method == "POST" else "/pools/default_pool"
        assert_problem(ask(app, token, path, method=method, json=NEW_POOL), 403, "only read")


def test_tokens_and_passwords_work_beside_each_other(make_app, make_user, issue):
    app, user = make_app({("api", "auth_backends"): "airflow.api.auth.backend.basic_auth,token"}), make_user("Admin")
    assert ask(app, issue(user)).status_code == 200
    assert signed_in(app, user.username).get(f"{API}/pools").status_code == 200
    refused = ask(app, "nonsense")
    assert_problem(refused, 401)
    basic, bearer = refused.headers.getlist("WWW-Authenticate")
    assert basic.startswith("Basic ") and bearer == f'{CHALLENGE}, error="invalid_token"'


@pytest.mark.parametrize("name", ["token", "windsock.auth.token"])
def test_the_back_end_has_a_short_name_and_a_long_one(name, make_app, make_user, issue):
    assert ask(make_app({("api", "auth_backends"): name}), issue(make_user("Admin"))).status_code == 200


def test_a_token_is_taken_by_the_back_end_only(make_app, make_user, issue):
    token = issue(make_user("Admin"))
    others = "airflow.api.auth.backend.basic_auth,airflow.api.auth.backend.session"
    assert_problem(ask(make_app({("api", "auth_backends"): others}), token), 401)


def test_a_stranger_is_told_that_a_token_would_help(app):
    response = app.test_client().get(f"{API}/pools")
    assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"] == CHALLENGE


# ---------------------------------------------------------------- what is no token
def damage(token: str) -> dict[str, str]:
    signed, _, signature = token.rpartition(".")
    return {
        "nothing": "",
        "a blank": " ",
        "the prefix": tokentext.PREFIX,
        "the prefix and dots": tokentext.PREFIX + "....",
        "no prefix": token.removeprefix(tokentext.PREFIX),
        "no signature": signed,
        "an empty signature": signed + ".",
        "another signature": signed + "." + "A" * len(signature),
        "a character less": token[:-1],
        "a character more": token + "A",
        "another content": token[:8] + ("A" if token[8] != "A" else "B") + token[9:],
        "twice": token + token,
        "a session cookie's signature": "eefc6195-e73a-480c-b496-4aa31f9c06d8.abc",
        "a JWT without algorithm": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
        "compressed nonsense": tokentext.PREFIX + ".eJwDAAAAAAE.AAAA",
        "bytes that are no text": "\xff\xfe\x00",
        "parameters": 'token="x", realm="y"',
        "much": "x" * 100_000,
        "much with a prefix": tokentext.PREFIX + "x." * 50_000,
    }


@pytest.mark.parametrize("how", damage("x." * 9))
def test_a_damaged_token_is_refused_without_a_look_at_the_database(how, app, make_user, issue, statements):
    bad = damage(issue(make_user("Admin")))[how]
    with statements() as seen:
        response = ask(app, bad)
    assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"] == f'{CHALLENGE}, error="invalid_token"'
    assert seen == []


@pytest.mark.parametrize("header", ["Bearer", "bearer", "Bearer:x", "Bearer\tx", "Token x", "", "Bearer  "])
def test_a_damaged_header_is_refused(header, app, make_user, issue):
    issue(make_user("Admin"))
    assert_problem(app.test_client().get(f"{API}/pools", headers={"Authorization": header}), 401)


def test_a_token_is_no_password_nor_part_of_the_url(make_app, make_user, issue):
    app, user = make_app({("api", "auth_backends"): "airflow.api.auth.backend.basic_auth,token"}), make_user("Admin")
    token = issue(user)
    header = {"Authorization": credentials(user.username, token)}
    assert_problem(app.test_client().get(f"{API}/pools", headers=header), 401)
    assert_problem(app.test_client().get(f"{API}/pools?access_token={token}"), 401)


@pytest.mark.parametrize("salt", ["itsdangerous", "windsock-token-seal", "cookie-session"])
def test_what_the_same_key_signed_for_something_else_is_no_token(salt, app, make_user, issue, connection):
    from itsdangerous import URLSafeSerializer

    user = make_user("Admin")
    issue(user)
    row = only_row(connection)
    content = [row.id, int(time.time()) + 1000, False, row.seal]
    for how in ({}, {"key_derivation": "hmac", "digest_method": hashlib.sha256}):
        forged = URLSafeSerializer(SETTINGS[KEY], salt=salt, signer_kwargs=how).dumps(content)
        assert_problem(ask(app, tokentext.PREFIX + str(forged)), 401)


# ---------------------------------------------------------------- what ends a token
def test_a_token_expires_and_costs_no_statement_any_more(app, make_user, issue, monkeypatch, statements):
    token = issue(make_user("Admin"), days=2)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * 86400 - 10)
    assert ask(app, token).status_code == 200
    monkeypatch.setattr(time, "time", lambda: now + 2 * 86400 + 1)
    with statements() as seen:
        assert_problem(ask(app, token), 401)
    assert seen == []


def test_a_revoked_token_is_refused_and_others_live_on(app, make_user, issue, connection):
    user = make_user("Admin")
    first = issue(user)
    revoked = only_row(connection).id
    second = issue(user)
    assert tokens.revoke(connection, revoked) == 1
    assert_problem(ask(app, first), 401)
    assert ask(app, second).status_code == 200
    with pytest.raises(accounts.AccountError, match=revoked):
        tokens.revoke(connection, revoked)


def test_all_tokens_of_a_user_are_revoked_and_those_of_others_are_not(app, make_user, issue, connection):
    ada, grace = make_user("Admin"), make_user("Admin")
    hers, others = [issue(ada), issue(ada)], issue(grace)
    assert tokens.revoke(connection, username=ada.username.upper()) == 2
    assert [ask(app, token).status_code for token in (*hers, others)] == [401, 401, 200]
    assert tokens.revoke(connection, username=ada.username) == 0


def test_a_token_rests_while_its_user_is_inactive(app, make_user, issue, session):
    user = make_user("Admin")
    token = issue(user)
    for active, status in ((False, 401), (None, 401), (True, 200)):
        user.active = active
        session.commit()
        assert ask(app, token).status_code == status


def _by_sql(connection: Connection, user: User) -> None:
    connection.execute(update(User).where(User.id == user.id).values(password=PASSWORD_HASH.replace("salt", "sold")))


def _by_command(connection: Connection, user: User) -> None:
    accounts.set_password(connection, user.username, "another")


def _to_none(connection: Connection, user: User) -> None:
    connection.execute(update(User).where(User.id == user.id).values(password=None))


@pytest.mark.parametrize("change", [_by_sql, _by_command, _to_none])
def test_a_new_password_ends_the_tokens_that_are_older(change, app, make_user, issue, connection):
    user = make_user("Admin")
    token = issue(user)
    change(connection, user)
    assert_problem(ask(app, token), 401)
    assert ask(app, issue(user)).status_code == 200


def test_the_same_password_set_again_ends_a_token_too(app, make_user, issue):
    user = make_user("Admin", username="ada")
    token, other = issue(user), issue(make_user("Admin"))
    body = {"password": "correct horse"}
    assert ask(app, other, "/users/ada", method="PATCH", json=body).status_code == 200
    assert_problem(ask(app, token), 401)


def test_another_change_of_a_user_ends_no_token(app, make_user, issue):
    user = make_user("Admin", username="ada")
    token = issue(user)
    body = {"first_name": "A", "username": "lovelace", "email": "l@example.com"}
    assert ask(app, token, "/users/ada", method="PATCH", json=body).status_code == 200
    assert ask(app, token, "/users/lovelace").status_code == 200


@pytest.mark.parametrize("password", [None, PASSWORD_HASH])
def test_a_token_does_not_pass_to_a_user_who_gets_the_id_of_a_deleted_one(password, app, make_user, issue, session):
    a_second_ago = datetime.now() - timedelta(seconds=1)  # MySQL keeps no fractions
    user = make_user("Admin", username="ada", password=password, created_on=a_second_ago)
    user_id, token = user.id, issue(user)
    assert ask(app, token).status_code == 200
    session.delete(user)
    session.commit()
    assert_problem(ask(app, token), 401)
    make_user("Admin", username="ada", password=password, id=user_id)
    assert_problem(ask(app, token), 401)


def test_a_user_without_the_time_of_their_creation_can_have_a_token(app, make_user, issue, session):
    user = make_user("Admin")
    for created_on in (None, "2026-01-01 00:00:00"):
        session.execute(text("UPDATE ab_user SET created_on = :at WHERE id = :id"), {"at": created_on, "id": user.id})
        session.commit()
        assert ask(app, issue(user)).status_code == 200


# ---------------------------------------------------------------- keys
def test_a_token_of_an_old_key_is_taken_while_the_key_is_named(make_app, make_user, issue):
    user = make_user("Admin")
    old, older, new = issue(user, key="old"), issue(user, key="older"), issue(user, key="new")
    rotated = make_app({**TAKEN, KEY: "new", OLD_KEYS: "old, older"})
    assert [ask(rotated, token).status_code for token in (old, older, new)] == [200, 200, 200]
    done = make_app({**TAKEN, KEY: "new"})
    assert [ask(done, token).status_code for token in (old, older, new)] == [401, 401, 200]


def test_old_keys_sign_nothing(connection, make_user, make_app):
    config = Config({KEY: "new", OLD_KEYS: "old"})
    made = tokens.make(connection, config, tokens.Wanted(make_user("Admin").username, timedelta(days=1)))
    assert ask(make_app({**TAKEN, KEY: "new"}), made.text).status_code == 200
    assert_problem(ask(make_app({**TAKEN, KEY: "old"}), made.text), 401)


@pytest.mark.parametrize("settings", [{KEY: ""}, {KEY: "", OLD_KEYS: "old"}])
def test_without_a_key_the_server_does_not_start(settings, make_app):
    with pytest.raises(ConfigError, match=r"\[webserver\] secret_key is empty"):
        make_app({**TAKEN, **settings})


def test_the_known_default_key_is_no_old_key_either():
    with pytest.raises(ConfigError, match="publicly known"):
        Config({KEY: "x", OLD_KEYS: "y,temporary_key"}).check()


# ---------------------------------------------------------------- what it costs and keeps
def test_a_request_with_a_token_costs_one_statement_for_the_caller_and_writes_nothing(
    app, make_user, issue, statements
):
    token = issue(make_user("Admin", last_login=None))
    ask(app, token)
    with statements() as seen:
        assert ask(app, token).status_code == 200
    assert len([sql for sql in seen if "windsock_token" in sql]) == 1
    assert len([sql for sql in seen if "ab_user" in sql]) == 1
    assert not any(sql.startswith(("UPDATE", "INSERT", "DELETE", "SAVEPOINT")) for sql in seen)


def test_logins_are_not_counted(app, make_user, issue, session):
    user = make_user("Admin", login_count=7, last_login=None)
    ask(app, issue(user))
    ask(app, "nonsense")
    session.refresh(user)
    assert (user.login_count, user.last_login, user.fail_login_count) == (7, None, 0)


def test_the_table_keeps_neither_the_text_nor_the_stored_password(make_user, issue, connection):
    token = issue(make_user("Admin"), name="for the dashboard")
    row = only_row(connection)._asdict()
    kept = json.dumps(row, default=str)
    assert token not in kept and token.rpartition(".")[2] not in kept and PASSWORD_HASH not in kept
    assert row["ending"] == token[-4:] and row["name"] == "for the dashboard" and not row["read_only"]
    assert row["expires"] - row["issued"] == timedelta(days=1)


def test_a_new_token_lets_those_that_have_expired_be_forgotten(make_user, issue, connection):
    user = make_user("Admin")
    issue(user, name="expired")
    connection.execute(update(token_table).values(expires=token_table.c.issued))
    issue(user, name="new")
    assert only_row(connection).name == "new"


# ---------------------------------------------------------------- the command line, on databases of its own
@pytest.fixture(params=KINDS, scope="module")
def engine_of_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A database as `windsock db init` makes it; `url` makes it good for a test."""
    with fresh(request.param, tmp_path_factory.mktemp("tokens")) as empty:
        engine = engine_of(empty)
        migrate.init(engine)
        yield engine
        engine.dispose()


@pytest.fixture
def url(engine_of_url: Engine) -> URL:
    """It has the user ada, and no token."""
    token_table.drop(engine_of_url, checkfirst=True)
    with engine_of_url.begin() as connection:
        for table in ("ab_user_role", "ab_user"):
            connection.execute(text(f"DELETE FROM {table}"))
        ada = accounts.NewUser("ada", "sesame", "ada@example.com", "Ada", "Lovelace", "Admin")
        accounts.create_user(connection, ada)
    return engine_of_url.url


@pytest.fixture
def config_file(url: URL, tmp_path: Path) -> Path:
    file = tmp_path / "airflow.cfg"
    shown = url.render_as_string(hide_password=False)
    file.write_text(
        f"[database]\nsql_alchemy_conn = {shown}\n[webserver]\nsecret_key = {SETTINGS[KEY]}\n"
        "[api]\nauth_backends = token\n"
    )
    return file


@pytest.fixture
def windsock(config_file: Path) -> Any:
    """`windsock("tokens", "list")`: what the command printed."""
    return lambda *line: CliRunner().invoke(main, [*line, "--config", str(config_file)])


@pytest.fixture
def server(config_file: Path) -> Any:
    """The application with real connections: one for reads that commits each statement, one for changes."""
    config = Config.load(config_file, environ={})
    database = Database.from_config(config)
    yield create_app(config, database)
    database.reading.dispose()
    database.writing.dispose()


def created(windsock: Any, *options: str) -> str:
    result = windsock("tokens", "create", "--user", "ada", *options)
    assert result.exit_code == 0, result.output
    return result.stdout.removesuffix("\n")


def refused(result: Result, *words: str) -> None:
    assert result.exit_code != 0 and result.stdout == "", result.output
    assert all(word in result.stderr for word in words), result.stderr
    assert "Traceback" not in result.stderr


def test_a_created_token_stands_alone_on_standard_output_and_works_at_once(windsock, server):
    result = windsock("tokens", "create", "--user", "ADA", "--expires", "2h", "--name", "for the dashboard")
    assert re.fullmatch(r"wst_[\w.-]+\n", result.stdout), result.stdout
    assert "expires at" in result.stderr and result.stdout.strip() not in result.stderr
    assert ask(server, result.stdout.strip()).status_code == 200


def test_a_token_that_may_only_read_is_made_and_listed(windsock, server):
    token = created(windsock, "--read-only")
    assert ask(server, token).status_code == 200
    assert_problem(ask(server, token, method="POST", json=NEW_POOL), 403, "only read")
    assert [made["read_only"] for made in listed(windsock)] == [True]


@pytest.mark.parametrize(("given", "days"), [("90d", 90), ("30m", 1 / 48), ("12h", 0.5), ("4w", 28), (None, 90)])
def test_a_token_lives_as_long_as_it_is_told(given, days, windsock, engine_of_url):
    created(windsock, *(("--expires", given) if given else ()))
    with engine_of_url.connect() as connection:
        row = only_row(connection)
    assert row.expires - row.issued == timedelta(days=days)


@pytest.mark.parametrize("given", ["90", "d", "-1d", "1.5d", "1y", "", "90 days", "\u0661d"])
def test_what_is_no_time_is_refused_with_a_good_value(given):
    refused(CliRunner().invoke(main, ["tokens", "create", "--user", "ada", "--expires", given]), "12h, 90d")


@pytest.mark.parametrize("given", ["0d", "366d", "999999w"])
def test_a_token_that_expires_at_once_or_too_late_is_refused(given, windsock):
    refused(windsock("tokens", "create", "--user", "ada", "--expires", given), "at most 365 days", "max_token_days")


def test_unknown_and_inactive_users_get_no_token(windsock, engine_of_url):
    refused(windsock("tokens", "create", "--user", "nobody"), "'nobody'")
    refused(windsock("tokens", "create", "--user", "ada", "--name", "two\nlines"), "printable")
    with engine_of_url.begin() as connection:
        connection.execute(update(User).values(active=False))
    refused(windsock("tokens", "create", "--user", "ada"), "inactive")
    assert not inspect(engine_of_url).has_table("windsock_token")


def test_without_a_key_no_token_is_made(windsock, config_file):
    config_file.write_text(config_file.read_text().replace(f"secret_key = {SETTINGS[KEY]}", "secret_key ="))
    refused(windsock("tokens", "create", "--user", "ada"), "[webserver] secret_key is empty")


def listed(windsock, *arguments):
    """The tokens that `windsock tokens list` shows."""
    return json.loads(windsock("tokens", "list", "--output", "json", *arguments).stdout)


def test_tokens_are_listed_and_revoked(windsock, server):
    first, second = created(windsock, "--name", "first"), created(windsock, "--name", "second")
    by_name = {token["name"]: token for token in listed(windsock, "--user", "Ada")}
    assert by_name.keys() == {"first", "second"}
    token = by_name["first"]
    token_id, issued, expires = (token.pop(name) for name in ("id", "issued", "expires"))
    expected = {"username": "ada", "ending": first[-4:], "read_only": False, "state": "valid", "name": "first"}
    assert token == expected
    assert date_time(expires) - date_time(issued) == timedelta(days=90)
    assert windsock("tokens", "revoke", token_id).stdout == "Revoked 1 token.\n"
    assert [ask(server, token).status_code for token in (first, second)] == [401, 200]
    refused(windsock("tokens", "revoke", token_id), token_id, "tokens list")
    assert windsock("tokens", "revoke", "--user", "ada").stdout == "Revoked 1 token.\n"
    assert_problem(ask(server, second), 401)
    assert windsock("tokens", "list").stdout == ""


def test_the_list_says_which_tokens_are_dead(windsock, engine_of_url):
    created(windsock)
    for state, statements in {
        "password changed": ["UPDATE ab_user SET password = 'x'"],
        "expired": ["UPDATE windsock_token SET expires = '2026-01-01 00:00:00.000000'"],
        "user inactive": ["UPDATE ab_user SET active = false"],
        "user deleted": ["DELETE FROM ab_user_role", "DELETE FROM ab_user"],
    }.items():
        with engine_of_url.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        assert [token["state"] for token in listed(windsock)] == [state]


def test_before_the_first_token_there_is_nothing_to_list_or_revoke(windsock, engine_of_url):
    assert windsock("tokens", "list").stdout == ""
    refused(windsock("tokens", "list", "--user", "nobody"), "'nobody'")
    refused(windsock("tokens", "revoke", "abc"), "'abc'")
    assert windsock("tokens", "revoke", "--user", "ada").stdout == "Revoked 0 tokens.\n"
    for wrong in ([], ["abc", "--user", "ada"]):
        refused(windsock("tokens", "revoke", *wrong), "--user NAME")
    assert not inspect(engine_of_url).has_table("windsock_token")


def test_a_token_is_refused_where_its_table_is_gone(windsock, server, engine_of_url):
    token = created(windsock)
    assert ask(server, token).status_code == 200
    token_table.drop(engine_of_url)
    for _ in range(2):
        assert_problem(ask(server, token), 401)
    assert_problem(ask(server, token, method="POST", json=NEW_POOL), 401)
    assert ask(server, created(windsock)).status_code == 200


def test_the_table_is_outside_of_airflows_schema(windsock, engine_of_url):
    created(windsock)
    assert windsock("db", "check").exit_code == 0
    assert inspect(engine_of_url).get_foreign_keys("windsock_token") == []


#: What makes a user of the database who may create nothing, and what takes them away.
READER = {
    "postgresql": ("CREATE ROLE reader LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
    "mysql": ("CREATE USER reader",),
}
NO_READER = {"postgresql": ("DROP OWNED BY reader", "DROP ROLE reader"), "mysql": ("DROP USER reader",)}


def test_a_user_of_the_database_without_the_right_to_create_tables_is_told_what_to_do(windsock, config_file, url):
    if url.get_backend_name() == "sqlite":
        file = Path(str(url.database))
        engine = create_engine(f"sqlite:///file:{file}?mode=ro&uri=true")
        with engine.connect() as connection, pytest.raises(accounts.AccountError, match="cannot be created"):
            config = Config.load(config_file, environ={})
            tokens.make(connection, config, tokens.Wanted("ada", timedelta(days=1)))
        return
    engine, whole = engine_of(url), config_file.read_text()
    as_reader = url.set(username="reader", password=None).render_as_string()
    config_of_reader = whole.replace(url.render_as_string(hide_password=False), as_reader)
    quote = engine.dialect.identifier_preparer.quote
    with engine.begin() as connection:
        for statement in READER[engine.dialect.name]:
            connection.exec_driver_sql(statement)
        for table in inspect(connection).get_table_names():
            connection.exec_driver_sql(f"GRANT SELECT ON {quote(table)} TO reader")
    try:
        config_file.write_text(config_of_reader)
        refused(windsock("tokens", "create", "--user", "ada"), "windsock_token cannot be created", "denied")
        config_file.write_text(whole)
        token = created(windsock)
        config_file.write_text(config_of_reader)
        config = Config.load(config_file, environ={})
        database = Database.from_config(config)
        assert_problem(ask(create_app(config, database), token), 401)
        with engine.begin() as connection:
            connection.exec_driver_sql("GRANT SELECT ON windsock_token TO reader")
        assert ask(create_app(config, database), token).status_code == 200
        database.reading.dispose()
    finally:
        with engine.begin() as connection:
            for statement in NO_READER[engine.dialect.name]:
                connection.exec_driver_sql(statement)
        engine.dispose()
