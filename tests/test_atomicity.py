"""A change happens with its audit row or not at all, wherever it is interrupted."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import create_engine, event

from changes import CHANGES, USERNAME, content, fill
from clients import SETTINGS, signed_in
from databases import fresh
from problems import assert_problem
from windsock import spec
from windsock.app import create_app
from windsock.config import Config
from windsock.context import KEY

SERVED = list(CHANGES)


class Interruption(Exception):
    """Stands for whatever can go wrong between two statements."""


@pytest.fixture(scope="module")
def url(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database of its own, whose transactions are real ones."""
    with fresh(database_kind, tmp_path_factory.mktemp("atomicity")) as found:
        yield found.render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def real_app(url: str) -> Iterator[Flask]:
    """The application with the engines that it has in production."""
    app = create_app(Config({**SETTINGS, ("database", "sql_alchemy_conn"): url}))
    fill(app.extensions[KEY].database.writing)
    yield app
    _dispose(app.extensions[KEY].database)


def _dispose(database: Any) -> None:
    database.reading.dispose()
    database.writing.dispose()


@contextmanager
def interrupted(database: Any, at: int | str, interrupt: Callable[[], Any]) -> Iterator[list[str]]:
    """Call `interrupt` before the statement of this number, or with this text; yields what was sent, commits too."""
    sent: list[str] = []

    def count(what: str) -> None:
        sent.append(what)
        if at in (len(sent), what):
            interrupt()

    def statement(_connection: Any, _cursor: Any, what: str, *_: Any) -> None:
        count(what)

    def commit(_: Any) -> None:
        count("COMMIT")

    hooks = [(engine, "before_cursor_execute", statement) for engine in (database.reading, database.writing)]
    hooks.append((database.writing, "commit", commit))
    for hook in hooks:
        event.listen(*hook)
    try:
        yield sent
    finally:
        for hook in hooks:
            event.remove(*hook)


def _raise() -> None:
    raise Interruption


def test_every_operation_that_changes_something_has_a_request_here():
    changing = {operation.id for operation in spec.operations().values() if operation.audit}
    assert changing == CHANGES.keys()


@pytest.mark.parametrize("name", SERVED)
def test_a_change_that_fails_at_any_statement_leaves_every_table_as_it_was(name, real_app):
    database, client = real_app.extensions[KEY].database, signed_in(real_app, USERNAME)
    before = content(database.writing)
    with interrupted(database, "COMMIT", _raise) as sent:
        assert_problem(CHANGES[name].send(client), 500)
    assert sent.count("COMMIT") == 1 and sent[-1] == "COMMIT"
    for at in range(1, len(sent)):
        with interrupted(database, at, _raise):
            assert_problem(CHANGES[name].send(client), 500)
    assert content(database.writing) == before

    answer = CHANGES[name].send(client)
    assert answer.status_code < 300, answer.get_data(as_text=True)
    after = content(database.writing)
    assert len(after["log"]) == len(before["log"]) + 1
    assert {table for table in after if after[table] != before[table]} > {"log"}


# ---------------------------------------------------------------- killing
@pytest.fixture(scope="module")
def lonely_app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """An application on SQLite that this process never lets connect, so that a child can."""
    url = f"sqlite:///{tmp_path_factory.mktemp('killing')}/airflow.db"
    engine = create_engine(url)
    fill(engine)
    engine.dispose()
    return create_app(Config({**SETTINGS, ("database", "sql_alchemy_conn"): url}))


def killed(app: Flask, name: str, at: int) -> bool:
    """Send the request in a process that is killed before that statement; whether it came to this."""
    child = os.fork()
    if child == 0:
        status = 500
        try:
            with interrupted(app.extensions[KEY].database, at, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                status = CHANGES[name].send(signed_in(app, USERNAME)).status_code
        finally:
            os._exit(0 if status < 300 else 1)
    _, how = os.waitpid(child, 0)
    assert os.WIFSIGNALED(how) or os.WEXITSTATUS(how) == 0
    return os.WIFSIGNALED(how)


@pytest.mark.parametrize("name", ["patch_pool", "delete_dag", "post_dag_run", "post_clear_task_instances"])
def test_a_worker_that_is_killed_between_two_statements_leaves_nothing_or_everything(name, lonely_app):
    engine = create_engine(lonely_app.extensions[KEY].config.database_url)
    before, at = content(engine), 1
    while killed(lonely_app, name, at):
        assert content(engine) == before, f"after a kill before statement {at}"
        at += 1
    after = content(engine)
    engine.dispose()
    assert at > 5
    assert len(after["log"]) == len(before["log"]) + 1
    assert {table for table in after if after[table] != before[table]} > {"log"}
