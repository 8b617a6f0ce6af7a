"""Requests that are made to harm: whatever is sent, the answer comes, is a problem document, and forges nothing."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import subprocess
import sys
import textwrap
import time
from contextlib import closing, suppress
from typing import Any
from urllib.parse import quote

import pytest

import factories as f
from clients import API, credentials, signed_in
from problems import assert_problem
from windsock import spec
from windsock.spec import Operation, properties
from worlds import World, world

OPERATIONS = list(spec.operations().values())
WITH_BODY = [operation for operation in OPERATIONS if operation.body is not None]
BATCH = f"{API}/dags/~/dagRuns/list"
NOWHERE = World(None, f.filled)
JSON = {"content_type": "application/json"}


def named(wanted: list[Operation]) -> Any:
    return pytest.mark.parametrize("operation", wanted, ids=lambda operation: operation.id)


def example(operation: Operation) -> dict[str, Any]:
    """The body that the document shows, so that nothing but the member in question is at fault."""
    content = operation.raw["requestBody"]["content"]["application/json"]
    found = content.get("example") or next(iter(content.get("examples", {}).values()), {}).get("value", {})
    return dict(found)


def assert_no_failure(response: Any) -> None:
    """Assert that a response is no failure of the server, and a problem document if it is none of success."""
    assert response.status_code < 500, response.get_data(as_text=True)
    if response.status_code >= 400:
        assert_problem(response, response.status_code)


# ---------------------------------------------------------------- request ids
GIVEN = ["0af7651916cd43dd8448eb211c80319c", "a-b.c:d/e+f=g@h_1", "x" * 128]
ODD = [
    "",
    " ",
    "x" * 129,
    "two words",
    "a\r\nX-Injected: 1",
    "a\nb",
    "a\0b",
    "é",
    "{jndi:x}",
    '"',
    "<b>",
    "a,b",
    "a\x1b[31m",
]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/pools"),
        ("GET", "/api/v1/pools?limit=x"),
        ("GET", "/api/v1/none"),
        ("PUT", "/api/v1/pools"),
        ("OPTIONS", "/api/v1/pools"),
        ("HEAD", "/api/v1/health"),
        ("GET", "/api/v1/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/"),
    ],
)
def test_every_answer_has_the_id_of_its_request(method, path, client, stranger):
    for asking in (client, stranger):
        assert asking.open(path, method=method, headers={"X-Request-Id": "mine-1"}).headers["X-Request-Id"] == "mine-1"
        made = [asking.open(path, method=method).headers["X-Request-Id"] for _ in range(2)]
        assert made[0] != made[1] and all(re.fullmatch("[0-9a-f]{32}", one) for one in made)


def test_the_id_is_on_a_failure_of_our_own_and_readable_for_foreign_pages(make_app, monkeypatch):
    app = make_app({("api", "access_control_allow_origins"): "https://a.example"})
    app.config["PROPAGATE_EXCEPTIONS"] = False
    monkeypatch.setattr(app.extensions["windsock"], "database", None)
    sent = {"X-Request-Id": "mine-1", "Origin": "https://a.example", "Authorization": credentials("ada")}
    response = app.test_client().get(f"{API}/pools", headers=sent)
    assert_problem(response, 500)
    assert response.headers["X-Request-Id"] == "mine-1"
    assert {"X-Request-Id", "Retry-After"} <= set(response.headers["Access-Control-Expose-Headers"].split(", "))


@pytest.mark.parametrize("given", GIVEN)
def test_a_well_formed_id_is_kept(given, stranger):
    assert stranger.get(f"{API}/health", headers={"X-Request-Id": given}).headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ODD)
def test_any_other_id_is_replaced(given, stranger):
    response = stranger.get(f"{API}/health", environ_overrides={"HTTP_X_REQUEST_ID": given})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-Id"])


# ---------------------------------------------------------------- logs
#: Fails while it looks at a request, with a message and a trace in which the client's text stands as it was sent.
FAILING_BACK_END = """
import logging

