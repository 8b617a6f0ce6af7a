"""`windsock demo load`: the promised number of rows, a schema as before, and answers from every operation."""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, create_engine, func, select, text

from clients import API, FERNET_KEY, signed_in
from databases import fresh
from windsock import spec
from windsock.app import create_app
from windsock.cli import main
from windsock.config import Config
from windsock.demo.bulk_plan import SIZES, plans
from windsock.models import Base, Dag, DagRun, Log, TaskInstance

_MAPPED = "partitions_backfill"
NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
LOAD = "demo load --size S --yes --password pigeons"
_NEWEST = f"--now {NOW:%Y-%m-%dT%H:%M:%S}"
#: What says how a database is made, on each kind of database.
_SCHEMA = {
    "sqlite": ("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE tbl_name NOT LIKE 'sqlite_%'",),
    "postgresql": (
        "SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default, "
        "character_maximum_length FROM information_schema.columns WHERE table_schema = 'public'",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT conrelid::regclass::text, conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace",
    ),
}


def _config(home: Path, url: str) -> Path:
    """An airflow.cfg for this database."""
    file = home / "airflow.cfg"
    file.write_text(
        f"[core]\nfernet_key = {FERNET_KEY}\n[database]\nsql_alchemy_conn = {url}\n[webserver]\nexpose_config = True\n"
        f"secret_key = the key of the tests\n[api]\nauth_backends = airflow.api.auth.backend.basic_auth\n"
        f"[logging]\nbase_log_folder = {home}/logs\n"
    )
    return file


def _run(config: Path, line: str, **options: Any) -> Result:
    return CliRunner().invoke(main, [*shlex.split(line), "--config", str(config)], **options)


def _schema(engine: Engine) -> list[list[str]]:
    with engine.connect() as connection:
        return [sorted(map(repr, connection.execute(text(query)))) for query in _SCHEMA[engine.dialect.name]]


def _rows(engine: Engine) -> dict[str, list[str]]:
    with engine.connect() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(text(f'SELECT * FROM "{table.name}"'))))
            for table in Base.metadata.sorted_tables
        }


