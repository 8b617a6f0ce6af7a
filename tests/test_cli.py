"""The command line: what each command prints, how it refuses, and the two servers as real processes."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import click
import pytest
import yaml
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


def test_config_list_shows_the_same_in_every_format(windsock):
    found = json.loads(windsock("config list --output json").output)
    assert found == yaml.safe_load(windsock("config list --output yaml").output)
    assert found["smtp"] == {"smtp_password": "< hidden >"}
    table = windsock("config list --output table").output.splitlines()
    assert len(table) == 1 + sum(map(len, found.values()))
    assert any(re.fullmatch(r"smtp +smtp_password +< hidden >", line) for line in table)


# ---------------------------------------------------------------- help, completion, colours
def _commands(group: click.Group = main, path: str = "") -> dict[str, click.Command]:
    found = {}
    for name, command in group.commands.items():
        below = _commands(command, f"{path}{name} ") if isinstance(command, click.Group) else {f"{path}{name}": command}
        found |= below
    return found


COMMANDS = _commands()
LISTS = [name for name in COMMANDS if name.endswith(" list")]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_ends_with_lines_that_its_parser_takes(name):
    output = CliRunner().invoke(main, [*name.split(), "--help"]).output
    lines = output.partition("Examples:\n")[2].splitlines()
    assert lines
    for line in lines:
        words = shlex.split(re.split(" > | && ", line)[0])
        assert words[0] == "windsock" and " ".join(words[1:]).startswith(name)
        known = ["--password", "x"] if any(p.name == "password" for p in COMMANDS[name].params) else []
        COMMANDS[name].make_context(name, [*words[1 + len(name.split()) :], *known])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_says_what_it_is(name):
    options = [p for p in COMMANDS[name].params if isinstance(p, click.Option)]
    assert [o.name for o in options if not o.help and o.metavar is None] == []


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_the_first_help_that_a_newcomer_sees_is_not_cut(name):
    output = CliRunner().invoke(main, [*name.split(), "--help"]).output
    assert "..." not in re.sub(r"--\S+ ", "", output.partition("Commands:")[2])


@pytest.mark.parametrize("name", LISTS)
def test_every_listing_has_the_formats_and_refuses_another(name, windsock, database):
    assert windsock(f"{name} --output json").exit_code == 0
    result = windsock(f"{name} --output xml")
    assert result.exit_code == 2 and "table" in result.output


def test_the_exit_status_tells_a_wrong_command_line_from_what_cannot_be_done(windsock):
    assert windsock("users list").exit_code == 1
    assert windsock("users lisst").exit_code == windsock("users list --no-such-option").exit_code == 2
    assert windsock("config get-value api auth_backends").exit_code == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_by_the_printed_script(shell, windsock):
    script = windsock(f"completion {shell}").output
    asked = f"{shell}_complete"
    assert f"_WINDSOCK_COMPLETE={asked}" in script
    environ = {"COMP_WORDS": "windsock us", "COMP_CWORD": "us" if shell == "fish" else "1", "_WINDSOCK_COMPLETE": asked}
    program = [sys.executable, "-c", "from windsock.cli import main; main(prog_name='windsock')"]
    done = subprocess.run(program, env={**os.environ, **environ}, capture_output=True, text=True, check=False)
    assert "users" in done.stdout and "tokens" not in done.stdout


def test_the_version_is_an_option_too(windsock):
    assert CliRunner().invoke(main, ["--version"]).output == windsock("version").output


@pytest.mark.parametrize(("no_color", "styled"), [("", True), ("1", False)])
def test_colours_and_progress_bars_are_for_terminals(no_color, styled, config, database):
    environ = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm"}
    other = config.with_name("other.cfg")
    other.write_text(config.read_text().replace("airflow.db", "other.db"))
    for line, mark, expected in (("config list --output table", "\x1b[1m", styled), ("db init", "100%", True)):
        command = [*COMMAND, *line.split(), "--config", str(other)]
        ours, theirs = pty.openpty()
        process = subprocess.Popen(command, stdout=theirs, env=environ)
        os.close(theirs)
        seen = ""
        with suppress(OSError):  # Linux's way to say that the other side is closed
            while chunk := os.read(ours, 65536):
                seen += chunk.decode(errors="replace")
        os.close(ours)
        assert process.wait(timeout=60) == 0
        assert (mark in seen) == expected, seen
        other.with_name("other.db").unlink(missing_ok=True)
        piped = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        assert mark not in piped.stdout + piped.stderr


def test_every_command_is_in_the_documentation():
    text = (Path(__file__).parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"`windsock {name}" not in text] == []


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
        connection.execute("UPDATE alembic_version SET version_num = '788397e78828'")
    line = f"{command} --port {_free_port()}" if command == "serve" else command
    _refused(windsock(line), "788397e78828", "airflow db migrate")


def test_the_check_says_what_an_older_schema_lacks(windsock, database):
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '98ae134e6fff'")
    result = windsock("db check")
    assert result.exit_code == 0
    assert all(word in result.output for word in ("98ae134e6fff", "Airflow 2.6", "`airflow db migrate`"))


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
    assert user["password"].startswith("pbkdf2:sha256:600000$") and check_password_hash(user["password"], "sesame")
    assert user["active"] == 1 and user["login_count"] is None and user["last_login"] is None
    created = datetime.fromisoformat(user["created_on"])
    assert created.tzinfo is None and abs((datetime.now() - created).total_seconds()) < 60
    listed = {"username": "eve", "email": "eve@example.com", "first_name": "Eve", "last_name": "Moneypenny",
              "active": True, "roles": ["Viewer"]}  # fmt: skip
    assert json.loads(windsock("users list --output json").output) == [listed]
    assert yaml.safe_load(windsock("users list --output yaml").output) == [listed]
    names, row = (re.split("  +", line) for line in windsock("users list").output.splitlines())
    assert names == ["USERNAME", "EMAIL", "FIRST NAME", "LAST NAME", "ACTIVE", "ROLES"]
    assert row == ["eve", "eve@example.com", "Eve", "Moneypenny", "yes", "Viewer"]


def test_a_user_with_an_unknown_role_or_a_taken_name_is_refused(windsock, database):
    _refused(windsock(f"{USER} --role Vewer --password x"), "'Vewer'", "Admin, Op, Public, User, Viewer")
    assert windsock(f"{USER} --password x").exit_code == 0
    _refused(windsock(f"{USER} --username EVE --password x"), "already")
    _refused(windsock(f"{USER} --username bob --password x"), "e-mail")
    _refused(windsock(f"{USER} --username bob --email b@example.com --password ''"), "password")
    assert len(json.loads(windsock("users list --output json").output)) == 1


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
