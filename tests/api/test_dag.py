"""DAGs: rows, definitions and tasks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import zlib
from typing import Any

import pytest
from itsdangerous import URLSafeSerializer

import factories as f
from clients import API, SETTINGS
from problems import assert_problem

SECRET = SETTINGS["webserver", "secret_key"]
#: The members of a RelativeDelta that does nothing.
REPLACES_NOTHING = {
    **dict.fromkeys(("years", "months", "days", "leapdays", "hours", "minutes", "seconds", "microseconds"), 0),
    **dict.fromkeys(("year", "month", "day", "hour", "minute", "second", "microsecond")),
}


def ids(found: dict[str, Any]) -> list[str]:
    assert found["total_entries"] == len(found["dags"])
    return [dag["dag_id"] for dag in found["dags"]]


# ---------------------------------------------------------------- one row
@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("@daily", {"__type": "CronExpression", "value": "@daily"}),
        ("0 2 * * 1-5", {"__type": "CronExpression", "value": "0 2 * * 1-5"}),
        ("Dataset", {"__type": "CronExpression", "value": "Dataset"}),
        ("Dataset or 0 1 * * 3", {"__type": "CronExpression", "value": "Dataset or 0 1 * * 3"}),
        (
            {"type": "timedelta", "attrs": {"days": 1, "seconds": 3600, "microseconds": 5}},
            {"__type": "TimeDelta", "days": 1, "seconds": 3600, "microseconds": 5},
        ),
        (
            {"type": "relativedelta", "attrs": {"months": 1, "hour": 3, "weekday": [1, 2]}},
            {"__type": "RelativeDelta", **REPLACES_NOTHING, "months": 1, "hour": 3},
        ),
        (None, None),
        ({"type": "something new", "attrs": {}}, None),
        (["@daily"], None),
        (7, None),
    ],
)
def test_a_schedule_is_null_an_expression_or_a_duration(stored, shown, get, add):
    add(f.dag(schedule_interval=stored), f.serialized_dag())
    assert get("dags/etl")["schedule_interval"] == shown
    assert get("dags/etl/details")["schedule_interval"] == shown
    assert get("dags")["dags"][0]["schedule_interval"] == shown


def airflow_signature(payload: bytes) -> bytes:
    key = hashlib.sha1(b"itsdangerous" + b"signer" + SECRET.encode()).digest()
    return base64.urlsafe_b64encode(hmac.new(key, payload, hashlib.sha1).digest()).rstrip(b"=")


@pytest.mark.parametrize("path", ["/opt/airflow/dags/etl.py", "/dags/Žluťoučký.py", "/dags/" + "a" * 500 + ".py"])
def test_a_file_token_is_the_path_signed_as_airflow_signs_it(path, get, add):
    add(f.dag(fileloc=path), f.serialized_dag())
    found = get("dags/etl")
    token = found["file_token"]
    assert found["fileloc"] == path
    assert token == get("dags")["dags"][0]["file_token"] == get("dags/etl/details")["file_token"]
    payload, _, signature = token.encode().rpartition(b".")
    assert signature == airflow_signature(payload)
    assert URLSafeSerializer(SECRET).loads(token) == path
    assert payload.startswith(b".") == (len(path) > 500)  # compressed where that is shorter


@pytest.mark.parametrize(("stored", "shown"), [("ada", ["ada"]), ("ada,bob", ["ada", "bob"]), ("", []), (None, [])])
def test_owners_are_separated_by_commas(stored, shown, get, add):
    add(f.dag(owners=stored))
    assert get("dags/etl")["owners"] == shown


@pytest.mark.parametrize(("stored", "shown"), [("Nightly ETL", "Nightly ETL"), (None, "etl"), ("", "etl")])
def test_a_dag_without_display_name_is_displayed_by_its_id(stored, shown, get, add):
    add(f.dag(dag_display_name=stored))
    assert get("dags/etl")["dag_display_name"] == shown


def test_tags_are_objects_in_the_order_of_their_names(get, add):
    add(f.dag("etl", tags=["b", "a"]), f.dag("other", tags=["c"]), f.dag("without"))
    found = {dag["dag_id"]: dag["tags"] for dag in get("dags")["dags"]}
    assert found == {"etl": [{"name": "a"}, {"name": "b"}], "other": [{"name": "c"}], "without": []}


@pytest.mark.parametrize(("stored", "shown"), [(5, "5"), (0, "0"), (None, None)])
def test_the_number_of_a_pickle_is_text(stored, shown, get, add):
    add(f.dag(pickle_id=stored))
    assert get("dags/etl")["pickle_id"] == shown


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["dag_id"], {"dag_id": "etl"}),
        (["dag_id,is_paused"], {"dag_id": "etl", "is_paused": False}),
        (["tags", "owners"], {"tags": [{"name": "a"}], "owners": ["airflow"]}),
    ],
)
def test_fields_narrow_a_dag(wanted, expected, get, add):
    add(f.dag(tags=["a"]), f.serialized_dag())
    assert get("dags/etl", fields=wanted) == expected
    assert get("dags", fields=wanted)["dags"] == [expected]
    assert get("dags/etl/details", fields=wanted) == {**expected, **({"owners": []} if "owners" in expected else {})}


@pytest.mark.parametrize("path", ["dags/etl", "dags", "dags/etl/details"])
@pytest.mark.parametrize("wanted", ["bogus", "dag_id,bogus", "__class__", "model"])
def test_an_unknown_field_is_refused_by_name(path, wanted, client, add):
    add(f.dag(), f.serialized_dag())
    assert_problem(client.get(f"{API}/{path}?fields={wanted}"), 400, wanted.rpartition(",")[2])


# ---------------------------------------------------------------- which rows
@pytest.fixture
def several(add: Any) -> None:
    """DAGs of all kinds."""
    add(
        f.dag("active", tags=["red", "blue"]),
        f.dag("paused", is_paused=True, tags=["green"]),
        f.dag("undecided", is_paused=None),
        f.dag("gone", is_active=False, tags=["red"]),
        f.dag("gone_paused", is_active=False, is_paused=True),
        f.dag("active.section", is_subdag=True, root_dag_id="active", tags=["red"]),
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["active", "paused", "undecided"]),
        ({"only_active": "true"}, ["active", "paused", "undecided"]),
        ({"only_active": "false"}, ["active", "gone", "gone_paused", "paused", "undecided"]),
        ({"paused": "true"}, ["paused"]),
        ({"paused": "false"}, ["active"]),
        ({"paused": "true", "only_active": "false"}, ["gone_paused", "paused"]),
        ({"tags": "red"}, ["active"]),
        ({"tags": "red", "only_active": "false"}, ["active", "gone"]),
        ({"tags": ["green", "blue"]}, ["active", "paused"]),
        ({"tags": "green,blue"}, ["active", "paused"]),
        ({"tags": "red,blue"}, ["active"]),
        ({"tags": "Red"}, []),
        ({"tags": "green", "paused": "false"}, []),
        ({"dag_id_pattern": "USE"}, ["paused"]),
        ({"dag_id_pattern": "a%e"}, ["active", "paused"]),
        ({"dag_id_pattern": "p_used"}, ["paused"]),
        ({"dag_id_pattern": "active", "tags": "blue", "paused": "false"}, ["active"]),
        ({"dag_id_pattern": "nothing"}, []),
        ({"order_by": "-dag_id"}, ["undecided", "paused", "active"]),
    ],
)
def test_a_list_holds_what_all_filters_leave_and_never_a_sub_dag(query, expected, get, several):
    assert ids(get("dags", **query)) == expected


@pytest.mark.parametrize("dag_id", ["gone", "active.section", "paused"])
def test_a_dag_that_the_list_leaves_out_can_be_read(dag_id, get, several):
    assert get(f"dags/{dag_id}")["dag_id"] == dag_id


# ---------------------------------------------------------------- definitions
def test_details_join_the_row_and_the_definition(get, add):
    param = {"__class": "airflow.models.param.Param", "default": 5, "description": "How many", "schema": {"minimum": 1}}
    members = {
        "doc_md": "# About",
        "catchup": True,
        "dagrun_timeout": 90061.5,
        "end_date": (f.START + f.HOUR).timestamp(),
        "is_paused_upon_creation": False,
        "orientation": "TB",
        "params": [["count", param]],
        "render_template_as_native_obj": True,
        "timezone": "Europe/Prague",
    }
    add(f.dag(description="From the row", dataset_expression={"any": ["s3://a"]}), f.serialized_dag(members=members))
    found = get("dags/etl/details")
    assert (
        found.items()
        >= {
            "catchup": True,
            "concurrency": 16,
            "dag_id": "etl",
            "dag_run_timeout": {"__type": "TimeDelta", "days": 1, "seconds": 3661, "microseconds": 500000},
            "dataset_expression": {"any": ["s3://a"]},
            "description": "From the row",
            "doc_md": "# About",
            "end_date": "2026-03-01T03:00:00.123456+00:00",
            "is_paused_upon_creation": False,
            "last_parsed": "2026-03-01T02:00:00.123456+00:00",
            "orientation": "TB",
            "owners": [],
            "render_template_as_native_obj": True,
            "start_date": "2026-03-01T02:00:00.123456+00:00",
            "timezone": "Europe/Prague",
        }.items()
    )
    shown = {"__class": param["__class"], "description": "How many", "schema": {"minimum": 1}, "value": 5}
    assert found["params"] == {"count": shown}


def test_a_compressed_definition_is_read(get, add, session):
    row = f.serialized_dag(tasks=[f.operator("zipped")], members={"doc_md": "zipped"})
    packed = zlib.compress(json.dumps(row.data).encode())
    columns = {name: getattr(row, name) for name in ("fileloc", "fileloc_hash", "dag_hash", "last_updated")}
    add(f.dag(), f.full_of_nulls(type(row), dag_id="etl", data_compressed=packed, **columns))
    assert get("dags/etl/details")["doc_md"] == "zipped"
    assert get("dags/etl/tasks")["tasks"][0]["task_id"] == "zipped"


@pytest.mark.parametrize("path", ["details", "tasks", "tasks/extract"])
def test_a_dag_without_definition_is_there_but_has_nothing_that_only_a_definition_tells(path, get, client, add):
    add(f.dag())
    assert get("dags/etl")["dag_id"] == "etl"
    assert_problem(client.get(f"{API}/dags/etl/{path}"), 404, "etl")


@pytest.fixture
def nested(add: Any) -> None:
    """A DAG with a DAG in one of its tasks, and another one in that; only the outermost has a definition."""

    def inside(dag_id: str, *tasks: dict[str, Any]) -> dict[str, Any]:
        return {"_dag_id": dag_id, "fileloc": f.FILE, "timezone": "UTC", "doc_md": dag_id, "tasks": list(tasks)}

    deepest = inside("root.a.b", f.operator("deep"))
    middle = inside("root.a", f.operator("middle"), f.operator("b", _task_type="SubDagOperator", subdag=deepest))
    tasks = [f.operator("first"), f.operator("a", _task_type="SubDagOperator", subdag=middle)]
    subs = [f.dag(dag_id, is_subdag=True, root_dag_id="root") for dag_id in ("root.a", "root.a.b", "root.gone")]
    add(f.dag("root"), *subs, f.serialized_dag("root", tasks=tasks))


@pytest.mark.parametrize(
    ("dag_id", "tasks"), [("root", ["a", "first"]), ("root.a", ["b", "middle"]), ("root.a.b", ["deep"])]
)
def test_a_sub_dag_is_read_out_of_its_root(dag_id, tasks, get, nested):
    assert get(f"dags/{dag_id}/details")["dag_id"] == dag_id
    assert get(f"dags/{dag_id}/details")["doc_md"] == (None if dag_id == "root" else dag_id)
    assert [task["task_id"] for task in get(f"dags/{dag_id}/tasks")["tasks"]] == tasks
    assert get(f"dags/{dag_id}/tasks/{tasks[0]}")["task_id"] == tasks[0]


def test_a_sub_dag_that_its_root_has_no_more_has_no_definition(client, nested):
    assert_problem(client.get(f"{API}/dags/root.gone/details"), 404, "root.gone")


# ---------------------------------------------------------------- tasks
@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (None, ["a", "b", "c"]),
        ("task_id", ["a", "b", "c"]),
        ("-task_id", ["c", "b", "a"]),
        ("retries", ["c", "b", "a"]),
        ("-retries", ["a", "b", "c"]),
        ("pool", ["b", "c", "a"]),
        ("end_date", ["a", "c", "b"]),
        ("-end_date", ["b", "c", "a"]),
        ("is_mapped", ["a", "c", "b"]),
        ("execution_timeout", ["a", "b", "c"]),
    ],
)
def test_tasks_are_ordered_by(order, expected, get, add):
    end, partial = f.START.timestamp(), {"retries": 2, "pool": "x", "execution_timeout": 5.0}
    tasks = [
        f.operator("a", retries=3, pool="z"),
        f.operator("b", end_date=end + 20, _is_mapped=True, partial_kwargs=partial),
        f.operator("c", retries=1, pool="y", end_date=end + 10, execution_timeout=60.0),
    ]
    add(f.dag(), f.serialized_dag(tasks=tasks))
    found = get("dags/etl/tasks", **({"order_by": order} if order else {}))
    assert found["total_entries"] == 3
    assert [task["task_id"] for task in found["tasks"]] == expected


def test_a_task_shows_its_numbers_as_floats_and_its_class_in_two_parts(get, add):
    members = {"retries": 3, "pool_slots": 2, "priority_weight": 7, "retry_delay": 60.5, "queue": "heavy"}
    members |= {"_task_type": "BashOperator", "_task_module": "airflow.operators.bash", "downstream_task_ids": ["load"]}
    add(f.dag(), f.serialized_dag(tasks=[f.operator(**members), f.operator("load")]))
    response = get("dags/etl/tasks/extract")
    assert (
        response.items()
        >= {
            "class_ref": {"module_path": "airflow.operators.bash", "class_name": "BashOperator"},
            "downstream_task_ids": ["load"],
            "execution_timeout": None,
            "is_mapped": False,
            "operator_name": "BashOperator",
            "owner": "airflow",
            "params": {},
            "pool": "default_pool",
            "queue": "heavy",
            "retry_delay": {"__type": "TimeDelta", "days": 0, "seconds": 60, "microseconds": 500000},
            "start_date": "2026-03-01T02:00:00.123456+00:00",
            "trigger_rule": "all_success",
        }.items()
    )
    numbers = [response[name] for name in ("retries", "pool_slots", "priority_weight")]
    assert numbers == [3.0, 2.0, 7.0] and all(isinstance(number, float) for number in numbers)
    assert get("dags/etl/tasks")["tasks"][0] == response


def test_the_class_of_a_task_is_never_imported(get, add, trap):
    add(f.dag(), f.serialized_dag(tasks=[f.operator(_task_module=trap, _task_type="Boom")]))
    assert get("dags/etl/tasks/extract")["class_ref"] == {"module_path": trap, "class_name": "Boom"}
    assert trap not in sys.modules


@pytest.mark.parametrize("path", ["dags/etl/tasks/other", "dags/other/tasks/extract", "dags/etl/tasks/Extract"])
def test_a_task_that_is_not_there_is_404(path, client, add):
    add(f.dag(), f.serialized_dag())
    assert_problem(client.get(f"{API}/{path}"), 404)
