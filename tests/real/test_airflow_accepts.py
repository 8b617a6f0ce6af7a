"""A real Airflow 2.11.2 accepts the databases that Windsock creates. Needs $WINDSOCK_AIRFLOW_BIN: the executable
`airflow` or the directory that holds it (`tox -e airflow` provides it, with Airflow in an environment of its own).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, func, insert, select

from databases import KINDS, postgres
from windsock import migrate
from windsock.models import Dag, Role
from windsock.security_defaults import DEFAULT_ROLES

AIRFLOW = os.environ.get("WINDSOCK_AIRFLOW_BIN", "")
pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not AIRFLOW, reason="$WINDSOCK_AIRFLOW_BIN names no airflow executable"),
]

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
    with engine.begin() as connection:
        limits = {"max_active_tasks": 16, "max_consecutive_failed_dag_runs": 0, "has_task_concurrency_limits": False}
        connection.execute(
            insert(Dag).values(dag_id="from_windsock", is_active=True, is_paused=False, fileloc="/dags/a.py", **limits)
        )
    engine.dispose()
    return url


@pytest.fixture(scope="module")
def airflow(url: URL, tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """Run an airflow command on the database and return its standard output; it must succeed."""
    home = tmp_path_factory.mktemp("home")
    (home / "dags").mkdir()
    (home / "dags" / "one.py").write_text(
        "from airflow import DAG\nfrom airflow.operators.empty import EmptyOperator\n"
        "with DAG('one', schedule='@daily', tags=['t'], catchup=False):\n    EmptyOperator(task_id='task')\n"
    )
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


def test_airflow_reads_a_dag_that_windsock_wrote(airflow: Airflow) -> None:
    assert _rows(airflow("dags", "details", "from_windsock", "--output", "json"))


def test_airflow_writes_and_runs_a_dag(airflow: Airflow, url: URL) -> None:
    airflow("dags", "reserialize")
    airflow("dags", "test", "one", "2026-01-01")
    airflow("users", "create", *_options(username="u", firstname="F", lastname="L", role="Op", email="e", password="p"))
    airflow("db", "migrate")  # finds nothing to do, and synchronises the permissions
    assert migrate.check(create_engine(url)) == migrate.REVISION


def test_airflow_has_left_the_default_roles_as_they_were(airflow: Airflow, url: URL) -> None:
    with create_engine(url).connect() as connection:
        assert connection.scalar(select(func.count()).select_from(Role)) == len(DEFAULT_ROLES)


def _options(**values: str) -> list[str]:
    return [part for name, value in values.items() for part in (f"--{name}", value)]


def _rows(output: str) -> list[dict[str, str]]:
    # Warnings may come before the JSON on standard output.
    rows = json.loads(output[output.index("\n[") + 1 if "\n[" in output else output.index("[") :])
    assert isinstance(rows, list)
    return rows
