"""What is peculiar to MySQL and MariaDB: the tables as Airflow makes them there, and what those cannot hold.

The records tests/data/schema_mariadb.yaml and schema_mysql.yaml are what `facts` says of databases that Airflow 2.10.5,
whose schema is that of 2.11, made on MariaDB 10.11 and on MySQL 9.7.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask
from sqlalchemy import Engine, insert, literal, select, text
from sqlalchemy.orm import Session

import factories as f
from changes import USERNAME, filled
from clients import API, PASSWORD_HASH, SETTINGS, signed_in
from databases import KINDS, engine_of, fresh
from problems import assert_problem
from windsock import migrate
from windsock.app import create_app
from windsock.config import Config
from windsock.context import KEY
from windsock.models import Action, Permission, Resource, role_permission

if "mysql" not in KINDS:
    pytest.skip("MySQL is not among $WINDSOCK_TEST_DATABASES", allow_module_level=True)

_COLUMNS = """
SELECT table_name, column_name, concat_ws(' ', column_type, collation_name, if(is_nullable = 'YES', 'null', 'not null'),
    if(column_default = 'NULL', NULL, concat('default ', if(column_default = '-(1)', '-1', column_default))),
    nullif(replace(extra, 'DEFAULT_GENERATED', ''), ''))
FROM information_schema.columns WHERE table_schema = database()"""
_KEYS = """
SELECT table_name, index_name,
    concat(if(non_unique, 'index ', 'unique '), group_concat(column_name ORDER BY seq_in_index))
FROM information_schema.statistics WHERE table_schema = database() GROUP BY table_name, index_name, non_unique"""
_REFERENCES = """
SELECT k.table_name, k.constraint_name, concat(group_concat(k.column_name ORDER BY k.ordinal_position), ' -> ',
    k.referenced_table_name, ' ', group_concat(k.referenced_column_name ORDER BY k.ordinal_position),
    ' on delete ', r.delete_rule, ' on update ', r.update_rule)
FROM information_schema.key_column_usage k JOIN information_schema.referential_constraints r
    ON (r.constraint_schema, r.constraint_name, r.table_name) = (k.table_schema, k.constraint_name, k.table_name)
