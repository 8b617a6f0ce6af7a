"""Kerberos: whose a ticket is, for which services, and what proves the server to the client.

A KDC is started for these tests where MIT Kerberos and the package gssapi are installed; `tox -e kerberos` insists.
"""

from __future__ import annotations

import base64
import importlib
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from flask import Flask
from sqlalchemy import Connection, Engine, create_engine

from clients import API, SETTINGS, credentials
from databases import free_port
from kdc import HOST, OTHER, REALM, Kdc, kdc, missing
from problems import assert_problem
from windsock import migrate
from windsock.accounts import NewUser, create_user
from windsock.app import create_app
from windsock.config import Config, ConfigError
from windsock.context import KEY
from windsock.db import Database

try:
    import gssapi
except ImportError:
    gssapi = None

NAMES = "airflow.api.auth.backend.", "airflow.providers.fab.auth_manager.api.auth.backend."
BACKENDS, KEYTAB = ("api", "auth_backends"), ("kerberos", "keytab")
ALICE = f"alice@{REALM}"
SERVICES = f"HTTP/{HOST}@{REALM}", f"airflow/{HOST}@{REALM}"
HOST_SERVICE = f"host/{HOST}@{REALM}"


# ---------------------------------------------------------------- a realm, a server, clients
@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    """A KDC; skipped where there is none, unless $WINDSOCK_TEST_KERBEROS says that there has to be one."""
    lacking = missing() + ([] if gssapi else ["the package gssapi"])
    if lacking:
        reason = f"no Kerberos here: {', '.join(lacking)} missing; see `tox -e kerberos`"
        (pytest.fail if os.environ.get("WINDSOCK_TEST_KERBEROS") else pytest.skip)(reason)
    with kdc(tmp_path_factory.mktemp("kdc")) as running:
        yield running


@pytest.fixture(scope="module")
def keytab(realm: Kdc) -> Path:
    """The keys of the server, and one of a service on the same machine that is none of its business."""
    return realm.keytab("keytab", *SERVICES, HOST_SERVICE)


@pytest.fixture(scope="module")
def alice(realm: Kdc) -> Path:
    return realm.sign_in(ALICE)


@pytest.fixture(scope="module")
def built(engine: Engine, keytab: Path) -> Flask:
    settings = {**SETTINGS, BACKENDS: NAMES[0] + "kerberos_auth", KEYTAB: str(keytab)}
    return create_app(Config(settings), Database(engine))


@pytest.fixture
def site(built: Flask, connection: Connection) -> Flask:
    """Takes tickets; its database is this test's connection."""
    built.extensions[KEY].database = Database(connection)
    return built


def conversation(cache: Path, service: str = "HTTP", spnego: bool = True) -> Any:
    """The client's side: `step()` gives the token, and `step(answer)` takes the server's."""
    mech = gssapi.OID.from_int_seq("1.3.6.1.5.5.2") if spnego else gssapi.MechType.kerberos
    return gssapi.SecurityContext(
        name=gssapi.Name(service if "@" in service else f"{service}@{HOST}", gssapi.NameType.hostbased_service),
        creds=gssapi.Credentials(usage="initiate", store={"ccache": str(cache)}),
        flags=gssapi.RequirementFlag.mutual_authentication,
        mech=mech,
        usage="initiate",
    )


def ask(app: Flask, token: bytes | str, method: str = "GET", path: str = "/pools", **headers: str) -> Any:
    text = token if isinstance(token, str) else base64.b64encode(token).decode()
    body = {"name": "p", "slots": 1, "include_deferred": False} if method == "POST" else None
    return app.test_client().open(
        API + path, method=method, json=body, headers={"Authorization": f"Negotiate {text}", **headers}
    )


def as_owner_of(cache: Path, app: Flask, method: str = "GET", service: str = "HTTP", **more: str) -> Any:
    """The answer to a request with a fresh token."""
    return ask(app, conversation(cache, service).step(), method, **more)


def assert_refused(response: Any) -> None:
    assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"] == "Negotiate"


# ---------------------------------------------------------------- who it is
@pytest.mark.parametrize("username", [ALICE, "alice", "alice@windsock.test", "Alice"])
def test_a_ticket_signs_in_the_user_with_that_name_and_their_rights(username, site, alice, make_user):
    make_user("Viewer", username=username)
    assert as_owner_of(alice, site).status_code == 200
    assert_problem(as_owner_of(alice, site, "POST"), 403, username, "Pools.can_create")