def authenticate(request):
    logging.getLogger("windsock.custom").warning("Who is %s, who asks for %s?", request.headers["X-Name"], request.path)
    raise ValueError(request.headers["X-Name"])

authenticate.challenge = "Custom"
"""
ASK = """
import sys
from windsock.app import create_app
from windsock.config import Config

app = create_app(Config({("api", "auth_backends"): "failing_back_end", ("database", "sql_alchemy_conn"): "sqlite://"}))
app.config["PROPAGATE_EXCEPTIONS"] = False
name, path = sys.argv[1:]
sent = {"HTTP_X_NAME": name, "HTTP_X_REQUEST_ID": "mine-1"}
assert app.test_client().get("/api/v1/variables/" + path, environ_overrides=sent).status_code == 500
"""
FORGED = "2026-03-01 02:00:00,000 ERROR windsock [x] forged"


@pytest.mark.parametrize(
    "end", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x1b[2K\x1b[1G"]
)
def test_no_text_of_a_client_begins_a_line_of_the_log(end, tmp_path):
    (tmp_path / "failing_back_end.py").write_text(FAILING_BACK_END)
    arguments = [f"Eve{end}{FORGED}", "".join(f"%{byte:02X}" for byte in f"a{end}{FORGED}".encode())]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ASK), *arguments],
        cwd=tmp_path, capture_output=True, env=environ,
    )  # fmt: skip
    log = done.stderr.decode("utf-8")
    assert done.returncode == 0, log
    assert "Who is Eve" in log and "ValueError: Eve" in log and "forged" in log
    assert "\x1b" not in log and "\r" not in log
    begun = [line for line in log.splitlines() if not line.startswith("    ")]
    assert len(begun) == 3, log  # of the back end, of the failure, and of the request
    assert all(
        re.match(r"\d{4}-\d\d-\d\d [\d:,]+ (INFO|WARNING|ERROR) windsock\.\w+ \[mine-1\] ", line) for line in begun
    ), log


# ---------------------------------------------------------------- headers
INJECTION = "a\r\nX-Injected: 1\r\n\r\n<b>\0é\u2028"


def assert_headers_are_clean(response: Any) -> None:
    for name, value in response.headers:
        assert re.fullmatch(r"[\x21-\x7e]+", name) and re.fullmatch(r"[\x20-\x7e]*", value), (name, value)
        assert name != "X-Injected" and "\\r" not in value


@named(OPERATIONS)
def test_no_value_of_a_request_gets_into_a_header(operation, client, session):
    made = world(session)
    url, method = made.url(operation), operation.method
    urls = [made.url(operation, **{name: INJECTION}) for name in operation.path_names]
    names = [p["name"] for p in operation.parameters if p["in"] == "query"]
    urls += [f"{url}{'&' if '?' in url else '?'}{quote(name)}={quote(INJECTION)}" for name in [*names, INJECTION]]
    answers = [client.open(url, method=method, json={}) for url in urls]
    for name in ("ORIGIN", "X_REQUEST_ID", "ACCEPT", "COOKIE", "IF_NONE_MATCH", "RANGE"):
        answers.append(client.open(url, method=method, environ_overrides={f"HTTP_{name}": INJECTION}, json={}))
    for answer in answers:
        assert_no_failure(answer)
        assert_headers_are_clean(answer)


@pytest.mark.parametrize("origins", ["*", "https://a.example", "*, https://a.example"])
@pytest.mark.parametrize("value", [INJECTION, "é", "https://a.example\r\nX-Injected: 1", "a\x85b", "\t"])
def test_no_origin_gets_into_a_header_as_it_is(value, origins, make_app):
    client = make_app({("api", "access_control_allow_origins"): origins}).test_client()
    for name in ("HTTP_ORIGIN", "HTTP_ACCESS_CONTROL_REQUEST_HEADERS"):
        sent = {"HTTP_ORIGIN": "https://a.example", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "GET", name: value}
        for method, path in (("GET", "/version"), ("OPTIONS", "/pools"), ("GET", "/none")):
            answer = client.open(API + path, method=method, environ_overrides=sent)
            assert_no_failure(answer)
            assert_headers_are_clean(answer)


@pytest.mark.parametrize("host", ["a\r\nX-Injected: 1", 'a">; rel="x', "é", "a b", "a\0", "a/b", "[::1", "a:b:c", ""])
def test_a_host_that_is_none_gets_into_no_header(host, client, add):
    add(f.pool("a"), f.pool("b"))
    for path in ("pools?limit=1", "openapi.json", "ui/"):
        answer = client.get(f"{API}/{path}", environ_overrides={"HTTP_HOST": host})
        assert_no_failure(answer)
        assert_headers_are_clean(answer)
        assert 'rel="x' not in answer.headers.get("Link", "")


# ---------------------------------------------------------------- bodies
def nested(opening: bytes, depth: int, closing: bytes) -> bytes:
    return opening * depth + b"1" + closing * depth


HARMFUL = {
    "deep lists": nested(b"[", 100_000, b"]"),
    "deep objects": nested(b'{"a":', 100_000, b"}"),
    "deep member": b'{"conf": ' + nested(b"[", 100_000, b"]") + b"}",
    "NaN": b'{"slots": NaN}',
    "Infinity": b'{"slots": Infinity}',
    "minus Infinity": b'{"slots": -Infinity}',
    "not UTF-8": b'{"name": "\xff"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "UTF-8 of half a character": b'{"name": "\xed\xa0\x80"}',
    "half a character": rb'{"name": "\ud800"}',
    "overlong UTF-8": b'{"name": "\xc0\xaf"}',
    "NUL": b'{"name": "\0"}',
    "byte order mark": b'\xef\xbb\xbf{"name": "a"}',
}


@pytest.mark.parametrize("body", HARMFUL.values(), ids=HARMFUL)
def test_a_harmful_body_is_400_wherever_one_is_taken(body, client, session):
    made = world(session)
    for operation in WITH_BODY:
        response = client.open(made.url(operation), method=operation.method, data=body, **JSON)
        assert response.status_code in (400, 403), operation.id
        assert_problem(response, response.status_code)


@named(WITH_BODY)
def test_no_member_takes_a_number_that_no_column_holds(operation, client, session):
    made = world(session)
    for name, schema in properties(operation.body or {}).items():
        for number in ("1" + "0" * 400, "-" + "9" * 4000, "1e400", "9" * 20, "1e-400", "0.1"):
            body = f'{{"{name}": {number}}}'.encode()
            response = client.open(made.url(operation), method=operation.method, data=body, **JSON)
            assert_no_failure(response)
            if schema.get("type") == "integer":
                assert response.status_code >= 400, (name, number)


@named(WITH_BODY)
def test_a_huge_text_or_a_huge_object_is_no_failure(operation, client, session):
    made = world(session)
    members = properties(operation.body or {})
    bodies = [{name: "x" * 1_000_000} for name in members]
    bodies += [{name: {f"k{n}": n for n in range(10_000)}} for name in members]
    bodies += [{name: ["x"] * 10_000} for name in members]
    bodies += [{f"k{n}": n for n in range(10_000)}]
    for body in bodies:
        assert_no_failure(client.open(made.url(operation), method=operation.method, json=body))


@pytest.mark.parametrize("depth", [1, 97, 98, 99, 500, 1000])
@pytest.mark.parametrize("shape", [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
def test_a_body_of_a_hundred_levels_is_taken_and_a_deeper_one_is_400(shape, depth, client, add):
    add(f.dag("etl", is_active=True, is_paused=False), f.serialized_dag("etl"))
    conf = nested(shape[0], depth, shape[1])
    body = b'{"conf": {"a": ' + conf + b'}, "dag_run_id": "deep"}'
    stored = client.post(f"{API}/dags/etl/dagRuns", data=body, **JSON)
    if depth > 98:
        assert_problem(stored, 400, "100 levels")
        return
    assert stored.status_code == 201
    assert client.get(f"{API}/dags/etl/dagRuns/deep").get_json()["conf"] == json.loads(b'{"a": ' + conf + b"}")
    assert client.get(f"{API}/eventLogs").status_code == 200


@named(WITH_BODY)
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 500 + "]" * 500], ids=["[", "{", "[]"])
def test_text_that_is_deep_json_is_no_failure(text, operation, client, session):
    made = world(session)
    url = made.url(operation)
    for name, schema in properties(operation.body or {}).items():
        if schema.get("type") == "string":
            assert_no_failure(client.open(url, method=operation.method, json={**example(operation), name: text}))
    assert_no_failure(client.get(f"{API}/eventLogs"))


def test_what_airflow_has_stored_deeply_is_shown_or_null(client, add):
    deep = json.loads(nested(b"[", 300, b"]"))
    text = "[" * 60_000
    add(f.dag("etl"), f.serialized_dag("etl"), run := f.dag_run(conf={"a": deep}), ti := f.task_instance())
    add(f.xcom(run, ti), f.log(extra=text), f.log(extra="[" * 900 + "]" * 900), f.connection("deep", extra=text))
    add(f.variable("deep", text))
    for path in ("dags/etl/dagRuns", "eventLogs", "connections", "variables"):
        response = client.get(f"{API}/{path}")
        assert response.status_code == 200, response.get_data(as_text=True)


def test_rendered_fields_that_airflow_has_stored_deeply_are_shown_or_null(client, add):
    add(f.dag("etl"), f.serialized_dag("etl"), f.dag_run(), ti := f.task_instance())
    add(f.rendered_fields(ti, rendered_fields={"a": json.loads(nested(b"[", 300, b"]"))}))
    response = client.get(f"{API}/dags/etl/dagRuns/~/taskInstances")
    assert response.status_code == 200, response.get_data(as_text=True)


def test_of_members_with_the_same_name_the_last_is_checked_and_used(client):
    body = b'{"name": "a", "slots": 1, "slots": "x"}'
    assert_problem(client.post(f"{API}/pools", data=body, **JSON), 400, "slots")
    body = b'{"name": "a", "slots": "x", "name": "b", "slots": 2}'
    assert client.post(f"{API}/pools", data=body, **JSON).get_json()["name"] == "b"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x"])
def test_an_encoded_body_is_415_and_not_unpacked(coding, client):
    response = client.post(BATCH, data=b"{}", headers={"Content-Encoding": coding}, **JSON)
    assert_problem(response, 415, "Content-Encoding")
    assert client.post(BATCH, data=b"{}", headers={"Content-Encoding": "identity"}, **JSON).status_code == 200


def test_the_largest_body_is_a_setting(make_app, make_user):
    client = signed_in(make_app({("windsock", "max_body_size"): 100}), make_user("Admin").username)
    assert client.post(BATCH, data=b"{}".ljust(100), **JSON).status_code == 200
    assert_problem(client.post(BATCH, data=b"{}".ljust(101), **JSON), 413, "100 bytes", "max_body_size")


# ---------------------------------------------------------------- queries and headers
def test_numbers_that_no_column_holds_are_400_in_every_parameter(client, session):
    made = world(session)
    for operation in OPERATIONS:
        for parameter in operation.parameters:
            if parameter["in"] == "query" and parameter["schema"].get("type") in ("integer", "number"):
                for number in ("1" + "0" * 400, "-1" + "0" * 400, "9" * 100_000, "1e999", "nan", "inf"):
                    url = made.url(operation)
                    url += ("&" if "?" in url else "?") + f"{parameter['name']}={number}"
                    response = client.open(url, method=operation.method, json={})
                    assert_problem(response, 400, parameter["name"])


@named(OPERATIONS)
def test_ten_thousand_parameters_are_no_failure(operation, client, session):
    made = world(session)
    names = [p["name"] for p in operation.parameters if p["in"] == "query"]
    queries = ["&".join(f"k{n}=1" for n in range(10_000)), *("&".join([f"{name}=1"] * 10_000) for name in names)]
    queries += [f"{name}={'x' * 100_000}" for name in names] + [f"{name}={'x,' * 10_000}" for name in names]
    for query in queries:
        url = made.url(operation).partition("?")[0] + "?" + query
        assert_no_failure(client.open(url, method=operation.method, json={}))


HEADERS = ("Authorization", "Cookie", "Accept", "Content-Type", "Origin", "X-Request-Id", "If-None-Match", "Range")


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("text", ["x" * 300_000, "a," * 100_000, "a;" * 100_000, "a=b; " * 50_000, "((((" * 50_000])
def test_a_huge_header_is_no_failure(text, name, client):
    for method, path in (("GET", "pools"), ("POST", "pools"), ("OPTIONS", "pools")):
        assert_no_failure(client.open(f"{API}/{path}", method=method, headers={name: text}, data=b"{}"))


# ---------------------------------------------------------------- patterns
PATTERNS = r"""
import importlib, pkgutil, re, resource, sys, time
import windsock
from windsock.crypto import Masker

