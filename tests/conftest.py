"""An application over a real database; whatever a test writes is undone when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session

import factories
from clients import PASSWORD_HASH, SETTINGS, signed_in
from databases import KINDS, engine_of, fresh
from windsock import migrate, spec
from windsock.app import create_app
from windsock.config import Config
from windsock.context import KEY
from windsock.db import Database
from windsock.models import User
from windsock.models.token import token_table

Add = Callable[..., Any]
AsUser = Callable[..., FlaskClient]
MakeApp = Callable[..., Flask]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that needs a database once on each of WINDSOCK_TEST_DATABASES."""
    if "database_kind" in metafunc.fixturenames:
        metafunc.parametrize("database_kind", KINDS, scope="session", indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect those tests to fail on MySQL that ask for more than its tables can hold."""
    limits = yaml.safe_load((Path(__file__).parent / "data" / "mysql_limits.yaml").read_text("utf-8"))
    reasons = {name: reason for reason, names in limits.items() for name in names}
    for item in items:
        if item.name in reasons:
            item.add_marker(pytest.mark.xfail(reason=reasons[item.name], strict=True))


@pytest.fixture(scope="session")
def database_kind(request: pytest.FixtureRequest) -> str:
    """`sqlite`, `postgres` or `mysql`."""
    return request.param


@pytest.fixture(scope="session")
def engine(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A database as `windsock db init` makes it."""
    with fresh(database_kind, tmp_path_factory.mktemp("database")) as url:
        engine = engine_of(url)
        if database_kind == "sqlite":
            event.listen(engine, "connect", _leave_transactions_to_us)
            event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        migrate.init(engine)
        if database_kind == "mysql":
            token_table.create(engine)  # a test that made it would commit, and could not be undone
        yield engine
        engine.dispose()


def _leave_transactions_to_us(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # else the driver commits behind our back and savepoints are lost
    connection.execute("PRAGMA foreign_keys=ON")


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A connection inside a transaction that is rolled back."""
    with engine.connect() as connection, connection.begin() as outer:
        yield connection
        outer.rollback()


@pytest.fixture
def session(connection: Connection) -> Iterator[Session]:
    """A session on the connection that the application reads, too."""
    with Session(connection, join_transaction_mode="create_savepoint", expire_on_commit=False) as session:
        yield session


@pytest.fixture
def add(session: Session) -> Add:
    """`add(row, ...)` stores rows in this order and returns the first one."""

    def add(*rows: Any) -> Any:
        for row in rows:
            session.add(row)
            session.flush()
        session.commit()
        return rows[0] if rows else None

    return add


@pytest.fixture(scope="session")
def shared_app(engine: Engine) -> Flask:
    """The application with the settings of the tests; `app` gives it the connection of one test."""
    return create_app(Config(SETTINGS), Database(engine))


@pytest.fixture
def app(shared_app: Flask, connection: Connection) -> Flask:
    """The application; its database is this test's connection."""
    shared_app.extensions[KEY].database = Database(connection)
    return shared_app


@pytest.fixture
def make_app(connection: Connection) -> MakeApp:
    """`make_app({(section, key): value})` builds an application with further settings on this test's connection."""
    return lambda settings=(): create_app(Config({**SETTINGS, **dict(settings)}), Database(connection))


@pytest.fixture
def make_user(session: Session) -> Callable[..., User]:
    """`make_user("Viewer", permissions=["DAGs.can_read", "DAG:mine.can_read"])`: roles that exist, rights beside."""

    def make_user(*roles: str, permissions: Any = (), **columns: Any) -> User:
        user = factories.user(**{"password": PASSWORD_HASH, "last_login": factories.counted(), **columns})
        user.roles = factories.existing_roles(session, roles)
        if permissions:
            user.roles.append(factories.role(permissions=factories.permissions(session, permissions)))
        session.add(user)
        session.commit()
        return user

    return make_user


@pytest.fixture
def as_user(app: Flask, make_user: Callable[..., User]) -> AsUser:
    """A client for a new user; takes what `make_user` takes. Without roles and permissions the user may nothing."""

    def as_user(*roles: str, permissions: Any = (), of: Flask | None = None, **columns: Any) -> FlaskClient:
        return signed_in(of or app, make_user(*roles, permissions=permissions, **columns).username)

    return as_user


@pytest.fixture
def client(as_user: AsUser) -> FlaskClient:
    """A client with the rights of the role Admin."""
    return as_user("Admin")


@pytest.fixture
def stranger(app: Flask) -> FlaskClient:
    """A client without credentials."""
    return app.test_client()


@pytest.fixture
def statements(engine: Engine) -> Callable[[], AbstractContextManager[list[str]]]:
    """`with statements() as seen:` collects the SQL statements that are sent meanwhile."""

    @contextmanager
    def statements() -> Iterator[list[str]]:
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        event.listen(engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            event.remove(engine, "before_cursor_execute", note)

    return statements


@pytest.fixture
def broken_document(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The document's data, to be damaged; everything that was read from it is forgotten before and after."""
    damaged = orjson.loads(orjson.dumps(spec.lean()))
    for function in (spec.lean, spec.operations):
        function.cache_clear()
    monkeypatch.setattr(spec, "written", lambda: damaged)
    yield damaged
    for function in (spec.lean, spec.operations):
        function.cache_clear()
