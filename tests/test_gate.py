"""The gate: who asks, what they may do and what they take is settled before anything else is looked at."""

from __future__ import annotations

from typing import Any

import pytest

import factories as f
from clients import API, signed_in
from problems import assert_problem
from windsock import spec
from windsock.config import Config
from windsock.spec import Operation, Permission
from worlds import world

OPERATIONS = list(spec.operations().values())
CLOSED = [operation for operation in OPERATIONS if not operation.public]
OPEN = [operation for operation in OPERATIONS if operation.public]
SAMPLE = {"dag_id": "etl", "map_index": "0", "task_try_number": "1", "event_log_id": "1", "import_error_id": "1"}
FORMS = {"limit": "x", "no_such_parameter": "1"}


def named(wanted: list[Operation]) -> Any:
    return pytest.mark.parametrize("operation", wanted, ids=lambda operation: operation.id)


def url(operation: Operation) -> str:
    path = operation.path
    for name in operation.path_names:
        path = path.replace("{" + name + "}", SAMPLE.get(name, "x"))
    return API + path


def send_nonsense(client: Any, operation: Operation) -> Any:
    """A request whose query and body are wrong in every way."""
    return client.open(
        url(operation), method=operation.method, query_string=FORMS, data=b"{not json", content_type="text/csv"
    )


def needed(operation: Operation) -> list[Permission]:
    """The rights without which a request is refused; a list over all DAGs is narrowed instead."""
    narrowed = "dag_id" not in operation.path_names and len({p.resource for p in operation.permissions}) > 1
    return [right for right in operation.permissions if right.resource != "DAGs" or not narrowed]


# ---------------------------------------------------------------- 401
@named(CLOSED)
def test_a_stranger_is_refused_before_the_request_is_looked_at(operation, stranger):
    for response in (stranger.open(url(operation), method=operation.method), send_nonsense(stranger, operation)):
        assert_problem(response, 401)
        assert response.headers["WWW-Authenticate"].startswith("Basic realm=")


@named(OPEN)
def test_a_public_operation_answers_a_stranger_and_a_wrong_password(operation, app, stranger):
    assert stranger.get(url(operation)).status_code == 200
    assert signed_in(app, "nobody", "wrong").get(url(operation)).status_code == 200


def test_by_default_every_request_is_refused(make_app, make_user, connection):
    default = Config().get("api", "auth_backends")
    assert default == "airflow.api.auth.backend.deny_all"
    admin = signed_in(make_app({("api", "auth_backends"): default}), make_user("Admin").username)
    answers = {o.id: admin.open(url(o), method=o.method) for o in CLOSED}
    assert {name: r.status_code for name, r in answers.items()} == dict.fromkeys(answers, 401)
    for response in answers.values():
        assert_problem(response, 401)
        assert response.headers["WWW-Authenticate"]


def test_back_ends_are_tried_in_order_and_all_challenges_are_sent(make_app, make_user):
    both = "airflow.api.auth.backend.session,airflow.api.auth.backend.basic_auth"
    app = make_app({("api", "auth_backends"): both})
    assert signed_in(app, make_user("Admin").username).get(f"{API}/pools").status_code == 200
    response = app.test_client().get(f"{API}/pools")
    assert_problem(response, 401)
    session, basic = response.headers.getlist("WWW-Authenticate")
    assert session.startswith("Session realm=") and basic.startswith("Basic realm=")


# ---------------------------------------------------------------- 403
@named(CLOSED)
def test_a_user_without_roles_is_told_the_missing_right_before_the_request_is_looked_at(operation, as_user):
    client = as_user()
    for response in (client.open(url(operation), method=operation.method), send_nonsense(client, operation)):
        detail = assert_problem(response, 403)["detail"]
        assert all(str(right) in detail for right in needed(operation))


@named(CLOSED)
def test_each_right_of_an_operation_is_needed(operation, as_user):
    for missing in needed(operation):
        others = [str(right) for right in operation.permissions if right != missing]
        response = as_user(permissions=others).open(url(operation), method=operation.method)
        detail = assert_problem(response, 403, str(missing))["detail"]
        assert not any(other in detail for other in others)


@named(CLOSED)
def test_the_rights_that_the_document_names_suffice(operation, as_user, make_app):
    switched_on = make_app({("webserver", "expose_config"): "True"}) if operation.tag == "Config" else None
    client = as_user(permissions=map(str, operation.permissions), of=switched_on)
    assert client.open(url(operation), method=operation.method).status_code not in (401, 403)
    if any(p["in"] == "query" and p["name"] != "fields" for p in operation.parameters):  # Airflow has no `fields` there
        assert_problem(send_nonsense(client, operation), 400)


# ---------------------------------------------------------------- 406
JSON_ONLY = [o for o in OPERATIONS if o.success[1] == ("application/json",)]


@named(JSON_ONLY)
def test_an_answer_that_the_client_does_not_take_is_refused_before_the_request_is_looked_at(operation, as_user):
    client = as_user(permissions=map(str, operation.permissions))
    for accept in ("text/html", "application/xml", "application/json;q=0"):
        response = client.open(url(operation), method=operation.method, query_string=FORMS, headers={"Accept": accept})
        assert_problem(response, 406, "application/json")


@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/json", "application/*", "text/html, application/json;q=0.1", "text/html, */*;q=0.1", "", None],
)
def test_an_answer_that_the_client_takes_is_sent(accept, client):
    response = client.get(f"{API}/pools", headers={} if accept is None else {"Accept": accept})
    assert response.status_code == 200
    assert response.content_type == "application/json"


def test_a_caller_without_the_right_learns_that_first(as_user, stranger):
    html = {"Accept": "text/html"}
    assert_problem(stranger.get(f"{API}/pools", headers=html), 401)
    assert_problem(as_user().get(f"{API}/pools", headers=html), 403)


# ---------------------------------------------------------------- HEAD, OPTIONS
@named(OPERATIONS)
def test_options_answers_without_credentials(operation, stranger):
    response = stranger.options(url(operation))
    assert response.status_code == 200
    assert operation.method.upper() in response.headers["Allow"]
    assert response.data == b""


def test_head_answers_what_get_answers_without_the_body(client, stranger, session):
    made = world(session)
    wrong = {}
    for operation in OPERATIONS:
        if operation.method == "get":
            head, get = (client.open(made.url(operation), method=m) for m in ("HEAD", "GET"))
            if (head.status_code, head.data) != (get.status_code, b"") or head.content_type != get.content_type:
                wrong[operation.id] = (head.status_code, get.status_code)
    assert wrong == {}
    assert stranger.head(f"{API}/pools").status_code == 401


def test_an_inactive_dag_right_does_not_open_another_resource(as_user, add):
    add(f.dag())
    client = as_user(permissions=["DAG:etl.can_read"])
    assert client.get(f"{API}/dags/etl").status_code == 200
    assert_problem(client.get(f"{API}/dags/etl/tasks"), 403, "Task Instances.can_read")
    assert_problem(client.get(f"{API}/pools"), 403, "Pools.can_read")


@pytest.mark.parametrize("accept", ["application/json; charset=utf-8", "text/html, application/json;v=1;q=0.5"])
def test_parameters_of_an_accepted_type_do_not_matter(accept, client):
    assert client.get(f"{API}/pools", headers={"Accept": accept}).status_code == 200
