"""Published flaws of Airflow's web server: each test would fail on a server that has the flaw; see docs/security.md."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import select, update
from werkzeug.wrappers import Response as Reply

import cookies
import factories as f
import issuers
from clients import API, PASSWORD, PASSWORD_HASH, SETTINGS, credentials, signed_in
from databases import free_port
from logservers import log_server
from problems import assert_problem
from windsock import accounts, spec, tokens
from windsock.app import create_app
from windsock.config import Config, ConfigError
from windsock.models import DagRun, DatasetDagRunQueue, Log, LogTemplate, Pool, TaskInstance, User, Variable, WebSession
from windsock.models.token import token_table
from windsock.sources import location_hash
from windsock.spec import Operation
from worlds import World, world

OPERATIONS = spec.operations()
SERVED = list(OPERATIONS.values())
#: Refused to everybody unless a setting allows it.
SWITCHED_OFF = {"get_config", "get_value", "test_connection"}
READS = [o for o in SERVED if not o.audit and o.id not in SWITCHED_OFF]
PUBLIC = {"get_health", "get_version"}
BACKENDS, FORM, SECRET_KEY = ("api", "auth_backends"), ("webserver", "session_backend"), ("webserver", "secret_key")
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
    refused = {"get_dag_source": 403}  # the file holds a DAG of theirs, too
    assert {name: r.status_code for name, r in asked.items()} == dict.fromkeys(asked, 200) | refused
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
        assert counts[0][0] > 1  # so that a page of one row has to be counted
        assert team.post(API + path, json={"page_limit": 1}).get_json()["total_entries"] == counts[0][0]


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


# ---------------------------------------------------------------- task logs
@pytest.fixture
def logs_of(tmp_path, make_app, as_user):
    """`logs_of(template)`: a log folder beside a file with a secret, and an administrator's client over it."""
    base = tmp_path / "logs"
    base.mkdir()
    for name in ("secret.log", "x.log"):
        (tmp_path / name).write_text(SECRET)

    def logs_of(template: str | None = None, more: Any = (), **who: Any) -> tuple[Path, Any]:
        settings = {("logging", "base_log_folder"): base, **dict(more)}
        settings |= {("logging", "log_filename_template"): template} if template else {}
        return base, as_user(*(() if who else ("Admin",)), of=make_app(settings), **who)

    return logs_of


@pytest.mark.parametrize("template", ["{{ ti.run_id }}.log", "{{ ti.dag_id }}/{{ ti.run_id }}.log", "{run_id}.log"])
@pytest.mark.parametrize("run_id", ["../secret", "../../secret", "x/../../secret", "/..//../secret", "{outside}/x"])
def test_cve_2023_22887_no_id_leads_out_of_the_log_folder(template, run_id, add, logs_of):
    base, client = logs_of(template)
    run_id = run_id.format(outside=base.parent)
    (base / "x").mkdir()
    (base / MINE).mkdir()
    add(f.dag(), f.dag_run(run_id=run_id), f.task_instance(run_id=run_id))
    url = f"{API}/dags/{MINE}/dagRuns/{quote(run_id, safe='')}/taskInstances/{f.TASK_ID}/logs/1"
    for accept in ("text/plain", "application/json"):
        response = client.get(url, headers={"Accept": accept})
        assert response.status_code in (200, 404) and SECRET not in text(response)
        assert ".." not in run_id or response.status_code == 404


