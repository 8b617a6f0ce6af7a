"""The test of a connection, against real servers and files."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

import distributions
import factories as f
from clients import API, signed_in
from databases import free_port, postgres
from problems import assert_problem
from windsock.app import create_app
from windsock.config import Config, ConfigError
from windsock.models import Log

ENABLED = {("core", "test_connection"): "Enabled", ("windsock", "test_connection_timeout"): "30"}
SECRET = "sesame-open"
Probe = Callable[..., Any]


@pytest.fixture
def tester(make_app: Any, make_user: Any) -> Any:
    """`tester({setting: value})`: an administrator of an application that tests connections."""
    username = make_user("Admin").username
    return lambda settings=(): signed_in(make_app({**ENABLED, **dict(settings)}), username)


@pytest.fixture
def probe(tester: Any) -> Probe:
    """`probe(conn_type=..., host=..., extra={...})`: the outcome; `settings` are further ones of the application."""

    def probe(settings: Any = (), **body: Any) -> Any:
        if "extra" in body:
            body["extra"] = json.dumps(body["extra"])
        response = tester(settings).post(f"{API}/connections/test", json={"connection_id": "t", **body})
        assert response.status_code == 200, response.get_data(as_text=True)
        outcome = response.get_json()
        assert outcome.keys() == {"status", "message"}
        assert SECRET not in outcome["message"]
        return outcome

    return probe


class Web(BaseHTTPRequestHandler):
    """Answers with the status in the path, and remembers what it was asked."""

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        status = self.path.strip("/")
        self.send_response(int(status) if status.isdigit() else 200)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/redirected")  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.seen = []  # type: ignore[attr-defined]
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def web() -> Iterator[Any]:
    with serving() as server:
        yield server


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


# ---------------------------------------------------------------- HTTP
@pytest.mark.parametrize("whole", [False, True])
def test_a_web_server_that_answers_passes(whole, probe, web):
    place = {"host": f"http://127.0.0.1:{web.server_port}"} if whole else {"host": "localhost", "port": web.server_port}
    outcome = probe(conn_type="http", login="ada", password=SECRET, extra={"X-Team": "a", "verify": True}, **place)
    assert outcome == {"status": True, "message": "Connection successfully tested"}
    ((path, headers),) = web.seen
    assert (path, headers["X-Team"]) == ("/", "a")
    assert headers["Authorization"] == "Basic YWRhOnNlc2FtZS1vcGVu"
    assert headers["Host"] == f"{'127.0.0.1' if whole else 'localhost'}:{web.server_port}"
    assert "verify" not in headers


@pytest.mark.parametrize("status", [401, 404, 500])
def test_an_error_of_a_web_server_is_a_failure(status, probe, web):
    outcome = probe(conn_type="http", host=f"http://127.0.0.1:{web.server_port}/{status}")
    assert outcome["status"] is False
    assert outcome["message"].startswith(f"{status} ")


def test_a_redirect_is_not_followed(probe, web):
    outcome = probe(conn_type="http", host=f"http://127.0.0.1:{web.server_port}/302")
    assert outcome == {"status": True, "message": "302 Found; the redirect was not followed"}
    assert [path for path, _ in web.seen] == ["/302"]


@pytest.mark.parametrize("extra", [{}, {"verify": False}])
def test_a_certificate_is_checked_unless_the_connection_says_otherwise(extra, probe, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    with serving(context) as server:
        outcome = probe(conn_type="http", schema="https", host="localhost", port=server.server_port, extra=extra)
    assert outcome["status"] is bool(extra)
    assert extra or "certificate verify failed" in outcome["message"]


def certificate(folder: Path) -> Path:
    """A file with a key and a certificate for `localhost` that nobody has signed."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "both.pem"
    file.write_bytes(key.private_bytes(*plain) + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.mark.parametrize(
    "place",
    [{"host": "127.0.0.1", "port": 1}, {"host": "no.such.host.invalid"}, {"host": ""}, {"host": "ftp://127.0.0.1"},
     {"host": "a b"}, {"host": "http://[::1"}, {"host": "http://a:x"}, {"port": 99999, "host": "localhost"}, {}],
)  # fmt: skip
def test_a_web_server_that_is_not_there_fails(place, probe):
    outcome = probe(conn_type="http", **place)
    assert outcome["status"] is False
    assert outcome["message"]


def test_a_header_that_is_none_fails_without_being_repeated(probe, web):
    extra = {"Authorization": f"{SECRET}\r\nX: y"}
    outcome = probe(conn_type="http", host="127.0.0.1", port=web.server_port, extra=extra)
    assert outcome["status"] is False
    assert web.seen == []


# ---------------------------------------------------------------- SQL
def test_a_postgres_server_is_signed_in_to(probe):
    with postgres() as url:
        place = {"host": url.host, "port": url.port, "login": url.username, "schema": url.database}
        assert probe(conn_type="postgres", password=SECRET, extra={"sslmode": "prefer"}, **place)["status"] is True
        missing = probe(conn_type="postgres", password=SECRET, **{**place, "schema": "nowhere"})
    assert missing["status"] is False
    assert '"nowhere" does not exist' in missing["message"]


@pytest.mark.parametrize("host", ["/var/run/postgresql", "@socket", "127.0.0.1,169.254.169.254"])
def test_a_postgres_server_has_one_name_or_address(host, probe):
    assert probe(conn_type="postgres", host=host) == {"status": False, "message": "host must be one name or address"}


def test_an_extra_of_a_postgres_connection_leads_nowhere_else(probe, silent):
    port = str(silent.getsockname()[1])
    elsewhere = {"host": "127.0.0.1", "hostaddr": "127.0.0.1", "port": port, "service": "x", "passfile": "/etc"}
    outcome = probe(conn_type="postgres", host="127.0.0.1", port=1, extra=elsewhere)
    assert outcome["status"] is False
    assert "port 1 failed" in outcome["message"]


def test_a_sqlite_file_is_read_and_never_made(probe, tmp_path):
    settings = {("windsock", "test_connection_folders"): str(tmp_path)}
    good, text = tmp_path / "a b?.db", tmp_path / "text"
    sqlite3.connect(good).execute("CREATE TABLE t (x)").connection.close()
    text.write_text("no database, " * 100)
    assert probe(settings, conn_type="sqlite", host=str(good))["status"] is True
    assert probe(settings, conn_type="sqlite", host=str(text))["message"] == "file is not a database"
    assert probe(settings, conn_type="sqlite", host=f"{tmp_path}/new.db")["status"] is False
    assert not (tmp_path / "new.db").exists()


# ---------------------------------------------------------------- files
def test_a_path_below_a_permitted_folder_is_looked_at(probe, tmp_path):
    settings = {("windsock", "test_connection_folders"): f"/nowhere, {tmp_path}"}
    assert probe(settings, conn_type="fs", extra={"path": str(tmp_path)})["status"] is True
    assert probe(settings, conn_type="fs", extra={"path": f"{tmp_path}/none"})["status"] is False


@pytest.mark.parametrize("kind", ["fs", "sqlite"])
def test_nobody_learns_what_files_there_are_elsewhere(kind, probe, tmp_path):
    folder, outside = tmp_path / "data", tmp_path / "data-outside"
    folder.mkdir()
    sqlite3.connect(outside).execute("CREATE TABLE t (x)").connection.close()
    (folder / "link").symlink_to(outside)
    paths = [str(outside), f"{folder}/../data-outside", f"{folder}/link", f"{tmp_path}/none", "/etc/passwd"]
    settings = {("windsock", "test_connection_folders"): str(folder)}
    place: Any = {"fs": lambda p: {"extra": {"path": p}}, "sqlite": lambda p: {"host": p}}[kind]
    found = [probe(given, conn_type=kind, **place(path)) for path in paths for given in (settings, {})]
    refused = "Only files below the folders of [windsock] test_connection_folders are looked at"
    assert found == [{"status": False, "message": refused}] * len(found)


# ---------------------------------------------------------------- S3
@pytest.fixture
def s3(free: int) -> Iterator[str]:
    pytest.importorskip("s3fs")
    pytest.importorskip("moto", reason="a server that speaks S3 comes with moto[server]")
    code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{free}'])"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", code], **quiet) as server:  # type: ignore[call-overload]
        try:
            wait_for(free)
            yield f"http://127.0.0.1:{free}"
        finally:
            server.terminate()


@pytest.fixture
def free() -> int:
    return free_port()


def wait_for(port: int) -> None:
    for _ in range(300):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("the server does not start")


def test_an_s3_server_lists_what_there_is(s3, probe):
    account = {"conn_type": "aws", "login": "key", "password": SECRET}
    assert probe(extra={"endpoint_url": s3}, **account)["status"] is True
    service = {"service_config": {"s3": {"endpoint_url": s3, "bucket_name": "none"}}}
    assert probe(extra=service, **account)["status"] is False
    denied = {("windsock", "test_connection_deny"): "127.0.0.0/8"}
    assert "forbidden" in probe(denied, extra={"endpoint_url": s3}, **account)["message"]


def test_the_credentials_of_the_server_are_not_used(probe, monkeypatch, web):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-of-the-server")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    endpoint = f"http://127.0.0.1:{web.server_port}"
    assert probe(conn_type="s3", extra={"endpoint_url": endpoint})["status"] is False
    assert web.seen == []


# ---------------------------------------------------------------- where
@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "169.254.170.2", "2852039166", "0xa9fea9fe", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]",
     "[2002:a9fe:a9fe::]", "[fe80::1]", "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16"],
)  # fmt: skip
def test_no_metadata_service_is_asked_by_default(host, probe):
    outcome = probe(conn_type="http", host=f"http://{host}/latest/meta-data/")
    assert outcome == {
        "status": False,
        "message": "The address of the host is forbidden by [windsock] test_connection_deny",
    }


