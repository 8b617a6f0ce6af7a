"""Fernet keys and masking: a wrong key gives null, a secret is hidden in every shape, the rest stays."""

from __future__ import annotations

import json
import logging
import time

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from windsock.config import Config, ConfigError
from windsock.crypto import SENSITIVE_NAMES, Masker, Vault

SECRET = "hunter2"
MASKER = Masker()


@pytest.fixture
def keys():
    return [Fernet.generate_key().decode() for _ in range(3)]


def test_what_is_encrypted_can_be_read_and_is_no_plain_text(keys):
    vault = Vault(keys[0])
    stored, is_encrypted = vault.encrypt("žluťoučký 🐎")
    assert is_encrypted and stored.isascii()
    assert vault.reveal(stored, is_encrypted) == vault.decrypt(stored.encode()) == "žluťoučký 🐎"


def test_the_first_key_encrypts_and_any_key_decrypts(keys):
    old, new, other = keys
    rotated = Vault(f"{new}, {old}")
    stored, _ = Vault(old).encrypt("x")
    assert rotated.decrypt(stored) == "x"
    assert Vault(new).decrypt(rotated.encrypt("y")[0]) == "y"
    assert Vault(other).decrypt(stored) is None


def test_an_empty_key_stores_plain_text():
    vault = Vault("")
    assert vault.encrypt("x") == ("x", False)
    assert vault.reveal("x", False) == "x"


@pytest.mark.parametrize("configured", ["", Fernet.generate_key().decode()], ids=["no key", "another key"])
def test_a_wrong_key_gives_null_and_one_log_line_without_the_value(keys, caplog, configured):
    token, _ = Vault(keys[0]).encrypt(SECRET)
    with caplog.at_level(logging.DEBUG):
        assert Vault(configured).reveal(token, True, "variable report") is None
    [record] = caplog.records
    assert "variable report" in record.getMessage() and "fernet_key" in record.getMessage()
    assert SECRET not in caplog.text and token not in caplog.text


@pytest.mark.parametrize("token", ["", "no token", "gAAAAA", "ž", "\ud800", "gAAAAABr" + "A" * 200, b"\xff\x00"])
def test_a_broken_token_gives_null(keys, token):
    assert Vault(keys[0]).decrypt(token) is None


def test_an_encrypted_value_that_is_no_text_gives_null(keys):
    assert Vault(keys[0]).decrypt(Fernet(keys[0]).encrypt(b"\xff")) is None


def test_null_stays_null(keys):
    assert Vault(keys[0]).reveal(None, True) is None


@pytest.mark.parametrize(
    "key",
    [SECRET, "A" * 40 + "=", "ž", f"{Fernet.generate_key().decode()},{SECRET}"],
    ids=["text", "too long", "no ASCII", "the second one"],
)
def test_an_invalid_key_is_refused_at_the_start_without_being_shown(key):
    with pytest.raises(ConfigError, match="fernet_key") as caught:
        Vault.from_config(Config({("core", "fernet_key"): key}))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("part", SENSITIVE_NAMES)
def test_a_name_is_sensitive_by_any_part_in_any_case(part):
    assert MASKER.is_sensitive(f" My_{part.upper()}2 ")


@pytest.mark.parametrize("name", ["", "key", "pass", "login", None, 7, ("password",)])
def test_other_names_are_not_sensitive(name):
    assert not MASKER.is_sensitive(name)