@pytest.mark.parametrize("linked", ["file", "folder", "sibling"])
def test_cve_2023_22887_no_link_leads_out_of_the_log_folder(linked, task, logs_of):
    base, client = logs_of("{{ ti.dag_id }}/{{ ti.task_id }}.log")
    outside = base.parent / "elsewhere"
    outside.mkdir()
    (outside / f"{f.TASK_ID}.log").write_text(SECRET)
    if linked == "folder":
        (base / MINE).symlink_to(outside)
    else:
        (base / MINE).mkdir()
        (base / MINE / f"{f.TASK_ID}.log{'.1' if linked == 'sibling' else ''}").symlink_to(base.parent / "secret.log")
    assert client.get(f"{TASK}/logs/1").status_code == 200
    assert SECRET not in text(client.get(f"{TASK}/logs/1"))
    (base / MINE).unlink() if linked == "folder" else None
    (base / MINE).mkdir(exist_ok=True)
    (base / MINE / f"{f.TASK_ID}.log.2").write_text("a file of its own")
    assert "a file of its own" in text(client.get(f"{TASK}/logs/1"))


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ti.__class__ }}.log",
        "{{ ti.__init__.__globals__['os'].popen('touch MARK').read() }}",
        "{{ dag_run.execution_date.__class__ }}",
        "{{ (ti|attr('__class__')) }}",
        "{{ ti['__class__'] }}",
        "{{ lipsum.__globals__['os'].system('touch MARK') }}",
        "{{ cycler.__init__.__globals__.os.system('touch MARK') }}",
        "{{ self._TemplateReference__context }}",
        "{% for x in range(1000000000) %}{{ x }}{% endfor %}",
        "{{ 'a' * 1000000000 }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{% set x = ti %}{{ x.dag_id }}",
        "{% include '/etc/passwd' %}{{ 1 }}",
        "{dag_id.__class__}",
        "{dag_id:>1000000000}",
        "{dag_id!r:{try_number}}",
    ],
)
def test_cve_2024_56373_a_template_of_the_database_is_no_way_to_run_code(template, add, logs_of):
    base, client = logs_of(more={("logging", "use_historical_filename_templates"): True})
    stored = add(LogTemplate(filename=template.replace("MARK", str(base / "mark")), elasticsearch_id=""))
    add(f.dag(), f.dag_run(log_template_id=stored.id), f.task_instance())
    response = client.get(f"{TASK}/logs/1", headers={"Accept": "text/plain"})
    assert response.status_code == 200
    assert "*** Could not read logs: the template of log file names is refused" in text(response)
    assert "<class" not in text(response) and not (base / "mark").exists()


def test_cve_2021_35936_a_log_server_is_asked_only_if_listed_and_with_a_signature(add, logs_of):
    add(f.dag(), f.dag_run(), f.task_instance(hostname="127.0.0.1", state="running"))
    key = str(SETTINGS["webserver", "secret_key"])
    with log_server(key, lambda path: Reply(f"served {path}")) as server:
        port = {("logging", "worker_log_server_port"): server.port}
        for hosts in ("", "worker-1", "*", "127.0.0", "*.127.0.0.1"):
            _, client = logs_of(more=port | {("windsock", "log_server_hosts"): hosts})
            assert "served" not in text(client.get(f"{TASK}/logs/1")).replace("read served logs", "")
        assert server.asked == []
        _, client = logs_of(more=port | {("windsock", "log_server_hosts"): "127.0.0.1"})
        assert "served dag_id=" in text(client.get(f"{TASK}/logs/1"))
        assert [path for path, claims in server.asked if claims["filename"] == path] == [server.asked[0][0]]


@pytest.mark.parametrize("accept", ["text/plain", "application/json", "text/html, */*;q=0.1"])
def test_cve_2024_32077_hostile_text_in_a_log_is_never_a_page(accept, task, logs_of):
    base, client = logs_of("{{ ti.task_id }}.log")
    (base / f"{f.TASK_ID}.log").write_text("<script>alert(1)</script>\r\n\r\nHTTP/1.1 200 OK\r\nX: y\n")
    response = client.get(f"{TASK}/logs/1", headers={"Accept": accept})
    assert "<script>" in text(response) and response.mimetype in ("text/plain", "application/json")
    assert response.headers["X-Content-Type-Options"] == "nosniff" and "X" not in response.headers


