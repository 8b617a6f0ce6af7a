"""What a running server logs: a line for each request, for people and for machines, at the level that is asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, create_engine

from changes import USERNAME, fill
from servers import Server, serving
from windsock.cli import main

ID = "trace-7"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A filled SQLite database: the log is the same on each."""
    engine = create_engine(f"sqlite:///{tmp_path_factory.mktemp('logs')}/airflow.db")
    fill(engine)
    engine.dispose()
    return engine


@pytest.fixture(scope="module")
def for_machines(database: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {("windsock", "log_format"): "json"}
    with serving(tmp_path_factory.mktemp("json"), database, "--workers", "1", settings=settings) as served:
        yield served


def line_of(served: Server, request_id: str) -> dict[str, Any]:
    """The line about the request with this id."""

    def found() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in served.log.read_text().splitlines()]
        return [line for line in lines if line["request_id"] == request_id]

    return served.until(found)[0]


def test_a_machine_reads_who_asked_for_what_and_what_it_cost(for_machines):
    assert for_machines.ask("/pools/kept?fields=name", **{"X-Request-Id": ID}).status == 200
    line = line_of(for_machines, ID)
    cost = {name: line.pop(name) for name in ("time", "duration_ms", "database_ms", "statements")}
    assert line == {
        "level": "INFO", "logger": "windsock.access", "message": "GET /api/v1/pools/kept 200", "request_id": ID,
        "operation": "get_pool", "method": "GET", "path": "/api/v1/pools/kept", "status": 200, "user": USERNAME,
        "address": "127.0.0.1",
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", cost["time"])
    assert 2 <= cost["statements"] <= 5 and 0 < cost["database_ms"] < cost["duration_ms"]


@pytest.mark.parametrize(
    ("path", "method", "body", "expected"),
    [
        ("/nowhere", "GET", None, ("-", 404, None)),
        ("/pools", "PUT", {}, ("-", 405, None)),
        ("/pools", "POST", {"name": "x"}, ("post_pool", 400, USERNAME)),
        ("//docs", "GET", None, ("pages.docs", 200, None)),
    ],
)
def test_what_is_refused_or_no_operation_is_told_as_well(path, method, body, expected, for_machines):
    request_id = f"odd-{method}-{path.strip('/')}"
    for_machines.ask(path, method, body, **{"X-Request-Id": request_id})
    line = line_of(for_machines, request_id)
    assert (line["operation"], line["status"], line["user"]) == expected


def test_wrong_credentials_are_nobodys_and_are_not_logged(for_machines):
    for_machines.ask("/pools", Authorization="Basic aHVudGVyMjpodW50ZXIy", **{"X-Request-Id": "stranger"})
    assert line_of(for_machines, "stranger")["user"] is None
    assert "hunter2" not in for_machines.log.read_text() and "aHVudGVyMjpodW50ZXIy" not in for_machines.log.read_text()


def test_a_query_and_a_body_are_not_logged(for_machines):
    for_machines.ask("/pools?limit=hunter3", **{"X-Request-Id": "query"})
    for_machines.ask("/variables", "POST", {"key": "a", "value": "hunter4"}, **{"X-Request-Id": "body"})
    assert line_of(for_machines, "query")["status"] == 400 and line_of(for_machines, "body")["status"] == 201
    assert "hunter" not in for_machines.log.read_text()


def test_every_line_is_one_object_whatever_a_client_puts_into_a_path(for_machines):
    for number, odd in enumerate(["%0A", "%E2%80%A8", "%C2%85", "%1B%5B2K", "%7F", "%FF", "%22%7D", "%F0%9F%A6%86"]):
        for_machines.ask(f"/pools/a{odd}b", **{"X-Request-Id": f"forged-{number}"})
        path = line_of(for_machines, f"forged-{number}")["path"]
        assert path.startswith("/api/v1/pools/a") and path.endswith("b")
    log = for_machines.log.read_text()
    assert all(
        isinstance(json.loads(line), dict) for line in re.split(r"[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", log.strip())
    )
    assert not re.search(r"[\x1b\x7f]", log)


def test_people_read_the_same_in_a_line(database, tmp_path):
    with serving(tmp_path, database, "--workers", "1") as served:
        served.ask("/pools/kept", **{"X-Request-Id": ID})
        told = rf"[\d-]+ [\d:,]+ INFO windsock\.access \[{ID}\] GET /api/v1/pools/kept -> 200 get_pool by {USERNAME}"
        served.until(
            lambda: re.search(
                rf"(?m)^{told} at 127\.0\.0\.1 in [\d.]+ ms, \d statements in [\d.]+ ms$", served.log.read_text()
            )
        )


@pytest.mark.parametrize(
    "settings", [{("windsock", "access_log"): "False"}, {("logging", "logging_level"): "WARNING"}], ids=["off", "level"]
)
def test_lines_of_requests_can_be_left_out(settings, database, tmp_path):
    with serving(tmp_path, database, "--workers", "1", settings=settings) as served:
        assert served.ask("/pools", **{"X-Request-Id": ID}).status == 200
    assert ID not in served.log.read_text() and "windsock.access" not in served.log.read_text()


@pytest.mark.parametrize(("section", "key"), [("windsock", "log_format"), ("logging", "logging_level")])
def test_an_unknown_word_stops_the_server_before_it_starts(section, key, database, tmp_path):
    config = Path(tmp_path, "airflow.cfg")
    config.write_text(f"[database]\nsql_alchemy_conn = {database.url}\n[{section}]\n{key} = loud\n")
    result = CliRunner().invoke(main, ["serve", "--config", str(config), "--port", "1"])
    assert result.exit_code == 1 and f"[{section}] {key}" in result.output