def test_a_user_named_as_the_whole_principal_goes_before_one_with_the_name_alone(site, alice, make_user, session):
    make_user("Admin", username="alice")
    whole = make_user("Viewer", username=ALICE)
    assert_problem(as_owner_of(alice, site, "POST"), 403, ALICE)
    whole.active = False
    session.commit()
    assert_refused(as_owner_of(alice, site))


@pytest.mark.parametrize("service", ["HTTP", "airflow"])
@pytest.mark.parametrize("spnego", [True, False])
def test_the_answer_proves_the_server_to_the_client(spnego, service, site, alice, make_user):
    make_user("Viewer", username=ALICE)
    for method, path, status in (("GET", "/pools", 200), ("GET", "/pools/nothing", 404), ("POST", "/pools", 403)):
        client = conversation(alice, service, spnego)
        response = ask(site, client.step(), method, path)
        assert response.status_code == status
        scheme, _, token = response.headers["WWW-Authenticate"].partition(" ")
        assert scheme == "Negotiate" and not client.complete
        client.step(base64.b64decode(token))
        assert client.complete and client.actual_flags & gssapi.RequirementFlag.mutual_authentication


def test_another_realm_has_users_of_its_own(site, realm, make_user):
    make_user("Admin", username="admin")
    make_user("Admin", username=f"admin@{REALM}")
    stranger = realm.sign_in(f"admin@{OTHER}")
    assert_refused(as_owner_of(stranger, site))
    make_user("Viewer", username=f"admin@{OTHER}")
    assert as_owner_of(stranger, site).status_code == 200
    assert_problem(as_owner_of(stranger, site, "POST"), 403, f"admin@{OTHER}")


@pytest.mark.parametrize("principal", [f"admin\\@{REALM}@{OTHER}", f"admin\\@{OTHER}@{REALM}", f"admin/x@{REALM}"])
def test_a_name_that_looks_like_another_one_is_nobody(principal, site, realm, make_user):
    for username in ("admin", f"admin@{REALM}", f"admin@{OTHER}"):
        make_user("Admin", username=username)
    assert_refused(as_owner_of(realm.sign_in(principal), site))


def test_a_user_who_is_unknown_deactivated_or_removed_is_refused(site, alice, make_user, session):
    assert_refused(as_owner_of(alice, site))
    user = make_user("Admin", username=ALICE)
    assert as_owner_of(alice, site).status_code == 200
    user.active = False
    session.commit()
    assert_refused(as_owner_of(alice, site))
    session.delete(user)
    session.commit()
    assert_refused(as_owner_of(alice, site))


def test_a_ticket_costs_no_write_and_no_answer_sets_a_cookie(site, alice, make_user, statements):
    make_user("Admin", username=ALICE, last_login=None)
    with statements() as seen:
        response = as_owner_of(alice, site)
    assert response.status_code == 200 and "Set-Cookie" not in response.headers
    assert seen and not any(text.startswith(("UPDATE", "INSERT", "DELETE")) for text in seen)


# ---------------------------------------------------------------- what is no proof
def test_a_token_counts_once(site, alice, make_user):
    make_user("Admin", username=ALICE)
    token = conversation(alice).step()
    assert ask(site, token).status_code == 200
    assert_refused(ask(site, token))


def test_a_ticket_for_another_service_is_refused(site, alice, realm, make_user):
    make_user("Admin", username=ALICE)
    realm.keytab("elsewhere", f"HTTP2/{HOST}@{REALM}")
    for service in ("host", "HTTP2"):
        assert_refused(as_owner_of(alice, site, service=service))


@pytest.mark.parametrize("spnego", [True, False])
def test_a_ticket_for_another_service_with_the_name_of_ours_written_over_it_is_refused(spnego, site, alice, make_user):
    make_user("Admin", username=ALICE)
    token = conversation(alice, "host", spnego).step()
    assert token.count(b"\x04host") == 1  # only the encrypted part of a ticket is protected
    assert_refused(ask(site, token.replace(b"\x04host", b"\x04HTTP")))


def test_a_ticket_counts_until_it_expires(site, realm, keytab, make_user, monkeypatch):
    make_user("Admin", username=ALICE)
    cache = realm.sign_in(ALICE, "-l", "1s", "-S", SERVICES[0])
    strict = realm.configuration("strict.conf", skew=1)
    time.sleep(3.2)
    _forget_the_end(cache)
    assert as_owner_of(cache, site).status_code == 200  # clocks may differ by five minutes
    monkeypatch.setenv("KRB5_CONFIG", str(strict))
    assert_refused(as_owner_of(cache, site))


