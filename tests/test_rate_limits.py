"""Limits: how often a user may ask, and how often logins from an address may fail."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import closing

import pytest

from clients import API, credentials, signed_in
from problems import assert_problem
from windsock.config import ConfigError

limits = pytest.importorskip("limits", reason="the package limits is not installed")
RATE, LOGIN = ("windsock", "rate_limit"), ("windsock", "login_rate_limit")
STORAGE = ("windsock", "rate_limit_storage")
#: Of a day, so that no window ends while a test runs.
FEW = "3 per day"


def ask(app, username, password="correct horse", address="192.0.2.1", path="/pools"):
    headers = {"Authorization": credentials(username, password)} if username else {}
    return app.test_client().get(API + path, headers=headers, environ_base={"REMOTE_ADDR": address})


def statuses(app, times, *arguments, **named):
    return [ask(app, *arguments, **named).status_code for _ in range(times)]


# ---------------------------------------------------------------- users
def test_without_a_setting_nothing_is_limited(make_app, make_user):
    assert statuses(make_app(), 30, make_user("Viewer").username) == [200] * 30


def test_a_user_who_asks_too_often_is_told_when_to_come_back(make_app, make_user):
    app, user = make_app({RATE: FEW}), make_user("Viewer").username
    assert statuses(app, 3, user) == [200] * 3
    refused = ask(app, user)
    assert_problem(refused, 429, "3 per 1 day")
    assert 1 <= int(refused.headers["Retry-After"]) <= 86400
    assert statuses(app, 2, user, address="192.0.2.2") == [429] * 2
    assert ask(app, make_user("Viewer").username).status_code == 200


def test_each_of_several_limits_holds(make_app, make_user):
    app, user = make_app({RATE: "100 per day; 2 per hour"}), make_user("Viewer").username
    assert statuses(app, 2, user) == [200] * 2
    refused = ask(app, user)
    assert_problem(refused, 429, "2 per 1 hour")
    assert int(refused.headers["Retry-After"]) <= 3600


def test_a_window_that_has_ended_lets_the_user_ask_again(make_app, make_user):
    app, user = make_app({RATE: "1 per second"}), make_user("Viewer").username
    found = statuses(app, 4, user)
    assert found[0] == 200 and 429 in found
    deadline = time.monotonic() + 10
    while ask(app, user).status_code == 429 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert time.monotonic() < deadline


def test_a_change_that_is_one_too_many_changes_nothing(make_app, make_user):
    app = make_app({RATE: "1 per day"})
    client = signed_in(app, make_user("Admin").username)
    assert client.post(f"{API}/pools", json={"name": "one", "slots": 1}).status_code == 201
    assert_problem(client.post(f"{API}/pools", json={"name": "two", "slots": 1}), 429)
    other = signed_in(app, make_user("Admin").username)
    assert other.get(f"{API}/pools/two").status_code == 404


def test_what_everybody_may_ask_is_not_counted(make_app, make_user):
    app, user = make_app({RATE: "1 per day", LOGIN: "1 per day"}), make_user("Viewer").username
    assert statuses(app, 2, user) == [200, 429]
    assert statuses(app, 3, user, path="/health") == [200] * 3
    assert statuses(app, 3, None, path="/version") == [200] * 3
    assert statuses(app, 3, None) == [401] * 3


def test_callers_without_credentials_are_counted_by_address(make_app):
    app = make_app({RATE: FEW, ("windsock", "anonymous_role"): "Viewer"})
    assert statuses(app, 3, None) == [200] * 3
    refused = ask(app, None)
    assert_problem(refused, 429, "3 per 1 day")
    assert refused.headers["Retry-After"]
    assert ask(app, None, address="192.0.2.2").status_code == 200
    with_cookie = app.test_client().get(
        f"{API}/pools", headers={"Cookie": "session=x"}, environ_base={"REMOTE_ADDR": "192.0.2.1"}
    )
    assert_problem(with_cookie, 429)


# ---------------------------------------------------------------- logins
def test_after_too_many_failures_the_right_password_is_refused_too(make_app, make_user):
    app, user = make_app({LOGIN: FEW}), make_user("Viewer").username
    assert statuses(app, 3, user, "wrong") == [401] * 3
    refused = ask(app, user)
    assert_problem(refused, 429, "failed logins", "3 per 1 day")
    assert int(refused.headers["Retry-After"]) >= 1
    assert ask(app, user, address="192.0.2.2").status_code == 200


def test_while_an_address_is_refused_no_password_is_compared(make_app, make_user, monkeypatch):
    from windsock.auth import basic

    compared = []
    check = basic.check_password_hash
    monkeypatch.setattr(basic, "check_password_hash", lambda *given: compared.append(given) or check(*given))
    app, user = make_app({LOGIN: FEW}), make_user("Viewer").username
    statuses(app, 10, user, "wrong")
    statuses(app, 10, "nobody", "wrong")
    assert len(compared) == 3


def test_logins_that_succeed_are_not_counted(make_app, make_user):
    app, user = make_app({LOGIN: FEW}), make_user("Viewer").username
    assert statuses(app, 10, user) == [200] * 10
    assert statuses(app, 2, user, "wrong") == [401] * 2
    assert ask(app, user).status_code == 200


def test_failures_are_counted_whichever_user_is_tried(make_app):
    app = make_app({LOGIN: FEW})
    assert [ask(app, f"guess-{n}").status_code for n in range(5)] == [401, 401, 401, 429, 429]


def test_the_addresses_of_one_ipv6_network_count_as_one(make_app):
    app = make_app({LOGIN: FEW})
    found = [ask(app, "guess", address=f"2001:db8:0:1::{n:x}").status_code for n in range(5)]
    assert found == [401, 401, 401, 429, 429]
    assert ask(app, "guess", address="2001:db8:0:2::1").status_code == 401


@pytest.mark.parametrize(("trusted", "last"), [(False, 429), (True, 401)])
def test_a_forwarded_address_counts_only_if_a_setting_trusts_the_proxy(trusted, last, make_app):
    client = make_app({LOGIN: FEW, ("webserver", "enable_proxy_fix"): trusted}).test_client()
    for number in range(4):
        headers = {"Authorization": credentials("guess"), "X-Forwarded-For": f"203.0.113.{number}"}
        found = client.get(f"{API}/pools", headers=headers)
    assert found.status_code == last


def test_a_proxy_may_be_trusted_for_its_own_entry_only(make_app):
    client = make_app({LOGIN: FEW, ("webserver", "enable_proxy_fix"): True}).test_client()
    for number in range(4):  # the client sends the first address, the proxy appends the second
        headers = {"Authorization": credentials("guess"), "X-Forwarded-For": f"203.0.113.{number}, 192.0.2.9"}
        found = client.get(f"{API}/pools", headers=headers)
    assert found.status_code == 429


def test_scheme_host_and_prefix_of_a_trusted_proxy_are_in_links(make_app, make_user, add):
    import factories as f

    add(f.pool("a"), f.pool("b"))
    sent = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "air.example.org", "X-Forwarded-Prefix": "/flow"}
    user = make_user("Viewer").username
    for trusted, link in (
        (True, "<https://air.example.org/flow/api/v1/pools?"),
        (False, "<http://localhost/api/v1/pools?"),
    ):
        client = signed_in(make_app({("webserver", "enable_proxy_fix"): trusted}), user)
        assert client.get(f"{API}/pools?limit=1", headers=sent).headers["Link"].startswith(link)


# ---------------------------------------------------------------- settings and storage
@pytest.mark.parametrize("text", ["often", "10", "-1 per minute", "1 per fortnight", "5 per minute;"])
@pytest.mark.parametrize("setting", [RATE, LOGIN])
def test_a_limit_that_cannot_be_read_stops_the_start(setting, text, make_app):
    with pytest.raises(ConfigError, match=rf"{setting[1]} must be like 100 per minute"):
        make_app({setting: text})


@pytest.mark.parametrize("uri", ["nonsense", "carrier-pigeon://:hunter2@host"])
def test_a_storage_that_nobody_knows_stops_the_start_without_its_password(uri, make_app):
    with pytest.raises(ConfigError, match="rate_limit_storage must be memory://") as refused:
        make_app({RATE: FEW, STORAGE: uri})
    assert "hunter2" not in str(refused.value)


def test_a_storage_that_cannot_be_reached_refuses_nobody_and_is_not_asked_again_and_again(make_app, make_user, caplog):
    with closing(socket.socket()) as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        uri = f"redis://:hunter2@127.0.0.1:{taken.getsockname()[1]}/0"
        app, user = make_app({RATE: "1 per day", STORAGE: uri}), make_user("Viewer").username
        assert statuses(app, 5, user) == [200] * 5
    assert caplog.text.count("Requests are not counted for a minute") == 1
    assert "hunter2" not in caplog.text


@pytest.fixture
def redis(tmp_path):
    """The URI of a Redis server of its own."""
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait(10)


def test_servers_that_share_a_storage_count_together(redis, make_app, make_user):
    one, two = (make_app({RATE: FEW, LOGIN: FEW, STORAGE: redis}) for _ in range(2))
    user = make_user("Viewer").username
    assert statuses(one, 2, user) + statuses(two, 2, user) + statuses(one, 1, user) == [200, 200, 200, 429, 429]
    assert statuses(one, 2, "x") + statuses(two, 2, "x") == [401, 401, 401, 429]


def test_servers_that_share_none_count_for_themselves(make_app, make_user):
    one, two = (make_app({RATE: "1 per day"}) for _ in range(2))
    user = make_user("Viewer").username
    assert statuses(one, 2, user) + statuses(two, 2, user) == [200, 429, 200, 429]
