"""Serialized DAGs are read as plain data: what a client sees of a DAG's details and of its tasks."""

from __future__ import annotations

import json
import sys
import zlib
from typing import Any

import pytest

from windsock.dagdoc import DagDoc, load
from windsock.taskdoc import Defaults

FIRST_OF_MARCH = 1772323200.0  # 2026-03-01T00:00:00+00:00


def operator(task_id: str, **members: Any) -> dict[str, Any]:
    """An encoded operator with the members that serialization never leaves out."""
    always = {"task_id": task_id, "_task_type": "EmptyOperator", "_task_module": "airflow.operators.empty"}
    return {"__type": "operator", "__var": {**always, "downstream_task_ids": [], "template_fields": [], **members}}


def mapped(task_id: str, partial: dict[str, Any], **members: Any) -> dict[str, Any]:
    return operator(task_id, _is_mapped=True, partial_kwargs=partial, **members)


def dag(*tasks: dict[str, Any], **members: Any) -> DagDoc:
    content = {"_dag_id": "nightly_sales", "timezone": "UTC", "tasks": list(tasks), "params": [], **members}
    return load({"__version": 1, "dag": content})


def param(default: Any, **members: Any) -> dict[str, Any]:
    schema = {"__type": "dict", "__var": {}}
    encoded = {"__class": "airflow.models.param.Param", "default": default, "description": None, "schema": schema}
    return {**encoded, **members}


def test_text_bytes_and_compressed_bytes_give_the_same_document() -> None:
    document = {"__version": 1, "dag": {"_dag_id": "nightly_sales", "tasks": [operator("load")]}}
    text = json.dumps(document)
    packed = zlib.compress(text.encode())
    for doc in (load(document), load(text), load(text.encode()), load(None, packed), load(None, memoryview(packed))):
        assert [task["task_id"] for task in doc.tasks()] == ["load"]


