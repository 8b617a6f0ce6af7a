"""Databases of Airflow 2.5 to 2.9 are read as far as their columns go; no request fails for what they lack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, inspect, text

import factories as f
from changes import CHANGES, USERNAME, content, fill
from clients import API, SETTINGS, signed_in
from databases import KINDS, engine_of, fresh
from problems import assert_problem
from walks import LISTS, ask, plural_of, walk
from windsock import migrate, spec
from windsock.app import create_app
from windsock.config import Config
from windsock.context import KEY
from windsock.revisions import RELEASES, Release, find
from windsock.spec import Operation, properties
from worlds import World

OLDER = RELEASES[:-1]
#: What a setting has to allow first.
SWITCHED_OFF = {"get_config", "get_value", "test_connection"}
READS = [o for o in spec.operations().values() if not o.audit and o.id not in SWITCHED_OFF]
#: Earlier tries, which were not kept before 2.10.
TRIES = {"get_task_instance_try_details", "get_mapped_task_instance_try_details"}
#: Changes that only databases of 2.10 and later take.
TOO_NEW = {name for name in CHANGES if spec.operations()[name].since}


class Older(NamedTuple):
    """An application over a database as that release of Airflow leaves it."""

    version: str
    revision: str
    client: FlaskClient
    engine: Engine


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", params=OLDER, ids=lambda release: release.version)
def older(request: pytest.FixtureRequest, kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Older]:
    with fresh(kind, tmp_path_factory.mktemp("older")) as url:
        engine = engine_of(url)
        fill(engine)
        downgrade(engine, request.param)
        place = {("database", "sql_alchemy_conn"): url.render_as_string(hide_password=False)}
        app = create_app(Config({**SETTINGS, **place}))
        yield Older(request.param.version, request.param.revisions[-1], signed_in(app, USERNAME), engine)
        for used in (engine, app.extensions[KEY].database.reading, app.extensions[KEY].database.writing):
            used.dispose()


def downgrade(engine: Engine, release: Release) -> None:
    """Take away what later releases have added, and name the revision."""
    lacking = find(release.revisions[-1])
    assert lacking is not None
    quote = engine.dialect.identifier_preparer.quote
    with engine.begin() as connection:
        for table, columns in lacking.columns.items():
            for index in inspect(connection).get_indexes(table):
                if columns.keys() & set(index["column_names"]):
                    where = f" ON {quote(table)}" if engine.dialect.name == "mysql" else ""
                    connection.exec_driver_sql(f"DROP INDEX {quote(index['name'])}{where}")
            for column in columns:
                connection.exec_driver_sql(f"ALTER TABLE {quote(table)} DROP COLUMN {column}")
        if engine.dialect.name == "postgresql":  # SQLite does not mind
            for name, kind in narrowed(release.version).items():
                table, _, column = name.partition(".")
                change = f"ALTER TABLE {quote(table)} ALTER {column} TYPE {kind} USING {column}::{kind}"
                connection.exec_driver_sql(change)
        for table in sorted(lacking.tables, key="dataset_alias".__eq__):  # which others refer to
            connection.exec_driver_sql(f"DROP TABLE {table}")
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{release.revisions[-1]}'")


def narrowed(version: str) -> dict[str, str]:
    """Columns that another type had: `airflow/migrations/versions` of 2.6, 2.8 and 2.9."""
    people = {"first_name": 64, "last_name": 64, "username": 256, "email": 256}
    changes = {
        "2.9": {"log.event": "varchar(30)", "trigger.kwargs": "json"},
        "2.8": {"connection.login": "varchar(500)", "connection.password": "varchar(5000)"},
        "2.6": {f"ab_user.{name}": f"varchar({length})" for name, length in people.items()},
    }
    return {
        name: kind
        for later in RELEASES[[release.version for release in RELEASES].index(version) + 1 :]
        for name, kind in changes.get(later.version, {}).items()
    }


def test_the_schema_is_known_and_left_alone(older):
    before = content(older.engine)
    assert migrate.check(older.engine) == older.revision
    assert content(older.engine) == before


def test_every_read_finds_what_is_there(older):
    made, wrong = World(None, f.filled), {}
    for operation in READS:
        headers = {"Accept": operation.success[1][0]}
        if operation.method == "get":
            response = older.client.get(made.url(operation), headers=headers)
        else:
            response = older.client.post(made.url(operation), json={})
        if response.status_code != (404 if operation.id in TRIES else 200):
            wrong[operation.id] = response.get_data(as_text=True)
    assert not wrong


def test_lists_are_sorted_filtered_and_walked_by_members_that_have_no_column(older):
    lacking = {name for columns in find(older.revision).columns.values() for name in columns}
    tried = set()
    for operation in LISTS:
        url, name = World(None, f.filled).url(operation), plural_of(operation)
        whole = ask(older.client, operation, url).get_json()[name]
        walked = walk(older.client, operation, url, limit=1)
        assert [item for page in walked for item in page.get_json()[name]] == whole
        for order in lacking & set(operation.sortable):
            for wanted in (order, f"-{order}"):
                found = ask(older.client, operation, url, order_by=wanted)
                assert sorted(map(str, found.get_json()[name])) == sorted(map(str, whole)), (operation.id, wanted)
                tried.add(order)
        for filtered, what in operation.filters.items():
            if what.field in lacking:
                found = ask(older.client, operation, url, **{filtered: example(operation, filtered)})
                assert (found.status_code, found.get_json()[name]) == (200, []), (operation.id, filtered)
                tried.add(what.field)
    assert {"executor", "run_id"} & lacking <= tried


def example(operation: Operation, name: str) -> Any:
    """A good value of a filter; a form takes several."""
    schemas = {p["name"]: p["schema"] for p in operation.parameters} | properties(operation.body or {})
    schema = schemas[name]
    if schema["type"] == "array":
        return [schema["items"].get("enum", ["some"])[0]]
    values = {"integer": 1, "number": 1.5, "boolean": True, "date-time": "2026-01-01T00:00:00Z"}
    return values.get(schema.get("format") or schema["type"], "some")


def test_what_came_later_is_null_or_what_a_migration_would_make_it(older):
    lacking, client = find(older.revision).columns, older.client
    dag, pool = client.get(f"{API}/dags/etl").get_json(), client.get(f"{API}/pools/kept").get_json()
    task = client.get(f"{API}/dags/etl/dagRuns/{quote(f.RUN_ID)}/taskInstances/{f.TASK_ID}").get_json()
    log = client.get(f"{API}/eventLogs").get_json()["event_logs"][0]
    assert (dag["dag_display_name"] == dag["dag_id"]) == ("dag" in lacking)
    assert pool["include_deferred"] is False
    assert task["executor"] is None
    assert (task["rendered_map_index"] is None) == ("rendered_map_index" in lacking["task_instance"])
    assert (log["run_id"] is None) == ("run_id" in lacking["log"])
    tries = client.get(f"{API}/dags/etl/dagRuns/{quote(f.RUN_ID)}/taskInstances/{f.TASK_ID}/tries").get_json()
    assert tries["total_entries"] == 1


def test_changes_that_any_scheduler_understands_are_made_and_noted(older):
    def noted() -> int:
        return int(older.client.get(f"{API}/eventLogs?limit=1").get_json()["total_entries"])

    before = noted()
    for number, name in enumerate((name for name in CHANGES if name not in TOO_NEW), 1):
        response = CHANGES[name].send(older.client)
        assert response.status_code < 300, (name, response.get_data(as_text=True))
        assert noted() == before + number, name


def test_changes_that_an_older_scheduler_would_misread_are_refused(older):
    before = content(older.engine)
    for name in TOO_NEW:
        response = CHANGES[name].send(older.client)
        assert_problem(response, 403, f"schema of {older.version}", "`airflow db migrate` with Airflow 2.10 or 2.11")
    assert content(older.engine) == before


def test_a_run_that_fails_leaves_no_task_that_an_older_scheduler_takes_for_a_success(older):
    run = older.client.post(f"{API}/dags/etl/dagRuns", json={}).get_json()["dag_run_id"]
    url = f"{API}/dags/etl/dagRuns/{quote(run)}"
    assert older.client.patch(url, json={"state": "failed"}).get_json()["state"] == "failed"
    tasks = older.client.get(f"{url}/taskInstances").get_json()["task_instances"]
    assert {task["state"] for task in tasks} == {"upstream_failed"}


def test_a_task_that_waits_for_itself_is_counted_when_its_run_ends(older):
    run = older.client.post(f"{API}/dags/etl/dagRuns", json={}).get_json()["dag_run_id"]
    with older.engine.begin() as connection:
        waits = "UPDATE task_instance SET state = 'deferred', try_number = 0 WHERE run_id = :run"
        connection.execute(text(waits), {"run": run})
    url = f"{API}/dags/etl/dagRuns/{quote(run)}"
    assert older.client.patch(url, json={"state": "success"}).get_json()["state"] == "success"
    tasks = older.client.get(f"{url}/taskInstances").get_json()["task_instances"]
    assert {(task["state"], task["try_number"]) for task in tasks} == {("success", 1)}


def test_a_value_that_has_no_column_is_refused(older):
    pool = {"name": "deferred", "slots": 1, "include_deferred": True}
    response = older.client.post(f"{API}/pools", json=pool)
    if "slot_pool" in find(older.revision).columns:
        assert_problem(response, 400, "include_deferred", f"Airflow {older.version}")
        response = older.client.post(f"{API}/pools", json=pool | {"include_deferred": False})
    assert response.status_code == 201


def test_a_text_that_a_narrower_column_has_no_room_for_is_refused(older):
    login = {"connection_id": "narrow", "conn_type": "http", "login": "x" * 600}
    response = older.client.post(f"{API}/connections", json=login)
    if "connection.login" in narrowed(older.version) and older.engine.dialect.name == "postgresql":
        assert_problem(response, 400, "character varying(500)")
    else:
        assert response.status_code == 201
