"""A real Airflow scheduler, of 2.5 or later, and Windsock beside each other, on one fresh PostgreSQL database.

Both read the same settings, from the same environment variables. $WINDSOCK_AIRFLOW_BIN is the executable `airflow` or
the directory that holds it; the Python of the same directory must be able to import Airflow.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.fernet import Fernet
from sqlalchemy import Engine, create_engine, text

from databases import free_port, postgres
from windsock import migrate
from windsock.accounts import NewUser, create_user

AIRFLOW = os.environ.get("WINDSOCK_AIRFLOW_BIN", "")
USER = NewUser("tester", "sesame", "tester@example.com", "Test", "Er", "Admin")
_WINDSOCK = [sys.executable, "-c", "from windsock.cli import main; main()"]
_SETTINGS = {
    "api": {"auth_backends": "airflow.api.auth.backend.basic_auth"},
    "core": {
        "executor": "LocalExecutor",
        "load_examples": "False",
        "parallelism": "8",
        "killed_task_cleanup_time": "5",
    },
    "scheduler": {
        "dag_dir_list_interval": "1",
        "job_heartbeat_sec": "1",
        "local_task_job_heartbeat_sec": "1",
        "min_file_process_interval": "20",
        "scheduler_heartbeat_sec": "1",
        "scheduler_idle_sleep_time": "0.2",
    },
    "usage_data_collection": {"enabled": "False"},
}


class Seen(NamedTuple):
    """One execution of a task, as the task itself has noted it (`dags/witness.py`)."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    value: Any


@dataclass(frozen=True)
class Beside:
    """What a test can see of the two."""

    url: str  # of Windsock's API
    home: Path  # $AIRFLOW_HOME
    engine: Engine
    scheduler: subprocess.Popen[bytes]
    environment: dict[str, str]
    version: tuple[int, int]  # of Airflow

    def seen(self, dag_id: str, run_id: str | None = None) -> list[Seen]:
        """The executions of the tasks of a DAG, or of one of its runs, in the order of their beginning."""
        file = self.home / "witness"
        lines = file.read_text().splitlines() if file.exists() else []
        noted = [Seen(*json.loads(line)) for line in lines]
        return [one for one in noted if one.dag_id == dag_id and run_id in (None, one.run_id)]

    def rows(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """The rows of a SELECT, read past Windsock."""
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(statement), values).mappings()]

    def execute(self, *statements: str) -> None:
        """Change rows past Windsock."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def scheduler_log(self) -> str:
        """What the scheduler, its DAG processor and its executor have printed."""
        return (self.home / "scheduler.log").read_text()

    def tell(self) -> str:
        """What a failure should say: the ends of both logs."""
        log = [line for line in self.scheduler_log().splitlines() if "{manager.py" not in line]
        return "\n".join([*log[-20:], *(self.home / "windsock.log").read_text().splitlines()[-10:]])

    def in_airflow(self, script: str) -> str:
        """Run a script with Airflow's own Python and return what it has printed; it must succeed."""
        command = [_beside_airflow("python"), "-W", "ignore", "-c", script]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def until(condition: Callable[[], Any], seconds: float = 40, but: Callable[[], Any] = lambda: "") -> Any:
    """Wait for a true value and return it. Raises AssertionError, with what `but` tells, after these seconds."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} seconds; {but()}"
        time.sleep(0.1)
    return value


@contextmanager
def beside(home: Path, dags: Path) -> Iterator[Beside]:
    """Start both on a new database, with a copy of these DAG files, and stop them at the end."""
    shutil.copytree(dags, home / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    with ExitStack() as stack:
        url = stack.enter_context(postgres())
        engine = create_engine(url)
        stack.callback(engine.dispose)
        environment = _environment(home, url.set(drivername="postgresql+psycopg2").render_as_string(False))
        version = _make_schema(engine, environment)
        with engine.begin() as connection:
            create_user(connection, USER)
        port = str(free_port())
        log = stack.enter_context((home / "windsock.log").open("wb"))
        serve = [*_WINDSOCK, "serve", "--port", port, "--workers", "1"]
        stack.enter_context(_process(serve, log, os.environ | environment))
        log = stack.enter_context((home / "scheduler.log").open("wb"))
        command = [_beside_airflow("airflow"), "scheduler", "--skip-serve-logs"]
        scheduler = stack.enter_context(_process(command, log, environment))
        yield Beside(f"http://127.0.0.1:{port}/api/v1", home, engine, scheduler, environment, version)


def _make_schema(engine: Engine, environment: dict[str, str]) -> tuple[int, int]:
    """Windsock's own, which is that of Airflow 2.11; an older Airflow makes its own. Returns the version of Airflow."""
    airflow = _beside_airflow("airflow")
    printed = subprocess.run([airflow, "version"], env=environment, capture_output=True, text=True, check=True).stdout
    major, minor, _ = printed.strip().split(".", 2)
    version = int(major), int(minor)
    if version >= (2, 10):
        migrate.init(engine)
    else:
        for command in (["db", "init"], ["sync-perm"]):
            subprocess.run([airflow, *command], env=environment, capture_output=True, check=True)
    return version


def _environment(home: Path, url: str) -> dict[str, str]:
    settings = {
        f"AIRFLOW__{section}__{key}".upper(): value
        for section, keys in _SETTINGS.items()
        for key, value in keys.items()
    }
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "AIRFLOW"))}
    return kept | settings | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
        "PYTHONDONTWRITEBYTECODE": "1",
        "WITNESS": str(home / "witness"),
    }  # fmt: skip


def _beside_airflow(name: str) -> str:
    place = Path(AIRFLOW) if Path(AIRFLOW).is_dir() else Path(AIRFLOW).parent
    return str(place / name)


@contextmanager
def _process(command: list[str], log: Any, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=environment["AIRFLOW_HOME"],
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)  # the scheduler waits for running tasks
        with suppress(ProcessLookupError):  # what is left of its own group
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
