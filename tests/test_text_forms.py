"""Stored values print as in Airflow 2.11 (texts: recorded answers of 2.11.2), and no value breaks an answer."""

from __future__ import annotations

import json
import logging
import pickle
import sys

import orjson
import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from windsock.crypto import Vault
from windsock.text_forms import executor_config_text, trigger_kwargs_text, xcom_native, xcom_text

VAULT = Vault(Fernet.generate_key().decode())


def typed(name, version, data):
    return {"__classname__": name, "__version__": version, "__data__": data}


def kwargs(**members):
    return json.dumps({"__type": "dict", "__var": members})


def encoded(kind, value):
    return {"__type": kind, "__var": value}


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ("true", "True"),
        ("0", "0"),
        ("-17", "-17"),
        ("9223372036854775807", "9223372036854775807"),
        ("1000000000000000000000000000000", "1000000000000000000000000000000"),
        ("1e-300", "1e-300"),
        ("1e+300", "1e+300"),
        ("NaN", "nan"),
        ("Infinity", "inf"),
        ("-Infinity", "-inf"),
        ('""', ""),
        ('"simple"', "simple"),
        ('"P\\u0159\\u00edli\\u0161 \\ud83d\\udc34"', "Příliš 🐴"),
        ('[1, "two", 3.0, null, [4]]', "[1, 'two', 3.0, None, [4]]"),
        ('{"a": {"b": [1, {"d": "\\u00e9"}]}}', "{'a': {'b': [1, {'d': 'é'}]}}"),
        ('"{\\"a\\": 1}"', '{"a": 1}'),
    ],
)
def test_an_xcom_prints_as_python_prints_it(stored, text):
    assert xcom_text(stored.encode()) == text


@pytest.mark.parametrize("stored", [None, b"null"])
def test_null_is_null_in_both_forms(stored):
    assert xcom_text(stored) is None and xcom_native(stored) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (typed("builtins.tuple", 1, [1, 2, "x"]), "(1,2,x)"),
        (typed("builtins.set", 1, [1]), "(1)"),
        (typed("builtins.frozenset", 1, [2]), "(2)"),
        (typed("builtins.tuple", 1, []), "()"),
        (
            typed(
                "datetime.datetime", 2, {"timestamp": 1767323045.678901, "tz": typed("builtins.tuple", 1, ["UTC", 1])}
            ),
            "datetime.datetime@version=2(timestamp=1767323045.678901,tz=(UTC,1))",
        ),
        (
            typed("datetime.datetime", 2, {"timestamp": 1767323045.0, "tz": None}),
            "datetime.datetime@version=2(timestamp=1767323045.0,tz=None)",
        ),
        (typed("datetime.date", 2, "2026-01-02"), "datetime.date@version=2(2026-01-02)"),
        (typed("datetime.timedelta", 2, 3602.0), "datetime.timedelta@version=2(3602.0)"),
        (typed("decimal.Decimal", 1, 1.1), "decimal.Decimal@version=1(1.1)"),
        (typed("x.Y", 0, None), "x.Y@version=0()"),
        (typed("numpy.ndarray", 1, [1, 2]), "numpy.ndarray@version=1([,1,,, ,2,])"),
        (encoded("datetime.datetime", "2020"), "datetime.datetime@version=0(2020)"),
    ],
)
def test_a_typed_value_prints_as_text_in_both_forms(value, text):
    assert xcom_text(json.dumps(value).encode()) == xcom_native(json.dumps(value).encode()) == text
    assert xcom_native(json.dumps({"a": [value]}).encode()) == {"a": [text]}


def test_an_old_encoded_dict_is_a_plain_dict():
    assert xcom_native(json.dumps(encoded("dict", {"a": 1})).encode()) == {"a": 1}


@pytest.mark.parametrize("value", [typed(7, 1, "x"), typed("x.Y", "1", "x"), typed("", 1, "x"), {"__classname__": "x"}])
def test_an_object_that_only_looks_typed_is_a_plain_object(value):
    assert xcom_native(json.dumps(value).encode()) == value


def test_the_native_form_is_valid_json_with_null_for_numbers_that_json_has_not():
    assert xcom_native(b'{"a": NaN, "b": [Infinity, -Infinity, 1e999], "c": 1.5}') == {
        "a": None, "b": [None, None, None], "c": 1.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    "stored", [b"1000000000000000000000000000000", b'["\\ud800"]', b"[" * 400 + b"]" * 400, b'{"\\udfff": 1e-300}']
)
def test_the_native_form_of_any_json_can_be_written(stored):
    assert json.loads(orjson.dumps({"value": xcom_native(stored)}))["value"] == json.loads(stored)


def test_a_lone_surrogate_becomes_a_replacement_character_in_text():
    assert xcom_text(b'"a\\ud800b"') == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize(("value", "text"), [({"a": (1, None)}, "{'a': (1, None)}"), ({1}, "{1}"), (b"x", "x")])
def test_a_pickled_xcom_of_plain_data_is_read(value, text):
    assert xcom_text(pickle.dumps(value)) == text


class Trap:
    def __reduce__(self):
        return __import__, ("this",)