@pytest.mark.parametrize(
    "row",
    [
        (None, None), ("{", None), ("[]", None), ("null", None), (b"\xff", None), (7, None), ("[" * 100_000, None),
        (None, b"not zlib"), (None, zlib.compress(b"[]")[:-6]), (None, "text"), ({"dag": []}, None), ({}, None),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_read_gives_a_document_of_defaults(row: tuple[Any, Any]) -> None:
    doc = load(*row)
    assert doc.tasks() == []
    assert doc.task("load") is None
    assert doc.details()["params"] == {}


def test_a_small_row_that_unpacks_to_very_much_is_not_read() -> None:
    assert load(None, zlib.compress(b" " * (64 * 1024 * 1024 + 1) + b'{"dag": {}}', 1)).data == {}


def test_members_that_serialization_leaves_out_are_shown_with_airflows_defaults() -> None:
    task = dag(operator("load")).task("load")
    assert task == {
        "class_ref": {"module_path": "airflow.operators.empty", "class_name": "EmptyOperator"},
        "depends_on_past": False,
        "doc_md": None,
        "downstream_task_ids": [],
        "end_date": None,
        "execution_timeout": None,
        "extra_links": [],
        "is_mapped": False,
        "operator_name": "EmptyOperator",
        "owner": "airflow",
        "params": {},
        "pool": "default_pool",
        "pool_slots": 1.0,
        "priority_weight": 1.0,
        "queue": "default",
        "retries": 0.0,
        "retry_delay": {"__type": "TimeDelta", "days": 0, "seconds": 300, "microseconds": 0},
        "retry_exponential_backoff": False,
        "start_date": None,
        "task_display_name": "load",
        "task_id": "load",
        "template_fields": [],
        "trigger_rule": "all_success",
        "ui_color": "#fff",
        "ui_fgcolor": "#000",
        "wait_for_downstream": False,
        "weight_rule": "downstream",
    }


def test_the_configurations_defaults_stand_in_for_members_that_are_left_out() -> None:
    defaults = Defaults(owner="data", queue="slow", retries=2, retry_delay=60, execution_timeout=5, catchup=False)
    doc = load({"dag": {"tasks": [operator("load"), operator("extract", execution_timeout=None)]}}, None, defaults)
    task = doc.task("load")
    assert task and (task["owner"], task["queue"], task["retries"]) == ("data", "slow", 2.0)
    assert task["retry_delay"]["seconds"] == 60
    assert task["execution_timeout"]["seconds"] == 5
    # A null that is written down counts: the task was given no timeout on purpose.
    assert (doc.task("extract") or {})["execution_timeout"] is None
    assert doc.details()["catchup"] is False


def test_numbers_of_a_task_are_floats_and_durations_keep_their_microseconds() -> None:
    task = dag(operator("load", retries=3, pool_slots=2, priority_weight=7, retry_delay=90.5)).task("load") or {}
    assert [type(task[name]) for name in ("retries", "pool_slots", "priority_weight")] == [float] * 3
    assert task["retry_delay"] == {"__type": "TimeDelta", "days": 0, "seconds": 90, "microseconds": 500000}


def test_a_task_without_dates_has_the_dates_of_its_dag() -> None:
    doc = dag(operator("extract"), operator("load", start_date=FIRST_OF_MARCH + 86400.5), start_date=FIRST_OF_MARCH)
    dates = {task["task_id"]: (task["start_date"], task["end_date"]) for task in doc.tasks()}
    assert dates == {
        "extract": ("2026-03-01T00:00:00+00:00", None),
        "load": ("2026-03-02T00:00:00.500000+00:00", None),
    }


def test_a_mapped_task_is_described_by_what_its_partial_was_given() -> None:
    partial = {
        "retries": 4,
        "retry_delay": {"__type": "timedelta", "__var": 1.5},
        "owner": "data-platform",
        "task_display_name": "Transform!",
        "trigger_rule": "all_done",
        "weight_rule": "absolute",
    }
    task = dag(mapped("transform", partial, owner="someone else", start_date=FIRST_OF_MARCH)).task("transform") or {}
    assert task["is_mapped"] is True
    assert (task["retries"], task["owner"], task["pool"]) == (4.0, "data-platform", "default_pool")
    assert task["retry_delay"] == {"__type": "TimeDelta", "days": 0, "seconds": 1, "microseconds": 500000}
    assert (task["task_display_name"], task["trigger_rule"], task["weight_rule"]) == (
        "Transform!", "all_done", "absolute",
    )  # fmt: skip
    assert task["start_date"] == "2026-03-01T00:00:00+00:00"


def test_a_decorated_task_shows_the_name_of_its_decorator() -> None:
    task = dag(operator("load", _operator_name="@task", _task_type="_PythonDecoratedOperator")).task("load") or {}
    assert task["operator_name"] == "@task"
    assert task["class_ref"]["class_name"] == "_PythonDecoratedOperator"


def test_class_paths_are_split_and_never_imported() -> None:
    # `antigravity` is a module of the standard library that acts when it is imported.
    links = [{"airflow.operators.trigger_dagrun.TriggerDagRunLink": {}}, {"antigravity.Link": {"index": 0}}]
    task = dag(operator("load", _task_module="antigravity", _operator_extra_links=links)).task("load") or {}
    assert task["extra_links"] == [
        {"module_path": "airflow.operators.trigger_dagrun", "class_name": "TriggerDagRunLink"},
        {"module_path": "antigravity", "class_name": "Link"},
    ]
    assert task["class_ref"]["module_path"] == "antigravity"
    assert "antigravity" not in sys.modules


def test_operators_without_their_type_are_read_as_airflow_before_2_10_wrote_them() -> None:
    bare = {"task_id": "load", "_task_type": "BashOperator", "_downstream_task_ids": ["report"]}
    assert (dag(bare).task("load") or {})["downstream_task_ids"] == ["report"]


def test_params_keep_their_order_and_their_values_are_decoded() -> None:
    typed = {"__type": "dict", "__var": {"a": {"__type": "dict", "__var": {"b": [1, None, "é"]}}}}
    schema = {"__type": "dict", "__var": {"type": "string", "enum": ["x", "y"]}}
    pairs = [["z", param(typed)], ["a", param("x", description="a choice", schema=schema)], ["password", param("s3c")]]
    params = dag(params=pairs).details()["params"]
    assert list(params) == ["z", "a", "password"]
    assert params["z"]["value"] == {"a": {"b": [1, None, "é"]}}
    assert params["a"] == {
        "__class": "airflow.models.param.Param",
        "description": "a choice",
        "schema": {"type": "string", "enum": ["x", "y"]},
        "value": "x",
    }


def test_params_that_are_not_json_are_shown_as_json() -> None:
    values = {
        "tags": {"__type": "set", "__var": ["a", "b"]},
        "at": {"__type": "datetime", "__var": FIRST_OF_MARCH},
        "unset": {"__type": "arg_not_set", "__var": None},
    }
    params = dag(params=[[name, param(value)] for name, value in values.items()]).details()["params"]
    shown = {name: entry["value"] for name, entry in params.items()}
    assert shown == {"tags": ["a", "b"], "at": "2026-03-01T00:00:00+00:00", "unset": None}


def test_params_of_older_documents_are_an_object_and_may_be_bare_values() -> None:
    params = dag(params={"new": param(3), "bare": [1, 2]}).details()["params"]
    assert params["new"]["value"] == 3
    assert params["bare"] == {
        "__class": "airflow.models.param.Param", "description": None, "schema": {}, "value": [1, 2],
    }  # fmt: skip


def test_details_show_what_the_document_says_and_airflows_defaults_for_the_rest() -> None:
    doc = dag(start_date=FIRST_OF_MARCH, dagrun_timeout=90061.25, doc_md="# Sales", is_paused_upon_creation=False)
    assert doc.details() == {
        "catchup": True,
        "dag_run_timeout": {"__type": "TimeDelta", "days": 1, "seconds": 3661, "microseconds": 250000},
        "doc_md": "# Sales",
        "end_date": None,
        "is_paused_upon_creation": False,
        "orientation": "LR",
        "params": {},
        "render_template_as_native_obj": False,
        "start_date": "2026-03-01T00:00:00+00:00",
        "template_searchpath": None,
        "timezone": "UTC",
    }


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (3600, 'FixedTimezone(3600, name="+01:00")'),
        (-12600, 'FixedTimezone(-12600, name="-03:30")'),
        (True, None),
        ([], None),
    ],
)
def test_a_time_zone_is_its_name_or_the_words_for_its_offset(written: Any, shown: str | None) -> None:
    assert dag(timezone=written).details()["timezone"] == shown