found = {}
for module in pkgutil.walk_packages(windsock.__path__, "windsock."):
    if module.name in ("windsock.wsgi", "windsock.auth.kerberos"):
        continue
    for name, value in vars(importlib.import_module(module.name)).items():
        if isinstance(value, re.Pattern):
            found[module.name, name] = value
found |= {("Masker", name): value for name, value in vars(Masker()).items() if isinstance(value, re.Pattern)}
assert len(found) > 12, found
pieces = ["a", "0", " ", "-", "=", ":", "_", ".", ",", "'", '"', "\\", "://", "://a:", "a:b@", "[", "{", "(", "&a=",
          "password=", "'token':'", "password: ", "token='", "'a\\'", "2026-", "00:", "+", "\n", "é", "%", "#f", "T0",
          "{{ti.", "}}", "aA", "|"]
for (place, name), pattern in sorted(found.items()):
    for piece in pieces:
        for unit in (piece, piece + "a"):
            print(place, name, repr(unit), file=sys.stderr, flush=True)  # the last line names the culprit
            text = unit * (60_000 // len(unit)) + "!"
            resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 3, resource.RLIM_INFINITY))
            pattern.search(text), pattern.match(text), pattern.fullmatch(text)
"""


def test_no_pattern_of_ours_takes_more_than_its_share_of_time():
    """Each compiled pattern of each module has two to three seconds of CPU time for each text of 60,000 characters."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PATTERNS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-300:]