@pytest.mark.parametrize(
    "stored",
    [
        b"", b"{", b"\xff\xfe", b"\x80", b"\x80\x05", b"abc", b"1" * 5000, b"[" * 200_000,
        b"cos\nsystem\n(S'true'\ntR.",
        pickle.dumps(Trap()), pickle.dumps(Trap(), 2), pickle.dumps(Vault), pickle.dumps({"a": Trap()}),
    ],
)  # fmt: skip
def test_broken_or_hostile_bytes_give_null_and_a_log_line_and_import_nothing(stored, caplog):
    assert xcom_text(stored) is None
    assert xcom_native(stored) is None
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["Cannot read an XCom"] * 2
    assert "this" not in sys.modules


def test_a_class_that_an_xcom_names_is_not_imported():
    assert xcom_text(json.dumps(typed("this.C", 1, {"a": 1})).encode()) == "this.C@version=1(a=1)"
    assert "this" not in sys.modules


def test_a_pickle_that_shares_one_list_a_billion_times_is_refused():
    value = []
    for _ in range(40):
        value = [value, value]
    assert executor_config_text(value) is None
    assert xcom_text(pickle.dumps(value)) is None


def test_a_pickle_that_contains_itself_is_refused():
    value = []
    value.append(value)
    assert xcom_native(pickle.dumps(value)) is None


def test_the_kwargs_of_a_trigger_print_as_a_python_dict():
    stored = kwargs(moment=encoded("datetime", 4102444799.0), end_from_trigger=False)
    text = "{'moment': DateTime(2099, 12, 31, 23, 59, 59, tzinfo=Timezone('UTC')), 'end_from_trigger': False}"
    assert trigger_kwargs_text(VAULT.encrypt(stored)[0], VAULT) == text
    assert trigger_kwargs_text(stored, VAULT) == trigger_kwargs_text(stored, Vault()) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (encoded("datetime", 0.25), "DateTime(1970, 1, 1, 0, 0, 0, 250000, tzinfo=Timezone('UTC'))"),
        (encoded("timedelta", 90.5), "datetime.timedelta(seconds=90, microseconds=500000)"),
        (encoded("timezone", "Europe/Paris"), "Timezone('Europe/Paris')"),
        (encoded("timezone", -12600), 'FixedTimezone(-12600, name="-03:30")'),
        (encoded("tuple", [1, "a"]), "(1, 'a')"),
        (encoded("set", [1]), "{1}"),
        (encoded("dict", {"a": [None]}), "{'a': [None]}"),
        (encoded("k8s.V1Pod", {"kind": "Pod"}), "{'__type': 'k8s.V1Pod', '__var': {'kind': 'Pod'}}"),
        ({"plain": 1}, "{'plain': 1}"),
    ],
)
def test_encoded_values_in_kwargs_print_as_their_classes_do(value, text):
    assert trigger_kwargs_text(kwargs(x=value), VAULT) == f"{{'x': {text}}}"


def test_secrets_in_the_kwargs_of_a_trigger_are_masked():
    stored = kwargs(
        api_key="hunter2",
        password=7,
        headers=encoded("dict", {"Authorization": "Bearer hunter2", "x": "y"}),
        pod=encoded("k8s.V1Pod", {"env": [{"name": "DB_PASSWORD", "value": "hunter2"}]}),
        url="http://u:hunter2@h",
        token=encoded("datetime", 0),
    )
    text = trigger_kwargs_text(VAULT.encrypt(stored)[0], VAULT)
    assert "hunter2" not in text
    assert "'headers': {'Authorization': '***', 'x': 'y'}" in text and "'token': '***'" in text


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "{",
        "no token",
        Fernet(Fernet.generate_key()).encrypt(b"{}").decode(),
        VAULT.encrypt("no json")[0],
        kwargs(x=encoded("datetime", 1e300)),
        kwargs(x=encoded("set", [[1]])),
        kwargs(x=encoded("timedelta", "a")),
    ],
    ids=["empty", "cut", "no token", "a foreign token", "no JSON", "a late date", "a nested set", "no interval"],
)
def test_kwargs_that_cannot_be_read_give_null_and_a_log_line(stored, caplog):
    with caplog.at_level(logging.WARNING):
        assert trigger_kwargs_text(stored, VAULT) is None
    [record] = caplog.records
    assert "the kwargs of a trigger" in record.getMessage()


def test_a_trigger_without_kwargs_has_null():
    assert trigger_kwargs_text(None, VAULT) is None


def test_an_executor_config_prints_as_python_prints_it():
    config = {"KubernetesExecutor": {"limits": {"cpu": 1, "mem": None}}, "é": [1, 2.5, True, ("t", 1)]}
    assert executor_config_text(config) == (
        "{'KubernetesExecutor': {'limits': {'cpu': 1, 'mem': None}}, 'é': [1, 2.5, True, ('t', 1)]}"
    )
    assert executor_config_text({}) == "{}" and executor_config_text(None) is None


@given(st.binary() | st.text().map(str.encode))
def test_no_bytes_break_an_xcom(stored):
    assert orjson.dumps([xcom_text(stored), xcom_native(stored)])


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20))  # fmt: skip
def test_any_json_value_can_be_written_in_both_forms(value):
    stored = json.dumps(value).encode()
    assert orjson.dumps([xcom_text(stored), xcom_native(stored)])
