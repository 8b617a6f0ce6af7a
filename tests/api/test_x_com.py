"""XComs: the same value as text and as JSON, and nothing that it names is imported."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest

import factories as f
from clients import API
from problems import assert_problem

ENTRIES = f"dags/etl/dagRuns/{f.RUN_ID}/taskInstances/extract/xcomEntries"
NOW = "2026-03-01T02:00:00.123456+00:00"


def typed(name: str, version: int, data: Any) -> bytes:
    return json.dumps({"__classname__": name, "__version__": version, "__data__": data}).encode()


@pytest.fixture
def keep(add: Any) -> Callable[..., Any]:
    """`keep(value, key=...)` stores an XCom of the task `extract`."""
    run, ti = add(f.dag_run(execution_date=f.START)), add(f.task_instance())
    return lambda value, **columns: add(f.xcom(run, ti, value=value, **columns))


# ---------------------------------------------------------------- values
@pytest.mark.parametrize(
    ("stored", "text", "native"),
    [
        (b'"a value"', "a value", "a value"),
        (b'""', "", ""),
        (b"null", None, None),
        (None, None, None),
        (b"true", "True", True),
        (b"17", "17", 17),
        (b"1000000000000000000000000000000", "1000000000000000000000000000000", 10**30),
        (b"1.50", "1.5", 1.5),
        (b"NaN", "nan", None),
        (b"-Infinity", "-inf", None),
        (b'{"a": [NaN, 1]}', "{'a': [nan, 1]}", {"a": [None, 1]}),
        (b'[1, "two", 3.0, null, [4]]', "[1, 'two', 3.0, None, [4]]", [1, "two", 3.0, None, [4]]),
        ('{"a": "Ž 🐴"}'.encode(), "{'a': 'Ž 🐴'}", {"a": "Ž 🐴"}),
        (b'"{\\"a\\": 1}"', '{"a": 1}', '{"a": 1}'),
        (typed("builtins.tuple", 1, [1, 2, "x"]), "(1,2,x)", "(1,2,x)"),
        (typed("builtins.set", 1, [1]), "(1)", "(1)"),
        (
            typed("datetime.timedelta", 2, 3602.0),
            "datetime.timedelta@version=2(3602.0)",
            "datetime.timedelta@version=2(3602.0)",
        ),
        (typed("decimal.Decimal", 1, 1.1), "decimal.Decimal@version=1(1.1)", "decimal.Decimal@version=1(1.1)"),
        (
            typed("datetime.datetime", 2, {"timestamp": 1767323045.678901, "tz": {
                "__classname__": "builtins.tuple", "__version__": 1,
                "__data__": ["UTC", "pendulum.tz.timezone.FixedTimezone", 1, True]}}),
            "datetime.datetime@version=2(timestamp=1767323045.678901,tz=(UTC,pendulum.tz.timezone.FixedTimezone,1,True))",
            "datetime.datetime@version=2(timestamp=1767323045.678901,tz=(UTC,pendulum.tz.timezone.FixedTimezone,1,True))",
        ),
        (pickle.dumps({"a": (1, None)}), "{'a': (1, None)}", {"a": [1, None]}),
        (pickle.dumps("text"), "text", "text"),
        (b"no json", None, None),
        (b"", None, None),
        (b"\xff\xfe", None, None),
        (b'{"a": ', None, None),
        (pickle.dumps([1, 2])[:-4], None, None),
    ],
)  # fmt: skip
def test_a_value_is_shown_as_text_or_as_json(stored, text, native, get, keep):
    keep(stored)
    entry = {
        "key": "return_value",
        "timestamp": NOW,
        "execution_date": NOW,
        "map_index": -1,
        "task_id": "extract",
        "dag_id": "etl",
    }
    assert get(f"{ENTRIES}/return_value") == {**entry, "value": text}
    assert get(f"{ENTRIES}/return_value", stringify="true") == {**entry, "value": text}
    assert get(f"{ENTRIES}/return_value", stringify="false") == {**entry, "value": native}
    assert get(ENTRIES) == {"xcom_entries": [entry], "total_entries": 1}


@pytest.mark.parametrize("stringify", ["true", "false"])
@pytest.mark.parametrize(
    "stored",
    ["\x80\x02c{0}\nspring\n)R.", "\x80\x02c{0}\nBoom\n.", "\x80\x02}}U\x01ac{0}\nBoom\n)\x81s."],
    ids=["a call", "a class", "an object inside"],
)
def test_a_pickle_that_names_a_class_is_null_and_imports_nothing(stored, stringify, get, keep, trap):
    keep(stored.format(trap).encode("latin-1"))
    assert get(f"{ENTRIES}/return_value", stringify=stringify)["value"] is None
    assert get(ENTRIES)["total_entries"] == 1
    assert trap not in sys.modules


@pytest.mark.parametrize("query", [{}, {"stringify": "false"}, {"deserialize": "true"}])
def test_a_class_that_json_names_is_text_and_is_not_imported(query, get, keep, trap, make_app, as_user):
    keep(typed(f"{trap}.Boom", 1, {"a": 1}))
    app = make_app({("api", "enable_xcom_deserialize_support"): "True"})
    reader = as_user("Admin", of=app)
    assert get(f"{ENTRIES}/return_value", by=reader, **query)["value"] == f"{trap}.Boom@version=1(a=1)"
    assert trap not in sys.modules


def test_values_are_not_deserialized_unless_a_setting_allows_it(client, keep):
    keep(b"1")
    problem = assert_problem(client.get(f"{API}/{ENTRIES}/return_value?deserialize=true"), 400)
    assert "enable_xcom_deserialize_support" in problem["detail"]


# ---------------------------------------------------------------- which entries
@pytest.fixture
def several(add: Any) -> None:
    """XComs of two DAGs, two runs, two tasks and two map indexes; the value tells which."""
    for dag_id in ("etl", "other"):
        for run_id in ("r1", "r2"):
            run = add(f.dag_run(dag_id, run_id))
            for task_id, map_index in (("extract", -1), ("double", 0), ("double", 1)):
                ti = add(f.task_instance(dag_id, run_id, task_id, map_index))
                for key in ("return_value", "a/b"):
                    value = json.dumps(f"{dag_id} {run_id} {task_id} {map_index} {key}").encode()
                    add(f.xcom(run, ti, key, value=value))


@pytest.mark.parametrize(
    ("dag_id", "run_id", "task_id", "query", "count"),
    [
        ("~", "~", "~", {}, 24),
        ("etl", "~", "~", {}, 12),
        ("etl", "r1", "~", {}, 6),
        ("etl", "r1", "double", {}, 4),
        ("~", "r2", "extract", {}, 4),
        ("etl", "r1", "double", {"map_index": 0}, 2),
        ("~", "~", "~", {"map_index": -1}, 8),
        ("~", "~", "~", {"xcom_key": "a/b"}, 12),
        ("etl", "r1", "double", {"xcom_key": "a/b", "map_index": 1}, 1),
        ("~", "~", "~", {"xcom_key": "return"}, 0),
        ("nothing", "~", "~", {}, 0),
        ("etl", "nothing", "~", {}, 0),
    ],
)
def test_a_list_holds_the_entries_of_the_path_and_of_all_filters(dag_id, run_id, task_id, query, count, get, several):
    path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries"
    found = get(path, **query)
    assert len(found["xcom_entries"]) == found["total_entries"] == count
    wanted = {"dag_id": dag_id, "task_id": task_id, "map_index": query.get("map_index"), "key": query.get("xcom_key")}
    for entry in found["xcom_entries"]:
        assert all(entry[name] == value for name, value in wanted.items() if value not in (None, "~"))


@pytest.mark.parametrize("key", ["return_value", "a/b", "a%2Fb"])
@pytest.mark.parametrize(
    ("task_id", "query"), [("extract", {}), ("double", {"map_index": 0}), ("double", {"map_index": 1})]
)
def test_an_entry_is_found_by_its_key_and_map_index(task_id, query, key, get, several):
    found = get(f"dags/other/dagRuns/r2/taskInstances/{task_id}/xcomEntries/{key}", **query)
    name = key.replace("%2F", "/")
    assert found["value"] == f"other r2 {task_id} {query.get('map_index', -1)} {name}"


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("etl/dagRuns/r1/taskInstances/double/xcomEntries/return_value", {}),
        ("etl/dagRuns/r1/taskInstances/extract/xcomEntries/return_value", {"map_index": 0}),
        ("etl/dagRuns/r1/taskInstances/extract/xcomEntries/other", {}),
        ("etl/dagRuns/r3/taskInstances/extract/xcomEntries/return_value", {}),
        ("~/dagRuns/r1/taskInstances/extract/xcomEntries/return_value", {}),
    ],
)
def test_an_entry_that_is_not_there_is_404(path, query, client, several):
    assert_problem(client.get(f"{API}/dags/{path}", query_string=query), 404)