def _forget_the_end(cache: Path) -> None:
    """Let the client believe that its tickets last for an hour more; what the server sees stays."""
    content, now, changed = cache.read_bytes(), time.time(), 0
    for place in range(len(content) - 12):
        authenticated, start, end = struct.unpack_from(">III", content, place)
        if now - 60 < authenticated <= start <= end <= now:
            content = content[: place + 8] + struct.pack(">I", end + 3600) + content[place + 12 :]
            changed += 1
    assert changed == 1
    cache.write_bytes(content)


def test_a_ticket_under_an_old_key_is_refused_and_a_new_keytab_counts_at_once(make_app, realm, make_user):
    make_user("Admin", username=ALICE)
    service, principal = "HTTP@changing.test", f"HTTP/changing.test@{REALM}"
    file = realm.keytab("changing", principal)
    app = make_app({BACKENDS: NAMES[0] + "kerberos_auth", KEYTAB: str(file)})
    old = realm.sign_in(ALICE)
    assert as_owner_of(old, app, service=service).status_code == 200
    realm.admin(REALM, f"change_password -randkey {principal}")
    new = realm.sign_in(ALICE)
    assert_refused(as_owner_of(new, app, service=service))
    file.unlink()
    realm.keytab("changing", principal)
    assert as_owner_of(new, app, service=service).status_code == 200
    assert_refused(as_owner_of(old, app, service=service))


MALFORMED = {
    "nothing": "",
    "no base64": "!!!",
    "base64 without its end": "YII",
    "not ASCII": "Y\u00fc==",
    "an empty token": "====",
    "parameters": 'token="YIIB"',
    "NTLM": "TlRMTVNTUAABAAAAB4IIogAAAAAAAAAAAAAAAAAAAAAKAGFKAAAADw==",
    "zeros": base64.b64encode(bytes(500)).decode(),
    "a length beyond the end": base64.b64encode(b"\x60\x84\xff\xff\xff\xff\x06\x06+\x06\x01\x05\x05\x02").decode(),
    "much": "A" * 60_000,
}


@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_token_is_refused(token, site):
    assert_refused(ask(site, token))


def test_a_damaged_token_is_refused(site, alice, make_user):
    make_user("Admin", username=ALICE)
    token = conversation(alice).step()
    for length in range(0, len(token), 7):
        assert_refused(ask(site, token[:length]))
    for place in range(0, 60):
        response = ask(site, token[:place] + bytes([token[place] ^ 0x55]) + token[place + 1 :])
        assert response.status_code in (200, 401), place  # some bytes, such as hints, mean nothing
    assert_refused(ask(site, token[:-1] + bytes([token[-1] ^ 1])))


def test_a_conversation_of_several_rounds_is_refused(site):
    kerberos, spnego = bytes.fromhex("06092a864886f712010202"), bytes.fromhex("06062b0601050502")

    def wrapped(tag: int, content: bytes) -> bytes:
        return bytes([tag, len(content)]) + content

    only_a_list = wrapped(0xA0, wrapped(0x30, wrapped(0xA0, wrapped(0x30, kerberos))))
    token = wrapped(0x60, spnego + only_a_list)
    with_keys = gssapi.Credentials(usage="accept", store={"keytab": str(site.extensions[KEY].config.get(*KEYTAB))})
    server = gssapi.SecurityContext(creds=with_keys, usage="accept")
    assert server.step(token) and not server.complete  # it is well-formed, and asks to be continued
    assert_refused(ask(site, token))


@pytest.mark.parametrize("header", ["Negotiate", "Basic", "Bearer x", "negotiate  ", "Kerberos YIIB"])
def test_a_header_without_a_token_is_refused(header, site):
    assert_refused(site.test_client().get(f"{API}/pools", headers={"Authorization": header}))


def test_another_page_may_not_change_things_with_the_ticket_that_a_browser_sends(site, alice, make_user):
    make_user("Admin", username=ALICE)
    assert_refused(as_owner_of(alice, site, "POST", Origin="http://evil.example"))
    assert as_owner_of(alice, site, "GET", Origin="http://evil.example").status_code == 200
    assert as_owner_of(alice, site, "POST", Origin="http://localhost").status_code == 201


