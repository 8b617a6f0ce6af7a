"""The configuration is Airflow's own: places, order, expansion and the table of settings."""

from __future__ import annotations

import re
import stat
import sys
from pathlib import Path

import pytest

from windsock.config import HIDDEN, Config, ConfigError
from windsock.settings import SETTINGS

ROOT = Path(__file__).parents[1]
CONN = ("database", "sql_alchemy_conn")


@pytest.fixture
def load(tmp_path):
    """Write an airflow.cfg, set variables, and load: load("[core]\\nfernet_key = x", AIRFLOW__CORE__FERNET_KEY="y")."""

    def _load(text: str = "", /, **environ: str) -> Config:
        path = tmp_path / "airflow.cfg"
        path.write_text(text, encoding="utf-8")
        return Config.load(path, {"HOME": "/home/ada", "AIRFLOW_HOME": str(tmp_path), **environ})

    return _load


def _rows(document: str) -> dict[str, list[str]]:
    cells = [
        [c.replace("\\|", "|").strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in document.splitlines()
        if line.startswith("| `[")
    ]
    assert len(cells) == len({c[0] for c in cells}), "a setting has two rows"
    return {c[0]: c[1:] for c in cells}


def test_the_table_in_the_documentation_and_the_table_in_the_code_are_the_same():
    def cell(setting):
        default = f"`{setting.default}`" if setting.default else "empty"
        return [setting.type, default, "yes" if setting.sensitive else "", setting.description]

    documented = _rows((ROOT / "docs" / "configuration.md").read_text(encoding="utf-8"))
    assert documented == {f"`[{s.section}] {s.key}`": cell(s) for s in SETTINGS}


def test_every_setting_is_in_the_table_once_and_its_default_has_its_type():
    assert len({(s.section, s.key) for s in SETTINGS}) == len(SETTINGS)
    Config().check()


def test_every_setting_that_the_source_reads_is_in_the_table():
    known = {(s.section, s.key) for s in SETTINGS}
    source = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "src").rglob("*.py"))
    read = re.findall(r"""\.get(?:_int|_float|_bool|_list)?\(\s*["']([a-z]+)["'],\s*["'](\w+)["']\s*\)""", source)
    sections = {section for section, _ in known}
    assert {pair for pair in read if pair[0] in sections} <= known


def test_the_default_database_lies_in_the_home_of_airflow():
    assert Config.load(environ={"AIRFLOW_HOME": "/srv/airflow"}).database_url == "sqlite:////srv/airflow/airflow.db"


def test_the_home_is_airflow_under_the_users_home_by_default(tmp_path):
    assert Config.load(environ={"HOME": str(tmp_path)}).home == tmp_path / "airflow"


def test_the_default_file_is_read_from_the_home_and_may_be_missing(tmp_path):
    assert Config.load(environ={"AIRFLOW_HOME": str(tmp_path)}).get_int("api", "maximum_page_limit") == 100
    (tmp_path / "airflow.cfg").write_text("[api]\nmaximum_page_limit = 7\n", encoding="utf-8")
    assert Config.load(environ={"AIRFLOW_HOME": str(tmp_path)}).get_int("api", "maximum_page_limit") == 7


def test_the_named_file_wins_over_the_variable_and_the_variable_over_the_home(tmp_path):
    for name in ("airflow", "variable", "named"):
        (tmp_path / f"{name}.cfg").write_text(f"[webserver]\nbase_url = {name}\n", encoding="utf-8")
    environ = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW_CONFIG": f"{tmp_path}/variable.cfg"}
    assert Config.load(environ=environ).get("webserver", "base_url") == "variable"
    assert Config.load(tmp_path / "named.cfg", environ).get("webserver", "base_url") == "named"


@pytest.mark.parametrize("how", ["named", "variable"])
def test_a_missing_explicit_file_is_an_error_that_names_it(tmp_path, how):
    missing = tmp_path / "no.cfg"
    with pytest.raises(ConfigError, match=re.escape(str(missing))):
        Config.load(missing if how == "named" else None, {"AIRFLOW_CONFIG": str(missing)})


@pytest.mark.parametrize("text", ["sql_alchemy_conn = hunter2", "[core]\nhunter2", "[a]\nb = 1\nb = hunter2"])
def test_a_malformed_file_is_an_error_that_shows_no_value(load, text):
    with pytest.raises(ConfigError, match="not a valid configuration file") as caught:
        load(text)
    assert "hunter2" not in str(caught.value)


def test_the_order_is_variable_then_its_command_then_the_file_then_its_command_then_the_default(load):
    both = "[core]\nfernet_key = file\nfernet_key_cmd = echo file-command\n"
    command = "[core]\nfernet_key_cmd = echo file-command\n"
    variable = {"AIRFLOW__CORE__FERNET_KEY": "variable"}
    variable_command = {"AIRFLOW__CORE__FERNET_KEY_CMD": "echo variable-command"}

    def key(config):
        return config.get("core", "fernet_key")

    assert key(load(both, **variable, **variable_command)) == "variable"
    assert key(load(both, **variable_command)) == "variable-command"
    assert key(load(both)) == "file"
    assert key(load(command)) == "file-command"
    assert key(load()) == ""