def test_cve_2026_45426_a_token_for_the_log_of_a_dag_opens_none_of_those_that_begin_alike(add, logs_of):
    base, client = logs_of("{{ ti.dag_id }}")
    for dag_id in ("dag_a", "dag_attacker"):
        add(f.dag(dag_id), f.dag_run(dag_id), f.task_instance(dag_id))
        (base / dag_id).write_text(f"log of {dag_id}")
    url = f"{API}/dags/dag_a/dagRuns/{quote(f.RUN_ID)}/taskInstances/{f.TASK_ID}/logs/1"
    assert "log of dag_attacker" not in text(client.get(url))
    _, reader = logs_of("{{ ti.dag_id }}", permissions=["DAG:dag_a.can_read", "Task Logs.can_read"])
    found = reader.get(url).get_json()
    assert "log of dag_a" in found["content"]
    foreign = reader.get(url.replace("dag_a", "dag_attacker"), query_string={"token": found["continuation_token"]})
    assert_problem(foreign, 403, "dag_attacker")


def test_cve_2026_45426_a_request_to_a_log_server_is_signed_for_one_file(add, logs_of):
    key = str(SETTINGS["webserver", "secret_key"])
    with log_server(key, lambda path: Reply(f"served {path}")) as server:
        more = {("logging", "worker_log_server_port"): server.port, ("windsock", "log_server_hosts"): "127.0.0.1"}
        _, client = logs_of(more=more)
        for dag_id in ("dag_a", "dag_attacker"):
            add(f.dag(dag_id), f.dag_run(dag_id), f.task_instance(dag_id, hostname="127.0.0.1"))
            client.get(f"{API}/dags/{dag_id}/dagRuns/{quote(f.RUN_ID)}/taskInstances/{f.TASK_ID}/logs/1")
    assert len({claims["filename"] for _, claims in server.asked}) == 2
    assert all(claims["filename"] == path for path, claims in server.asked)


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
    tasks = [f.operator("section", subdag=inner, downstream_task_ids=["end"]), f.operator("end")]
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


def test_cve_2026_34538_who_waits_for_a_run_is_told_no_xcom(task, as_user, add, session):
    run = session.scalars(select(DagRun)).one()
    add(f.xcom(run, task, value=json.dumps(SECRET).encode()))
    client = as_user(permissions=[f"DAG:{MINE}.can_read", "DAG Runs.can_read"])
    assert client.get(f"{TASK}/xcomEntries/return_value").status_code == 403
    told = json.loads(client.get(f"{RUN}/wait").data)
    assert told.keys() == {"event", "reason", "state", "start_date", "end_date"}
    assert SECRET not in json.dumps(told)


def test_cve_2023_37379_connections_are_not_tested_unless_a_setting_allows_it(client):
    response = client.post(f"{API}/connections/test", json={"connection_id": "x", "conn_type": "http"})
    assert_problem(response, 403, "test_connection")


def test_cve_2023_37379_a_test_sends_no_stored_secret_and_asks_for_the_right_to_create(make_app, as_user, add):
    add(f.connection("mine", password=SECRET, extra=json.dumps({"api_key": SECRET})))
    app = make_app({("core", "test_connection"): "Enabled"})
    reader = as_user(permissions=["Connections.can_read", "Connections.can_edit"], of=app)
    body = {"connection_id": "mine", "conn_type": "http", "host": "127.0.0.1", "port": 1}
    assert_problem(reader.post(f"{API}/connections/test", json=body), 403, "Connections.can_create")
    admin = as_user("Admin", of=app)
    for masked in ({"password": "***"}, {"extra": '{"api_key": "***"}'}):
        assert_problem(admin.post(f"{API}/connections/test", json={**body, **masked}), 400, *masked)
    failed = admin.post(f"{API}/connections/test", json=body)
    assert failed.get_json()["status"] is False
    assert SECRET not in text(failed)