@pytest.mark.parametrize("kind", ["http", "postgres"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "::", "::1", "::ffff:127.0.0.1"])
def test_a_forbidden_network_is_not_reached_by_any_of_its_names(host, kind, probe, web):
    denied = {("windsock", "test_connection_deny"): "127.0.0.0/8 ::1/128"}
    outcome = probe(denied, conn_type=kind, host=f"[{host}]" if kind == "http" and ":" in host else host,
                    port=web.server_port)  # fmt: skip
    assert outcome["message"] == "The address of the host is forbidden by [windsock] test_connection_deny"
    assert web.seen == []


def test_an_address_is_checked_when_it_is_connected_to(probe, web, tmp_path):
    """A name whose second answer differs from the first one, as an attacker's name server gives it."""
    body = f"""
import socket
real, answers = socket.getaddrinfo, iter(["127.0.0.1", "127.0.0.2"])
socket.getaddrinfo = lambda host, *a, **k: real(next(answers), *a, **k)
def test(target, guard):
    socket.getaddrinfo("rebound.example.com", {web.server_port})
    socket.create_connection(("rebound.example.com", {web.server_port})).sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
"""
    denied = {("windsock", "test_connection_deny"): "127.0.0.2/32"}
    with extension(tmp_path, body):
        assert "forbidden" in probe(denied, conn_type="mine")["message"]
    assert web.seen == []