def test_an_override_wins_over_everything(load):
    environ = {"AIRFLOW__API__AUTH_BACKENDS": "variable"}
    assert Config.load(environ=environ, overrides={("api", "auth_backends"): "x"}).get("api", "auth_backends") == "x"


def test_an_empty_variable_is_a_value(load):
    config = load("[core]\nfernet_key = file", AIRFLOW__CORE__FERNET_KEY="")
    assert config.get("core", "fernet_key") == ""


def test_a_section_with_dots_has_underscores_in_its_variable(load):
    assert load(AIRFLOW__A_B_C__D="1").get("a.b.c", "d") == "1"


def test_only_sensitive_options_may_come_from_a_command(load):
    config = load("[webserver]\nbase_url_cmd = echo file", AIRFLOW__WEBSERVER__BASE_URL_CMD="echo variable")
    assert config.get("webserver", "base_url") == ""


def test_a_command_is_run_without_a_shell_and_its_last_newline_is_dropped(load):
    assert load("[webserver]\nsecret_key_cmd = printf 'a;b|c\\n'").get("webserver", "secret_key") == "a;b|c"


def test_a_failing_command_is_an_error_that_hides_its_output(load, tmp_path):
    script = tmp_path / "fail"
    script.write_text("#!/bin/sh\necho hunter2\necho vault is sealed >&2\nexit 3\n", encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(ConfigError, match="status 3: vault is sealed") as caught:
        load(f"[core]\nfernet_key_cmd = {script}").get("core", "fernet_key")
    assert "hunter2" not in str(caught.value)


def test_a_command_that_does_not_exist_is_an_error(load):
    with pytest.raises(ConfigError, match="cannot be started"):
        load("[core]\nfernet_key_cmd = /no/such/command").get("core", "fernet_key")


@pytest.mark.parametrize(
    ("text", "environ"),
    [("[core]\nfernet_key_secret = path", {}), ("", {"AIRFLOW__CORE__FERNET_KEY_SECRET": "path"})],
)
def test_a_secrets_back_end_is_refused_in_words_that_say_what_to_use(load, text, environ):
    with pytest.raises(
        ConfigError,
        match=r"secrets back ends are not supported; use \S*fernet_key"
        if text
        else r"secrets back ends are not supported; use AIRFLOW__CORE__FERNET_KEY",
    ):
        load(text, **environ).get("core", "fernet_key")


def test_a_value_wins_over_a_secrets_back_end(load):
    config = load(AIRFLOW__CORE__FERNET_KEY="k", AIRFLOW__CORE__FERNET_KEY_SECRET="path")
    assert config.get("core", "fernet_key") == "k"


def test_variables_and_the_home_directory_are_expanded_until_nothing_changes(load):
    config = load(
        "[webserver]\nbase_url = $OUTER/x\n[logging]\nbase_log_folder = ~/logs\n", OUTER="${INNER}", INNER="http://here"
    )
    assert config.get("webserver", "base_url") == "http://here/x"
    assert config.get("logging", "base_log_folder") == "/home/ada/logs"


def test_an_unknown_variable_stays_and_a_circular_one_ends(load):
    assert load("[webserver]\nbase_url = a$NO").get("webserver", "base_url") == "a$NO"
    assert load(AIRFLOW__WEBSERVER__BASE_URL="$LOOP", LOOP="$LOOP").get("webserver", "base_url") == "$LOOP"


def test_a_percent_sign_is_doubled_in_the_file_and_single_in_a_variable(load):
    config = load("[database]\nsql_alchemy_conn = postgresql://u:a%%40b@h/d", AIRFLOW__WEBSERVER__BASE_URL="a%20b")
    assert config.get(*CONN) == "postgresql://u:a%40b@h/d"
    assert config.get("webserver", "base_url") == "a%20b"


def test_a_single_percent_sign_in_the_file_is_an_error_that_shows_no_value(load):
    with pytest.raises(ConfigError, match=re.escape("[database] sql_alchemy_conn: write a percent sign")) as caught:
        load("[database]\nsql_alchemy_conn = postgresql://u:hunter%40@h/d").get(*CONN)
    assert "hunter" not in str(caught.value)


def test_options_of_one_section_can_refer_to_each_other(load):
    assert load("[webserver]\nhost = h\nbase_url = http://%(host)s").get("webserver", "base_url") == "http://h"


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.old], ids=lambda s: s.key)
def test_old_places_are_read_with_a_warning_and_new_ones_win_in_the_same_source(load, caplog, setting):
    section, key = setting.old[0]
    assert load(f"[{section}]\n{key} = old").get(setting.section, setting.key) == "old"
    assert f"[{section}] {key} is deprecated: move it to [{setting.section}] {setting.key}" in caplog.text
    if section != setting.section:
        new = f"[{section}]\n{key} = old\n[{setting.section}]\n{setting.key} = new"
        assert load(new).get(setting.section, setting.key) == "new"
        variable = {f"AIRFLOW__{section}__{key}".upper(): "variable"}
        assert load(new, **variable).get(setting.section, setting.key) == "variable"