# ---------------------------------------------------------------- the configuration
CONFIG_PATHS = ("/config", "/config?section=core", "/config/section/core/option/fernet_key")
#: Known to be sensitive by Airflow or a provider, whose package need not be there.
SENSITIVE_OPTIONS = (
    ("core", "fernet_key"), ("database", "sql_alchemy_conn"), ("celery", "broker_url"), ("celery", "result_backend"),
    ("celery", "flower_basic_auth"), ("celery_broker_transport_options", "sentinel_kwargs"),
    ("opensearch", "password"), ("keycloak_auth_manager", "client_secret"), ("secrets", "backend_kwargs"),
    ("sentry", "sentry_dsn"), ("smtp", "smtp_password"), ("webserver", "secret_key"), ("my_provider", "api_token"),
)  # fmt: skip


@pytest.mark.parametrize("path", CONFIG_PATHS)
@pytest.mark.parametrize("role", ["Admin", "Op", "Viewer"])
def test_cve_2021_26559_nobody_reads_a_configuration_that_is_not_exposed(role, path, make_app, as_user):
    for settings in ({}, {("webserver", "expose_config"): "False"}):
        assert_problem(as_user(role, of=make_app(settings)).get(API + path), 403)


@pytest.mark.parametrize("mode", ["True", "non-sensitive-only", "NON-SENSITIVE-ONLY"])
def test_cve_2023_35005_and_45348_and_46288_and_2024_31869_secrets_of_the_configuration_are_hidden(
    mode, make_app, make_user
):
    fernet_key = Config(SETTINGS).get("core", "fernet_key")
    secrets = dict.fromkeys(SENSITIVE_OPTIONS, SECRET) | {
        ("core", "fernet_key"): fernet_key,
        ("database", "sql_alchemy_conn"): f"sqlite:///{SECRET}.db",
    }
    app = make_app({**secrets, ("webserver", "expose_config"): mode})
    admin = signed_in(app, make_user("Admin").username)
    single = [f"/config/section/{section}/option/{option}" for section, option in SENSITIVE_OPTIONS]
    sections = [f"/config?section={section}" for section, _ in SENSITIVE_OPTIONS]
    for path in ["/config", *sections, *single]:
        for accept in ("text/plain", "application/json"):
            response = admin.get(API + path, headers={"Accept": accept})
            assert response.status_code == 200
            shown = text(response)
            assert "< hidden >" in shown and SECRET not in shown and fernet_key not in shown, path


def test_cve_2026_49296_a_shared_file_needs_the_right_on_all_of_its_dags(two_teams, team, client):
    token = team.get(f"{API}/dags/{MINE}").get_json()["file_token"]
    assert_problem(team.put(f"{API}/parseDagFile/{token}"), 403)
    assert_problem(team.get(f"{API}/dagSources/{token}"), 403)
    assert client.get(f"{API}/dagSources/{token}").status_code == 200


@pytest.mark.parametrize("forge", [lambda t: t[:-2], lambda t: "Ii9ldGMvcGFzc3dkIg.AAAA", lambda t: f"x{t}"])
def test_cve_2023_50944_a_forged_token_of_a_file_is_not_taken(forge, task, client):
    token = client.get(f"{API}/dags/{MINE}").get_json()["file_token"]
    assert_problem(client.put(f"{API}/parseDagFile/{forge(token)}"), 404)
    assert_problem(client.get(f"{API}/dagSources/{forge(token)}"), 404)


def test_cve_2023_50944_the_source_of_a_foreign_dag_is_not_shown(two_teams, team, client):
    two_teams.store(f.dag_code(fileloc="/dags/theirs.py", fileloc_hash=location_hash("/dags/theirs.py")))
    token = client.get(f"{API}/dags/{THEIRS}-alone").get_json()["file_token"]
    assert client.get(f"{API}/dagSources/{token}").status_code == 200
    assert_problem(team.get(f"{API}/dagSources/{token}"), 403)


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
    assert open_paths == {"/health", "/version", "/openapi.json", "/openapi.yaml", "/ui", "/ui/"}