CATASTROPHES = ["^(a|a)*$", "^(a|aa)+$", "(x+x+)+y"]
TRIGGER = """
import resource, sys
from windsock.app import create_app
from windsock.config import Config
from windsock.errors import BadRequest
from windsock.lifecycle.wanted import check_run_id

pattern = sys.argv[1]
settings = {("scheduler", "allowed_run_id_pattern"): pattern, ("database", "sql_alchemy_conn"): "sqlite://"}
app = create_app(Config(settings))
resource.setrlimit(resource.RLIMIT_CPU, (15, 15))
with app.app_context():
    for letter in "ax":
        try:
            check_run_id(letter * 249 + "!")
        except BadRequest as refused:
            print(refused.detail[:60])
"""


@pytest.mark.parametrize("pattern", CATASTROPHES)
def test_a_pattern_for_run_ids_that_would_go_on_for_ever_is_given_up(pattern):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRIGGER, pattern], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-300:]
    assert done.stdout.count("Member 'dag_run_id' ") == 2


def test_a_run_id_that_cannot_be_compared_in_time_is_400(make_app, make_user, add):
    add(f.dag("etl", is_active=True, is_paused=False), f.serialized_dag("etl"))
    app = make_app({("scheduler", "allowed_run_id_pattern"): "^(a|a)*$"})
    client = signed_in(app, make_user("Admin").username)
    url = f"{API}/dags/etl/dagRuns"
    assert client.post(url, json={"dag_run_id": "aaaa"}).status_code == 201
    assert_problem(client.post(url, json={"dag_run_id": "a" * 200 + "!"}), 400, "dag_run_id", "in time")


