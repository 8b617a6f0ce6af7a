"""Trigger and delete runs: the rows that the scheduler goes on with, and every refusal."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import datetime
from getpass import getuser
from typing import Any

import pytest
from sqlalchemy import func, select, text

import factories as f
from clients import API
from problems import assert_problem
from windsock.lifecycle import trigger
from windsock.models import Base, DagRun, DagRunNote, Log, LogTemplate, TaskInstance

RUNS = f"{API}/dags/etl/dagRuns"
DATE = "2026-05-01T02:00:00+02:00"
Post = Callable[..., dict[str, Any]]


@pytest.fixture
def etl(add: Any, session: Any) -> Callable[..., None]:
    """`etl(task, ..., members={...}, **columns)` stores the DAG `etl`; columns are those of its row in `dag`."""

    def etl(*tasks: Any, members: Any = (), **columns: Any) -> None:
        add(f.dag(**columns), f.serialized_dag(tasks=tasks or (f.operator(),), members=members, dag_hash="a hash"))

    return etl


@pytest.fixture
def post(client: Any) -> Post:
    """`post(logical_date=...)` triggers `etl` and returns the answer."""

    def post(**body: Any) -> dict[str, Any]:
        response = client.post(RUNS, json=body)
        assert response.status_code == 201, response.get_data(as_text=True)
        return response.get_json()

    return post


def instances(session: Any, **keys: Any) -> list[TaskInstance]:
    statement = select(TaskInstance).filter_by(**keys).order_by(TaskInstance.task_id, TaskInstance.map_index)
    return list(session.scalars(statement))


def indexes(session: Any) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for ti in instances(session):
        found.setdefault(ti.task_id, []).append(ti.map_index)
    return found


def values(row: Any, *but: str) -> dict[str, Any]:
    return {c.name: getattr(row, c.name) for c in row.__table__.columns if c.name not in but}


# ---------------------------------------------------------------- the run
def test_a_triggered_run_answers_in_the_offset_that_was_sent(etl, post, get):
    etl()
    answer = post(logical_date=DATE, conf={"a": [1, None, "é"]}, note="a nöte")
    assert answer == {
        "dag_run_id": f"manual__{DATE}",
        "dag_id": "etl",
        "logical_date": DATE,
        "execution_date": DATE,
        "start_date": None,
        "end_date": None,
        "data_interval_start": "2026-04-30T00:00:00+00:00",
        "data_interval_end": DATE,
        "last_scheduling_decision": None,
        "run_type": "manual",
        "state": "queued",
        "external_trigger": True,
        "conf": {"a": [1, None, "é"]},
        "note": "a nöte",
    }
    utc = dict.fromkeys(("logical_date", "execution_date", "data_interval_end"), "2026-05-01T00:00:00+00:00")
    assert get(f"dags/etl/dagRuns/manual__{DATE}") == answer | utc


def test_a_triggered_run_is_the_row_that_airflow_makes(etl, add, post, session):
    add(LogTemplate(id=4711, filename="x", elasticsearch_id="x"))
    etl()
    post(logical_date=DATE)
    run = session.scalars(select(DagRun)).one()
    assert values(run, "id", "queued_at", "updated_at") == {
        "dag_id": "etl",
        "run_id": f"manual__{DATE}",
        "execution_date": datetime.fromisoformat(DATE),
        "start_date": None,
        "end_date": None,
        "state": "queued",
        "creating_job_id": None,
        "external_trigger": True,
        "run_type": "manual",
        "conf": {},
        "data_interval_start": datetime.fromisoformat("2026-04-30T00:00:00+00:00"),
        "data_interval_end": datetime.fromisoformat(DATE),
        "last_scheduling_decision": None,
        "dag_hash": "a hash",
        "log_template_id": 4711,
        "clear_number": 0,
    }
    assert run.queued_at is not None
    assert run.updated_at is not None
    stored = session.execute(text("SELECT conf FROM dag_run")).scalar()
    assert bytes(stored) == pickle.dumps({}, protocol=5)


def test_a_run_without_anything_given_stands_for_the_present_moment(etl, post):
    etl(members={"schedule_interval": None})
    first, second = post(), post(dag_run_id="")
    assert first["dag_run_id"] == f"manual__{first['logical_date']}"
    assert first["data_interval_start"] == first["data_interval_end"] == first["logical_date"]
    assert second["logical_date"] > first["logical_date"]


def test_runs_of_the_same_moment_take_the_next_microsecond(etl, post, monkeypatch):
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2026, 5, 1, 12, 0, 0, 999_998, tz)

    monkeypatch.setattr(trigger, "datetime", Stopped)
    etl()
    dates = [post()["logical_date"], post(dag_run_id="mine")["logical_date"], post()["logical_date"]]
    assert dates == [f"2026-05-01T12:00:{rest}+00:00" for rest in ("00.999998", "00.999999", "01")]


def test_a_run_that_gives_its_id_and_has_no_date_fails_for_the_id_only(etl, post, client):
    etl()
    post(dag_run_id="mine")
    assert_problem(client.post(RUNS, json={"dag_run_id": "mine"}), 409, "dag_run_id", "'mine'")


@pytest.mark.parametrize(
    "dates", [{"execution_date": DATE}, {"logical_date": DATE, "execution_date": "2026-05-01T00:00:00Z"}]
)
def test_execution_date_is_another_name_of_logical_date(dates, etl, post):
    etl()
    assert post(dag_run_id="mine", **dates)["logical_date"] == DATE


def test_a_given_data_interval_is_kept(etl, post):
    etl()
    start, end = "2026-01-02T00:00:00-05:00", "2026-01-01T00:00:00+05:30"
    answer = post(data_interval_start=start, data_interval_end=end)
    assert (answer["data_interval_start"], answer["data_interval_end"]) == (start, end)


@pytest.mark.parametrize(("note", "rows"), [("", 0), (None, 0), ("x" * 1000, 1)])
def test_a_note_makes_a_row_of_the_user_who_gives_it(note, rows, etl, post, session):
    etl()
    assert post(note=note)["note"] == (note or None)
    found = session.scalars(select(DagRunNote)).all()
    assert len(found) == rows
    assert all(row.user_id for row in found)


def test_a_paused_dag_can_be_triggered(etl, post):
    etl(is_paused=True)
    assert post()["state"] == "queued"


def test_a_trigger_leaves_one_audit_row(etl, post, session, client):
    etl()
    post(dag_run_id="mine", conf={"password": "hidden"})
    client.post(RUNS, json={"dag_run_id": "mine"})
    row = session.scalars(select(Log)).one()
    assert (row.event, row.dag_id, row.run_id) == ("api.post_dag_run", "etl", None)
    assert "hidden" not in row.extra


# ---------------------------------------------------------------- task instances
def test_task_instances_are_the_rows_that_airflow_makes(etl, post, session):
    etl(f.operator(_task_display_property_value="Extract!"))
    post(dag_run_id="mine")
    (ti,) = instances(session)
    assert values(ti, "updated_at", "unixname") == {
        **dict.fromkeys({*ti.__table__.columns.keys()} - {"updated_at", "unixname"}),
        "task_id": "extract",
        "dag_id": "etl",
        "run_id": "mine",
        "map_index": -1,
        "try_number": 0,
        "max_tries": 0,
        "hostname": "",
        "pool": "default_pool",
        "pool_slots": 1,
        "queue": "default",
        "priority_weight": 1,
        "operator": "EmptyOperator",
        "executor_config": {},
        "task_display_name": "Extract!",
    }
    assert ti.unixname == getuser()
    assert ti.updated_at is not None


def test_task_instances_take_what_their_task_says(etl, post, session):
    config = {"__type": "dict", "__var": {"pair": {"__type": "tuple", "__var": ["a", {"__type": "set", "__var": [1]}]}}}
    given = {"queue": "q", "pool": "p", "pool_slots": 3, "retries": 4, "priority_weight": 5, "executor": "Local"}
    etl(f.operator(executor_config=config, **given))
    post()
    plain = instances(session)[0]
    expected = {**given, "max_tries": given["retries"]}
    expected.pop("retries")
    assert {name: getattr(plain, name) for name in expected} == expected
    stored = session.execute(text("SELECT executor_config FROM task_instance")).scalar()
    assert bytes(stored) == pickle.dumps({"pair": ("a", {1})}, protocol=5)


def test_a_pod_stays_in_the_encoding_in_which_airflow_stores_it(etl, post, session):
    pod = {"__type": "k8s.V1Pod", "__var": {"spec": {"containers": [{"name": "base"}]}}}
    etl(f.operator(executor_config={"__type": "dict", "__var": {"pod_override": pod}}))
    post()
    assert instances(session)[0].executor_config == {"pod_override": pod}


def test_a_task_that_says_nothing_follows_the_configuration(etl, session, make_app, as_user):
    settings = {("operators", "default_queue"): "celery", ("core", "default_task_retries"): "2"}
    app = make_app(settings | {("core", "default_task_weight_rule"): "absolute"})
    bare = f.operator("a", downstream_task_ids=["b"])
    bare["__var"].pop("weight_rule")
    etl(bare, f.operator("b"))
    assert as_user("Admin", of=app).post(RUNS, json={}).status_code == 201
    first = instances(session)[0]
    assert (first.queue, first.max_tries, first.priority_weight) == ("celery", 2, 1)


@pytest.mark.parametrize(
    ("rule", "weights"),
    [
        ("downstream", [17, 14, 10]),
        ("upstream", [3, 7, 17]),
        ("absolute", [3, 4, 10]),
        ("my_plugin.MyRule", [17, 14, 10]),
    ],
)
def test_weights_follow_the_rule_of_the_task(rule, weights, etl, post, session):
    weighed = {"a": 3, "b": 4, "c": 10}
    below = {"a": ["b", "c"], "b": ["c"], "c": []}
    etl(*(f.operator(n, downstream_task_ids=below[n], priority_weight=w, weight_rule=rule) for n, w in weighed.items()))
    post()
    assert [ti.priority_weight for ti in instances(session)] == weights


def test_a_weight_too_large_for_the_column_is_cut(etl, post, session):
    etl(f.operator(priority_weight=2**40))
    post()
    assert instances(session)[0].priority_weight == 2**31 - 1


@pytest.mark.parametrize(
    ("date", "present"),
    [
        ("2026-05-31T23:59:59Z", ["always", "before"]),
        ("2026-06-01T00:00:00Z", ["after", "always", "before"]),
        ("2026-06-01T00:00:01Z", ["after", "always"]),
        ("2020-01-01T00:00:00Z", []),
    ],
)
def test_only_tasks_whose_dates_admit_the_run_get_an_instance(date, present, etl, post, session):
    june = datetime.fromisoformat("2026-06-01T00:00:00+00:00").timestamp()
    etl(f.operator("always"), f.operator("after", start_date=june), f.operator("before", end_date=june))
    post(logical_date=date)
    assert [ti.task_id for ti in instances(session)] == present


def over(**arguments: Any) -> dict[str, Any]:
    return {"type": "dict-of-lists", "value": {"__type": "dict", "__var": arguments}}


XCOM = {"__type": "xcomref", "__var": {"task_id": "extract", "key": "return_value"}}
MAPPED = [
    (over(x=[1, 2, 3]), [0, 1, 2]),
    (over(x=[1, 2], y={"__type": "dict", "__var": {"a": 1, "b": 2}}), [0, 1, 2, 3]),
    (over(x={"__type": "tuple", "__var": [1, 2]}), [0, 1]),
    ({"type": "list-of-dicts", "value": [{"__type": "dict", "__var": {"a": 1}}]}, [0]),
    (over(x=[]), [-1]),
    (over(x=XCOM), [-1]),
    (over(x=[1, 2], y=XCOM), [-1]),
    ({"type": "list-of-dicts", "value": XCOM}, [-1]),
]


@pytest.mark.parametrize(("expand", "expected"), MAPPED)
def test_a_mapped_task_is_unfolded_when_its_length_is_known(expand, expected, etl, post, session):
    task = f.mapped_operator()
    task["__var"] |= {"expand_input": expand, "partial_kwargs": {"retries": 3, "task_display_name": "Twice"}}
    etl(task)
    post()
    assert indexes(session) == {"double": expected}
    assert {(ti.max_tries, ti.task_display_name) for ti in instances(session)} == {(3, "Twice")}


@pytest.mark.parametrize(("expand", "expected"), MAPPED)
def test_tasks_in_a_mapped_group_are_unfolded_with_it(expand, expected, etl, post, session):
    inner = {"children": {"b": ["operator", "b"]}, "is_mapped": True, "expand_input": over(q=["x", "y"])}
    group = {
        "children": {"a": ["operator", "a"], "in": ["taskgroup", inner]},
        "is_mapped": True,
        "expand_input": expand,
    }
    etl(f.operator("a"), f.operator("b"), members={"_task_group": {"children": {"g": ["taskgroup", group]}}})
    post()
    twice = [-1] if expected == [-1] else list(range(2 * len(expected)))
    assert indexes(session) == {"a": expected, "b": twice}


# ---------------------------------------------------------------- params
def param(default: Any, **schema: Any) -> dict[str, Any]:
    return {
        "__class": "airflow.models.param.Param",
        "default": default,
        "description": None,
        "schema": {"__type": "dict", "__var": schema},
    }


NOT_SET = {"__type": "arg_not_set", "__var": None}
PARAMS = [
    ["count", param(3, type="integer", minimum=1)],
    ["list", param([1], type="array", items={"__type": "dict", "__var": {"type": "integer"}})],
    ["moment", param("2026-01-01T00:00:00", type="string", format="date-time")],
    ["day", param("2026-01-01", type="string", format="date")],
    ["time", param("10:00:00", type="string", format="time")],
    ["uri", param("no uri at all", type="string", format="uri")],
    ["maybe", param(None, type=["null", "string"])],
    ["text", param("a\nb", type="string", format="multiline")],
    ["free", param({"__type": "dict", "__var": {"a": 1}})],
]


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"count": 7, "free": [None], "unknown": {"deep": [1.5]}},
        {"moment": "2026-01-01T00:00:00Z", "maybe": "x"},
        {"moment": "2026-01-01 00:00:00"},
    ],
)
def test_conf_is_stored_as_sent_without_the_defaults(conf, etl, post):
    etl(members={"params": PARAMS})
    assert post(conf=conf)["conf"] == conf


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ({"count": 0}, ("'count'", "minimum of 1")),
        ({"count": "1"}, ("'count'", "integer")),
        ({"list": [1, "x"]}, ("'list'[1]", "integer")),
        ({"moment": "2026-01-01"}, ("'moment'", "date-time")),
        ({"moment": "yesterday"}, ("'moment'", "date-time")),
        ({"day": "yesterday"}, ("'day'", "date")),
        ({"time": "10"}, ("'time'", "time")),
        ({"maybe": 5}, ("'maybe'",)),
    ],
)
def test_a_conf_that_breaks_the_schema_of_a_param_is_refused_by_name(conf, words, etl, client, session):
    etl(members={"params": PARAMS})
    assert_problem(client.post(RUNS, json={"conf": conf}), 400, *words)
    assert not session.scalars(select(DagRun)).all()


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ([["must", param(NOT_SET, type="string")]], ("'must'", "no default")),
        ([["must", param(None, type="string")]], ("'must'", "string")),
        ([["odd", param(1, type="no type")]], ("'odd'", "schema is not valid")),
        ([["far", param(1, **{"$ref": "http://localhost:1/schema"})]], ("'far'", "schema is not valid")),
    ],
)
def test_a_param_whose_default_does_not_do_is_refused_by_name(params, words, etl, client):
    etl(members={"params": params})
    assert_problem(client.post(RUNS, json={}), 400, *words)


def test_a_param_without_default_can_be_given(etl, post):
    etl(members={"params": [["must", param(NOT_SET, type="string")]]})
    assert post(conf={"must": "x"})["conf"] == {"must": "x"}


# ---------------------------------------------------------------- refusals
@pytest.mark.parametrize("columns", [None, {"is_active": False}])
def test_a_dag_that_is_unknown_or_inactive_is_not_found(columns, etl, client):
    if columns:
        etl(**columns)
    assert_problem(client.post(RUNS, json={}), 404, "'etl'")


def test_a_dag_that_is_not_serialized_yet_is_not_found(add, client):
    add(f.dag())
    assert_problem(client.post(RUNS, json={}), 404, "serialized", "'etl'")


def test_a_dag_with_import_errors_cannot_be_triggered(etl, client):
    etl(has_import_errors=True)
    assert_problem(client.post(RUNS, json={}), 400, "import errors")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"dag_run_id": "scheduled__2026"}, ("dag_run_id", "'scheduled__'")),
        ({"dag_run_id": "backfill__x"}, ("dag_run_id", "'backfill__'")),
        ({"dag_run_id": "dataset_triggered__x"}, ("dag_run_id", "'dataset_triggered__'")),
        ({"dag_run_id": "a b"}, ("dag_run_id", "allowed_run_id_pattern")),
        ({"dag_run_id": "a/b"}, ("dag_run_id", "allowed_run_id_pattern")),
        ({"dag_run_id": "a\n"}, ("dag_run_id", "allowed_run_id_pattern")),
        ({"dag_run_id": "x" * 251}, ("dag_run_id", "251 characters")),
        ({"dag_run_id": None}, ("dag_run_id",)),
        ({"logical_date": "x"}, ("logical_date", "date-time")),
        ({"logical_date": "2026-05-01T23:59:60Z"}, ("logical_date", "such as 2026-")),
        ({"logical_date": "2026-05-01T00:00:00"}, ("logical_date", "date-time")),
        ({"logical_date": DATE, "execution_date": "2026-05-01T02:00:00Z"}, ("logical_date", "execution_date")),
        ({"data_interval_start": DATE}, ("data_interval_start", "data_interval_end", "together")),
        ({"data_interval_end": DATE}, ("data_interval_start", "data_interval_end", "together")),
        ({"conf": None}, ("conf", "null")),
        ({"conf": [1]}, ("conf",)),
        ({"note": "x" * 1001}, ("note", "1001")),
        ({"state": "running"}, ("state", "read-only")),
        ({"bogus": 1}, ("bogus", "unknown")),
        ({"logical_date": "0001-01-01T00:00:00Z"}, ("data_interval_start", "data_interval_end")),
    ],
)
def test_a_run_that_cannot_be_is_refused_by_the_name_of_the_member(body, words, etl, client, session):
    etl()
    assert_problem(client.post(RUNS, json=body), 400, *words)
    assert not session.scalars(select(DagRun)).all()
    assert not session.scalars(select(Log)).all()


@pytest.mark.parametrize("run_id", ["scheduled", "manual__x", "a.b~c:d+e-f_G"])
def test_run_ids_that_look_like_others_are_free(run_id, etl, post):
    etl()
    assert post(dag_run_id=run_id)["dag_run_id"] == run_id


@pytest.mark.parametrize(
    ("pattern", "run_id", "status"),
    [
        ("^dw_", "dw_1", 201),
        ("^dw_", "other", 400),
        ("^dw_", "manual__2026-05-01T00:00:00+00:00", 201),
        ("^dw_", "", 201),
        ("", "x", 400),
    ],
)
def test_the_pattern_of_run_ids_is_a_setting(pattern, run_id, status, etl, make_app, as_user):
    etl()
    app = make_app({("scheduler", "allowed_run_id_pattern"): pattern})
    assert as_user("Admin", of=app).post(RUNS, json={"dag_run_id": run_id}).status_code == status


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"dag_run_id": "mine"}, ("dag_run_id", "'mine'")),
        ({"dag_run_id": "other", "logical_date": "2026-05-01T00:00:00Z"}, ("logical_date", "'mine'")),
        ({"logical_date": DATE}, ("logical_date", "'mine'")),
        ({"dag_run_id": "mine", "logical_date": "2026-05-02T00:00:00Z"}, ("dag_run_id", "'mine'")),
    ],
)
def test_a_clash_names_the_member_that_clashes(body, words, etl, post, client):
    etl()
    post(dag_run_id="mine", logical_date=DATE)
    assert_problem(client.post(RUNS, json=body), 409, *words)


def test_who_may_not_edit_a_dag_cannot_trigger_it(etl, as_user):
    etl()
    reader = as_user(permissions=["DAG:etl.can_read", "DAG Runs.can_create"])
    assert_problem(reader.post(RUNS, json={}), 403, "DAGs.can_edit")
    editor = as_user(permissions=["DAG:etl.can_edit", "DAG:etl.can_read", "DAG Runs.can_create"])
    assert editor.post(RUNS, json={}).status_code == 201


# ---------------------------------------------------------------- deletion
def test_a_deleted_run_leaves_nothing_that_refers_to_it(etl, add, session, client):
    etl()
    run = add(f.dag_run(run_id="old", execution_date=f.START))
    ti = add(f.task_instance(run_id="old"))
    dataset = add(f.dataset())
    event = f.dataset_event(dataset)
    event.created_dagruns = [run]
    add(f.dag_run_note(run), f.task_instance_note(ti), f.rendered_fields(ti), f.sla_miss(run), f.xcom(run, ti), event)
    add(f.task_try(**f.key_of(ti)))
    before = _counts(session)
    response = client.delete(f"{RUNS}/old")
    assert (response.status_code, response.data) == (204, b"")
    gone = ("dag_run", "task_instance", "task_instance_history", "dag_run_note", "task_instance_note", "xcom")
    more = ("rendered_task_instance_fields", "sla_miss", "dagrun_dataset_event")
    changed = {name: count - before[name] for name, count in _counts(session).items() if count != before[name]}
    assert changed == {**dict.fromkeys((*gone, *more), -1), "log": 1}


def _counts(session: Any) -> dict[str, int]:
    return {
        table.name: session.scalar(select(func.count()).select_from(table)) for table in Base.metadata.sorted_tables
    }


def test_other_runs_stay_when_one_is_deleted(etl, add, session, client):
    etl()
    add(f.dag_run(run_id="old"), f.task_instance(run_id="old"), f.dag_run(run_id="new"), f.task_instance(run_id="new"))
    assert client.delete(f"{RUNS}/old").status_code == 204
    assert [ti.run_id for ti in instances(session)] == ["new"]


@pytest.mark.parametrize("url", [f"{RUNS}/nope", f"{API}/dags/~/dagRuns/old", f"{API}/dags/other/dagRuns/old"])
def test_a_run_that_is_not_there_cannot_be_deleted(url, etl, add, client):
    etl()
    add(f.dag_run(run_id="old"))
    assert_problem(client.delete(url), 404)


def test_a_run_id_with_slashes_can_be_deleted(etl, add, client):
    etl()
    add(f.dag_run(run_id="a/b c"))
    assert client.delete(f"{RUNS}/a%2Fb%20c").status_code == 204


def test_who_may_only_read_cannot_delete_a_run(etl, add, as_user):
    etl()
    add(f.dag_run(run_id="old"))
    assert_problem(as_user("Viewer").delete(f"{RUNS}/old"), 403, "DAG Runs.can_delete")