@pytest.fixture
def door(make_app: Any) -> Any:
    """`door(cookie="...")` gives the status of a request to a server that takes passwords, cookies and tokens."""
    names = "airflow.api.auth.backend.basic_auth,airflow.api.auth.backend.session,token"
    apps = {form: make_app({BACKENDS: names, FORM: form}) for form in ("database", "securecookie")}

    def door(way: str, value: str, method: str = "GET", **headers: str) -> int:
        header = {"Cookie": f"session={value}"} if "cookie" in way else {"Authorization": value}
        client = apps["securecookie" if way == "signed cookie" else "database"].test_client(use_cookies=False)
        body = {"name": way, "slots": 1, "include_deferred": False} if method == "POST" else None
        return client.open(f"{API}/pools", method=method, headers=header | headers, json=body).status_code

    return door


@pytest.fixture
def keys(add: Any, connection: Any) -> Any:
    """`keys(user)`: something for every way in, of a key of ours or of another."""

    def keys(user: User, key: str = cookies.KEY) -> dict[str, str]:
        names = [f"{user.username}-{number}" for number in range(2)]
        add(*(cookies.stored(kind(user.id), session_id=name) for kind, name in zip((int, str), names, strict=True)))
        wanted = tokens.Wanted(user.username, timedelta(days=1))
        return {
            "password": credentials(user.username),
            "cookie": cookies.signed(names[0], key=key),
            "cookie of a text": cookies.signed(names[1], key=key),
            "signed cookie": cookies.flask_cookie({"_user_id": user.id}, key),
            "token": "Bearer " + tokens.make(connection, Config({SECRET_KEY: key}), wanted).text,
        }

    return keys


def test_cve_2022_41672_a_deactivated_user_is_refused_at_once(make_user, door, keys, session):
    user = make_user("Admin")
    given = keys(user)
    assert {way: door(way, value) for way, value in given.items()} == dict.fromkeys(given, 200)
    session.execute(update(User).where(User.id == user.id).values(active=False))
    session.commit()
    assert {way: door(way, value) for way, value in given.items()} == dict.fromkeys(given, 401)


@pytest.mark.parametrize("how", ["PATCH", "command", "SQL"])
def test_cve_2023_40273_and_cve_2024_45033_and_cve_2026_82311_and_86462_a_new_password_ends_what_is_older(
    how, make_user, door, keys, client, session, connection
):
    user = make_user("Admin", username="ada")
    given, others = keys(user), keys(make_user("Admin"))
    assert {way: door(way, value) for way, value in given.items()} == dict.fromkeys(given, 200)
    if how == "PATCH":
        assert client.patch(f"{API}/users/ada", json={"password": "new " + PASSWORD}).status_code == 200
    elif how == "command":
        accounts.set_password(connection, "ada", "new " + PASSWORD)
    else:
        session.execute(update(User).where(User.id == user.id).values(password=PASSWORD_HASH.replace("salt", "sold")))
        session.commit()
    ended = {"password", "token"} | (set() if how == "SQL" else {"cookie", "cookie of a text"})
    assert {way for way, value in given.items() if door(way, value) == 401} == ended
    assert {way: door(way, value) for way, value in others.items()} == dict.fromkeys(others, 200)


def test_cve_2024_42447_and_cve_2025_57735_after_the_log_out_a_copy_is_worth_nothing(
    make_user, door, keys, session, connection
):
    given = keys(make_user("Admin"))
    assert [door(way, given[way]) for way in ("cookie", "cookie of a text", "token")] == [200, 200, 200]
    first, second = session.scalars(select(WebSession).order_by(WebSession.session_id))
    session.delete(first)
    second.data = json.dumps({"_permanent": True, "_fresh": False}).encode()
    session.commit()
    tokens.revoke(connection, connection.scalar(select(token_table.c.id)))
    assert [door(way, given[way]) for way in ("cookie", "cookie of a text", "token")] == [401, 401, 401]


def test_cve_2020_17526_what_another_instance_signed_is_refused_and_so_is_the_known_key(make_user, door, keys):
    given = keys(make_user("Admin"), key="the key of another instance")
    del given["password"]
    assert {way: door(way, value) for way, value in given.items()} == dict.fromkeys(given, 401)
    with pytest.raises(ConfigError, match="publicly known"):
        create_app(Config({SECRET_KEY: "temporary_key"}))


