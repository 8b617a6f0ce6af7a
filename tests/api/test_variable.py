"""Variables: their values in clear, or null when no key fits."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import null

import factories as f
from clients import FERNET_KEY

OTHER_KEY = Fernet.generate_key().decode()


@pytest.mark.parametrize("key", ["plain", "my_password"])
@pytest.mark.parametrize("value", ["value", "", '{"a": 1}', "Žluťoučký 🐴\n", None])
def test_a_value_is_shown_as_it_was_stored_whatever_its_key_is_called(key, value, get, add):
    add(f.variable(key, value))
    expected = {"key": key, "value": value, "description": "A variable"}
    assert get(f"variables/{key}") == expected
    assert get("variables")["variables"] == [expected]


@pytest.mark.parametrize(
    "keys",
    [FERNET_KEY, f"{OTHER_KEY},{FERNET_KEY}", f"{FERNET_KEY},{OTHER_KEY}", f" {OTHER_KEY} , {FERNET_KEY} "],
    ids=["the only key", "an older key", "the newest of two", "with blanks"],
)
def test_a_value_is_decrypted_with_any_of_the_keys(keys, get, add, token, make_app, as_user):
    values = {"a": "value", "b": "", "c": "Žluťoučký 🐴", "d": "x" * 10_000}
    add(*(f.variable(key, token(value), is_encrypted=True) for key, value in values.items()))
    reader = as_user("Admin", of=make_app({("core", "fernet_key"): keys}))
    assert {v["key"]: v["value"] for v in get("variables", by=reader)["variables"]} == values
    assert {key: get(f"variables/{key}", by=reader)["value"] for key in values} == values


@pytest.mark.parametrize("keys", [OTHER_KEY, ""], ids=["a wrong key", "no key"])
def test_without_the_right_key_the_value_is_null_and_the_rest_of_the_list_is_there(
    keys, get, add, token, make_app, as_user, caplog
):
    add(f.variable("a", token("hidden"), is_encrypted=True), f.variable("b", "plain"))
    reader = as_user("Admin", of=make_app({("core", "fernet_key"): keys}))
    assert get("variables/a", by=reader) == {"key": "a", "value": None, "description": "A variable"}
    assert [v["value"] for v in get("variables", by=reader)["variables"]] == [None, "plain"]
    assert "the value of a variable" in caplog.text and "hidden" not in caplog.text


@pytest.mark.parametrize("stored", ["no token", "gAAAAA", "é", '{"a": 1}'])
def test_a_damaged_token_is_null(stored, get, add):
    add(f.variable("a", stored, is_encrypted=True))
    assert get("variables/a")["value"] is None
    assert get("variables")["variables"][0]["value"] is None


def test_a_token_that_is_not_marked_as_one_is_text(get, add, token):
    stored = token("value")
    add(f.variable("a", stored, is_encrypted=null()))
    assert get("variables/a")["value"] == stored


def test_a_list_can_be_ordered_by_what_is_stored(get, add):
    add(f.variable("a", "2"), f.variable("b", "1"), f.variable("c", "3"))
    assert [v["key"] for v in get("variables", order_by="value")["variables"]] == ["b", "a", "c"]
