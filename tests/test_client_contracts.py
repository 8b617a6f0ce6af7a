"""What known clients need of a server: the calls that each of them makes, in its order and in its way.

The clients themselves, where they can be installed, run in tests/real/clients/.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

import factories as f
from clients import API, SETTINGS, credentials, signed_in
from cookies import signed, stored
from windsock import spec, tokens
from windsock.config import Config
from windsock.models import DagTag

EXACTLY_200 = {("windsock", "created_status"): "200"}
RUNS, INSTANCES = f"{API}/dags/{f.DAG_ID}/dagRuns", f"{API}/dags/~/dagRuns/~/taskInstances"


@pytest.fixture
def dag(add) -> None:
    """A DAG with a run and a task instance of it that runs, has no end and no duration."""
    add(f.dag(), f.serialized_dag(tasks=[f.operator()]))
    add(f.dag_run(state="running", end_date=None))
    add(f.task_instance(state="running", end_date=None, duration=None))


def ok(response: Any) -> Any:
    """What an answer of exactly 200 says."""
    assert response.status_code == 200, response.get_data(as_text=True)
    return response.get_json()


# ---------------------------------------------------------------- exactly 200
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/connections", {"connection_id": "new", "conn_type": "http"}),
        ("/variables", {"key": "new", "value": "1"}),
        ("/pools", {"name": "new", "slots": 1}),
        ("/roles", {"name": "new", "actions": []}),
        ("/users", {"username": "new", "email": "n@example.com", "first_name": "N", "last_name": "W", "password": "x"}),
        (f"/dags/{f.DAG_ID}/dagRuns", {}),
        ("/datasets/events", {"dataset_uri": "s3://bucket/key"}),
    ],
    ids=lambda value: value.split("/")[-1] if isinstance(value, str) else "",
)
def test_a_create_is_200_for_clients_that_take_nothing_else(path, body, make_app, as_user, dag, add):
    add(f.dataset())
    ok(as_user("Admin", of=make_app(EXACTLY_200)).post(API + path, json=body))


def test_every_operation_that_creates_is_among_those():
    creates = {one.path for one in spec.operations().values() if one.method == "post" and one.success[0] == 201}
    tested = test_a_create_is_200_for_clients_that_take_nothing_else.pytestmark[0].args[1]
    assert creates == {path.replace(f.DAG_ID, "{dag_id}") for path, _ in tested}


@pytest.mark.parametrize(
    ("path", "member", "body", "change", "name"),
    [
        ("/connections", "connection_id", {"conn_type": "http", "host": "a"}, {"host": "b"}, "plain"),
        ("/variables", "key", {"value": "1"}, {"value": "2"}, "/team/a"),
        ("/pools", "name", {"slots": 1}, {"slots": 2}, "a/b"),
    ],
    ids=["connections", "variables", "pools"],
)
def test_astro_cli_appends_names_to_paths_as_they_are(path, member, body, change, name, make_app, as_user):
    client = as_user("Admin", of=make_app(EXACTLY_200))
    ok(client.post(API + path, json={member: name, **body}))
    ok(client.get(API + path))
    ok(client.patch(f"{API}{path}/{name}", json={member: name, **body, **change}))
    assert ok(client.get(f"{API}{path}/{name}")).items() >= change.items()


# ---------------------------------------------------------------- agents that poll
def test_datadog_finds_what_runs(stranger, client, dag):
    assert ok(stranger.get(f"{API}/version"))["version"].startswith("2.")
    health = ok(stranger.get(f"{API}/health"))
    assert health["metadatabase"]["status"] == "healthy" and "status" in health["scheduler"]
    found = ok(client.get(f"{INSTANCES}?state=running"))
    assert found["total_entries"] == 1
    (instance,) = found["task_instances"]
    assert instance["execution_date"].endswith("+00:00")
    assert datetime.fromisoformat(instance["execution_date"]).utcoffset() == timedelta(0)


def test_optimus_looks_for_runs_by_their_logical_dates_and_clears_one(client, dag):
    date = ok(client.get(RUNS))["dag_runs"][0]["execution_date"]
    assert date.endswith("+00:00")
    form = {"order_by": "execution_date", "page_offset": 0, "page_limit": 99999, "dag_ids": [f.DAG_ID]}
    found = ok(client.post(f"{API}/dags/~/dagRuns/list", json={**form, "execution_date_gte": date}))
    assert [run["state"] for run in found["dag_runs"]] == ["running"]
    none = ok(
        client.post(f"{API}/dags/~/dagRuns/list", json={**form, "execution_date_lte": "2001-01-01T00:00:00+00:00"})
    )
    assert none["dag_runs"] == []
    clear = {"start_date": date, "end_date": date, "dry_run": False, "reset_dag_runs": True, "only_failed": False}
    assert ok(client.post(f"{API}/dags/{f.DAG_ID}/clearTaskInstances", json=clear))["task_instances"]
    made = client.post(RUNS, json={"execution_date": "2026-02-03T04:05:06+00:00", "conf": {}})
    assert made.status_code == 201 and made.get_json()["execution_date"] == "2026-02-03T04:05:06+00:00"


@pytest.mark.parametrize("state", ["none", "null"])
def test_instances_without_a_state_are_found_in_every_way_of_asking(state, client, dag, add):
    add(f.dag_run(run_id="next"), f.task_instance(run_id="next", state=None))
    word = state if state == "none" else None
    by_form = ok(client.post(f"{INSTANCES}/list", json={"state": [word]}))["task_instances"]
    by_query = ok(client.get(f"{INSTANCES}?state=none"))["task_instances"]
    assert [one["dag_run_id"] for one in by_form] == [one["dag_run_id"] for one in by_query] == ["next"]
    both = ok(client.post(f"{INSTANCES}/list", json={"state": [word, "running"]}))
    assert both["total_entries"] == 2


# ---------------------------------------------------------------- consoles
@pytest.mark.parametrize("path", ["/dags/~/dagRuns/list", "/dags/~/dagRuns/~/taskInstances/list"])
def test_flowrs_asks_for_pages_that_are_too_large(path, client, dag):
    assert ok(client.post(API + path, json={"page_limit": 200}))["total_entries"] == 1


def test_flowrs_reads_members_that_are_null_and_texts_that_never_are(client, dag):
    (found,) = ok(client.get(f"{API}/dags?limit=200"))["dags"]
    nullable = {"last_parsed_time", "last_pickled", "last_expired", "next_dagrun", "next_dagrun_create_after"}
    assert nullable <= found.keys()
    assert isinstance(found["file_token"], str) and isinstance(found["fileloc"], str) and found["is_subdag"] is False
    (run,) = ok(client.get(f"{RUNS}?order_by=-execution_date&limit=50"))["dag_runs"]
    assert {"start_date", "end_date", "data_interval_start", "last_scheduling_decision", "note"} <= run.keys()
    assert isinstance(run["run_type"], str) and isinstance(run["state"], str)
    assert isinstance(run["external_trigger"], bool)
    (instance,) = ok(client.get(f"{RUNS}/{f.RUN_ID}/taskInstances"))["task_instances"]
    assert {"end_date", "duration", "rendered_fields", "trigger", "note", "pid"} <= instance.keys()
    assert all(isinstance(instance[name], str) for name in ("hostname", "unixname", "pool"))
    assert instance["try_number"] >= 0


def test_flowrs_sets_states_by_partial_bodies(client, dag):
    assert ok(client.patch(f"{API}/dags/{f.DAG_ID}?update_mask=is_paused", json={"is_paused": True}))["is_paused"]
    instance = f"{RUNS}/{f.RUN_ID}/taskInstances/{f.TASK_ID}"
    ok(client.patch(instance, json={"new_state": "success", "dry_run": False}))
    assert ok(client.get(instance))["state"] == "success"
    assert ok(client.patch(f"{RUNS}/{f.RUN_ID}", json={"state": "failed"}))["state"] == "failed"
    assert ok(client.post(f"{RUNS}/{f.RUN_ID}/clear", json={"dry_run": False}))["state"] == "queued"


def test_backstage_ends_its_loop_over_the_dags_that_a_caller_may_read(as_user, add):
    for number in range(30):
        add(f.dag(f"dag-{number}"))
    client = as_user(permissions=[f"DAG:dag-{number}.can_read" for number in range(0, 30, 2)])
    dags: list[Any] = []
    for _ in range(10):
        page = ok(client.get(f"{API}/dags?limit=4&offset={len(dags)}"))
        dags += page["dags"]
        if len(dags) >= page["total_entries"]:
            break
    assert len(dags) == len({dag["dag_id"] for dag in dags}) == 15


def test_a_refusal_has_a_reason_phrase(client):
    assert client.get(f"{API}/dags/none").status.upper() == "404 NOT FOUND"


def test_a_console_pauses_without_a_mask_and_unpauses_by_a_pattern(client, dag):
    assert ok(client.patch(f"{API}/dags/{f.DAG_ID}", json={"is_paused": True}))["is_paused"] is True
    changed = ok(client.patch(f"{API}/dags?dag_id_pattern={f.DAG_ID}", json={"is_paused": False}))
    assert [one["is_paused"] for one in changed["dags"]] == [False]
    assert ok(client.get(f"{API}/dags?limit=1000"))["total_entries"] == 1


@pytest.mark.parametrize(
    ("path", "name", "values"),
    [
        ("/dags", "tags", ["blue", "red"]),
        ("/dags/~/dagRuns", "state", ["running", "failed"]),
        ("/dags/~/dagRuns/~/taskInstances", "state", ["running", "failed"]),
        ("/dags/~/dagRuns/~/taskInstances", "pool", ["small", "large"]),
        ("/dags/~/dagRuns/~/taskInstances", "queue", ["fast", "slow"]),
    ],
)
def test_a_list_of_values_is_repeated_or_joined_by_commas(path, name, values, client, add):
    for number, dag_id in enumerate(["one", "two"]):
        add(f.dag(dag_id), DagTag(name=["blue", "red"][number], dag_id=dag_id))
        add(f.dag_run(dag_id, state=["running", "failed"][number]))
        columns = {"state": ["running", "failed"], "pool": ["small", "large"], "queue": ["fast", "slow"]}
        add(f.task_instance(dag_id, **{column: given[number] for column, given in columns.items()}))
    joined = ok(client.get(f"{API}{path}?{name}={','.join(values)}"))
    repeated = ok(client.get(f"{API}{path}?{name}={values[0]}&{name}={values[1]}"))
    assert joined == repeated and joined["total_entries"] == 2


@pytest.mark.parametrize("path", ["/dags/~/dagRuns/list", "/dags/~/dagRuns/~/taskInstances/list"])
def test_generated_java_sends_an_empty_list_for_every_list_that_was_not_set(path, client, dag):
    form = spec.operations()["get_dag_runs_batch" if path.endswith("dagRuns/list") else "get_task_instances_batch"].body
    empty = {name: [] for name, schema in spec.properties(form).items() if schema.get("type") == "array"}
    assert "fields" in empty and ok(client.post(API + path, json=empty)) == ok(client.post(API + path, json={}))


# ---------------------------------------------------------------- infrastructure as code
@pytest.mark.parametrize(
    ("path", "member", "whole", "change"),
    [
        ("/pools", "name", {"slots": 1, "description": "d", "include_deferred": False}, {"slots": 2}),
        ("/variables", "key", {"value": "1", "description": "d"}, {"value": "2"}),
        (
            "/connections",
            "connection_id",
            {"conn_type": "http", "host": "h", "login": "l", "schema": "s", "port": 1, "password": "p", "extra": "{}"},
            {"port": 2},
        ),
        (
            "/roles",
            "name",
            {"actions": [{"action": {"name": "can_read"}, "resource": {"name": "Pools"}}]},
            {
                "actions": [
                    {"action": {"name": name}, "resource": {"name": "Pools"}} for name in ("can_edit", "can_read")
                ]
            },
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_terraform_creates_reads_replaces_and_deletes(path, member, whole, change, client):
    name, place = "by-terraform", f"{API}{path}/by-terraform"
    assert client.post(API + path, json={member: name, **whole}).status_code == 201
    assert ok(client.get(place))[member] == name
    ok(client.patch(place, json={member: name, **whole, **change}))
    found = ok(client.get(place))
    assert {changed: found[changed] for changed in change} == change
    assert name in [one[member] for one in ok(client.get(API + path))[path[1:]]]
    assert client.delete(place).status_code == 204
    assert client.get(place).status_code == client.delete(place).status_code == 404


def test_terraform_changes_the_roles_of_a_user_by_a_mask(client):
    person = {"username": "tf", "email": "tf@example.com", "first_name": "T", "last_name": "F", "password": "secret"}
    assert client.post(f"{API}/users", json={**person, "roles": [{"name": "Viewer"}]}).status_code == 201
    body = {"username": "tf", "roles": [{"name": "Op"}]}
    assert ok(client.patch(f"{API}/users/tf?update_mask=roles", json=body))["roles"] == [{"name": "Op"}]
    assert ok(client.get(f"{API}/users/tf"))["first_name"] == "T"


def test_terraform_triggers_a_run_and_polls_its_state(client, dag):
    made = client.post(RUNS, json={"dag_run_id": "tf", "conf": {"a": "b"}})
    assert made.status_code == 201
    assert ok(client.get(f"{RUNS}/tf"))["state"] == "queued"
    assert client.delete(f"{RUNS}/tf").status_code == 204
    assert client.get(f"{RUNS}/tf").status_code == 404


def test_basic_bearer_and_a_cookie_all_work_on_one_server(make_app, make_user, add, connection: Connection):
    backends = ("airflow.api.auth.backend.basic_auth", "token", "airflow.api.auth.backend.session")
    app, user = make_app({("api", "auth_backends"): ",".join(backends)}), make_user("Admin")
    add(stored(user.id))
    wanted = tokens.Wanted(user.username, timedelta(days=1))
    token = tokens.make(connection, Config({("webserver", "secret_key"): SETTINGS["webserver", "secret_key"]}), wanted)
    for headers in (
        {"Authorization": credentials(user.username)},
        {"Authorization": f"Bearer {token.text}"},
        {"Cookie": f"session={signed()}"},
    ):
        ok(app.test_client(use_cookies=False).get(f"{API}/pools", headers=headers))


def test_starship_checks_a_target_from_a_page_of_another_host(make_app, make_user):
    origin = "https://astronomer.example.com"
    words = {"headers": "authorization, content-type", "methods": "GET, POST, PATCH, DELETE", "origins": origin}
    app = make_app({("api", f"access_control_allow_{name}"): text for name, text in words.items()})
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    preflight = app.test_client().options(f"{API}/health", headers=asked)
    assert preflight.headers["Access-Control-Allow-Origin"] == origin
    answer = signed_in(app, make_user("Admin").username).get(f"{API}/health", headers={"Origin": origin})
    assert ok(answer)["metadatabase"]["status"] == "healthy"
    assert answer.headers["Access-Control-Allow-Origin"] == origin