def test_cve_2022_38054_and_cve_2026_28779_no_answer_sets_a_cookie_or_begins_a_session(two_teams, client, stranger):
    chosen = cookies.signed("an-id-that-a-client-chose")
    for operation in OPERATIONS.values():
        url = two_teams.url(operation)
        for who in (client, stranger):
            response = who.open(url, method=operation.method, headers={"Cookie": f"session={chosen}"})
            assert "Set-Cookie" not in response.headers, operation.id
    assert two_teams.session.scalars(select(WebSession)).all() == []


def test_cve_2022_38054_a_session_id_that_a_client_chose_stays_nobodys(make_user, door, keys):
    chosen = cookies.signed("an-id-that-a-client-chose")
    given = keys(make_user("Admin"))
    for way in ("password", "token"):
        assert door(way, given[way], Cookie=f"session={chosen}") == 200
    assert door("cookie", chosen) == 401 and door("signed cookie", chosen) == 401


def test_cve_2023_49920_a_foreign_page_changes_nothing_with_a_cookie(make_user, door, keys, session):
    given = keys(make_user("Admin"))
    for way in ("cookie", "signed cookie"):
        for origin in ("http://evil.example", "null", "http://localhost.evil.example"):
            assert door(way, given[way], "POST", Origin=origin) == 401
    assert session.scalars(select(Pool.pool)).all() == [Pool.DEFAULT]
    for way in ("cookie", "signed cookie"):
        assert door(way, given[way], "POST", Origin="http://localhost") == 201
    assert door("token", given["token"], "POST", Origin="http://evil.example") == 201  # no browser sends it by itself


def test_cve_2023_49920_a_change_takes_its_own_method_and_json_only(client, add, session):
    add(f.dag())
    url = f"{API}/dags/{MINE}/clearTaskInstances"
    assert client.get(url).status_code == 405
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"):
        assert_problem(client.post(f"{API}/dags/{MINE}/dagRuns", data=b'{"conf": {}}', content_type=kind), 415)
    assert session.scalars(select(DagRun)).all() == []


