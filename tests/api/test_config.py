"""The configuration, over HTTP, with everything sensitive hidden."""

from __future__ import annotations

import configparser
from typing import Any

import pytest

from clients import API, PASSWORD_HASH, signed_in
from problems import assert_problem
from windsock.app import create_app
from windsock.config import HIDDEN, Config, ConfigError
from windsock.db import Database

FILE = """
[core]
executor = LocalExecutor
parallelism = 64
fernet_key = {key}
MyOwn = shown
[webserver]
expose_config = {mode}
secret_key = sesame-webserver
instance_name = a%%b
[api]
auth_backends = airflow.api.auth.backend.basic_auth
[celery]
broker_url = redis://:sesame-broker@redis:6379/0
[logging]
remote_base_log_folder = s3://reader:sesame-url@bucket/logs
[elasticsearch]
host = reader:sesame-login@search:9200
[kubernetes_executor]
kube_client_request_args = {{"api_token": "sesame-json", "timeout": 5}}
[elasticsearch_configs]
http_auth = sesame-auth
[kubernetes_environment_variables]
DATABASE = sesame-environment
[my_company]
mode = fast
api_key = sesame-mine
fernet_key_cmd = echo sesame-command
both = x-%(api_key)s
from_variable = $SESAME
"""
KEY = "YSBrZXkgdGhhdCBvbmx5IHRoZSB0ZXN0cyBrbm93Li4="
SECRETS = ("sesame", KEY)
JSON = {"Accept": "application/json"}


@pytest.fixture
def reader(connection: Any, make_user: Any, tmp_path: Any) -> Any:
    """`reader("True")`: an administrator of an application whose airflow.cfg exposes itself so."""

    def reader(mode: str = "True", text: str = FILE, /, **environ: str) -> Any:
        path = tmp_path / "airflow.cfg"
        path.write_text(text.format(mode=mode, key=KEY), encoding="utf-8")
        home = {"AIRFLOW_HOME": "/opt/airflow", "SESAME": "sesame-variable", **environ}
        return signed_in(create_app(Config.load(path, home), Database(connection)), make_user("Op").username)

    return reader


def options(client: Any, query: str = "") -> dict[str, dict[str, str]]:
    response = client.get(f"{API}/config{query}", headers=JSON)
    assert response.status_code == 200, response.get_data(as_text=True)
    assert response.content_type == "application/json"
    found = response.get_json()
    assert found.keys() == {"sections"}
    return {s["name"]: {o["key"]: o["value"] for o in s["options"]} for s in found["sections"]}


# ---------------------------------------------------------------- whether
@pytest.mark.parametrize("mode", ["False", "f", "0"])
@pytest.mark.parametrize("path", ["", "?section=core", "/section/core/option/executor", "/section/core/option/nope"])
def test_nothing_is_shown_where_the_configuration_does_not_expose_itself(path, mode, reader):
    assert_problem(reader(mode).get(f"{API}/config{path}"), 403, "expose_config")


@pytest.mark.parametrize("path", ["/config", "/config/section/core/option/executor"])
def test_the_right_to_read_configurations_is_needed_even_where_it_is_exposed(path, make_app, as_user):
    app = make_app({("webserver", "expose_config"): "True"})
    assert_problem(as_user("Viewer", of=app).get(API + path), 403, "Configurations.can_read")
    assert_problem(app.test_client().get(API + path), 401)


def test_a_mode_that_does_not_exist_is_refused_at_the_start():
    with pytest.raises(ConfigError, match="expose_config must be True, False or non-sensitive-only, not 'perhaps'"):
        create_app(Config({("webserver", "expose_config"): "perhaps"}))


# ---------------------------------------------------------------- what
def test_the_whole_has_what_is_written_and_defaults_for_the_rest(reader):
    found = options(reader("True", AIRFLOW__CORE__PARALLELISM="7", AIRFLOW__MY_COMPANY__COLOUR="blue"))
    core = found["core"]
    assert (core["executor"], core["parallelism"], core["MyOwn"]) == ("LocalExecutor", "7", "shown")
    assert core["dags_folder"] == "/opt/airflow/dags"
    assert core["max_active_tasks_per_dag"] == "16"
    assert found["windsock"]["default_page_limit"] == "25"
    assert found["webserver"]["instance_name"] == "a%b"
    assert found["my_company"]["colour"] == "blue"
    assert list(found) == sorted(found)


def test_a_value_is_shown_as_it_is_written_so_that_nothing_flows_into_it(reader):
    mine = options(reader(), "?section=my_company")["my_company"]
    assert (mine["both"], mine["from_variable"]) == ("x-%(api_key)s", "$SESAME")


@pytest.mark.parametrize("section", ["core", "CORE"])
def test_a_section_by_itself(section, reader):
    found = options(reader(), f"?section={section}")
    assert list(found) == ["core"]
    assert found["core"]["executor"] == "LocalExecutor"


