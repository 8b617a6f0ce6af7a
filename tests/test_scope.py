"""Rights on single DAGs narrow lists, totals and single reads alike."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, select

import factories as f
from clients import API, signed_in
from problems import assert_problem
from windsock import spec
from windsock.grants import FEW
from windsock.models import Permission, Resource, role_permission
from windsock.spec import Operation
from worlds import world

SERVED = [o for o in spec.operations().values() if not o.audit]
OF_A_DAG = [o for o in SERVED if "dag_id" in o.path_names]
OTHER_RIGHTS = sorted(
    {str(p) for o in SERVED for p in o.permissions if p.resource not in ("DAGs", "DAG Runs")} | {"DAG Runs.can_read"}
)
#: Operation -> the name of its collection; each lists rows of all DAGs.
EVERYWHERE = {
    "get_dags": "dags",
    "get_dag_runs": "dag_runs",
    "get_dag_runs_batch": "dag_runs",
    "get_task_instances": "task_instances",
    "get_task_instances_batch": "task_instances",
    "get_xcom_entries": "xcom_entries",
    "get_dag_warnings": "dag_warnings",
    "get_event_logs": "event_logs",
}


@pytest.fixture
def two_dags(session: Any) -> tuple[Any, Any]:
    """The same rows for the DAGs `etl` and `other`."""
    return world(session, range(2)), world(session, range(2), dag_id="other")


@pytest.fixture(params=[0, FEW], ids=["few grants", "many grants"])
def limited(as_user: Any, request: Any) -> Any:
    """May read everything, but of the DAGs only `etl` and `etl-0`; with many grants also some that do not exist."""
    return as_user(permissions=["DAG:etl.can_read", "DAG:etl-0.can_read", *absent(request.param), *OTHER_RIGHTS])


def absent(count: int) -> list[str]:
    """Rights on DAGs that do not exist."""
    return [f"DAG:absent_{number}.can_read" for number in range(count)]


def test_an_id_of_any_letters_is_found_among_many_grants(as_user, add):
    odd = ["\\", '"', '{"a", b}', "a,b", "NULL", "", " x", "é", "%s", "\t\n", "\\u0041"]
    add(*(f.dag(f"odd{text}") for text in odd), f.dag("oddA"))
    client = as_user(permissions=[*(f"DAG:odd{text}.can_read" for text in odd if text), *absent(FEW)])
    found = client.get(f"{API}/dags?limit=1").get_json()
    assert found["total_entries"] == len(odd) - 1
    found = client.get(f"{API}/dags?limit=100").get_json()
    assert {dag["dag_id"] for dag in found["dags"]} == {f"odd{text}" for text in odd if text}


def everywhere(client: Any, operation: Operation) -> dict[str, Any]:
    path = operation.path
    for name in operation.path_names:
        path = path.replace("{" + name + "}", "~")
    response = client.get(API + path + "?limit=100") if operation.method == "get" else client.post(API + path, json={})
    assert response.status_code == 200, response.get_json()
    return response.get_json()


@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_list_and_its_total_hold_the_readable_dags_only(name, two_dags, client, limited):
    operation, plural = spec.operations()[name], EVERYWHERE[name]
    complete, narrowed = everywhere(client, operation), everywhere(limited, operation)
    expected = [row for row in complete[plural] if row["dag_id"] in ("etl", "etl-0", None)]
    assert 0 < len(expected) < len(complete[plural])
    assert narrowed[plural] == expected
    assert narrowed["total_entries"] == len(expected)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_user_without_any_dag_sees_no_row_of_a_dag(name, two_dags, as_user):
    operation = spec.operations()[name]
    rights = [*OTHER_RIGHTS, "DAG:no_such_dag.can_read"]
    narrowed = everywhere(as_user(permissions=rights), operation)
    assert [row for row in narrowed[EVERYWHERE[name]] if row["dag_id"] is not None] == []
    assert narrowed["total_entries"] == len(narrowed[EVERYWHERE[name]])


@pytest.mark.parametrize("operation", OF_A_DAG, ids=lambda operation: operation.id)
def test_an_operation_on_a_dag_answers_for_a_readable_dag_only(operation, two_dags, client, limited):
    own, _ = two_dags
    url = own.url(operation)
    assert limited.get(url).status_code == client.get(url).status_code == 200
    foreign = limited.get(own.url(operation, dag_id="other", dag_run_id=f.RUN_ID))
    assert_problem(foreign, 403, "DAGs.can_read", "other")
    assert_problem(limited.get(own.url(operation, dag_id="no_such_dag")), 403, "DAGs.can_read")


@pytest.mark.parametrize("operation", OF_A_DAG, ids=lambda operation: operation.id)
def test_a_tilde_is_no_way_around_the_right_on_a_dag(operation, two_dags, limited, client):
    own, _ = two_dags
    narrowed = limited.get(own.url(operation, dag_id="~"))
    if narrowed.status_code == 200:
        assert '"dag_id":"other"' not in narrowed.get_data(as_text=True)
        assert '"dag_id":"etl-1"' not in narrowed.get_data(as_text=True)
    else:
        assert narrowed.status_code in (403, 404)


def test_statistics_count_readable_dags_only(two_dags, limited):
    found = limited.get(f"{API}/dagStats?dag_ids=etl,etl-0,etl-1,other").get_json()
    assert [dag["dag_id"] for dag in found["dags"]] == ["etl", "etl-0"]
    assert found["total_entries"] == 2


def test_a_dataset_names_readable_dags_only(two_dags, limited):
    found = limited.get(f"{API}/datasets/s3%3A%2F%2Fbucket%2F0").get_json()
    assert {dag["dag_id"] for dag in found["consuming_dags"]} == {"etl"}
    assert {task["dag_id"] for task in found["producing_tasks"]} == {"etl"}


def test_queued_events_of_a_dataset_are_those_of_readable_dags(two_dags, limited, client):
    path = f"{API}/datasets/queuedEvent/s3%3A%2F%2Fbucket%2F0"
    assert {event["dag_id"] for event in client.get(path).get_json()["queued_events"]} == {"etl", "etl-1"}
    found = limited.get(path).get_json()
    assert {event["dag_id"] for event in found["queued_events"]} == {"etl"}
    assert found["total_entries"] == 1


def test_an_audit_row_of_an_unreadable_dag_is_not_there(limited, client, add):
    foreign, own, of_none = f.log(dag_id="other"), f.log(dag_id="etl"), f.log(dag_id=None)
    add(foreign, own, of_none)
    assert client.get(f"{API}/eventLogs/{foreign.id}").status_code == 200
    assert_problem(limited.get(f"{API}/eventLogs/{foreign.id}"), 404)
    assert [limited.get(f"{API}/eventLogs/{row.id}").status_code for row in (own, of_none)] == [200, 200]


def test_import_errors_of_unreadable_files_are_not_there_and_mixed_files_hide_the_trace(as_user, add):
    add(
        f.dag("mine", fileloc="/dags/mine.py"),
        f.dag("mixed", fileloc="/dags/mixed.py"),
        f.dag("other", fileloc="/dags/mixed.py"),
        f.dag("foreign", fileloc="/dags/foreign.py"),
    )
    errors = [f.import_error(filename=f"/dags/{name}.py", stacktrace=name) for name in ("mine", "mixed", "foreign")]
    add(*errors)
    client = as_user(permissions=["DAG:mine.can_read", "DAG:mixed.can_read", "ImportError.can_read"])
    found = client.get(f"{API}/importErrors").get_json()
    traces = {error["filename"]: error["stack_trace"] for error in found["import_errors"]}
    assert traces.keys() == {"/dags/mine.py", "/dags/mixed.py"}
    assert found["total_entries"] == 2
    assert traces["/dags/mine.py"] == "mine"
    assert traces["/dags/mixed.py"].startswith("Redacted")
    single = [client.get(f"{API}/importErrors/{error.id}") for error in errors]
    assert [response.status_code for response in single] == [200, 200, 404]
    assert single[1].get_json()["stack_trace"].startswith("Redacted")


@pytest.mark.parametrize("others", [0, FEW], ids=["few grants", "many grants"])
def test_a_sub_dag_takes_the_rights_of_its_root(others, as_user, add):
    add(f.dag("root"), f.dag("root.section", root_dag_id="root", is_subdag=True), f.dag("rootless"))
    add(f.dag("rootless.section", root_dag_id="rootless", is_subdag=True), f.dag_run("rootless.section"))
    add(f.dag_run("root.section"))
    client = as_user(permissions=["DAG:root.can_read", "DAG Runs.can_read", *absent(others)])
    assert client.get(f"{API}/dags/root.section").status_code == 200
    assert client.get(f"{API}/dags/~/dagRuns").get_json()["total_entries"] == 1
    assert client.get(f"{API}/dags/root.section/dagRuns").get_json()["total_entries"] == 1
    assert_problem(client.get(f"{API}/dags/rootless"), 403)


def test_a_right_on_a_sub_dag_is_no_right_on_its_root(as_user, add):
    add(f.dag("root"), f.dag("root.section", root_dag_id="root", is_subdag=True))
    client = as_user(permissions=["DAG:root.section.can_read"])
    assert client.get(f"{API}/dags/root.section").status_code == 200
    assert_problem(client.get(f"{API}/dags/root"), 403)


@pytest.mark.parametrize("others", [0, FEW], ids=["few grants", "many grants"])
def test_a_full_page_of_a_narrowed_list_comes_with_the_total_of_all_pages(others, as_user, add):
    add(*(f.dag(dag_id) for dag_id in "abc"), *(f.dag_run(dag_id, f"run-{n}") for n in range(3) for dag_id in "abc"))
    client = as_user(permissions=["DAG:a.can_read", "DAG:c.can_read", "DAG Runs.can_read", *absent(others)])
    found = client.get(f"{API}/dags/~/dagRuns?limit=2&offset=2&order_by=-dag_run_id").get_json()
    assert [(run["dag_id"], run["dag_run_id"]) for run in found["dag_runs"]] == [("a", "run-1"), ("c", "run-1")]
    assert found["total_entries"] == 6


def test_a_grant_that_is_taken_away_counts_no_more_at_the_next_request(make_user, app, add, session):
    add(f.dag("etl"), f.dag("other"))
    user = make_user(permissions=["DAG:etl.can_read", "DAG:other.can_read", *absent(FEW)])
    client = signed_in(app, user.username)
    seen = client.get(f"{API}/dags?limit=1").get_json()
    session.execute(
        delete(role_permission).where(
            role_permission.c.permission_view_id.in_(
                select(Permission.id)
                .join(Resource, Resource.id == Permission.view_menu_id)
                .where(Resource.name == "DAG:etl")
            )
        )
    )
    session.commit()
    assert (seen["dags"][0]["dag_id"], seen["total_entries"]) == ("etl", 2)
    now = client.get(f"{API}/dags?limit=1").get_json()
    assert (now["dags"][0]["dag_id"], now["total_entries"]) == ("other", 1)


def test_the_statements_of_a_list_are_the_same_whatever_the_grants_are(make_user, app, add, statements):
    add(f.dag("etl"), f.dag("other"))
    sent = []
    for dag_id, others in (("etl", FEW), ("other", FEW + 50)):
        user = make_user(permissions=[f"DAG:{dag_id}.can_read", *absent(others)])
        with statements() as seen:
            assert signed_in(app, user.username).get(f"{API}/dags?limit=1").get_json()["total_entries"] == 1
        sent.append([statement for statement in seen if statement.lstrip().startswith("SELECT")])
    assert sent[0] == sent[1]


@pytest.mark.parametrize("name", ["DAGs", "DAG:etl", "~", "DAG Runs"])
def test_a_dag_with_the_name_of_a_resource_is_a_dag_like_others(name, as_user, add):
    add(f.dag(name), f.dag("other"))
    client = as_user(permissions=[f"DAG:{name}.can_read"])
    assert [dag["dag_id"] for dag in client.get(f"{API}/dags").get_json()["dags"]] == [name]
    assert_problem(client.get(f"{API}/dags/other"), 403)


def test_a_right_to_edit_is_no_right_to_read(as_user, add):
    add(f.dag("etl"))
    client = as_user(permissions=["DAG:etl.can_edit"])
    assert_problem(client.get(f"{API}/dags/etl"), 403, "DAGs.can_read")
    assert_problem(client.get(f"{API}/dags"), 403, "DAGs.can_read")


@pytest.mark.parametrize("name", ["ETL", "étl"])
def test_a_right_on_a_dag_is_none_on_one_that_is_spelt_otherwise(name, as_user, add):
    add(f.dag("etl"), f.dag(name), f.dag_run(name))
    client = as_user(permissions=["DAG:etl.can_read", "DAG:etl.can_edit", "DAG Runs.can_read"])
    for path in (f"dags/{name}", f"dags/{name}/details", f"dags/{name}/dagRuns"):
        assert_problem(client.get(f"{API}/{path}"), 403, name)
    assert_problem(client.patch(f"{API}/dags/{name}", json={"is_paused": True}), 403, name)
    assert [dag["dag_id"] for dag in client.get(f"{API}/dags").get_json()["dags"]] == ["etl"]
    assert client.get(f"{API}/dags/~/dagRuns").get_json()["total_entries"] == 0


def test_a_name_that_looks_like_a_pattern_matches_nothing_else(as_user, add):
    add(f.dag("a%"), f.dag("ab"), f.dag("a_"))
    client = as_user(permissions=["DAG:a%.can_read", "DAG:a_.can_read"])
    assert [dag["dag_id"] for dag in client.get(f"{API}/dags").get_json()["dags"]] == ["a%", "a_"]
    assert_problem(client.get(f"{API}/dags/ab"), 403)


def test_rights_through_several_roles_count_once(make_user, app, add):
    add(f.dag("etl"))
    user = make_user("Viewer", "Op", permissions=["DAG:etl.can_read"])
    found = signed_in(app, user.username).get(f"{API}/dags").get_json()
    assert [dag["dag_id"] for dag in found["dags"]] == ["etl"]
    assert found["total_entries"] == 1
