"""What `windsock doctor` finds in an installation, and what it says to do."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.fernet import Fernet
from sqlalchemy import Engine, create_engine, insert

from clients import FERNET_KEY, SETTINGS
from clusters import free_port
from databases import KINDS, engine_of, fresh, postgres
from windsock import migrate
from windsock.accounts import NewUser, create_user
from windsock.cli import main
from windsock.crypto import Vault
from windsock.models import Variable

Doctor = Callable[..., Result]
DENY_ALL = "airflow.api.auth.backend.deny_all"
SOUND = {**SETTINGS, ("windsock", "login_rate_limit"): "10 per minute"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("made") / "airflow.db"
    _make(create_engine(f"sqlite:///{file}"))
    return file


@pytest.fixture
def database(made: Path, tmp_path: Path) -> Path:
    """A copy of it, beside a folder for logs."""
    (tmp_path / "logs").mkdir()
    file = Path(shutil.copy(made, tmp_path))
    file.chmod(0o600)
    return file


def _make(engine: Engine) -> None:
    """An installation with an administrator and an encrypted variable."""
    migrate.init(engine)
    stored, encrypted = Vault(FERNET_KEY).encrypt("x")
    with engine.begin() as connection:
        create_user(connection, NewUser("ada", "sesame", "ada@example.com", "Ada", "Admin", "Admin"))
        connection.execute(insert(Variable).values(key="secret", val=stored, is_encrypted=encrypted))
    engine.dispose()


@pytest.fixture
def doctor(database: Path, tmp_path: Path) -> Doctor:
    """`doctor({place: value}, "--output", "json")` on a sound installation but for these settings."""

    def run(settings: dict[tuple[str, str], Any] | None = None, *arguments: str, **environ: str) -> Result:
        given = {("database", "sql_alchemy_conn"): f"sqlite:///{database}", **SOUND, **(settings or {})}
        given.setdefault(("logging", "base_log_folder"), tmp_path / "logs")
        file = tmp_path / "airflow.cfg"
        sections = {section for section, _ in given}
        lines = [
            f"[{s}]\n" + "".join(f"{k} = {v}\n" for (t, k), v in given.items() if t == s) for s in sorted(sections)
        ]
        file.write_text("".join(lines))
        file.chmod(0o600)
        return CliRunner(env=environ).invoke(main, ["doctor", "--config", str(file), *arguments])

    return run


def findings(result: Result, level: str) -> list[tuple[str, str, str]]:
    found = json.loads(result.output)
    return [(one["area"], one["text"], one["fix"]) for one in found if one["level"] == level]


def test_a_sound_installation_is_all_in_order_and_the_status_is_0(doctor):
    result = doctor()
    assert result.exit_code == 0, result.output
    assert "0 wrong, 0 to look at" in result.output
    headings = [line for line in result.output.splitlines() if line and not line.startswith(" ")]
    assert headings[:7] == ["Configuration", "Packages", "Database", "Clock", "Keys", "Permissions", "Files"]


@pytest.mark.parametrize("form", ["json", "yaml", "table"])
def test_machines_read_the_same(form, doctor):
    result = doctor({}, "--output", form)
    assert result.exit_code == 0 and "Revision 5f2621c13b39 is known" in result.output


#: Settings, and what is found in them: where, what, and the way out of it.
WARNINGS: list[tuple[Any, ...]] = [
    ({("windsock", "acces_log"): "False"}, "configuration", "[windsock] acces_log is an unknown", "access_log?"),
    ({("api", "maximum_pagelimit"): "5"}, "configuration", "maximum_pagelimit", "[api] maximum_page_limit?"),
    ({("windsock", "auth_backends"): "x"}, "configuration", "[windsock] auth_backends", "[api] auth_backends?"),
    ({("core", "base_log_folder"): "/tmp"}, "configuration", "[core] base_log_folder is an old place",
     "[logging] base_log_folder"),
    ({("api", "auth_backends"): DENY_ALL}, "configuration", "lets nobody in", "basic_auth"),
    ({("webserver", "secret_key"): "short"}, "configuration", "secret_key can be guessed", "openssl rand"),
    ({("webserver", "secret_key"): ""}, "configuration", "secret_key is empty", "openssl rand"),
    ({("windsock", "login_rate_limit"): ""}, "configuration", "without limit", "login_rate_limit"),
    ({("windsock", "anonymous_role"): "Admin"}, "configuration", "lets everybody change", "only reads"),
    ({("webserver", "expose_stacktrace"): "True"}, "configuration", "expose_stacktrace", "False"),
    ({("logging", "base_log_folder"): "/nowhere"}, "files", "/nowhere does not exist", "[logging] base_log_folder"),
]  # fmt: skip
ERRORS: list[tuple[Any, ...]] = [
    ({("api", "maximum_page_limit"): "many"}, "configuration", "maximum_page_limit must be an integer", "Change"),
    ({("api", "auth_backends"): "no.such"}, "configuration", "'no.such' is not a back end", "Change"),
    ({("webserver", "secret_key"): "temporary_key"}, "configuration", "publicly known", "Change"),
    ({("windsock", "log_format"): "loud"}, "configuration", "must be text or json", "Change"),
    ({("core", "fernet_key"): Fernet.generate_key().decode()}, "keys", "0 of ", "[core] fernet_key"),
    ({("database", "sql_alchemy_conn"): "sqlite:////nowhere/a.db"}, "database", "does not exist", "db init"),
    ({("windsock", "anonymous_role"): "Nobody"}, "permissions", "no role 'Nobody'", "Viewer"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("level", "status", "settings", "area", "text", "fix"),
    [*(("warning", 1, *one) for one in WARNINGS), *(("error", 2, *one) for one in ERRORS)],
)
def test_what_can_be_lived_with_is_a_warning_and_what_cannot_an_error(level, status, settings, area, text, fix, doctor):
    result = doctor(settings, "--output", "json")
    found = findings(result, level)
    assert any(one[0] == area and text in one[1] and fix in one[2] for one in found), result.output
    assert result.exit_code == status


@pytest.mark.parametrize("variable", ["AIRFLOW_API_AUTH_BACKENDS", "AIRFLOW__API_AUTH_BACKENDS"])
def test_a_variable_with_too_few_underscores_is_found(variable, doctor):
    assert f"{variable} has no effect" in doctor({}, **{variable: "x"}).output
    assert "no effect" not in doctor({}, AIRFLOW__API__MAXIMUM_PAGE_LIMIT="7").output


@pytest.mark.parametrize(
    ("change", "text", "fix"),
    [
        ("UPDATE ab_user SET active = 0", "No active user has the role Admin", "windsock users create"),
        ("DELETE FROM ab_permission_view_role WHERE role_id = 1", "The role Admin lacks ", "windsock roles sync"),
        ("UPDATE alembic_version SET version_num = 'abc'", "not one that Windsock serves", "unknown revision abc"),
        ("UPDATE alembic_version SET version_num = '98ae134e6fff'", "98ae134e6fff is known", "schema of Airflow 2.6"),
        ("UPDATE job SET latest_heartbeat = '2099-01-01 00:00:00'", "clock of a process of Airflow is", "NTP"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_database_is_found_and_nothing_is_changed(change, text, fix, doctor, tmp_path):
    with sqlite3.connect(tmp_path / "airflow.db") as connection:
        connection.execute("INSERT INTO job (latest_heartbeat) VALUES ('2026-01-01 00:00:00')")
        assert connection.execute(change).rowcount
    before = dump(tmp_path)
    output = doctor().output
    assert text in output and fix in output
    assert dump(tmp_path) == before


def dump(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "airflow.db") as connection:
        return list(connection.iterdump())


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_log_folder_that_may_not_be_read_is_an_error(doctor, tmp_path):
    (tmp_path / "logs").chmod(0)
    assert "may not be read by this user" in doctor().output


@pytest.mark.parametrize(("mode", "status", "told"), [(0o644, 1, "may read the secrets"), (0o602, 2, "may change it")])
def test_files_with_secrets_that_everybody_may_open_are_found(mode, status, told, doctor, tmp_path):
    (tmp_path / "airflow.db").chmod(mode)
    result = doctor()
    assert result.exit_code == status and told in result.output and "chmod 600" in result.output


def test_no_secret_is_printed(doctor):
    port = free_port()
    for url in (f"postgresql://airflow:hunter2@127.0.0.1:{port}/airflow", "postgresql://airflow:hunter2@"):
        result = doctor({("database", "sql_alchemy_conn"): url})
        assert result.exit_code == 2 and "hunter2" not in result.output, result.output
        assert SETTINGS["core", "fernet_key"] not in result.output


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sqlite"])
def test_a_server_is_looked_at_as_well(kind, doctor, tmp_path):
    with fresh(kind, tmp_path) as url:
        _make(engine_of(url))
        result = doctor({("database", "sql_alchemy_conn"): url.render_as_string(False)}, "--output", "json")
    assert not findings(result, "error"), result.output
    told = " ".join(one[1] for one in findings(result, "ok"))
    assert re.search(r"(postgresql|mysql|mariadb) \d+\.", told) and "The clock of the database differs by" in told


def test_a_replica_is_looked_at_as_well(doctor):
    if "postgres" not in KINDS:
        pytest.skip("for PostgreSQL, which WINDSOCK_TEST_DATABASES leaves out")
    with postgres() as url:
        engine = create_engine(url)
        _make(engine)
        given = {("database", "sql_alchemy_conn"): url.render_as_string(False)}
        given["windsock", "sql_alchemy_conn_read"] = url.render_as_string(False)
        result = doctor(given, "--output", "json")
        given["windsock", "sql_alchemy_conn_read"] = f"postgresql://127.0.0.1:{free_port()}/nowhere"
        astray = doctor(given, "--output", "json")
    assert not findings(result, "error"), result.output
    assert any("takes writes, so it is not read" in one[1] for one in findings(result, "warning"))
    assert any("sql_alchemy_conn_read cannot be used" in one[1] for one in findings(astray, "error"))