#: A token that the issuer did not sign for this server, or no longer counts, and yet has every claim that matters.
FORGED: dict[str, Callable[[issuers.Issuer], str]] = {
    "unsigned": lambda idp: jwt.encode(idp.claims(), None, "none", {"kid": "rsa"}),
    "signed with the public key": lambda idp: issuers.with_secret(idp, issuers.public(idp, Encoding.PEM)),
    "signed by somebody": issuers.own,
    "signed by somebody who brings the key": lambda idp: issuers.own(idp, jwk=issuers.somebody(kid="rsa")),
    "signed by somebody who says where the key is": lambda idp: issuers.own(idp, jku=idp.url + "/theirs"),
    "of another tenant": lambda idp: idp.token(iss=idp.url + "/tenant"),
    "of no issuer": lambda idp: idp.token(iss=None),
    "for another server": lambda idp: idp.token(aud="another-api"),
    "for nobody": lambda idp: idp.token(aud=None),
    "expired": lambda idp: idp.token(exp=int(time.time()) - 3600),
    "without end": lambda idp: idp.token(exp=None),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_cve_2026_59243_and_75156_a_token_counts_if_its_issuer_signed_it_for_this_server(forge, make_app, make_user):
    make_user("Admin", username="ada")
    with issuers.issuer() as idp:
        idp.answers["/theirs"] = lambda request: request.send_json({"keys": [issuers.somebody(kid="rsa")]})
        client = make_app(issuers.settings(idp.url)).test_client()
        statuses = []
        for token in (idp.token(), forge(idp), idp.token()):
            statuses.append(client.get(f"{API}/pools", headers={"Authorization": f"Bearer {token}"}).status_code)
    assert statuses == [200, 401, 200]


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


def test_cve_2020_17511_a_password_is_not_logged_where_masking_is_switched_off(make_app, as_user, session):
    admin = as_user("Admin", of=make_app({("core", "hide_sensitive_var_conn_fields"): "False"}))
    body = {"connection_id": "c", "conn_type": "http", "password": SECRET}
    assert admin.post(f"{API}/connections", json=body).status_code == 201
    assert admin.patch(f"{API}/connections/c", json=body | {"password": SECRET + "2"}).status_code == 200
    rows = session.scalars(select(Log.extra)).all()
    assert len(rows) == 2 and all("***" in row for row in rows)
    assert SECRET not in "".join(rows)


SHAPES = [SECRET, {"deep": {"er": SECRET}}, [SECRET, [SECRET]], {"list": [{"a": SECRET}]}, SECRET * 1500]


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
    unknown = ("mask=false", "raw=true", "fields=password,extra", "hide_sensitive_var_conn_fields=False", "show=1")
    queries = (*unknown, "fields=extra", "fields=rendered_fields", "fields=conn_type")
    for path in (f"{API}/connections/c", f"{API}/connections", f"{API}/eventLogs", TASK):
        answers = {query: client.get(f"{path}?{query}") for query in queries}
        assert [query for query, response in answers.items() if SECRET in text(response)] == [], path
        assert 200 in {response.status_code for response in answers.values()}, path


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
            opened = response.status_code == 200 and operation.raw.get("x-etag") == "open"
            kept_by = "private, no-cache" if opened else "no-store"
            assert response.headers["Cache-Control"] == kept_by, operation.id
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
    assert client.get(f"{TASK}/links").get_json() == {"Boom": None}
    assert client.post(f"{API}/dags/{MINE}/dagRuns", json={}).status_code < 500
    assert client.post(f"{API}/dags/{MINE}/clearTaskInstances", json={"dry_run": False}).status_code < 500
    assert trap not in sys.modules


def test_cve_2026_25917_the_class_of_a_link_and_its_xcoms_are_not_imported(add, client, trap):
    hostile = {"__classname__": f"{trap}.Boom", "__version__": 1, "__data__": {"a": 1}}
    encoded = {"__type": f"{trap}.Boom", "__var": {}}
    databricks = "airflow.providers.databricks.operators.databricks.DatabricksJobRunLink"
    paths = [{f"{trap}.Boom": {"index": encoded}}, {f"{trap}:spring": {}}, {databricks: encoded}]
    add(f.dag(), f.serialized_dag(tasks=[f.operator(_operator_extra_links=paths)]))
    run = add(f.dag_run(execution_date=f.START))
    task = add(f.task_instance())
    pickled = f"\x80\x02c{trap}\nspring\n)R.".encode("latin-1")
    add(f.xcom(run, task, "run_page_url", value=json.dumps(hostile).encode()))
    add(f.xcom(run, task, "_link_Boom", value=pickled))
    answer = client.get(f"{TASK}/links").get_json()
    assert set(answer) == {"Boom", f"{trap}:spring", "See Databricks Job Run"}
    assert set(answer.values()) == {None}
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


@pytest.mark.parametrize("command", ["db init", "standalone"])
def test_cve_2022_38170_the_files_of_a_new_database_are_for_its_owner_alone(command, tmp_path):
    config, home = tmp_path / "airflow.cfg", tmp_path / "home"
    config.write_text(f"[database]\nsql_alchemy_conn = sqlite:///{home}/airflow.db\n")
    if command == "db init":
        home.mkdir()
        options = ["db", "init", "--config", str(config)]
    else:
        options = ["standalone", "--home", str(home), "--port", str(free_port())]
    line = f"import os; os.umask(0); from windsock.cli import main; main({options!r})"
    process = subprocess.Popen([sys.executable, "-c", line], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said = next(text for text in process.stdout if b"Created the schema" in text or b"Windsock serves" in text)
        assert said
        modes = {str(file.relative_to(home)): oct(file.stat().st_mode & 0o077) for file in home.rglob("*")}
    finally:
        process.terminate()
        process.communicate(timeout=20)
    assert "airflow.db" in modes and set(modes.values()) == {"0o0"}


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
