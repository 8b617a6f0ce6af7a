"""What the tests of the rooms share: a short way to ask, Fernet tokens, and a module that nobody may import."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection

from clients import API, FERNET_KEY, SETTINGS
from windsock.app import create_app
from windsock.config import Config
from windsock.context import KEY
from windsock.db import Database

Get = Callable[..., Any]


@pytest.fixture
def get(client: FlaskClient) -> Get:
    """`get("pools", limit=1)`: the JSON that an administrator sees; `by=client` asks as somebody else."""

    def get(path: str, by: FlaskClient = client, **query: Any) -> Any:
        response = by.get(f"{API}/{path}", query_string=query)
        assert response.status_code == 200, response.get_data(as_text=True)
        return response.get_json()

    return get


@pytest.fixture
def token() -> Callable[..., str]:
    """`token("text")`: what a column holds whose text was encrypted with the key of the tests, or with `key`."""
    return lambda text, key=FERNET_KEY: Fernet(key).encrypt(text.encode()).decode()


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that could be imported; its function `spring` and its class `Boom` do no harm."""
    name = f"trap_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text("class Boom: ...\ndef spring(): return {'sprung': True}\n")
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.fixture(scope="session")
def _built() -> dict[Any, Flask]:
    return {}


@pytest.fixture
def make_app(_built: dict[Any, Flask], connection: Connection) -> Callable[..., Flask]:
    """`make_app({(section, key): value})` as for other tests, but it builds an application once for all tests."""

    def make_app(settings: dict[tuple[str, str], str]) -> Flask:
        key, database = tuple(sorted(settings.items())), Database(connection)
        if key not in _built:
            _built[key] = create_app(Config({**SETTINGS, **settings}), database)
        _built[key].extensions[KEY].database = database
        return _built[key]

    return make_app
