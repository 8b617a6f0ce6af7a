"""The login statistics in `ab_user`: what counts, how often it is written, and that a request never fails for them."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

import factories as f
from changes import CHANGES
from clients import API, PASSWORD_HASH, SETTINGS, signed_in
from windsock import logins, migrate
from windsock.app import create_app
from windsock.config import Config
from windsock.context import KEY
from windsock.models import User


def ask(app: Any, user: User, *password: str) -> int:
    return signed_in(app, user.username, *password).get(f"{API}/pools").status_code


@pytest.fixture
def statistics(session):
    """`statistics(user)` reads login_count, fail_login_count and last_login."""

    def read(user: User) -> tuple[Any, ...]:
        session.refresh(user)
        return user.login_count, user.fail_login_count, user.last_login

    return read


def test_a_success_counts_notes_the_local_time_and_forgets_failures(app, make_user, statistics):
    user = make_user("Admin", login_count=None, fail_login_count=7, last_login=None)
    second = timedelta(seconds=1)  # MySQL keeps no fractions here
    before = datetime.now()
    assert ask(app, user) == 200
    successes, failures, last = statistics(user)
    assert (successes, failures) == (1, 0)
    assert before - second < last < datetime.now() + second


def test_a_success_counts_again_after_a_minute_only(app, make_user, statistics, session, statements):
    user = make_user("Admin", last_login=datetime.now() - timedelta(seconds=61))
    assert [ask(app, user) for _ in range(3)] == [200] * 3
    assert statistics(user)[0] == 4
    with statements() as seen:
        ask(app, user)
    assert not any(text.startswith("UPDATE") for text in seen)
    user.last_login -= timedelta(seconds=61)
    session.commit()
    ask(app, user)
    assert statistics(user)[0] == 5


def test_workers_that_read_the_same_last_login_count_it_once(app, make_user, statistics):
    long_ago = datetime.now() - timedelta(days=1)
    user = make_user("Admin", last_login=long_ago)
    with app.app_context():
        for _ in range(3):
            logins.count_success(user)
    assert statistics(user)[0] == 4


@pytest.mark.parametrize(("ahead", "counted"), [(timedelta(hours=1), 3), (timedelta(days=400), 4)])
def test_a_last_login_ahead_of_the_clock_is_believed_for_a_day(ahead, counted, app, make_user, statistics):
    user = make_user("Admin", last_login=datetime.now() + ahead)
    assert [ask(app, user) for _ in range(2)] == [200] * 2
    assert statistics(user)[0] == counted


def test_every_wrong_password_counts(app, make_user, statistics):
    last = datetime(2026, 1, 1)
    user = make_user("Admin", login_count=None, fail_login_count=None, last_login=last)
    assert [ask(app, user, "wrong") for _ in range(3)] == [401] * 3
    assert statistics(user) == (0, 3, last)


def test_an_inactive_user_and_other_users_are_not_counted(app, make_user, statistics):
    inactive, other = make_user("Admin", active=False, last_login=None), make_user("Admin", last_login=None)
    assert [ask(app, inactive), ask(app, inactive, "wrong"), ask(app, f.user("nobody"))] == [401] * 3
    assert statistics(inactive) == statistics(other) == (3, 0, None)


def test_a_request_that_is_refused_afterwards_counts_too(app, make_user, statistics):
    user = make_user(last_login=None)
    assert ask(app, user) == 403
    assert statistics(user)[0] == 4


# ---------------------------------------------------------------- databases that refuse
@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A SQLite database with the user `writer`, who never signed in."""
    engine = create_engine(f"sqlite:///{tmp_path}/airflow.db")
    migrate.init(engine)
    with Session(engine) as session:
        admin = f.existing_roles(session, ["Admin"])
        session.add(f.user("writer", password=PASSWORD_HASH, roles=admin))
        session.commit()
    engine.dispose()
    return tmp_path / "airflow.db"


@pytest.fixture
def served(file: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The application on that file with the engines of production; the parameter ends the URL."""
    url = f"sqlite:///{getattr(request, 'param', '{}').format(file)}"
    config = Config({**SETTINGS, ("database", "sql_alchemy_conn"): url})
    app = create_app(config)
    yield app
    app.extensions[KEY].database.reading.dispose()
    app.extensions[KEY].database.writing.dispose()


def counts(file: Path) -> Any:
    query = "SELECT login_count, fail_login_count FROM ab_user WHERE username = 'writer'"
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchone()


def test_a_login_stays_counted_when_the_change_fails(served, file):
    assert signed_in(served, "writer").delete(f"{API}/pools/default_pool").status_code == 400
    assert counts(file) == (4, 0)


@pytest.mark.parametrize("served", ["file:{}?mode=ro&uri=true"], indirect=True)
def test_a_read_only_database_answers_and_the_log_says_so_once(served, file, caplog):
    with caplog.at_level(logging.WARNING):
        assert [signed_in(served, "writer").get(f"{API}/pools").status_code for _ in range(3)] == [200] * 3
        assert signed_in(served, "writer", "wrong").get(f"{API}/pools").status_code == 401
    assert counts(file) == (3, 0)
    assert [record.getMessage() for record in caplog.records if record.name == "windsock.logins"] == [
        "Logins are not counted for a minute: the database refused with 'attempt to write a readonly database'"
    ]


def test_a_locked_database_answers_soon_and_changes_wait_as_long_as_ever(served, file):
    client = signed_in(served, "writer")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert [client.get(f"{API}/pools").status_code for _ in range(3)] == [200] * 3
        assert time.monotonic() - began < 5
        other.execute("ROLLBACK")
    assert counts(file) == (3, 0)
    with served.extensions[KEY].database.writing.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
    assert CHANGES["post_pool"].send(client).status_code == 201


def test_a_user_whose_row_is_locked_is_answered_soon(engine, database_kind):
    if database_kind == "sqlite":
        pytest.skip("SQLite locks no rows")
    config = Config({**SETTINGS, ("database", "sql_alchemy_conn"): engine.url.render_as_string(hide_password=False)})
    app = create_app(config)
    with Session(engine) as session:
        user = f.user(password=PASSWORD_HASH, roles=f.existing_roles(session, ["Admin"]))
        session.add(user)
        session.commit()
        try:
            session.refresh(user, with_for_update=True)
            began = time.monotonic()
            assert [ask(app, user) for _ in range(3)] == [200] * 3
            assert time.monotonic() - began < 5
        finally:
            session.rollback()
            session.delete(user)
            session.commit()
    for source in (app.extensions[KEY].database.reading, app.extensions[KEY].database.writing):
        source.dispose()