@pytest.fixture(scope="module")
def loaded(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A database of size S: configuration, engine, the schema before and what the command printed."""
    home = tmp_path_factory.mktemp("load")
    if database_kind == "mysql":
        pytest.skip("demo data is made with COPY or for SQLite")
    with fresh(database_kind, home) as url:
        yield _load(home, url.render_as_string(hide_password=False))


def _load(home: Path, url: str) -> SimpleNamespace:
    config, engine = _config(home, url), create_engine(url)
    assert _run(config, "db init").exit_code == 0
    before = _schema(engine)
    printed = _run(config, f"{LOAD} {_NEWEST}")
    assert printed.exit_code == 0, printed.output
    return SimpleNamespace(config=config, engine=engine, before=before, printed=printed.output)


@pytest.fixture(scope="module")
def sign_in(loaded: SimpleNamespace) -> Callable[..., Any]:
    """A client for one of the two users."""
    app = create_app(Config.load(loaded.config))
    return lambda name: signed_in(app, name, "pigeons")


def _count(loaded: SimpleNamespace, query: Any) -> Any:
    with loaded.engine.connect() as connection:
        return connection.scalar(query)


def test_the_promised_numbers_of_rows_are_there_and_the_command_says_who_may_sign_in(loaded):
    size = SIZES["S"]
    for model, wanted in ((Dag, size.dags), (DagRun, size.runs), (TaskInstance, size.instances), (Log, size.audit)):
        assert _count(loaded, select(func.count()).select_from(model)) == wanted
    assert "`all`" in loaded.printed and "`each`" in loaded.printed and "pigeons" not in loaded.printed


def test_the_schema_is_the_one_of_db_init(loaded):
    assert _schema(loaded.engine) == loaded.before
    if loaded.engine.dialect.name == "sqlite":
        with loaded.engine.connect() as connection:
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []


def test_every_read_answers_to_both_users(loaded, sign_in):
    names = _names(loaded)
    for name in ("all", "each"):
        client = sign_in(name)
        names["file_token"] = client.get(f"{API}/dags/{_MAPPED}").json["file_token"]
        for operation in spec.operations().values():
            if operation.method.upper() == "GET":
                answer = client.get(_url(operation, names))
                assert answer.status_code == 200, (name, operation.id, answer.text)
                if operation.id not in ("get_plugins", "get_providers") and answer.is_json:
                    assert answer.json.get("total_entries") != 0, operation.id


def _names(loaded: SimpleNamespace) -> dict[str, Any]:
    """Values for the paths of all reads."""
    with loaded.engine.connect() as connection:
        run = connection.execute(text(
            f"SELECT run_id FROM dag_run WHERE dag_id = '{_MAPPED}' AND state = 'success' ORDER BY id DESC LIMIT 1"
        )).one()  # fmt: skip
        queued = connection.execute(text(
            "SELECT target_dag_id, uri FROM dataset_dag_run_queue JOIN dataset ON id = dataset_id "
            "WHERE uri LIKE '%bulk%' ORDER BY 1 LIMIT 1"
        )).one()  # fmt: skip
        fed = connection.execute(text(
            "SELECT dag_id, run_id FROM dag_run JOIN dagrun_dataset_event ON dag_run_id = id ORDER BY id DESC LIMIT 1"
        )).one()  # fmt: skip
        event = connection.scalar(select(func.max(Log.id)))
    return {
        "dag_id": _MAPPED, "dag_run_id": run.run_id, "map_index": 0, "task_try_number": 1, "event_log_id": event,
        "xcom_key": "return_value", "uri": queued.uri, "import_error_id": 1050, "connection_id": "db_00001",
        "pool_name": "team_a", "variable_key": "setting_00001", "section": "core", "option": "fernet_key",
        "role_name": "Each DAG", "username": "each", "queued": queued.target_dag_id, "fed": fed,
    }  # fmt: skip


def _url(operation: spec.Operation, names: dict[str, Any]) -> str:
    mapped = "{map_index}" in operation.path or "listMapped" in operation.path
    found = {**names, "task_id": "load_partition" if mapped else "list_partitions"}
    if "queuedEvent" in operation.path:
        found["dag_id"] = names["queued"]
    if "upstream" in operation.path:
        found |= {"dag_id": names["fed"].dag_id, "dag_run_id": names["fed"].run_id}
    query = f"?dag_ids={_MAPPED}" if operation.id == "get_dag_stats" else ""
    return API + operation.path.format_map({name: quote(str(value), safe="") for name, value in found.items()}) + query


def test_each_has_grants_on_single_dags_and_sees_what_all_sees(loaded, sign_in):
    granted = sign_in("all").get(f"{API}/roles/Each%20DAG").json["actions"]
    resources = [pair["resource"]["name"] for pair in granted]
    assert sum(name.startswith("DAG:") for name in resources) == 300 and "DAGs" not in resources
    for path in ("/dags?limit=100", "/dags/~/dagRuns?limit=5", "/dags/~/dagRuns/~/taskInstances?limit=5"):
        assert sign_in("each").get(API + path).json == sign_in("all").get(API + path).json


def test_rows_that_are_created_afterwards_get_ids_of_their_own(loaded, sign_in):
    client = sign_in("all")
    for path, body in (
        ("/pools", {"name": "late", "slots": 1}),
        ("/variables", {"key": "late", "value": "1"}),
        ("/connections", {"connection_id": "late", "conn_type": "http"}),
        ("/roles", {"name": "late", "actions": []}),
        ("/datasets/events", {"dataset_uri": "s3://lake/bulk/00005.parquet"}),
        (f"/dags/{_MAPPED}/dagRuns", {"note": "late"}),
    ):
        answer = client.post(API + path, json=body)
        assert answer.status_code == 201, (path, answer.text)


def test_a_few_dags_have_most_of_the_runs_and_most_instances_have_succeeded(loaded):
    with loaded.engine.connect() as connection:
        runs = sorted(connection.scalars(select(func.count(DagRun.id)).group_by(DagRun.dag_id)), reverse=True)
        states = dict(
            connection.execute(
                select(TaskInstance.state, func.count(TaskInstance.dag_id)).group_by(TaskInstance.state)
            ).all()
        )
        longest = connection.scalar(select(func.max(TaskInstance.duration)))
        usual = connection.scalar(select(func.avg(TaskInstance.duration)))
        open_runs = set(connection.scalars(select(DagRun.state).where(DagRun.dag_id.like("%!_0%", escape="!"))))
        assert connection.scalar(select(func.max(TaskInstance.end_date))) <= NOW
    assert sum(runs[:20]) > sum(runs) / 2
    assert states["success"] > 0.9 * sum(states.values()) and states["running"] > 5
    assert longest > 20 * usual
    assert {"success", "failed", "running", "queued"} <= open_runs


def test_the_same_seed_and_moment_give_the_same_rows_and_another_seed_others(loaded, tmp_path):
    if loaded.engine.dialect.name != "sqlite":
        pytest.skip("two more databases take long; the rows are made by the same code")
    first = _rows(loaded.engine)
    for name, options, same in (("again", _NEWEST, True), ("other", f"{_NEWEST} --seed 2", False)):
        home = tmp_path / name
        home.mkdir()
        config = _config(home, f"sqlite:///{home}/airflow.db")
        _run(config, "db init")
        assert _run(config, f"{LOAD} {options}").exit_code == 0
        rows = _rows(create_engine(f"sqlite:///{home}/airflow.db"))
        for table in ("serialized_dag", "task_fail", "rendered_task_instance_fields", "xcom"):
            assert (rows[table] == first[table]) is same, table
        assert len(rows["task_instance"]) == SIZES["S"].instances


@pytest.mark.parametrize("name", SIZES)
def test_the_runs_that_are_planned_add_up_to_the_size(name):
    want = SIZES[name]
    made = list(plans(want, random.Random(7), NOW, first_dataset=1))
    assert len({plan.dag.id for plan in made}) == want.dags
    assert sum(plan.runs for plan in made) == want.runs
    instances = sum(
        sum(plan.widths) + 2 * plan.runs if plan.widths else plan.runs * plan.shape.instances for plan in made
    )
    assert instances == want.instances


def test_a_database_with_dags_is_refused_and_stays_as_it_was(loaded):
    before = _count(loaded, select(func.count()).select_from(Log))
    answer = _run(loaded.config, LOAD)
    assert answer.exit_code == 1 and answer.output.startswith("Error: The database holds DAGs already.")
    assert len(answer.output.splitlines()) == 1 and "windsock db init" in answer.output
    assert _count(loaded, select(func.count()).select_from(Log)) == before


def test_nothing_is_loaded_without_a_yes(tmp_path):
    config = _config(tmp_path, f"sqlite:///{tmp_path}/airflow.db")
    _run(config, "db init")
    answer = _run(config, "demo load --size S", input="n\n")
    assert answer.exit_code == 1 and f"sqlite:///{tmp_path}/airflow.db" in answer.output
    early = _run(config, "demo load --size S --yes --now 2026-01-05")
    assert early.exit_code == 1 and "--now 2026-06-01" in early.output
    with create_engine(f"sqlite:///{tmp_path}/airflow.db").connect() as connection:
        assert connection.scalar(select(func.count()).select_from(Dag)) == 0


def test_a_database_that_is_missing_is_named(tmp_path):
    config = _config(tmp_path, f"sqlite:///{tmp_path}/nowhere.db")
    answer = _run(config, LOAD)
    assert answer.exit_code == 1 and "nowhere.db does not exist" in answer.output