def test_the_old_place_of_the_database_takes_a_command_too(load):
    assert load("[core]\nsql_alchemy_conn_cmd = echo sqlite:///x").database_url == "sqlite:///x"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql://u:p@h/d?sslmode=require", "postgresql+psycopg://u:p@h/d?sslmode=require"),
        ("postgresql+psycopg2://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+psycopg2:///d?host=/var/run", "postgresql+psycopg:///d?host=/var/run"),
        ("sqlite:////srv/airflow.db", "sqlite:////srv/airflow.db"),
        ("mysql://u:p@h/d", "mysql+pymysql://u:p@h/d"),
        ("mysql+mysqldb://u:p@h/d?charset=utf8mb4", "mysql+pymysql://u:p@h/d?charset=utf8mb4"),
        ("mysql+mysqlconnector://h/d", "mysql+pymysql://h/d"),
        ("mariadb://h/d", "mysql+pymysql://h/d"),
    ],
)
def test_the_database_url_gets_the_driver_that_windsock_uses(given, used):
    assert Config({CONN: given}).database_url == used


def test_mysql_without_its_driver_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(ConfigError, match=r"pip install windsock\[mysql\]") as caught:
        _ = Config({CONN: "mysql://u:hunter2@h/d"}).database_url
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["oracle+oracledb://u:hunter2@h/d", "mssql://u:hunter2@h/d", "u/hunter2@h", ""])
def test_another_database_is_refused_without_showing_the_url(url):
    with pytest.raises(ConfigError, match="is not supported") as caught:
        Config({CONN: url}).check()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"), [("True", True), ("t", True), ("1 # on", True), ("FALSE", False), ("0", False)]
)
def test_booleans_are_read_as_airflow_reads_them(text, value):
    assert Config({("webserver", "expose_stacktrace"): text}).get_bool("webserver", "expose_stacktrace") is value


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("webserver", "expose_stacktrace", "perhaps", "must be True or False, not 'perhaps'"),
        ("api", "maximum_page_limit", "many", "must be an integer, not 'many'"),
        ("api", "maximum_page_limit", "0", "must be at least 1, not '0'"),
        ("windsock", "created_status", "204", "must be 200 or 201, not '204'"),
        ("windsock", "statement_timeout", "-1", "must be at least 0, not '-1'"),
        ("windsock", "wait_heartbeat_sec", "0", "must be more than 0, not '0'"),
        ("windsock", "log_format", "loud", "must be text or json, not 'loud'"),
        ("logging", "logging_level", "loud", "must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not 'loud'"),
        ("webserver", "session_backend", "redis", "must be database or securecookie, not 'redis'"),
        ("webserver", "secret_key", "temporary_key", "publicly known"),
    ],
)
def test_the_check_names_a_setting_that_cannot_be_used(section, key, value, words):
    with pytest.raises(ConfigError, match=re.escape(f"[{section}] {key}")) as caught:
        Config({(section, key): value}).check()
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["info", "INFO", " Info # not more"])
def test_a_choice_is_read_in_any_case_and_without_a_remark(text):
    assert Config({("logging", "logging_level"): text}).get_choice("logging", "logging_level") == "INFO"


def test_lists_are_separated_by_commas_or_spaces():
    assert Config({("api", "access_control_allow_origins"): "https://a, https://b\nhttps://c"}).get_list(
        "api", "access_control_allow_origins"
    ) == ["https://a", "https://b", "https://c"]


def test_an_option_without_value_and_default_is_an_error_that_names_it():
    with pytest.raises(ConfigError, match=re.escape("[core] no_such is not set and has no default")):
        Config().get("core", "no_such")


def test_names_are_read_in_any_case(load):
    assert load("[core]\nfernet_key = k").get("Core", "FERNET_KEY") == "k"


def test_a_listing_shows_every_known_option_and_hides_secrets(load):
    config = load("[smtp]\nsmtp_password = p\nsmtp_host = h\n[core]\nfernet_key_cmd = echo k", AIRFLOW__MINE__KEY="v")
    assert {"api", "core", "mine", "smtp", "windsock"} <= set(config.sections())
    assert config.items("smtp") == [("smtp_host", "h"), ("smtp_password", HIDDEN)]
    assert config.items("mine") == [("key", "v")]
    assert dict(config.items("core"))["fernet_key"] == HIDDEN
    assert dict(config.items("core", reveal=True))["fernet_key"] == "k"
    assert "fernet_key_cmd" not in dict(config.items("core"))


def test_a_setting_is_set_only_when_something_but_the_default_gives_it(load):
    config = load("[core]\nfernet_key = k")
    assert config.is_set("core", "fernet_key")
    assert not config.is_set("webserver", "secret_key")
