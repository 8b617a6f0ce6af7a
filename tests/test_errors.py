"""Whatever goes wrong, the answer is a problem document that says what to change; never HTML, never a 500."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import orjson
import pytest
import yaml
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, text

import factories as f
from changes import CHANGES, USERNAME, fill
from clients import API, SETTINGS, credentials, signed_in
from databases import free_port
from problems import assert_problem
from windsock import spec
from windsock.app import create_app
from windsock.config import Config
from windsock.db import Database

BATCH = f"{API}/dags/~/dagRuns/list"
MAX_BODY = Config().get_int("windsock", "max_body_size")
OPERATIONS = list(spec.operations().values())


# ---------------------------------------------------------------- routing
@pytest.mark.parametrize(
    "path",
    [f"{API}/no_such_thing", f"{API}/", API, "/api/v2/dags", f"{API}/dags/", f"{API}//dags", "/favicon.ico"],
)
def test_an_unknown_path_is_404(path, client, stranger):
    for asking in (client, stranger):
        assert_problem(asking.get(path), 404)


@pytest.mark.parametrize(
    "path",
    [
        "dags/none",
        "pools/none",
        "variables/none",
        "connections/none",
        "roles/none",
        "users/none",
        "eventLogs/0",
        "importErrors/0",
        "datasets/none",
        "dags/none/dagRuns/none",
        "dags/none/details",
        "dags/none/tasks/none",
    ],
)
def test_what_does_not_exist_is_404_and_named(path, client):
    assert_problem(client.get(f"{API}/{path}"), 404, path.split("/")[1])


def test_a_method_that_a_path_does_not_take_is_405_with_allow(client):
    for path in {operation.path for operation in OPERATIONS}:
        url = re.sub(r"{\w+}", "1", path)
        # `/connections/test` is the path of a connection, too
        taken = {o.method.upper() for o in OPERATIONS if re.fullmatch(re.sub(r"{\w+}", "[^/]+", o.path), url)}
        method = next(m for m in ("PUT", "DELETE", "PATCH") if m not in taken)
        response = client.open(API + url, method=method)
        assert_problem(response, 405)
        allowed = set(response.headers["Allow"].split(", "))
        assert {o.method.upper() for o in OPERATIONS if o.path == path} | {"OPTIONS"} <= allowed, path
        assert method not in allowed


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "NONSENSE"])
def test_a_strange_method_is_405(method, client):
    assert_problem(client.open(f"{API}/pools", method=method), 405)


# ---------------------------------------------------------------- bodies
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "text/html", "application/xml", ""]
)
def test_another_content_type_is_415(kind, client):
    assert_problem(client.post(BATCH, data=b"{}", content_type=kind or None), 415, "application/json")


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json"]
)
def test_json_is_json_whatever_its_content_type_says_beside(kind, client):
    assert client.post(BATCH, data=b"{}", content_type=kind).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"{'a': 1}",
        b'{"a": NaN}',
        b"\xff\xfe",
        b'{"a": 1} {}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
    ],
    ids=["empty", "cut", "word", "quotes", "NaN", "not UTF-8", "two", "deep lists", "deep objects"],
)
def test_a_body_that_is_no_json_is_400(body, client):
    assert_problem(client.post(BATCH, data=body, content_type="application/json"), 400, "JSON")


@pytest.mark.parametrize("body", ["[]", "null", "1", '"text"', "true", "[{}]"])
def test_a_body_that_is_no_object_is_400(body, client):
    assert_problem(client.post(BATCH, data=body, content_type="application/json"), 400, "object")


def test_a_body_that_is_too_large_is_413(client):
    body = b'{"dag_ids": ["' + b"x" * MAX_BODY + b'"]}'
    assert_problem(client.post(BATCH, data=body, content_type="application/json"), 413)


def test_a_body_that_is_too_large_is_not_read_for_a_stranger(stranger):
    body = b" " * (MAX_BODY + 1)
    assert_problem(stranger.post(BATCH, data=body, content_type="application/json"), 401)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("states", "success"),
        ("states", [1]),
        ("start_date_gte", "yesterday"),
        ("start_date_gte", "2026-13-01T00:00:00Z"),
        ("start_date_gte", "2026-03-01"),
        ("start_date_gte", "0001-01-01T00:00:00+23:59"),
        ("start_date_gte", 1),
        ("dag_ids", "etl"),
        ("dag_ids", [None]),
        ("order_by", ["state"]),
    ],
)
def test_a_member_of_a_wrong_kind_is_named(member, value, client):
    assert_problem(client.post(BATCH, json={member: value}), 400, member.removesuffix("_gte"))


# ---------------------------------------------------------------- parameters
@pytest.mark.parametrize(
    "query",
    [
        "start_date_gte=yesterday",
        "start_date_gte=2026-03-01",
        "start_date_gte=2026-02-30T00:00:00Z",
        "start_date_gte=2026-03-01T00:00:00",
        "start_date_gte=0001-01-01T00:00:00%2B23:59",
        "limit=x",
        "start_date_gte=2026-03-01T00:00:00%2B99:99",
        "start_date_gte=%EF%BC%99%EF%BC%99%EF%BC%99%EF%BC%99-01-01T00:00:00Z",
        "order_by=x",
        "fields=x",
    ],
)
def test_a_parameter_that_cannot_be_read_is_named(query, client):
    assert_problem(client.get(f"{API}/dags/~/dagRuns?{query}"), 400, query.partition("=")[0])


def test_a_boolean_is_true_or_false(client):
    for word in ("true", "True", "false", "FALSE"):
        assert client.get(f"{API}/dags?only_active={word}").status_code == 200
    for word in ("1", "0", "yes", "truee"):
        assert_problem(client.get(f"{API}/dags?only_active={word}"), 400, "only_active")


def test_a_parameter_that_is_required_is_named(client):
    assert_problem(client.get(f"{API}/dagStats"), 400, "dag_ids")
    assert client.get(f"{API}/dagStats?dag_ids=").status_code == 200  # empty is something, where it is required


@pytest.mark.parametrize("number", ["x", "-1", "1.5", "2147483648", "9" * 40, "0x1", "٣", " 1", "1_000"])
def test_a_number_in_the_path_that_no_row_can_have_is_400_or_404(number, client):
    for path in ("eventLogs/{}", "importErrors/{}", "dags/a/dagRuns/b/taskInstances/c/tries/{}"):
        response = client.get(f"{API}/{path.format(number)}")
        assert response.status_code in (400, 404)
        assert_problem(response, response.status_code)


def test_a_nul_character_is_refused_in_every_text(client):
    for operation in OPERATIONS:
        if operation.method != "get" or operation.public:
            continue
        for broken in operation.path_names:
            path = operation.path
            for name in operation.path_names:
                path = path.replace("{" + name + "}", "a%00b" if name == broken else "1")
            response = client.get(API + path)
            assert response.status_code in (400, 404), (operation.id, broken)
            assert_problem(response, response.status_code)
        for parameter in operation.parameters:
            if parameter["in"] == "query":
                path = operation.path
                for name in operation.path_names:
                    path = path.replace("{" + name + "}", "1")
                assert_problem(client.get(f"{API}{path}?{parameter['name']}=a%00b"), 400, parameter["name"])


@pytest.mark.parametrize("form", [{"dag_ids": ["a\0b"]}, {"order_by": "a\0b"}, {"states": ["a\0b"]}, {"a\0b": 1}])
def test_a_nul_character_is_refused_in_a_body(form, client):
    assert_problem(client.post(BATCH, json=form), 400)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_half_a_character_is_refused_in_a_body(text, client):
    body = json.dumps({"dag_ids": [text]}).encode()
    assert_problem(client.post(BATCH, data=body, content_type="application/json"), 400)


@pytest.mark.parametrize(
    "path", ["pools/%FF", "pools/%ED%A0%80", "pools?order_by=%FF", "dags?dag_id_pattern=%FF", "%FF"]
)
def test_bytes_that_are_no_text_are_no_error_of_the_server(path, client):
    response = client.get(f"{API}/{path}")
    assert response.status_code < 500
    if response.status_code != 200:
        assert_problem(response, response.status_code)


def test_a_pattern_is_a_part_of_the_text(client, add):
    add(f.dag("a%b"), f.dag("a_b"), f.dag("axb"), f.dag("a\\b"))
    for pattern in ("%25", "_", "%5C", "%5C%25", "%25%25%25", "%5C%5C"):
        assert client.get(f"{API}/dags?dag_id_pattern={pattern}").status_code == 200


# ---------------------------------------------------------------- anything
_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_members = st.sampled_from(["dag_ids", "states", "order_by", "page_limit", "page_offset", "start_date_gte", "x"])
_quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@_quick
@given(form=st.dictionaries(_members, _anything, max_size=3))
def test_no_form_is_an_error_of_the_server(client, form):
    response = client.post(BATCH, data=json.dumps(form).encode(), content_type="application/json")
    if response.status_code != 200:
        assert_problem(response, 400)


@_quick
@given(name=st.sampled_from(["limit", "offset", "order_by", "state", "start_date_gte", "fields", "x"]), value=st.text())
def test_no_query_is_an_error_of_the_server(client, name, value):
    response = client.get(f"{API}/dags/~/dagRuns", query_string={name: value.encode("utf-8", "surrogatepass")})
    if response.status_code != 200:
        assert_problem(response, 400)


@_quick
@given(text=st.text(min_size=1))
def test_no_path_is_an_error_of_the_server(client, text):
    response = client.get(f"{API}/variables/" + quote(text.encode("utf-8", "surrogatepass"), safe=""))
    assert_problem(response, response.status_code)
    assert response.status_code in (400, 404)


# ---------------------------------------------------------------- failures of our own
def test_an_unexpected_failure_tells_the_client_nothing(app, client, caplog, monkeypatch):
    app.config["PROPAGATE_EXCEPTIONS"] = False
    monkeypatch.setattr(app.extensions["windsock"], "database", None)
    detail = assert_problem(client.get(f"{API}/pools"), 500)["detail"]
    assert "NoneType" not in detail and "Traceback" not in detail
    assert "NoneType" in caplog.text


# ---------------------------------------------------------------- a database that is gone, or busy
@pytest.fixture
def busy_app(tmp_path: Path) -> Iterator[tuple[Flask, Engine]]:
    """An application on a filled file of SQLite, with one connection and hardly any patience."""
    hasty = {"connect_args": {"timeout": 0.05}, "pool_size": 1, "max_overflow": 0, "pool_timeout": 0.05}
    engine = create_engine(f"sqlite:///{tmp_path}/airflow.db", **hasty)
    fill(engine)
    yield create_app(Config(SETTINGS), Database(engine)), engine
    engine.dispose()


def assert_unavailable(app: Flask) -> None:
    client = signed_in(app, USERNAME)
    for response in (client.get(f"{API}/pools"), CHANGES["patch_pool"].send(client)):
        assert_problem(response, 503, "database")
        assert int(response.headers["Retry-After"]) > 0


@pytest.mark.parametrize("url", ["postgresql://u:hidden@127.0.0.1:{port}/airflow", "sqlite:///{home}/none/airflow.db"])
def test_a_database_that_cannot_be_reached_is_503_and_the_log_says_why(url, tmp_path, caplog):
    place = url.format(port=free_port(), home=tmp_path)
    assert_unavailable(create_app(Config({**SETTINGS, ("database", "sql_alchemy_conn"): place})))
    said = [record.getMessage() for record in caplog.records if record.name == "windsock.errors"]
    assert len(said) == 2 and said[0].startswith("The database failed in GET '/api/v1/pools': ")
    assert "hidden" not in caplog.text and "Traceback" not in caplog.text


def test_a_database_that_stays_locked_is_503(busy_app, tmp_path):
    with closing(sqlite3.connect(tmp_path / "airflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert_unavailable(busy_app[0])
        other.execute("ROLLBACK")
    assert signed_in(busy_app[0], USERNAME).get(f"{API}/pools").status_code == 200


def test_a_pool_without_a_free_connection_is_503(busy_app):
    app, engine = busy_app
    with engine.connect():
        assert_unavailable(app)


def test_a_database_without_tables_is_a_failure_of_our_own(tmp_path):
    app = create_app(Config({**SETTINGS, ("database", "sql_alchemy_conn"): f"sqlite:///{tmp_path}/airflow.db"}))
    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert_problem(signed_in(app, USERNAME).get(f"{API}/pools"), 500)


# ---------------------------------------------------------------- CORS and headers
ORIGIN = "https://dashboard.example.com"
CORS = {
    ("api", "access_control_allow_origins"): ORIGIN,
    ("api", "access_control_allow_methods"): "GET, POST",
    ("api", "access_control_allow_headers"): "authorization, content-type",
}


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/pools", "GET", 200),
        ("/pools/none", "GET", 404),
        ("/none", "GET", 404),
        ("/pools", "PUT", 405),
        ("/pools?limit=x", "GET", 400),
        ("/config", "GET", 403),
    ],
)
def test_a_foreign_page_may_read_every_answer_when_its_origin_is_allowed(path, method, status, make_app, make_user):
    client = signed_in(make_app(CORS), make_user("Admin").username)
    response = client.open(API + path, method=method, headers={"Origin": ORIGIN})
    assert response.status_code == status
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    other = client.open(API + path, method=method, headers={"Origin": "https://evil.example.com"})
    assert "Access-Control-Allow-Origin" not in other.headers


def test_a_foreign_page_may_read_a_refusal(make_app):
    response = make_app(CORS).test_client().get(f"{API}/pools", headers={"Origin": ORIGIN})
    assert_problem(response, 401)
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_a_preflight_is_answered_without_credentials(make_app):
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    response = make_app(CORS).test_client().options(f"{API}/pools", headers=asked)
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "authorization" in response.headers["Access-Control-Allow-Headers"].lower()
    assert "GET" in response.headers["Access-Control-Allow-Methods"]


def test_no_foreign_page_may_read_anything_by_default(client):
    response = client.get(f"{API}/pools", headers={"Origin": ORIGIN})
    assert not [name for name, _ in response.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["variables", "pools/none", "none"])
def test_an_answer_is_not_kept_by_caches(path, client):
    response = client.get(f"{API}/{path}")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


# ---------------------------------------------------------------- what cannot be read
GLOBAL = b"\x80\x05cos\nsystem\n."  # a pickle that names os.system


def test_a_row_that_cannot_be_read_does_not_break_a_list(client, add, session, caplog):
    add(f.dag("etl"), f.dag_run(conf={"a": 1}), f.dag_run(run_id="broken"))
    session.execute(text("UPDATE dag_run SET conf = :junk WHERE run_id = 'broken'"), {"junk": GLOBAL})
    session.commit()
    add(f.variable("encrypted", "not a token", is_encrypted=True), f.variable("clear", "seen"))
    runs = client.get(f"{API}/dags/etl/dagRuns?order_by=dag_run_id").get_json()["dag_runs"]
    assert [run["conf"] for run in runs] == [None, {"a": 1}]
    found = client.get(f"{API}/variables?order_by=key").get_json()["variables"]
    assert [variable["value"] for variable in found] == ["seen", None]
    assert "dag_run.conf" in caplog.text


def test_integers_beyond_64_bits_and_numbers_that_json_does_not_know_are_answered(client, add):
    add(f.dag("etl"), f.dag_run(conf={"big": 10**30, "odd": float("nan")}))
    response = client.get(f"{API}/dags/etl/dagRuns/{f.RUN_ID}")
    assert response.status_code == 200
    assert b"NaN" not in response.data
    assert json.loads(response.data)["conf"] == {"big": 10**30, "odd": None}


def test_the_document_is_served_to_everybody(stranger):
    as_json = stranger.get(f"{API}/openapi.json")
    assert as_json.content_type == "application/json"
    document = orjson.loads(as_json.data)
    assert document["servers"][0]["url"] == f"http://localhost{API}"
    as_yaml = stranger.get(f"{API}/openapi.yaml")
    assert yaml.safe_load(as_yaml.data) == document


def test_credentials_never_reach_the_log(app, make_user, caplog):
    user = make_user("Admin")
    with caplog.at_level("DEBUG"):
        signed_in(app, user.username).get(f"{API}/pools/none")
        signed_in(app, user.username, "a wrong secret").get(f"{API}/pools")
    assert "correct horse" not in caplog.text and "a wrong secret" not in caplog.text
    assert credentials(user.username).removeprefix("Basic ") not in caplog.text