# ---------------------------------------------------------------- configuration
@pytest.mark.parametrize("prefix", NAMES)
def test_tickets_and_passwords_work_beside_each_other(prefix, make_app, keytab, alice, make_user):
    app = make_app({BACKENDS: f"{prefix}kerberos_auth,{prefix}basic_auth", KEYTAB: str(keytab)})
    make_user("Viewer", username=ALICE)
    assert as_owner_of(alice, app).status_code == 200
    by_password = app.test_client().get(f"{API}/pools", headers={"Authorization": credentials(ALICE)})
    assert by_password.status_code == 200 and "WWW-Authenticate" not in by_password.headers
    challenges = " ".join(app.test_client().get(f"{API}/pools").headers.getlist("WWW-Authenticate"))
    assert "Negotiate" in challenges and "Basic realm=" in challenges


def test_without_the_package_the_start_stops_and_says_what_to_install(monkeypatch, make_app):
    monkeypatch.setitem(sys.modules, "gssapi", None)
    monkeypatch.delitem(sys.modules, "windsock.auth.kerberos", raising=False)
    with pytest.raises(ConfigError, match=r"kerberos_auth needs .* pip install 'windsock\[kerberos\]'"):
        make_app({BACKENDS: NAMES[0] + "kerberos_auth"})
    assert make_app()  # nobody else needs it
    with pytest.raises(ImportError):
        importlib.import_module("gssapi")


@pytest.mark.parametrize("content", [None, b"", b"\x05\x02", b"no keytab"])
def test_a_keytab_that_cannot_be_used_stops_the_start(content, make_app, realm, tmp_path):
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"\[kerberos\] keytab: .*keys.* cannot be used.* HTTP/HOST"):
        make_app({BACKENDS: NAMES[0] + "kerberos_auth", KEYTAB: str(file)})


def test_the_variable_for_the_keytab_goes_before_the_setting(make_app, keytab, alice, make_user, monkeypatch):
    make_user("Viewer", username=ALICE)
    monkeypatch.setenv("KRB5_KTNAME", f"FILE:{keytab}")
    app = make_app({BACKENDS: NAMES[0] + "kerberos_auth", KEYTAB: "nowhere"})
    assert as_owner_of(alice, app).status_code == 200


# ---------------------------------------------------------------- a server and curl
@pytest.fixture
def url(keytab: Path, tmp_path: Path) -> Iterator[str]:
    """The API of a real server, whose database has alice as an Admin."""
    place = f"sqlite:///{tmp_path}/airflow.db"
    engine = create_engine(place)
    migrate.init(engine)
    with engine.begin() as connection:
        create_user(connection, NewUser(ALICE, "sesame", "alice@example.com", "Alice", "A", "Admin"))
    engine.dispose()
    settings = {
        **SETTINGS,
        BACKENDS: f"{NAMES[0]}basic_auth,{NAMES[0]}kerberos_auth",
        KEYTAB: str(keytab),
        ("database", "sql_alchemy_conn"): place,
    }
    environ = {f"AIRFLOW__{section}__{key}".upper(): value for (section, key), value in settings.items()}
    port = free_port()
    command = [sys.executable, "-c", "from windsock.cli import main; main()", "serve", "--workers", "1"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)], stdout=log, stderr=log,
            env={**os.environ, **environ, "AIRFLOW_HOME": str(tmp_path)},
        )  # fmt: skip
    try:
        _wait(process, f"http://127.0.0.1:{port}{API}/version", tmp_path / "log")
        yield f"http://{HOST}:{port}{API}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            urlopen(url, timeout=5).close()
            return
        except URLError:
            time.sleep(0.1)
    raise RuntimeError(log.read_text())


def test_curl_with_a_ticket_is_let_in_by_a_real_server(url, alice, tmp_path):
    curl = shutil.which("curl")
    if not curl or "SPNEGO" not in subprocess.check_output([curl, "--version"], text=True):
        pytest.skip("no curl that speaks SPNEGO")

    def status(cache: Path) -> str:
        command = [curl, "--silent", "--negotiate", "--user", ":", "--output", os.devnull, "--write-out"]
        environ = {**os.environ, "KRB5CCNAME": str(cache), "no_proxy": "*"}
        wanted = "%{http_code} %header{www-authenticate}"
        return subprocess.check_output([*command, wanted, f"{url}/pools"], env=environ, text=True)

    assert status(alice).startswith("200 Negotiate ")
    assert status(tmp_path / "no tickets").startswith("401 ")