def test_the_configuration_adds_names_and_can_switch_masking_off():
    masker = Masker.from_config(Config({("core", "sensitive_var_conn_names"): "Ssn, iban code,"}))
    assert masker.mask({"my_ssn": "1", "IBAN CODE": "2", "x": "3"}) == {"my_ssn": "***", "IBAN CODE": "***", "x": "3"}
    off = Masker.from_config(Config({("core", "hide_sensitive_var_conn_fields"): "False"}))
    assert off.mask({"password": SECRET}) == {"password": SECRET}
    assert json.loads(off.mask_json('{"password": "hunter2"}')) == {"password": SECRET}


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        (SECRET, "***"),
        ("", "***"),
        (12345, "***"),
        (1.5, "***"),
        ([SECRET, 1, [SECRET]], ["***", "***", ["***"]]),
        ((SECRET,), ("***",)),
        ({"a": SECRET, "b": {"c": 1}}, {"a": "***", "b": {"c": "***"}}),
        ('{"a": 1}', "***"),
        (True, True),
        (None, None),
    ],
)
def test_every_shape_of_a_sensitive_value_is_masked(value, masked):
    assert MASKER.mask(value, "x_password") == masked
    assert MASKER.mask([{"x_password": value}]) == [{"x_password": masked}]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgres://ada:hunter2@h:5432/d", "postgres://ada:***@h:5432/d"),
        ("redis://:hunter2@h/0", "redis://:***@h/0"),
        ("http://u:hunter@2@h", "http://u:***@h"),
        ("http://u:hun/ter2@h/p", "http://u:***@h/p"),
        ("http://u:1234@h", "http://u:***@h"),
        ("http://a:hunter2@h1,http://b:hunter2@h2", "http://a:***@h1,http://b:***@h2"),
        ("see jdbc:postgresql://h/d?user=u&password=hunter2&x=1", "see jdbc:postgresql://h/d?user=u&password=***&x=1"),
        ("https://h/p?access_token=hunter2", "https://h/p?access_token=***"),
    ],
)
def test_passwords_in_urls_are_masked_wherever_the_url_stands(text, masked):
    assert MASKER.mask(text) == masked
    assert MASKER.mask({"proxies": [{"https": text}]}) == {"proxies": [{"https": masked}]}
    assert MASKER.mask_json(json.dumps({"uri": text})) == json.dumps({"uri": masked})
    assert MASKER.mask_audit(json.dumps({"note": f"use {text}"})) == json.dumps({"note": f"use {masked}"})
    assert MASKER.mask_audit(text) == MASKER.mask_json(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "http://localhost:8080/a?mail=ada@example.com",
        "http://h:80",
        "https://user@h/p",
        "s3://bucket/key A/with space%20and+plus?x=1&y=%C3%A9",
        "ada@example.com: see http://h/p",
        "password",
        "not json at all",
    ],
)
def test_text_without_a_secret_stays_as_it_is(text):
    assert MASKER.mask(text) == MASKER.mask_json(text) == MASKER.mask_audit(text) == text


def test_json_text_inside_a_value_is_masked_by_its_names():
    assert MASKER.mask({"extra": '{"token": "hunter2", "a": 1}'}) == {"extra": '{"token": "***", "a": 1}'}
    assert MASKER.mask({"extra": '{"a":1}'}) == {"extra": '{"a":1}'}


@pytest.mark.parametrize("name", ["key", "name"])
def test_a_name_in_a_neighbouring_member_makes_the_value_sensitive(name):
    assert MASKER.mask({name: "DB_PASSWORD", "value": SECRET}) == {name: "DB_PASSWORD", "value": "***"}
    assert MASKER.mask({name: "my_secret", "val": SECRET}) == {name: "my_secret", "val": "***"}
    assert MASKER.mask({name: "plain", "value": "x"}) == {name: "plain", "value": "x"}


@pytest.mark.parametrize(
    "value",
    [
        {"PassWord": "x"},
        {"env": [{"name": "my_token", "value": "x"}]},
        {"a\\u": "https://me:x@host/"},
        ["https://me:x@host/"],
        {"note": '{"\\u0070assword": "x"}'},
        {"full_command": "['airflow', 'users', 'create', '-p', 'x']"},
        {'mine"d': "x"},
        {"Ünsäglich": "x"},
        {"password": 2**70},
        {"password": "\ud800"},
    ],
)
def test_what_was_read_from_json_is_masked_as_any_value(value):
    masker = Masker(['e"d', "ünsäglich"])
    assert masker.mask_parsed(value) == masker.mask(value) != value


def test_an_extra_is_written_as_airflow_writes_it():
    extra = '{"sslmode":"require","password":"p","nested":{"token":"t","n":[1,2]},"é":"🚀"}'
    assert MASKER.mask_json(extra) == (
        '{"sslmode": "require", "password": "***", "nested": {"token": "***", "n": [1, 2]}, '
        '"\\u00e9": "\\ud83d\\ude80"}'
    )