def test_tasks_are_listed_by_id_unless_another_member_is_asked_for() -> None:
    doc = dag(
        operator("load", owner="b", retry_delay=60), operator("extract", owner="a"), operator("report", owner="b"),
        operator("audit", end_date=FIRST_OF_MARCH),
    )  # fmt: skip

    def ids(order_by: str) -> list[str]:
        return [task["task_id"] for task in doc.tasks(order_by)]

    assert [task["task_id"] for task in doc.tasks()] == ["audit", "extract", "load", "report"]
    assert ids("-task_id") == ["report", "load", "extract", "audit"]
    assert ids("owner") == ["extract", "audit", "load", "report"]
    # Equal tasks stay in the order of the document in both directions.
    assert ids("-owner") == ["load", "report", "audit", "extract"]
    assert ids("retry_delay")[0] == "load"
    assert ids("end_date") == ["load", "extract", "report", "audit"]
    assert ids("-end_date") == ["audit", "load", "extract", "report"]


@pytest.mark.parametrize("order_by", ["bogus", "", "-", "params", "class_ref", "__class__"])
def test_tasks_cannot_be_ordered_by_what_has_no_order(order_by: str) -> None:
    with pytest.raises(ValueError, match="cannot be ordered"):
        dag(operator("load")).tasks(order_by)


def test_a_dag_inside_a_task_is_found_by_its_own_id() -> None:
    inner = {"_dag_id": "parent.section.part", "tasks": [operator("deep")], "orientation": "TB"}
    section = {"_dag_id": "parent.section", "tasks": [operator("part", subdag=inner)]}
    doc = dag(operator("section", subdag=section))
    found = doc.subdag("parent.section.part")
    assert found and found.details()["orientation"] == "TB"
    assert [task["task_id"] for task in found.tasks()] == ["deep"]
    assert doc.subdag("parent.other") is None


HOSTILE = [None, True, 7, -1e300, 1e999, float("nan"), 10**400, "", "text", [], [[]], [None], {}, {"__type": "dict"},
           {"__type": "datetime", "__var": "x"}, {"__type": [], "__var": {"a": 1}}]  # fmt: skip
MEMBERS = ["retries", "retry_delay", "execution_timeout", "start_date", "end_date", "params", "owner", "trigger_rule",
           "ui_color", "template_fields", "downstream_task_ids", "_operator_extra_links", "_task_module", "_task_type",
           "partial_kwargs", "_is_mapped", "pool_slots", "subdag", "doc_md", "weight_rule"]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
def test_members_of_odd_types_never_raise_and_keep_the_shape_of_the_answer(value: Any) -> None:
    good = dag(operator("load")).task("load") or {}
    for member in MEMBERS:
        task = dag(operator("load", **{member: value})).task("load")
        assert task is not None and task.keys() == good.keys()
        assert isinstance(task["retries"], float) and isinstance(task["params"], dict)
        assert isinstance(task["trigger_rule"], str) and task["ui_color"].startswith("#")
    names = ["tasks", "params", "timezone", "start_date", "dagrun_timeout", "catchup", "orientation", "_task_group"]
    for name in names:
        doc = dag(**{name: value})
        assert doc.details().keys() == dag().details().keys()
        assert doc.tasks() == []
        assert doc.subdag("parent.section") is None


def test_values_nested_very_deeply_are_cut_off() -> None:
    deep: Any = "bottom"
    for _ in range(5000):
        deep = [deep]
    shown = dag(params=[["deep", param(deep)]]).details()["params"]["deep"]["value"]
    depth = 0
    while isinstance(shown, list):
        shown, depth = shown[0], depth + 1
    assert shown is None and depth <= 101