def test_an_empty_name_of_a_section_means_all(reader):
    assert len(options(reader(), "?section=")) > 20


@pytest.mark.parametrize(
    ("path", "key"), [("core/option/executor", "executor"), ("CORE/option/Executor", "executor"),
                      ("core/option/MyOwn", "MyOwn")]
)  # fmt: skip
def test_an_option_by_itself(path, key, reader):
    response = reader().get(f"{API}/config/section/{path}", headers=JSON)
    value = {"executor": "LocalExecutor", "MyOwn": "shown"}[key]
    assert response.get_json() == {"sections": [{"name": "core", "options": [{"key": key, "value": value}]}]}


@pytest.mark.parametrize("path", ["?section=nope", "/section/nope/option/x", "/section/core/option/nope",
                                  "/section/core/option/%00"])  # fmt: skip
def test_what_does_not_exist_is_not_found(path, reader):
    status = 400 if "%00" in path else 404
    assert_problem(reader().get(f"{API}/config{path}"), status)


# ---------------------------------------------------------------- how
@pytest.mark.parametrize("accept", [None, "*/*", "text/plain", "text/*", "text/plain; charset=utf-8", "text/html, */*"])
def test_text_is_what_comes_unless_json_is_asked_for(accept, reader):
    headers = {"Accept": accept} if accept else {}
    response = reader().get(f"{API}/config/section/core/option/executor", headers=headers)
    assert response.mimetype == "text/plain"
    assert response.get_data(as_text=True) == "[core]\nexecutor = LocalExecutor\n"


def test_the_text_is_a_configuration_file_with_the_same_content_as_the_json(reader):
    client = reader("True", FILE + "\n[email]\nsubject_template = first\n  second\n")
    text = client.get(f"{API}/config").get_data(as_text=True)
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    assert {s: dict(parser.items(s)) for s in parser.sections()} == options(client)


def test_what_is_neither_text_nor_json_is_not_produced(reader):
    assert_problem(reader().get(f"{API}/config", headers={"Accept": "image/png"}), 406)


# ---------------------------------------------------------------- secrets
@pytest.mark.parametrize("mode", ["True", "non-sensitive-only"])
@pytest.mark.parametrize("accept", ["text/plain", "application/json"])
def test_no_secret_is_shown_in_any_mode_form_or_place(mode, accept, reader):
    client = reader(mode, AIRFLOW__SMTP__SMTP_PASSWORD="sesame-smtp", AIRFLOW__SENTRY__SENTRY_DSN_CMD="echo sesame-dsn")
    headers = {"Accept": accept}
    masked = [(s, o) for s, found in options(client).items() for o in found if found[o] == HIDDEN or "***" in found[o]]
    places = [f"/section/{section}/option/{option}" for section, option in masked]
    assert "/section/sentry/option/sentry_dsn" in places
    for place in ["", "?section=my_company", *places]:
        response = client.get(f"{API}/config{place}", headers=headers)
        assert response.status_code == 200
        shown = response.get_data(as_text=True)
        assert not [secret for secret in SECRETS if secret in shown], place


def test_only_the_secret_part_of_a_value_is_masked(reader):
    found = options(reader())
    assert found["logging"]["remote_base_log_folder"] == "s3://reader:***@bucket/logs"
    assert found["elasticsearch"]["host"] == "reader:***@search:9200"
    assert found["kubernetes_executor"]["kube_client_request_args"] == '{"api_token": "***", "timeout": 5}'


def test_an_unknown_option_is_judged_by_its_name_or_hidden_where_only_the_known_is_shown(reader):
    judged, hidden = options(reader("True")), options(reader("non-sensitive-only"))
    assert judged["my_company"]["mode"] == "fast"
    assert judged["my_company"]["api_key"] == judged["elasticsearch_configs"]["http_auth"] == HIDDEN
    assert judged["kubernetes_environment_variables"]["DATABASE"] == HIDDEN
    assert set(hidden["my_company"].values()) == {HIDDEN}
    assert hidden["core"]["MyOwn"] == HIDDEN
    assert hidden["core"]["executor"] == "LocalExecutor"


@pytest.mark.parametrize("mode", ["True", "non-sensitive-only"])
def test_no_setting_shows_secrets_of_the_configuration(mode, make_app, make_user):
    settings = {
        ("webserver", "expose_config"): mode,
        ("core", "hide_sensitive_var_conn_fields"): "False",
        ("core", "sensitive_var_conn_names"): "colour",
        ("logging", "remote_base_log_folder"): "s3://reader:sesame@bucket",
        ("my_company", "colour"): "sesame",
    }
    user = make_user("Admin", password=PASSWORD_HASH)
    shown = signed_in(make_app(settings), user.username).get(f"{API}/config").get_data(as_text=True)
    assert "executor = " in shown
    assert "sesame" not in shown
