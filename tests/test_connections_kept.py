"""Connections of the database that requests pass on to each other beside the pool."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from changes import USERNAME, filled
from clients import API, SETTINGS, signed_in
from databases import KINDS
from windsock.app import create_app
from windsock.config import Config

CLIENTS, TIMES = 8, 20
#: Fewer connections than clients.
SMALL = {("database", "sql_alchemy_pool_size"): 2, ("database", "sql_alchemy_max_overflow"): 0}


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with filled(request.param, tmp_path) as engine:
        yield engine


@pytest.fixture
def app(database: Engine) -> Flask:
    url = database.url.render_as_string(hide_password=False)
    return create_app(Config({**SETTINGS, **SMALL, ("database", "sql_alchemy_conn"): url}))


def ask_at_once(app: Flask) -> list[tuple[int, str]]:
    """Status and body of many requests of several clients; for the health, a connection comes from the pool."""

    def ask(number: int) -> list[tuple[int, str]]:
        client = signed_in(app, USERNAME)
        answers = [client.get(f"{API}/{('pools', 'health')[(number + time) % 2]}") for time in range(TIMES)]
        return [(answer.status_code, answer.text) for answer in answers]

    with ThreadPoolExecutor(CLIENTS) as threads:
        return [answer for answers in threads.map(ask, range(CLIENTS)) for answer in answers]


def test_more_clients_than_connections_are_all_answered(app):
    answers = ask_at_once(app)
    assert len(answers) == CLIENTS * TIMES
    assert {status for status, _ in answers} == {200}
    healths = [body for _, body in answers if "metadatabase" in body]
    assert len(healths) == CLIENTS * TIMES // 2
    assert all('"metadatabase":{"status":"healthy"}' in body for body in healths)


def test_reads_go_on_after_the_database_has_closed_every_connection(app, database):
    if database.dialect.name != "postgresql":
        pytest.skip("a way to close them is known for PostgreSQL")
    ask_at_once(app)
    with database.connect() as connection:
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        closed = connection.execute(text(f"SELECT count(pg_terminate_backend(pid)) {others}")).scalar_one()
    assert closed > 0
    assert {status for status, _ in ask_at_once(app)} == {200}
