"""Requests without credentials, where `[windsock] anonymous_role` gives them a role."""

from __future__ import annotations

import pytest

import factories as f
from clients import API, credentials
from problems import assert_problem

OPEN = ("windsock", "anonymous_role")


@pytest.fixture
def open_to(make_app, add, session):
    """`open_to("DAGs.can_read")`: a client without credentials of a server whose anonymous role holds these rights."""

    def open_to(*rights):
        add(f.role("Passer-by", permissions=f.permissions(session, rights)))
        return make_app({OPEN: "Passer-by"}).test_client()

    return open_to


def test_who_sends_no_credentials_may_do_what_the_role_may(open_to, add):
    add(f.pool("one"))
    passer_by = open_to("Pools.can_read")
    assert passer_by.get(f"{API}/pools/one").status_code == 200
    refused = passer_by.get(f"{API}/variables")
    assert_problem(refused, 401, "Variables.can_read")
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")


def test_the_role_may_be_limited_to_single_dags(open_to, add):
    add(f.dag("shown"), f.dag("hidden"))
    passer_by = open_to("DAG:shown.can_read")
    found = passer_by.get(f"{API}/dags").get_json()
    assert [dag["dag_id"] for dag in found["dags"]] == ["shown"] and found["total_entries"] == 1
    assert passer_by.get(f"{API}/dags/shown").status_code == 200
    assert_problem(passer_by.get(f"{API}/dags/hidden"), 401, "'hidden'")


def test_a_change_without_credentials_is_logged_as_anonymous(open_to, client):
    assert open_to("Pools.can_create").post(f"{API}/pools", json={"name": "new", "slots": 1}).status_code == 201
    (row,) = client.get(f"{API}/eventLogs?event=api.post_pool").get_json()["event_logs"]
    assert row["owner"] == "anonymous"


def test_wrong_credentials_are_refused_and_not_taken_for_none(open_to):
    passer_by = open_to("Pools.can_read")
    for wrong in (credentials("nobody"), "Basic", "Bearer", "Unheard of"):
        assert_problem(passer_by.get(f"{API}/pools", headers={"Authorization": wrong}), 401)


def test_credentials_count_for_more_than_the_role(open_to, as_user):
    passer_by, known = open_to("Pools.can_read"), as_user()
    header = known.environ_base["HTTP_AUTHORIZATION"]
    assert_problem(passer_by.get(f"{API}/pools", headers={"Authorization": header}), 403, "Pools.can_read")


def test_a_role_that_does_not_exist_opens_nothing(make_app):
    assert_problem(make_app({OPEN: "Nobody"}).test_client().get(f"{API}/pools"), 401)