@pytest.mark.parametrize(
    "extra",
    [
        "password=hunter2;host=h",
        "host=h api_key=hunter2",
        "a=1&my_token=hunter2",
        "password: hunter2\nhost: h",
        "{'password': 'hunter2', 'a': 1}",
    ],
)
def test_an_extra_that_is_no_json_is_searched_for_named_values(extra):
    masked = MASKER.mask_json(extra)
    assert masked == extra.replace("'hunter2'", "***").replace(SECRET, "***")


@pytest.mark.parametrize(
    "extra",
    [
        '{"k": "žluťoučký 🐎",  "q": "\\"quoted\\" <b>"}',
        '{"key":"plain_key","value":1.10}',
        '{"key": "secret"}',
        "",
        "7",
    ],
)
def test_an_audit_row_without_secrets_is_shown_as_stored(extra):
    assert MASKER.mask_audit(extra) == extra


@pytest.mark.parametrize(
    "extra",
    [
        '{"password": "hunter2", "password": "***"}',
        '{"p\\u0061ssword": "hunter2"}',
        '{"uri": "http:\\/\\/u:hunter2@h"}',
        '{"conf": [{"a": {"b": {"c": {"d": {"e": {"api_key": "hunter2"}}}}}}]}',
        '{"key": "x_token", "value": "hunter2"}',
        '{"extra": "{\\"secret\\": \\"hunter2\\"}"}',
        '{"password": "hunter2"',
        "[" * 100_000 + '{"password": "hunter2"}',
    ],
)
def test_no_disguise_lets_a_secret_out_of_an_audit_row(extra):
    shown = MASKER.mask_audit(extra)
    assert SECRET not in shown


@pytest.mark.parametrize(
    "command",
    [
        ["airflow", "users", "create", "-u", "ada", "-p", SECRET, "-r", "Admin"],
        ["airflow", "users", "create", f"--password={SECRET}"],
        ["airflow", "connections", "add", "c", "--conn-password", SECRET],
        ["airflow", "connections", "add", "c", "--conn-uri", f"postgres://u:{SECRET}@h"],
        ["airflow", "connections", "add", "c", f"--conn-uri=postgres://u:{SECRET}@h"],
        ["airflow", "connections", "add", "c", "--conn-extra", json.dumps({"token": SECRET, "a": "'"})],
        ["airflow", "connections", "add", "c", "--conn-json", json.dumps({"password": SECRET})],
        ["airflow", "variables", "set", "my_password", SECRET],
    ],
)
def test_a_command_line_in_an_audit_row_shows_no_secret(command):
    extra = json.dumps({"host_name": "h", "full_command": str(command)})
    shown = MASKER.mask_audit(extra)
    assert SECRET not in shown
    assert json.loads(shown)["full_command"].startswith("['airflow', '" + command[1])


@pytest.mark.parametrize(
    "command",
    [
        ["airflow", "webserver", "-p", "8301", "--pid", "/run/p"],
        ["airflow", "users", "create", "-u", "ada", "-p", "********"],
        ["airflow", "connections", "add", "c", "--conn-password", "********", "--conn-extra", '{"x": 1}'],
        ["airflow", "variables", "set", "plain_é", "text é"],
    ],
)
def test_a_command_line_without_secrets_is_shown_as_stored(command):
    extra = json.dumps({"host_name": "h", "full_command": str(command)})
    assert MASKER.mask_audit(extra) == extra


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values)
def test_masking_twice_is_masking_once(value):
    once = MASKER.mask(value)
    assert MASKER.mask(once) == once


@given(st.text())
def test_no_text_breaks_masking(text):
    for shown in (MASKER.mask(text), MASKER.mask_json(text), MASKER.mask_audit(text)):
        assert isinstance(shown, str)


@pytest.mark.parametrize(
    "text",
    [
        "://a:" * 20_000,
        "://" + "a" * 100_000,
        "://a:b" + "@b" * 50_000,
        "://?" + "a" * 100_000,
        "?://" * 30_000,
        "password" * 15_000,
        "password" + " " * 100_000,
        "://&" + "&password" * 12_000,
        "{" * 100_000,
        "['" + "-" * 100_000,
    ],
)
def test_hostile_text_is_masked_in_linear_time(text):
    start = time.process_time()
    MASKER.mask_json(text)
    MASKER.mask({"full_command": text})
    assert time.process_time() - start < 0.2