WHERE k.table_schema = database() GROUP BY k.table_name, k.constraint_name, k.referenced_table_name, r.delete_rule,
    r.update_rule"""
_CHECKS = """
SELECT t.table_name, t.constraint_name, c.check_clause FROM information_schema.table_constraints t
JOIN information_schema.check_constraints c USING (constraint_schema, constraint_name)
WHERE t.constraint_schema = database() AND t.constraint_type = 'CHECK' AND c.check_clause NOT LIKE 'json_valid%'"""
#: The one name that differs: on MySQL, a library of Airflow's makes this table and leaves the name to the server.
_RENAMED = {"session_id": "session_session_id_key"}


@pytest.fixture(autouse=True)
def only_here(database_kind: str) -> None:
    """For runs on several databases."""
    if database_kind != "mysql":
        pytest.skip("for MySQL")


def facts(engine: Engine) -> dict[str, dict[str, dict[str, str]]]:
    """Table -> columns, keys, references and checks -> name -> what it is."""
    found: Any = defaultdict(lambda: defaultdict(dict))
    queries = {"columns": _COLUMNS, "keys": _KEYS, "references": _REFERENCES, "checks": _CHECKS}
    with engine.connect() as connection:
        for kind, query in queries.items():
            for table, name, what in connection.execute(text(query)):
                found[table][kind][name] = what
    return {table: {kind: dict(names) for kind, names in kinds.items()} for table, kinds in found.items()}


def test_every_table_is_as_airflow_makes_it(tmp_path):
    with fresh("mysql", tmp_path) as url:
        engine = engine_of(url)
        migrate.init(engine)
        record = f"schema_{'mariadb' if engine.dialect.is_mariadb else 'mysql'}.yaml"  # type: ignore[attr-defined]
        recorded = yaml.safe_load((Path(__file__).parent / "data" / record).read_text("utf-8"))
        keys = recorded["session"]["keys"]
        recorded["session"]["keys"] = {_RENAMED.get(name, name): what for name, what in keys.items()}
        assert facts(engine) == recorded
        engine.dispose()


@pytest.mark.parametrize(
    ("method", "path", "body", "column"),
    [
        ("POST", "dags/etl/dagRuns", {"logical_date": "2999-01-01T00:00:00Z"}, "execution_date"),
        ("POST", "dags/etl/dagRuns", {"conf": {"a": "x" * 70_000}}, "conf"),
        ("POST", "connections", {"connection_id": "c", "conn_type": "http", "extra": "x" * 70_000}, "extra"),
    ],
)
def test_what_a_column_cannot_hold_is_refused_by_its_name(method, path, body, column, client, add):
    add(f.dag(), f.serialized_dag())
    response = client.open(f"{API}/{path}", method=method, json=body)
    assert_problem(response, 400, f"column {column!r}")
    assert client.get(f"{API}/dags").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "dags/horse 🐴", None),
        ("DELETE", "dags/horse 🐴", None),
        ("GET", "dags?dag_id_pattern=🐴", None),
        ("GET", "eventLogs?dag_id=🐴", None),
        ("GET", "datasets?uri_pattern=ř", None),
        ("POST", "dags/~/dagRuns/list", {"dag_ids": ["etl", "horse 🐴"]}),
        ("POST", "dags/etl/dagRuns", {"dag_run_id": "horse 🐴"}),
    ],
)
def test_a_letter_that_a_column_cannot_have_is_refused(method, path, body, client, add):
    add(f.dag(), f.serialized_dag())
    response = client.open(f"{API}/{path}", method=method, json=body)
    assert_problem(response, 400, "character set")
    assert client.get(f"{API}/dags").status_code == 200


def test_a_long_text_is_stored_and_left_out_of_the_audit_log(client):
    value = "x" * 100_000
    assert client.post(f"{API}/variables", json={"key": "long", "value": value}).status_code == 201
    assert client.get(f"{API}/variables/long").get_json()["value"] == value
    (noted,) = client.get(f"{API}/eventLogs?order_by=-event_log_id&limit=1").get_json()["event_logs"]
    assert '"key": "long"' in noted["extra"] and "x" * 100 not in noted["extra"]


@pytest.fixture
def own_engines(tmp_path: Path) -> Iterator[tuple[Engine, Flask]]:
    """A filled database, and an application with the engines that it has in production."""
    with filled("mysql", tmp_path) as engine:
        url = engine.url.render_as_string(hide_password=False)
        server = create_app(Config({**SETTINGS, ("database", "sql_alchemy_conn"): url}))
        yield engine, server
        database = server.extensions[KEY].database
        database.reading.dispose(), database.writing.dispose()


def test_a_value_that_is_more_than_the_server_takes_at_once_is_refused(own_engines):
    engine, server = own_engines
    admin = signed_in(server, USERNAME)
    with engine.connect() as connection:
        most = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()
    body = {"key": "long", "value": "x" * min(most, 15_000_000)}
    assert_problem(admin.post(f"{API}/variables", json=body), 400)
    assert admin.post(f"{API}/variables", json=body | {"value": "x" * 10_000_000}).status_code == 201


def test_rights_on_thousands_of_dags_with_long_names_all_count(own_engines):
    engine, server = own_engines
    names = [f"{'x' * 230}-{number}" for number in range(5000)]  # more than a MB
    with Session(engine) as session, session.begin():
        role = f.role()
        session.add_all([f.dag(names[0]), f.dag(names[-1]), role])
        session.add(f.user("many", password=PASSWORD_HASH, last_login=f.counted(), roles=[role]))
        session.flush()
        session.execute(insert(Resource), [{"name": f"DAG:{name}"} for name in names])
        ours = Resource.name.like("DAG:xx%")
        read = select(Action.id, Resource.id).join(Resource, ours).where(Action.name == "can_read")
        session.execute(insert(Permission).from_select(["permission_id", "view_menu_id"], read))
        held = select(Permission.id, literal(role.id)).join(Resource, ours & (Resource.id == Permission.view_menu_id))
        session.execute(insert(role_permission).from_select(["permission_view_id", "role_id"], held))
    found = signed_in(server, "many").get(f"{API}/dags").get_json()
    assert [dag["dag_id"] for dag in found["dags"]] == [names[0], names[-1]] and found["total_entries"] == 2


def test_a_date_of_zeros_is_shown_as_null(client, add, connection):
    add(f.dag(), f.dag_run())
    connection.exec_driver_sql("SET sql_mode = ''")
    connection.exec_driver_sql("UPDATE dag_run SET start_date = '0000-00-00 00:00:00'")
    (run,) = client.get(f"{API}/dags/etl/dagRuns").get_json()["dag_runs"]
    assert run["start_date"] is None
