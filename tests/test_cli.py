"""The command line: what each command prints, how it refuses, and the two servers as real processes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from click.testing import CliRunner
from werkzeug.security import check_password_hash

from windsock import spec
from windsock.cli import main

COMMAND = [sys.executable, "-c", "from windsock.cli import main; main()"]
USER = "users create --username eve --email eve@example.com --first-name Eve --last-name Moneypenny --role Viewer"


@pytest.fixture
def config(tmp_path) -> Path:
    """An airflow.cfg whose database does not exist yet."""
    path = tmp_path / "airflow.cfg"
    path.write_text(
        f"[database]\nsql_alchemy_conn = sqlite:///{tmp_path}/airflow.db\n[core]\nfernet_key = \n"
        "[api]\nauth_backends = airflow.api.auth.backend.basic_auth\n[smtp]\nsmtp_password = hunter2\n"
    )
    return path


@pytest.fixture
def windsock(config):
    """Run a command in this process with that configuration: windsock("db init") -> the result of click."""

    def run(line: str, **options: str):
        return CliRunner().invoke(main, [*shlex.split(line), "--config", str(config)], **options)

    return run


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Path:
    """A database that `windsock db init` made."""
    home = tmp_path_factory.mktemp("fresh")
    (home / "airflow.cfg").write_text(f"[database]\nsql_alchemy_conn = sqlite:///{home}/airflow.db\n")
    assert CliRunner().invoke(main, ["db", "init", "--config", str(home / "airflow.cfg")]).exit_code == 0
    return home / "airflow.db"


@pytest.fixture
def database(fresh, config) -> Path:
    """A copy of it, where the configuration says."""
    return Path(shutil.copy(fresh, config.with_name("airflow.db")))


def _refused(result, *words: str) -> None:
    assert result.exit_code == 1, result.output
    assert len(result.output.splitlines()) == 1, result.output
    assert result.output.startswith("Error: ") and all(word in result.output for word in words), result.output


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _server(*arguments: str, **environ: str):
    """A server process; yields it and everything that it has printed once it is ready. It ends by its own pid."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, **environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def _until(process: subprocess.Popen[str], text: str) -> str:
    """Read the output of a process up to a line with this text."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def _get(url: str, user: str | None = None) -> int:
    """The status of a GET, asked again while nobody listens, for at most ten seconds."""
    from base64 import b64encode

    headers = {"Authorization": f"Basic {b64encode(user.encode()).decode()}"} if user else {}
    deadline = time.monotonic() + 10
    while True:
        try:
            return build_opener(ProxyHandler({})).open(Request(url, headers=headers), timeout=10).status
        except HTTPError as error:
            return error.code
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_version_prints_the_version_and_nothing_else(windsock):
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", windsock("version").output)


@pytest.mark.parametrize("operation", ["get_dag_run", "get_version", "post_pool"])
def test_where_prints_the_line_of_the_handler_the_path_and_the_permissions(windsock, operation):
    place, path, permissions = windsock(f"where {operation}").output.splitlines()
    file, _, line = place.rpartition(":")
    assert re.match(rf"def {operation}\(|.*\b{operation} = ", Path(file).read_text().splitlines()[int(line) - 1])
    known = spec.operations()[operation]
    assert path == f"{known.method.upper()} /api/v1{known.path}"
    assert permissions == (", ".join(map(str, known.permissions)) or "public")


def test_where_names_the_nearest_operations_for_an_unknown_one(windsock):
    _refused(windsock("where get_dagrun"), "'get_dagrun'", "get_dag_run")


def test_get_value_prints_the_value_and_an_unset_option_is_refused(windsock):
    assert windsock("config get-value api auth_backends").output == "airflow.api.auth.backend.basic_auth\n"
    _refused(windsock("config get-value api nothing"), "[api] nothing")


def test_config_list_shows_everything_but_secrets(windsock):
    output = windsock("config list").output
    assert "[smtp]\nsmtp_password = < hidden >\n" in output and "hunter2" not in output
    assert "sql_alchemy_conn = < hidden >" in output


def test_a_missing_configuration_file_is_refused_in_one_line():
    _refused(CliRunner().invoke(main, ["config", "list", "--config", "/nonexistent/airflow.cfg"]), "/nonexistent")


def test_db_init_makes_a_database_that_db_check_knows_and_refuses_to_do_it_twice(windsock, database):
    assert "5f2621c13b39" in windsock("db check").output
    _refused(windsock("db init"), "not empty")


@pytest.mark.parametrize("command", ["db check", "users list", "serve"])
def test_a_missing_sqlite_file_is_refused_and_not_created(windsock, config, command):
    _refused(windsock(f"{command} --port {_free_port()}" if command == "serve" else command), "does not exist")
    assert not config.with_name("airflow.db").exists()


@pytest.mark.parametrize("command", ["db check", "users list", "serve"])
def test_an_unknown_revision_is_refused(windsock, database, command):
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '98ae134e6fff'")
    line = f"{command} --port {_free_port()}" if command == "serve" else command
    _refused(windsock(line), "2.6", "airflow db migrate")


def test_a_database_that_cannot_be_reached_is_refused_without_its_password(windsock, config):
    url = f"postgresql+psycopg2://airflow:hunter2@127.0.0.1:{_free_port()}/airflow"
    config.write_text(f"[database]\nsql_alchemy_conn = {url}\n")
    result = windsock("db check")
    _refused(result, "cannot be used")
    assert "hunter2" not in result.output
    config.write_text(f"[database]\nsql_alchemy_conn = {url.replace(':', '', 1)}\n")
    result = windsock("serve")
    assert result.exit_code == 1 and "hunter2" not in result.output


def test_a_wrong_setting_stops_the_server_before_it_starts(windsock, config, database):
    config.write_text(config.read_text().replace("basic_auth", "basick_auth"))
    _refused(windsock(f"serve --port {_free_port()}"), "auth_backends")
    config.write_text(
        config.read_text().replace("basick_auth", "basic_auth").replace("fernet_key = ", "fernet_key = x")
    )
    _refused(windsock(f"serve --port {_free_port()}"), "fernet_key")


def test_a_created_user_is_stored_as_airflow_would_and_is_listed(windsock, database):
    assert windsock(USER, input="sesame\nsesame\n").exit_code == 0
    with sqlite3.connect(database) as connection:
        connection.row_factory = sqlite3.Row
        user = dict(connection.execute("SELECT * FROM ab_user").fetchone())
    assert user["password"].startswith("scrypt:32768:8:1$") and check_password_hash(user["password"], "sesame")
    assert user["active"] == 1 and user["login_count"] is None and user["last_login"] is None
    created = datetime.fromisoformat(user["created_on"])
    assert created.tzinfo is None and abs((datetime.now() - created).total_seconds()) < 60
    assert windsock("users list").output == "eve\teve@example.com\tEve Moneypenny\tactive\tViewer\n"


def test_a_user_with_an_unknown_role_or_a_taken_name_is_refused(windsock, database):
    _refused(windsock(f"{USER} --role Vewer --password x"), "'Vewer'", "Admin, Op, Public, User, Viewer")
    assert windsock(f"{USER} --password x").exit_code == 0
    _refused(windsock(f"{USER} --username EVE --password x"), "already")
    _refused(windsock(f"{USER} --username bob --password x"), "e-mail")
    _refused(windsock(f"{USER} --username bob --email b@example.com --password ''"), "password")
    assert len(windsock("users list").output.splitlines()) == 1


def test_a_password_can_be_replaced(windsock, database):
    windsock(f"{USER} --password old")
    assert windsock("users reset-password --username Eve --password new").exit_code == 0
    with sqlite3.connect(database) as connection:
        assert check_password_hash(connection.execute("SELECT password FROM ab_user").fetchone()[0], "new")
    _refused(windsock("users reset-password --username nobody --password new"), "'nobody'")


def test_serve_answers_with_two_workers_and_refuses_a_port_in_use(windsock, config, database):
    windsock(f"{USER} --password sesame")
    port = _free_port()
    url = f"http://127.0.0.1:{port}/api/v1/dags"
    arguments = ("serve", "--config", str(config), "--port", str(port), "--workers", "2", "--threads", "8")
    with _server(*arguments) as process:
        assert [_get(url), _get(url, "eve:wrong"), _get(url, "eve:sesame")] == [401, 401, 200]
        _refused(windsock(f"serve --port {port}"), f"Port {port}", "--port")
    assert process.returncode == 0


def test_standalone_makes_a_demo_database_once_and_its_curl_line_works(tmp_path):
    home, port = tmp_path / "share" / "windsock", _free_port()
    (tmp_path / "share" / "windsock.new").mkdir(parents=True)  # what a start that was killed leaves
    with _server("standalone", "--port", str(port), XDG_DATA_HOME=str(tmp_path / "share"), WINDSOCK_HOME="") as process:
        output = _until(process, "Try it")
        user, url = re.search(r"curl --user (\S+) '(\S+)'", output).groups()
        assert f"http://127.0.0.1:{port}/docs" in output
        assert [_get(url, user), _get(url, "admin:wrong"), _get(f"http://127.0.0.1:{port}/docs")] == [200, 401, 200]
    made_by_sqlite = {"airflow.db-shm", "airflow.db-wal"}  # a counted login leaves them when the server is stopped
    assert {path.name for path in home.iterdir()} - made_by_sqlite == {"airflow.cfg", "airflow.db", "logs"}
    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in [home, *home.rglob("*")]}
    assert modes == {True: 0o700, False: 0o600}
    assert not home.with_name("windsock.new").exists()

    made = (home / "airflow.db").stat().st_ino
    with _server("standalone", "--port", str(port), "--home", str(home)) as process:
        output = _until(process, "Try it")
        assert user.partition(":")[2] not in output and "windsock users reset-password" in output
        assert _get(url, user) == 200
    assert (home / "airflow.db").stat().st_ino == made


def test_standalone_leaves_a_directory_with_other_files_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    result = CliRunner().invoke(main, ["standalone", "--home", str(tmp_path), "--port", str(_free_port())])
    _refused(result, str(tmp_path), "--home")
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
