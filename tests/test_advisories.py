"""Published flaws of Airflow's web server: each test would fail on a server that has the flaw; see docs/security.md."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import select, update

import factories as f
from clients import API, PASSWORD, PASSWORD_HASH, signed_in
from problems import assert_problem
from windsock import operations, spec
from windsock.config import Config
from windsock.errors import not_yet_served
from windsock.models import DagRun, DatasetDagRunQueue, Log, Pool, TaskInstance, User, Variable
from windsock.spec import Operation
from worlds import World, world

HANDLERS = operations.handlers()
OPERATIONS = spec.operations()
SERVED = [o for o in OPERATIONS.values() if HANDLERS[o.id] is not not_yet_served]
READS = [o for o in SERVED if not o.audit and o.id != "test_connection"]
PUBLIC = {"get_health", "get_version"}
MINE, THEIRS = f.DAG_ID, "dag_of_another_team"
RUN = f"{API}/dags/{MINE}/dagRuns/{quote(f.RUN_ID)}"
TASK = f"{RUN}/taskInstances/{f.TASK_ID}"
SECRET = "hunter2-never-shown"
#: Every right that an operation asks for, but for those on DAGs.
OTHER_RIGHTS = sorted({str(right) for o in OPERATIONS.values() for right in o.permissions if right.resource != "DAGs"})
OWN_RIGHTS = [f"DAG:{MINE}.{action}" for action in ("can_read", "can_edit", "can_delete")]


# ---------------------------------------------------------------- fixtures
@pytest.fixture
def two_teams(session: Any) -> World:
    """The DAG of the caller, and another one that is bound to it in every way that the database knows."""
    mine, theirs = world(session, range(2)), world(session, range(2), dag_id=THEIRS)
    first = mine.dataset
    foreign = {"source_dag_id": THEIRS, "source_run_id": f"run of {THEIRS}"}
    mine.paths["event_log_id"] = mine.store(f.log()).id
    mine.paths["import_error_id"] = mine.store(
        f.import_error(filename=f.FILE, stacktrace=f"{THEIRS} cannot be imported")
    ).id
    mine.store(
        f.consumer(first, THEIRS),
        f.producer(first, THEIRS),
        f.queued_event(first, THEIRS),
        f.dataset_event(first, created_dagruns=[mine.run, theirs.run], **foreign),
        f.dataset_event(first, created_dagruns=[theirs.run]),
        f.import_error(filename="/dags/theirs.py", stacktrace=THEIRS),
        f.dag(f"{THEIRS}-alone", fileloc="/dags/theirs.py"),
        f.log(dag_id=THEIRS, extra=THEIRS),
    )
    session.commit()
    return mine


@pytest.fixture
def team(as_user: Any) -> Any:
    """May do everything, but of the DAGs only with one."""
    return as_user(permissions=[*OWN_RIGHTS, *OTHER_RIGHTS])


@pytest.fixture
def task(add: Any) -> Any:
    """A DAG with a run and a task instance."""
    add(f.dag(), f.serialized_dag(), f.dag_run(execution_date=f.START, conf={"a": 1}))
    return add(f.task_instance())


def ask(client: Any, operation: Operation, url: str, **query: Any) -> Any:
    if operation.method == "get":
        return client.get(url, query_string=query or None)
    return client.post(url, json=query)


def text(response: Any) -> str:
    return response.get_data(as_text=True)


# ---------------------------------------------------------------- whose rows
def test_cve_2026_28563_and_48891_and_40963_and_41014_no_answer_names_a_foreign_dag(two_teams, team, client):
    asked = {o.id: ask(team, o, two_teams.url(o)) for o in READS}
    assert {name: r.status_code for name, r in asked.items()} == dict.fromkeys(asked, 200)
    assert [name for name, response in asked.items() if THEIRS in text(response)] == []
    complete = {o.id for o in READS if THEIRS in text(ask(client, o, two_teams.url(o)))}
    assert complete >= {"get_dags", "get_datasets", "get_dataset", "get_dataset_events", "get_event_logs"}
    assert complete >= {"get_upstream_dataset_events", "get_dataset_queued_events", "get_dag_warnings"}


def test_cve_2026_26929_a_tilde_in_any_place_is_no_way_around_the_right_on_a_dag(two_teams, team):
    leaks = []
    for operation in READS:
        names = operation.path_names
        for replaced in [(name,) for name in names] + [tuple(names)]:
            response = ask(team, operation, two_teams.url(operation, **dict.fromkeys(replaced, "~")))
            assert response.status_code in (200, 400, 403, 404), (operation.id, replaced)
            leaks += [(operation.id, replaced)] if THEIRS in text(response) else []
    assert leaks == []


def test_cve_2023_35908_and_42663_and_42781_a_foreign_dag_cannot_be_asked_for(two_teams, team):
    for operation in READS:
        if "dag_id" in operation.path_names:
            answers = [ask(team, operation, two_teams.url(operation, dag_id=dag_id)) for dag_id in (THEIRS, "nothing")]
            assert [r.status_code for r in answers] == [403, 403], operation.id
            assert text(answers[0]).replace(THEIRS, "nothing") == text(answers[1])


@pytest.mark.parametrize("operation", [o for o in READS if "{dag_id}" not in o.path], ids=lambda o: o.id)
def test_cve_2023_42663_and_42781_no_filter_tells_that_a_foreign_dag_is_there(operation, two_teams, team):
    url, _, _ = two_teams.url(operation).partition("?")
    form = spec.properties(operation.body) if operation.body else {}
    names = [*form, *(p["name"] for p in operation.parameters if p["in"] == "query")]
    for name in [name for name in names if "dag_id" in name]:
        several = form.get(name, {}).get("type") == "array"
        answers = []
        for dag_id in (THEIRS, "no_such_dag"):
            wanted = [dag_id] if several else dag_id
            response = ask(team, operation, url, **{name: wanted})
            assert response.status_code == 200, text(response)
            assert THEIRS not in text(response)
            answers.append(response.get_json())
        assert answers[0] == answers[1], name


def test_cve_2023_42781_batches_with_and_without_dag_ids_count_readable_rows_only(two_teams, team):
    for path in ("/dags/~/dagRuns/list", "/dags/~/dagRuns/~/taskInstances/list"):
        plural = "task_instances" if "taskInstances" in path else "dag_runs"
        counts = []
        for form in ({}, {"dag_ids": [MINE, THEIRS]}, {"dag_ids": [MINE]}):
            found = team.post(API + path, json=form).get_json()
            assert {row["dag_id"] for row in found[plural]} == {MINE}
            counts.append((found["total_entries"], len(found[plural])))
        assert len(set(counts)) == 1 and counts[0][0] == counts[0][1]


def test_a_filter_by_the_source_of_dataset_events_finds_no_foreign_one(two_teams, team, client):
    for query in ({"source_run_id": f"run of {THEIRS}"}, {"source_dag_id": THEIRS}):
        assert client.get(f"{API}/datasets/events", query_string=query).get_json()["total_entries"] == 1
        found = team.get(f"{API}/datasets/events", query_string=query).get_json()
        assert found == {"dataset_events": [], "total_entries": 0}


def test_no_change_names_a_foreign_dag_in_its_answer(two_teams, team):
    requests = [
        ("PATCH", "/dags?dag_id_pattern=~", {"is_paused": True}),
        ("PATCH", f"/dags?dag_id_pattern={THEIRS}", {"is_paused": True}),
        ("PATCH", f"/dags/{MINE}", {"is_paused": True}),
        ("POST", f"/dags/{MINE}/dagRuns", {}),
        ("POST", "/datasets/events", {"dataset_uri": "s3://bucket/0"}),
        ("POST", f"/dags/{MINE}/clearTaskInstances", {"only_failed": False, "include_subdags": True}),
        ("POST", f"/dags/{MINE}/dagRuns/{quote(f.RUN_ID)}/clear", {}),
        ("PATCH", f"/dags/{MINE}/dagRuns/{quote(f.RUN_ID)}/setNote", {"note": "x"}),
        ("DELETE", "/datasets/queuedEvent/s3%3A%2F%2Fbucket%2F0", None),
    ]
    for method, path, body in requests:
        response = team.open(API + path, method=method, json=body)
        assert response.status_code in (200, 201, 204), (path, text(response))
        assert THEIRS not in text(response), path


def test_cve_2023_42780_and_cve_2024_27906_no_warning_or_error_of_a_foreign_dag_is_shown(two_teams, team):
    warnings, errors = (team.get(API + path).get_json() for path in ("/dagWarnings", "/importErrors"))
    assert {row["dag_id"] for row in warnings["dag_warnings"]} == {MINE}
    assert warnings["total_entries"] == len(warnings["dag_warnings"])
    assert {row["filename"] for row in errors["import_errors"]} == {f.FILE}
    assert errors["total_entries"] == 1


def test_cve_2026_24098_the_trace_of_a_file_that_others_share_is_redacted(two_teams, team):
    (shared,) = team.get(f"{API}/importErrors").get_json()["import_errors"]
    one = team.get(f"{API}/importErrors/{shared['import_error_id']}").get_json()
    assert shared["stack_trace"].startswith("Redacted") and one == shared


def test_cve_2026_46764_the_number_of_a_foreign_audit_row_finds_nothing(team, add):
    row = add(f.log(dag_id=THEIRS))
    assert_problem(team.get(f"{API}/eventLogs/{row.id}"), 404)


def test_cve_2026_59245_a_dag_called_dags_gives_rights_on_itself_only(as_user, add):
    add(f.dag("DAGs"), f.dag("DAG:DAGs"), f.dag(THEIRS))
    client = as_user(permissions=["DAG:DAGs.can_read"])
    assert [dag["dag_id"] for dag in client.get(f"{API}/dags").get_json()["dags"]] == ["DAGs"]
    assert_problem(client.get(f"{API}/dags/{THEIRS}"), 403)


def test_cve_2026_45426_a_right_on_a_dag_is_none_on_those_whose_ids_begin_alike(as_user, add):
    add(f.dag("dag_a"), f.dag("dag_attacker"), f.dag("dag_a.section"))
    client = as_user(permissions=["DAG:dag_a.can_read"])
    for foreign in ("dag_attacker", "dag_a.section"):
        assert_problem(client.get(f"{API}/dags/{foreign}"), 403)
    assert client.get(f"{API}/dags").get_json()["total_entries"] == 1


# ---------------------------------------------------------------- who may change what
def test_cve_2021_45230_a_run_needs_the_right_to_edit_its_dag(task, as_user):
    client = as_user(permissions=["DAG Runs.can_create", f"DAG:{MINE}.can_read"])
    assert_problem(client.post(f"{API}/dags/{MINE}/dagRuns", json={}), 403, "DAGs.can_edit")


def test_cve_2023_40611_and_47037_a_note_changes_nothing_else(task, client, as_user, session):
    for url, model in ((RUN, DagRun), (TASK, TaskInstance)):
        columns = [c for c in model.__table__.columns if c.name not in ("updated_at", "executor_config")]
        before = session.execute(select(*columns)).all()
        for body in ({"conf": {"a": 2}}, {"start_date": "2020-01-01T00:00:00Z"}, {"state": "failed"}):
            assert_problem(client.patch(f"{url}/setNote", json={"note": "x", **body}), 400)
        assert client.patch(f"{url}/setNote", json={"note": "x"}).status_code == 200
        assert session.execute(select(*columns)).all() == before
        assert_problem(as_user("Viewer").patch(f"{url}/setNote", json={"note": "y"}), 403)


def test_cve_2023_42792_and_48291_a_form_cannot_reach_into_a_foreign_dag(as_user, add, session):
    inner = {"_dag_id": "etl.section", "tasks": [f.operator("inner")]}
    tasks = [f.operator("section", subdag=inner), f.operator("end")]
    add(f.dag(), f.dag("etl.section", is_subdag=True, root_dag_id="etl"), f.dag(THEIRS))
    add(f.serialized_dag(tasks=tasks), f.serialized_dag("etl.section", tasks=[f.operator("inner")]))
    add(f.dag_run(execution_date=f.START), f.dag_run("etl.section", "inner", execution_date=f.START))
    add(f.dag_run(THEIRS, "their run", execution_date=f.START))
    add(f.task_instance(task_id="end"), f.task_instance("etl.section", "inner", "inner"))
    add(f.task_instance(THEIRS, "their run", "end"))
    rights = ["DAG:etl.section.can_edit", "DAG:etl.section.can_read", *OTHER_RIGHTS]
    client = as_user(permissions=rights)
    wanted = {"only_failed": False, "include_parentdag": True, "include_subdags": True, "dry_run": False}
    assert client.post(f"{API}/dags/etl.section/clearTaskInstances", json=wanted).status_code == 200
    foreign = {"only_failed": False, "dag_run_id": "their run", "dry_run": False}
    assert_problem(client.post(f"{API}/dags/etl.section/clearTaskInstances", json=foreign), 404)
    states = session.execute(select(TaskInstance.dag_id, TaskInstance.state).order_by(TaskInstance.dag_id)).all()
    assert [tuple(row) for row in states] == [(THEIRS, "success"), ("etl", "success"), ("etl.section", None)]


def test_cve_2026_41084_the_ids_of_a_body_do_not_replace_those_of_the_path(two_teams, team, session):
    count = session.scalar(select(TaskInstance.state).where(TaskInstance.dag_id == THEIRS).limit(1))
    form = {"dry_run": False, "new_state": "failed", "task_id": f.TASK_ID, "dag_run_id": f.RUN_ID}
    form |= {f"include_{where}": False for where in ("upstream", "downstream", "future", "past")}
    for body in ({"dag_id": THEIRS}, {"dag_ids": [THEIRS]}):
        response = team.post(f"{API}/dags/{MINE}/updateTaskInstancesState", json=form | body)
        assert_problem(response, 400, next(iter(body)))
        assert_problem(team.post(f"{API}/dags/{MINE}/clearTaskInstances", json=body), 400)
        assert_problem(team.post(f"{API}/dags/{MINE}/dagRuns", json=body), 400)
    assert team.post(f"{API}/dags/{MINE}/updateTaskInstancesState", json=form).status_code == 200
    states = set(session.scalars(select(TaskInstance.state).where(TaskInstance.dag_id == THEIRS)))
    assert states == {count}


def test_cve_2026_32228_an_update_of_a_dataset_starts_no_dag_without_a_right_on_it(two_teams, team, session):
    session.execute(DatasetDagRunQueue.__table__.delete())
    assert team.post(f"{API}/datasets/events", json={"dataset_uri": "s3://bucket/0"}).status_code == 201
    assert set(session.scalars(select(DatasetDagRunQueue.target_dag_id))) == {MINE}


def test_cve_2023_50783_a_reader_cannot_change_a_variable(as_user, add, session):
    add(f.variable("x", "old"))
    client = as_user(permissions=["Variables.can_read"])
    assert_problem(client.patch(f"{API}/variables/x", json={"key": "x", "value": "new"}), 403, "Variables.can_edit")
    assert session.scalar(select(Variable.val).where(Variable.key == "x")) == "old"


def test_cve_2025_62503_the_right_to_create_overwrites_nothing(as_user, add, session):
    add(f.pool("a pool", slots=4))
    client = as_user(permissions=["Pools.can_create", "Pools.can_read"])
    assert_problem(client.post(f"{API}/pools", json={"name": "a pool", "slots": 99}), 409)
    assert session.scalar(select(Pool.slots).where(Pool.pool == "a pool")) == 4


def test_cve_2024_26280_only_administrators_read_the_audit_log(as_user, add):
    add(f.log())
    answers = {role: as_user(role).get(f"{API}/eventLogs").status_code for role in ("Admin", "Op", "User", "Viewer")}
    assert answers == {"Admin": 200, "Op": 403, "User": 403, "Viewer": 403}


def test_cve_2026_22922_the_right_on_task_instances_gives_no_logs(task, as_user):
    client = as_user(permissions=[f"DAG:{MINE}.can_read", "Task Instances.can_read", "DAG Runs.can_read"])
    assert client.get(TASK).status_code == 200
    assert_problem(client.get(f"{TASK}/logs/1"), 403, "Task Logs.can_read")


def test_cve_2023_37379_connections_are_not_tested_unless_a_setting_allows_it(client):
    response = client.post(f"{API}/connections/test", json={"connection_id": "x", "conn_type": "http"})
    assert_problem(response, 403, "test_connection")


def test_cve_2026_49296_a_shared_file_needs_the_right_on_all_of_its_dags(two_teams, team):
    token = team.get(f"{API}/dags/{MINE}").get_json()["file_token"]
    assert_problem(team.put(f"{API}/parseDagFile/{token}"), 403)


@pytest.mark.parametrize("forge", [lambda t: t[:-2], lambda t: "Ii9ldGMvcGFzc3dkIg.AAAA", lambda t: f"x{t}"])
def test_cve_2023_50944_a_forged_token_of_a_file_is_not_taken(forge, task, client):
    token = client.get(f"{API}/dags/{MINE}").get_json()["file_token"]
    assert_problem(client.put(f"{API}/parseDagFile/{forge(token)}"), 404)


# ---------------------------------------------------------------- who is known
def test_cve_2020_13927_by_default_everything_is_closed(make_app, make_user):
    setting = ("api", "auth_backends")
    admin = signed_in(make_app({setting: Config().get(*setting)}), make_user("Admin").username)
    made = World(None, f.filled)
    codes = {o.id: admin.open(made.url(o), method=o.method).status_code for o in OPERATIONS.values()}
    assert {name for name, code in codes.items() if code != 401} == PUBLIC


def test_cve_2021_26697_and_38540_no_path_below_the_api_forgets_to_ask_who_is_there(app, stranger):
    open_paths = set()
    for rule in app.url_map.iter_rules():
        path = "/".join("1" if part.startswith("<") else part for part in rule.rule.split("/"))
        for method in rule.methods - {"OPTIONS", "HEAD"} if path.startswith(API) else ():
            if stranger.open(path, method=method).status_code != 401:
                open_paths.add(path.removeprefix(API))
    assert open_paths == {"/health", "/version", "/openapi.json", "/openapi.yaml", "/ui/"}


def test_cve_2022_41672_a_deactivated_user_is_refused_at_once(make_user, app, session):
    user = make_user("Admin")
    client = signed_in(app, user.username)
    assert client.get(f"{API}/pools").status_code == 200
    session.execute(update(User).where(User.id == user.id).values(active=False))
    session.commit()
    assert_problem(client.get(f"{API}/pools"), 401)


@pytest.mark.parametrize("way", ["PATCH", "SQL"])
def test_cve_2023_40273_and_cve_2024_45033_an_old_password_is_refused_at_once(way, make_user, app, client, session):
    user = make_user("Admin", username="ada")
    old = signed_in(app, "ada")
    assert old.get(f"{API}/pools").status_code == 200
    if way == "PATCH":
        assert client.patch(f"{API}/users/ada", json={"password": "new " + PASSWORD}).status_code == 200
    else:
        session.execute(update(User).where(User.id == user.id).values(password=PASSWORD_HASH.replace("salt", "sold")))
        session.commit()
    assert_problem(old.get(f"{API}/pools"), 401)


def test_cve_2023_49920_a_change_takes_its_own_method_and_json_only(client, add, session):
    add(f.dag())
    url = f"{API}/dags/{MINE}/clearTaskInstances"
    assert client.get(url).status_code == 405
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"):
        assert_problem(client.post(f"{API}/dags/{MINE}/dagRuns", data=b'{"conf": {}}', content_type=kind), 415)
    assert session.scalars(select(DagRun)).all() == []


# ---------------------------------------------------------------- secrets
def test_cve_2020_17511_and_cve_2024_50378_and_cve_2025_27555_no_change_leaves_its_secret_in_the_log(client, session):
    person = {"first_name": "A", "last_name": "B", "username": "ab", "email": "a@b", "roles": [{"name": "Viewer"}]}
    extra = json.dumps({"api_key": SECRET, "nested": [{"token": SECRET}], "proxy": f"http://u:{SECRET}@proxy"})
    linked = {"connection_id": "c", "conn_type": "http", "password": SECRET, "extra": extra}
    for path, body in (
        ("/users", person | {"password": SECRET}),
        ("/connections", linked),
        ("/variables", {"key": "x_password", "value": SECRET}),
    ):
        assert client.post(API + path, json=body).status_code == 201
    client.patch(f"{API}/users/ab", json={"password": SECRET + "2"})
    client.patch(f"{API}/connections/c", json={"password": SECRET + "2", "extra": extra})
    client.patch(f"{API}/variables/x_password", json={"key": "x_password", "value": SECRET + "2"})
    rows = session.scalars(select(Log.extra)).all()
    assert len(rows) == 6
    assert SECRET not in "".join(rows)


SHAPES = [SECRET, {"deep": {"er": SECRET}}, [SECRET, [SECRET]], {"list": [{"a": SECRET}]}, SECRET * 5000]


@pytest.mark.parametrize("shape", [*SHAPES, 90210], ids=["text", "object", "list", "nested", "long", "number"])
def test_cve_2026_32690_a_value_with_a_sensitive_name_is_masked_in_every_shape(shape, task, add, client):
    add(
        f.log(extra=json.dumps({"x_password": shape, "conf": {"Api_Key": shape}})),
        f.log(extra=json.dumps({"key": "x_password", "value": shape})),
        f.connection("c", extra=json.dumps({"x_password": shape, "nested": {"TOKEN": shape}})),
        f.rendered_fields(task, rendered_fields={"env": {"x_password": shape}, "text": json.dumps({"secret": shape})}),
    )
    for path in ("/eventLogs", "/connections/c", f"{TASK}".removeprefix(API)):
        shown = text(client.get(API + path))
        assert "***" in shown
        assert SECRET not in shown and "90210" not in shown, path


def test_cve_2022_27949_and_cve_2025_66388_and_68438_rendered_secrets_are_masked_everywhere(task, add, client):
    long = SECRET * 10_000
    fields = {
        "password": SECRET,
        "env": {"API_KEY": long, "PLAIN": "seen"},
        "url": f"postgres://ada:{SECRET}@db/x",
        "args": [{"name": "MY_TOKEN", "value": SECRET}, {"secret": 7}],
    }
    add(f.rendered_fields(task, rendered_fields=fields))
    batch = client.post(f"{API}/dags/~/dagRuns/~/taskInstances/list", json={})
    for response in (client.get(TASK), client.get(f"{RUN}/taskInstances"), batch):
        assert SECRET not in text(response)
        found = response.get_json()
        shown = found.get("task_instances", [found])[0]["rendered_fields"]
        assert shown["password"] == "***" and shown["env"] == {"API_KEY": "***", "PLAIN": "seen"}
        assert shown["args"] == [{"name": "MY_TOKEN", "value": "***"}, {"secret": "***"}]


def test_cve_2023_51702_and_cve_2026_49487_the_kwargs_of_a_trigger_are_masked_everywhere(task, add, client, session):
    kwargs = {"__type": "dict", "__var": {"api_key": SECRET, "url": f"http://u:{SECRET}@h", "poll": 5}}
    task.trigger_id = add(f.trigger(kwargs=json.dumps(kwargs))).id
    session.commit()
    batch = client.post(f"{API}/dags/~/dagRuns/~/taskInstances/list", json={})
    for response in (client.get(TASK), client.get(f"{RUN}/taskInstances"), batch):
        assert SECRET not in text(response)
        assert "'api_key': '***'" in text(response) and "'poll': 5" in text(response)


def test_cve_2022_46651_and_cve_2025_54831_and_68675_no_connection_shows_a_secret(add, client, as_user):
    proxies = {"proxies": {"https": f"http://ada:{SECRET}@proxy:8080"}, "timeout": 5}
    add(f.connection("c", password=SECRET, extra=json.dumps(proxies)))
    for who in (client, as_user(permissions=["Connections.can_read"])):
        (listed,) = who.get(f"{API}/connections").get_json()["connections"]
        assert not listed.keys() & {"password", "extra"}
        shown = who.get(f"{API}/connections/c").get_json()
        assert "password" not in shown and SECRET not in json.dumps(shown)
        assert json.loads(shown["extra"]) == {"proxies": {"https": "http://ada:***@proxy:8080"}, "timeout": 5}


def test_cve_2023_40712_no_parameter_shows_what_is_masked(task, add, client):
    add(f.connection("c", password=SECRET, extra=json.dumps({"token": SECRET})))
    add(f.log(extra=json.dumps({"password": SECRET})), f.rendered_fields(task, rendered_fields={"token": SECRET}))
    queries = ("mask=false", "raw=true", "fields=password,extra", "hide_sensitive_var_conn_fields=False", "show=1")
    for path in (f"{API}/connections/c", f"{API}/connections", f"{API}/eventLogs", TASK):
        for query in queries:
            assert SECRET not in text(client.get(f"{path}?{query}"))


def test_cve_2025_65995_a_stack_trace_shows_no_secret(client, add):
    trace = f'  op = Op(password="{SECRET}", api_key=\'{SECRET}\', retries=3)\n{{"token": "{SECRET}"}} a://u:{SECRET}@h'
    row = add(f.import_error(stacktrace=trace))
    for path in ("importErrors", f"importErrors/{row.id}"):
        shown = text(client.get(f"{API}/{path}"))
        assert SECRET not in shown and "retries=3" in shown


def test_cve_2023_25695_a_failure_tells_a_stranger_nothing(app, client, monkeypatch):
    app.config["PROPAGATE_EXCEPTIONS"] = False
    monkeypatch.setattr(app.extensions["windsock"], "database", None)
    shown = text(client.get(f"{API}/pools"))
    assert_problem(client.get(f"{API}/pools"), 500)
    for word in ("Traceback", ".py", sys.prefix, "windsock/", sys.version.split()[0]):
        assert word not in shown


def test_cve_2024_25142_and_32077_no_answer_is_kept_or_taken_for_a_page(two_teams, client, stranger):
    for operation in OPERATIONS.values():
        url = two_teams.url(operation)
        for who in (client, stranger) if operation in READS else (stranger,):
            response = who.open(url, method=operation.method, json={} if operation.method == "post" else None)
            assert "no-store" in response.headers["Cache-Control"], operation.id
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert not response.content_type.startswith("text/html")


# ---------------------------------------------------------------- data is never code
@pytest.fixture
def trap(tmp_path: Path, monkeypatch: Any) -> str:
    """The name of a module that could be imported, and that nothing may import."""
    name = f"sprung_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text("class Boom:\n    def __init__(self, *a): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_cve_2023_50943_and_cve_2026_33858_and_25917_and_42359_an_xcom_names_classes_in_vain(
    task, add, client, session, trap
):
    new = {"__classname__": f"{trap}.Boom", "__version__": 1, "__data__": {"a": 1}}
    old = {"__type": f"{trap}.Boom", "__var": {"a": 1}}
    pickles = [f"\x80\x04c{trap}\nBoom\n)R.".encode("latin-1"), f"\x80\x02c{trap}\nBoom\n.".encode("latin-1")]
    values = [json.dumps(new).encode(), json.dumps(old).encode(), *pickles]
    run = session.scalar(select(DagRun))
    add(*(f.xcom(run, task, key=f"key{number}", value=value) for number, value in enumerate(values)))
    for number in range(len(values)):
        for stringify in ("true", "false"):
            response = client.get(f"{TASK}/xcomEntries/key{number}?stringify={stringify}")
            assert response.status_code == 200
    assert client.get(f"{TASK}/xcomEntries").get_json()["total_entries"] == len(values)
    assert trap not in sys.modules


def test_cve_2026_33264_a_class_in_a_serialized_dag_is_not_imported(add, client, trap):
    hostile = {"__type": f"{trap}.Boom", "__var": {"a": 1}}
    members = {
        "timetable": {"__type": f"{trap}.Boom", "__var": {}},
        "params": [["p", {"__class": f"{trap}.Boom", "default": hostile}]],
        "dag_display_name": hostile,
        "default_args": hostile,
    }
    body = {"_task_module": trap, "_task_type": "Boom", "_operator_extra_links": [{f"{trap}.Boom": {}}]}
    add(f.dag(), f.serialized_dag(tasks=[f.operator(**body, weight_rule=f"{trap}.Boom")], members=members))
    add(f.dag_run(execution_date=f.START), f.task_instance())
    for path in ("", "/details", "/tasks", f"/tasks/{f.TASK_ID}"):
        assert client.get(f"{API}/dags/{MINE}{path}").status_code == 200, path
    assert client.get(f"{TASK}/dependencies").status_code == 200
    assert client.post(f"{API}/dags/{MINE}/dagRuns", json={}).status_code < 500
    assert client.post(f"{API}/dags/{MINE}/clearTaskInstances", json={"dry_run": False}).status_code < 500
    assert trap not in sys.modules


def test_cve_2025_62402_the_files_of_dags_are_never_run(add, client, tmp_path):
    proof, file = tmp_path / "proof", tmp_path / "sentinel.py"
    file.write_text(f"open({str(proof)!r}, 'w')\n")
    add(f.dag(fileloc=str(file)), f.serialized_dag(fileloc=str(file), members={"fileloc": str(file)}))
    token = client.get(f"{API}/dags/{MINE}").get_json()["file_token"]
    assert client.put(f"{API}/parseDagFile/{token}").status_code == 201
    assert client.post(f"{API}/dags/{MINE}/dagRuns", json={}).status_code == 201
    for path in ("/details", "/tasks", "/dagRuns"):
        assert client.get(f"{API}/dags/{MINE}{path}").status_code == 200
    assert not proof.exists()


def test_cve_2024_39877_the_description_of_a_dag_is_no_template(add, client):
    template = "{{ 7*7 }} {% for x in ().__class__.__mro__ %}{{ x }}{% endfor %}"
    add(f.dag(), f.serialized_dag(members={"doc_md": template, "_doc_md": template}))
    assert client.get(f"{API}/dags/{MINE}/details").get_json()["doc_md"] == template


@pytest.mark.parametrize("name", ["{0.__class__}", "%s%s%n", "${7*7}", "{{7*7}}", "%(password)s"])
def test_cve_2022_40604_a_name_in_a_url_is_text_and_no_format(name, client):
    for path in ("variables", "dags", "connections", "pools"):
        assert_problem(client.get(f"{API}/{path}/{quote(name, safe='')}"), 404, repr(name))


#: Texts that make careless patterns and parsers work for a long time.
LONG = ["a" * 100_000 + "!", "0" * 100_000, "-" * 100_000, "2026-01-01T" * 10_000, ("a" * 30 + "!") * 3000]


@pytest.mark.parametrize("wanted", LONG, ids=range(len(LONG)))
def test_cve_2023_22888_and_36543_a_long_text_is_answered_at_once(wanted, task, client):
    runs = f"{API}/dags/{MINE}/dagRuns"
    started = time.perf_counter()
    answers = [client.post(runs, json={"dag_run_id": wanted}), client.post(runs, json={"logical_date": wanted})]
    for query in ({"start_date_gte": wanted}, {"order_by": wanted}, {"limit": wanted}):
        answers.append(client.get(runs, query_string=query))
    answers.append(client.get(f"{API}/dags", query_string={"dag_id_pattern": wanted}))
    answers.append(client.get(f"{runs}/{quote(wanted)}"))
    assert time.perf_counter() - started < 1
    assert [response.status_code for response in answers] == [400] * 6 + [404]