def test_a_pattern_in_a_query_is_bounded(client):
    for path, name in (("dags", "dag_id_pattern"), ("datasets", "uri_pattern")):
        assert client.get(f"{API}/{path}?{name}={'%25' * 3000}").status_code == 200
        assert_problem(client.get(f"{API}/{path}?{name}={'x' * 3001}"), 400, "3000")


# ---------------------------------------------------------------- a real server
THREADS = 4


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of `windsock serve` with one worker, on a database of its own with the user `ada`."""
    home = tmp_path_factory.mktemp("served")
    (home / "airflow.cfg").write_text(
        f"[database]\nsql_alchemy_conn = sqlite:///{home}/airflow.db\n[windsock]\nmax_body_size = 100000\n"
        "[api]\nauth_backends = airflow.api.auth.backend.basic_auth\n"
    )
    windsock = [sys.executable, "-c", "from windsock.cli import main; main()"]
    config = ["--config", str(home / "airflow.cfg")]
    user = "users create --username ada --email a@b.example --first-name Ada --last-name L --role Admin --password x"
    for command in ("db init", user):
        subprocess.run([*windsock, *command.split(), *config], check=True, capture_output=True)
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    options = ["--port", str(number), "--workers", "1", "--threads", str(THREADS)]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen([*windsock, "serve", *options, *config], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and status(send(number, "GET", "/health")) != 200:
            time.sleep(0.1)
        yield number
    finally:
        server.terminate()
        server.wait(20)


def opened(
    port: int, method: str, path: str, headers: str = "", body: bytes = b"", known: bool = True
) -> socket.socket:
    """A connection on which this much of a request was sent."""
    connection = socket.create_connection(("127.0.0.1", port), 10)
    if known:
        headers += f"Authorization: {credentials('ada', 'x')}\r\n"
    head = f"{method} {API}{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}\r\n"
    connection.sendall(head.encode("latin-1") + body)
    return connection


def answer(connection: socket.socket) -> bytes:
    """What the server sends until it is done with a response or closes the connection."""
    received = b""
    with closing(connection), suppress(ConnectionError):
        while part := connection.recv(65536):
            received += part
            head, _, body = received.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            if length and len(body) >= int(length[1]):
                break
    return received


def send(port: int, *arguments: Any, **named: Any) -> bytes:
    with suppress(ConnectionRefusedError):
        return answer(opened(port, *arguments, **named))
    return b""


def status(received: bytes) -> int:
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", received)
    return int(found[1]) if found else 0


CHUNKED = "Transfer-Encoding: chunked\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_a_chunked_body_without_a_length_is_read(port):
    body = chunk(b'{"name": "chunks') + chunk(b'", "slots": 1}') + chunk(b"")
    assert status(send(port, "POST", "/pools", CHUNKED, body)) == 201
    assert status(send(port, "GET", "/pools/chunks")) == 200


def test_a_chunked_body_that_is_too_large_is_413(port):
    received = send(port, "POST", "/pools", CHUNKED, chunk(b" " * 100_001) + chunk(b""))
    assert status(received) == 413 and b"100000 bytes" in received
    assert (
        status(send(port, "POST", "/pools", CHUNKED, chunk(b'{"name": "c", "slots": 1}'.ljust(100_000)) + chunk(b"")))
        == 201
    )


def test_a_body_without_end_is_413_before_all_of_it_is_sent(port):
    connection, sent = opened(port, "POST", "/pools", CHUNKED), 0
    connection.settimeout(0.05)
    received = b""
    while not received and sent < 3_000_000:
        with suppress(TimeoutError, BlockingIOError):
            connection.sendall(chunk(b" " * 10_000))
            sent += 10_000
        with suppress(TimeoutError):
            received = connection.recv(65536)
    connection.close()
    assert status(received) == 413


def test_a_length_that_is_too_large_is_413_before_the_body_is_sent(port):
    assert status(send(port, "POST", "/pools", "Content-Length: 100001\r\n")) == 413


def test_a_body_that_ends_before_its_length_is_400_and_changes_nothing(port):
    connection = opened(port, "POST", "/pools", "Content-Length: 100\r\n", b'{"name": "short", "slots": 1}')
    connection.shutdown(socket.SHUT_WR)
    assert status(answer(connection)) in (0, 400)
    assert status(send(port, "GET", "/pools/short")) == 404


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: -1\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length: x\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "X-Request-Id: a\0b\r\n",
        "X-Request-Id: a\rX-Injected: 1\r\n",
        "X-Request-Id : a\r\n",
        "X-Long: " + "x" * 1_000_000 + "\r\n",
        "".join(f"X-{number}: 1\r\n" for number in range(10_000)),
    ],
    ids=["negative", "two", "huge", "word", "twice", "NUL", "CR", "space", "long", "many"],
)
def test_a_malformed_head_is_refused_by_the_server(headers, port):
    received = send(port, "POST", "/pools", headers, b"hello")
    assert status(received) in (0, 400, 413, 431)
    assert b"X-Injected" not in received
    assert status(send(port, "GET", "/pools")) == 200


def test_a_length_and_chunks_together_hide_no_second_request(port):
    hidden = f"GET {API}/health HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    connection = opened(port, "POST", "/none", CHUNKED + "Content-Length: 4\r\n", b"0\r\n\r\n" + hidden)
    connection.settimeout(3)
    received = b""
    with closing(connection), suppress(TimeoutError, ConnectionError):
        while part := connection.recv(65536):
            received += part
    assert received.count(b"HTTP/1.1 ") == 1


def test_slow_bodies_never_hold_all_threads(port):
    slow = [opened(port, "POST", "/pools", "Content-Length: 100\r\n", b"{") for _ in range(3 * THREADS)]
    try:
        deadline, refused = time.monotonic() + 30, []
        while len(refused) < len(slow) - THREADS and time.monotonic() < deadline:
            refused = select.select(slow, [], [], 0.1)[0]
        assert len(slow) - THREADS <= len(refused) < len(slow)
        for path, expected in (("/health", 200), ("/pools", 200), ("/none", 404)):
            assert status(send(port, "GET", path)) == expected
        received = send(port, "POST", "/pools", "Content-Length: 2\r\n", b"{}")
        assert status(received) == 429 and b"\r\nretry-after: 1\r\n" in received.lower()
    finally:
        for connection in slow:
            connection.close()
    deadline = time.monotonic() + 10
    while status(send(port, "POST", "/pools", "Content-Length: 2\r\n", b"{}")) == 429 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert status(send(port, "POST", "/pools", "Content-Length: 2\r\n", b"{}")) == 400


def test_a_stranger_holds_no_thread_with_a_slow_body(port):
    slow = [opened(port, "POST", "/pools", "Content-Length: 100\r\n", b"{", known=False) for _ in range(3 * THREADS)]
    try:
        for connection in slow:
            assert select.select([connection], [], [], 10)[0] and status(connection.recv(65536)) == 401
        body = b'{"name": "meanwhile", "slots": 1}'
        assert status(send(port, "POST", "/pools", f"Content-Length: {len(body)}\r\n", body)) == 201
    finally:
        for connection in slow:
            connection.close()


def test_a_head_that_never_ends_holds_nothing(port):
    slow = []
    for _ in range(10 * THREADS):
        connection = socket.create_connection(("127.0.0.1", port), 10)
        connection.sendall(f"GET {API}/pools HTTP/1.1\r\nHost: x\r\nX-Slow: ".encode())
        slow.append(connection)
    try:
        assert [status(send(port, "GET", "/pools")) for _ in range(10)] == [200] * 10
    finally:
        for connection in slow:
            connection.close()