def test_networks_that_are_none_are_refused_at_the_start():
    with pytest.raises(ConfigError, match="test_connection_deny must be a list of networks such as"):
        create_app(Config({("windsock", "test_connection_deny"): "10.0.0.1/8"}))


# ---------------------------------------------------------------- extensions
@contextmanager
def extension(folder: Path, body: str) -> Iterator[None]:
    entry = {"windsock.connection_tests": "mine = test_of_mine:test"}
    distributions.write(folder, "windsock-mine", entry, source=body)
    with distributions.installed(folder):
        yield


def test_an_entry_point_brings_a_type(probe, tmp_path):
    body = "def test(target, guard):\n    print('noise')\n    return f'{target.host}:{target.port} {target.extra}'\n"
    with extension(tmp_path, body):
        outcome = probe(conn_type="mine", host="h", port=7, extra={"a": [1]})
    assert outcome == {"status": True, "message": "h:7 {'a': [1]}"}
    assert "test_of_mine" not in sys.modules


@pytest.mark.parametrize("body", ["def test(target, guard):\n    raise ValueError(f'{target.password} is wrong')",
                                  "import nothing_like_this", "import os\nos._exit(3)",
                                  "def test(target, guard):\n    raise SystemExit(3)"])  # fmt: skip
def test_a_failing_extension_is_a_failed_test(body, probe, tmp_path):
    with extension(tmp_path, body):
        outcome = probe(conn_type="mine", password=SECRET)
    assert outcome["status"] is False
    assert outcome["message"]


