"""A real Airflow 2.11.2 accepts the databases that Windsock creates. Needs $WINDSOCK_AIRFLOW_BIN: the executable
`airflow` or the directory that holds it (`tox -e airflow` provides it, with Airflow in an environment of its own).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, create_engine, select
from sqlalchemy.orm import Session, joinedload

from databases import KINDS, postgres
from windsock import accounts, migrate, tokens
from windsock.config import Config
from windsock.models import Action, Dag, Permission, Resource, Role, SerializedDag, TaskInstance, User
from windsock.security_defaults import DEFAULT_ROLES

AIRFLOW = os.environ.get("WINDSOCK_AIRFLOW_BIN", "")
pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not AIRFLOW, reason="$WINDSOCK_AIRFLOW_BIN names no airflow executable"),
]

DAG_FILE = """
from datetime import datetime
from airflow import DAG
from airflow.operators.empty import EmptyOperator
with DAG("one", schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False, tags=["t"]):
    EmptyOperator(task_id="task")
"""

Airflow = Callable[..., str]


@pytest.fixture(scope="module", params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """A database that `windsock db init` has made."""
    if request.param == "sqlite":
        yield _initialised(URL.create("sqlite", database=str(tmp_path_factory.mktemp("airflow") / "airflow.db")))
    else:
        with postgres() as empty:
            yield _initialised(empty)


def _initialised(url: URL) -> URL:
    engine = create_engine(url)
    migrate.init(engine)
    engine.dispose()
    return url


@pytest.fixture(scope="module")
def airflow(url: URL, tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """Run an airflow command on the database and return its standard output; it must succeed."""
    home = tmp_path_factory.mktemp("home")
    (home / "dags").mkdir()
    (home / "dags" / "one.py").write_text(DAG_FILE)
    driver = "sqlite" if url.get_backend_name() == "sqlite" else "postgresql+psycopg2"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")} | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url.set(drivername=driver).render_as_string(hide_password=False),
    }
    executable = Path(AIRFLOW) / "airflow" if Path(AIRFLOW).is_dir() else Path(AIRFLOW)

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [str(executable), *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_airflow_finds_no_migration_to_run(airflow: Airflow) -> None:
    airflow("db", "check-migrations", "--migration-wait-timeout", "0")


def test_airflow_lists_the_default_roles(airflow: Airflow) -> None:
    assert {role["name"] for role in _rows(airflow("roles", "list", "--output", "json"))} == set(DEFAULT_ROLES)


def test_airflow_lists_its_dags(airflow: Airflow) -> None:
    assert [dag["dag_id"] for dag in _rows(airflow("dags", "list", "--output", "json"))] == ["one"]


def test_airflow_lists_the_default_pool(airflow: Airflow) -> None:
    pools = [(pool["pool"], pool["slots"]) for pool in _rows(airflow("pools", "list", "--output", "json"))]
    assert pools == [("default_pool", "128")]


def test_windsock_reads_what_airflow_writes_and_runs(airflow: Airflow, url: URL) -> None:
    airflow("dags", "reserialize")
    airflow("dags", "test", "one", "2026-01-01", "--conf", '{"a": 1}')
    with Session(create_engine(url)) as session:
        task = session.scalars(select(TaskInstance).options(joinedload(TaskInstance.dag_run))).one()
        assert (task.dag_id, task.task_id, task.state, task.executor_config) == ("one", "task", "success", {})
        assert task.dag_run.execution_date == datetime(2026, 1, 1, tzinfo=timezone.utc)
        assert task.dag_run.conf == {"a": 1}
        dag = session.scalars(select(Dag).options(joinedload(Dag.tags))).unique().one()
        assert (dag.schedule_interval, [tag.name for tag in dag.tags]) == ("@daily", ["t"])
        assert session.scalars(select(SerializedDag)).one().data["dag"]["_dag_id"] == "one"


def test_airflow_creates_a_user_with_a_default_role(airflow: Airflow, url: URL) -> None:
    airflow("users", "create", *_options(username="u", firstname="F", lastname="L", role="Op", email="e", password="p"))
    with Session(create_engine(url)) as session:
        user = session.scalars(select(User).options(joinedload(User.roles))).unique().one()
        assert (user.username, [role.name for role in user.roles]) == ("u", ["Op"])


def test_airflow_does_not_mind_the_table_of_tokens(airflow: Airflow, url: URL) -> None:
    config = Config({("webserver", "secret_key"): "a key"})
    engine = create_engine(url)
    with engine.begin() as connection:
        for name in ("stays", "goes"):
            user = accounts.NewUser(name, "password", f"{name}@example.com", "F", "L", "Op")
            accounts.create_user(connection, user)
            tokens.make(connection, config, tokens.Wanted(name, timedelta(days=1)))
    airflow("db", "check-migrations", "--migration-wait-timeout", "0")
    airflow("db", "clean", "--clean-before-timestamp", "2100-01-01", "--yes", "--skip-archive")
    airflow("users", "delete", "--username", "goes")
    with engine.begin() as connection:
        states = sorted(token.state for token in tokens.list_tokens(connection, config))
    assert states == ["user deleted", "valid"]
    engine.dispose()


def test_a_migration_by_airflow_changes_nothing(airflow: Airflow, url: URL) -> None:
    engine = create_engine(url)
    before = _permissions(engine)
    airflow("db", "migrate")
    airflow("sync-perm")
    assert migrate.check(engine) == migrate.REVISION
    assert _permissions(engine) == before
    engine.dispose()


def _permissions(engine: Engine) -> set[tuple[str, ...]]:
    query = (
        select(Role.name, Action.name, Resource.name)
        .join(Role.permissions)
        .join(Permission.action)
        .join(Permission.resource)
    )
    with engine.connect() as connection:
        return {tuple(row) for row in connection.execute(query)}


def _options(**values: str) -> list[str]:
    return [part for name, value in values.items() for part in (f"--{name}", value)]


def _rows(output: str) -> list[dict[str, str]]:
    # Log lines, which begin with a bracket too, may precede the JSON.
    rows = json.loads(next(line for line in output.splitlines() if line.startswith("[{")))
    assert isinstance(rows, list)
    return rows