def test_an_extension_sees_nothing_of_the_servers_environment(probe, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "in the environment")
    body = "import os\ndef test(target, guard):\n    return ' '.join(sorted(os.environ)) + os.environ['HOME']"
    with extension(tmp_path, body):
        shown = probe(conn_type="mine")["message"]
    assert "FERNET" not in shown
    assert os.environ["HOME"] not in shown


# ---------------------------------------------------------------- what is refused
def test_an_unknown_type_fails_and_the_known_ones_are_named(probe):
    outcome = probe(conn_type="carrier_pigeon")
    assert outcome["status"] is False
    assert "'carrier_pigeon' cannot be tested" in outcome["message"]
    assert "aws, fs, http, https, postgres" in outcome["message"]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "conn_type"),
        ({"conn_type": ""}, "conn_type"),
        ({"conn_type": "http", "password": "***"}, "password"),
        ({"conn_type": "http", "extra": '{"api_key": "***"}'}, "extra"),
        ({"conn_type": "http", "extra": "[1]"}, "extra"),
        ({"conn_type": "http", "port": "80"}, "port"),
    ],
)
def test_a_body_that_makes_no_test_names_the_member(body, word, tester):
    assert_problem(tester().post(f"{API}/connections/test", json=body), 400, word)


def test_no_stored_secret_takes_part_and_nothing_is_written(probe, add, session, token, web):
    add(f.connection("mine", password=token(SECRET), is_encrypted=True, host="elsewhere"))
    outcome = probe(conn_type="http", connection_id="mine", login="ada", host="127.0.0.1", port=web.server_port)
    assert outcome["status"] is True
    assert web.seen[0][1]["Authorization"] == "Basic YWRhOg=="
    assert session.scalars(select(Log)).all() == []


# ---------------------------------------------------------------- time
def test_a_server_that_says_nothing_is_given_up(probe, silent):
    settings = {("windsock", "test_connection_timeout"): "1.5"}
    place = {"host": "127.0.0.1", "port": silent.getsockname()[1]}
    assert probe(settings, conn_type="http", **place)["status"] is False
    hangs = probe(settings, conn_type="postgres", **place)
    assert hangs == {"status": False, "message": "There was no answer within 1.5 seconds"}


def test_only_so_many_tests_run_at_a_time(tester, silent):
    client = tester({("windsock", "test_connection_concurrency"): "1"})
    body = {"conn_type": "http", "host": "127.0.0.1", "port": silent.getsockname()[1]}

    def test(body: dict[str, Any]) -> Any:
        return client.post(f"{API}/connections/test", json=body)

    first: list[Any] = []
    thread = Thread(target=lambda: first.append(test(body)))
    thread.start()
    silent.settimeout(60)
    with silent.accept()[0]:  # the first test waits for an answer now
        refused = test(body)
        unknown = test({"conn_type": "unknown"})  # takes no time, so no turn
    thread.join()
    assert_problem(refused, 429, "try again")
    assert int(refused.headers["Retry-After"]) > 0
    assert [unknown.status_code, first[0].status_code] == [200, 200]
    assert test({**body, "port": 1}).status_code == 200
