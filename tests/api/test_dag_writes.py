"""Pausing and deleting DAGs, and asking for a file to be parsed."""

from __future__ import annotations

from hashlib import md5
from typing import Any

import pytest
from itsdangerous import URLSafeSerializer
from sqlalchemy import func, select

import factories as f
from clients import API, SETTINGS
from problems import assert_problem
from windsock.models import (
    Base,
    Dag,
    DagImportError,
    DagPriorityParsingRequest,
    DagRun,
    DatasetEvent,
    Job,
    Log,
    Permission,
    TaskFail,
    TaskInstance,
)
from worlds import world

SIGN = URLSafeSerializer(SETTINGS["webserver", "secret_key"]).dumps
EDITS_ONE = ["DAG:etl.can_edit", "DAG:etl.can_read"]


def paused(session: Any) -> dict[str, bool]:
    session.expire_all()
    return dict(session.execute(select(Dag.dag_id, Dag.is_paused)).all())


def rows_of(session: Any, dag_id: str) -> dict[str, int]:
    """Table -> number of rows with this dag_id, where there are any; the log aside."""
    tables = [t for t in Base.metadata.sorted_tables if "dag_id" in t.c and t is not Log.__table__]
    counted = {t.name: session.scalar(select(func.count()).where(t.c.dag_id == dag_id)) for t in tables}
    return {name: number for name, number in counted.items() if number}


# ---------------------------------------------------------------- one DAG
@pytest.mark.parametrize("value", [True, False])
def test_a_dag_is_paused_and_unpaused(value, client, add, session):
    add(f.dag(is_paused=not value), f.dag("other", is_paused=not value))
    answer = client.patch(f"{API}/dags/etl", json={"is_paused": value})
    assert answer.status_code == 200
    assert answer.get_json() == client.get(f"{API}/dags/etl").get_json()
    assert paused(session) == {"etl": value, "other": not value}


def test_a_dag_is_sent_back_as_it_was_read_with_one_member_changed(client, add, session):
    add(f.dag(tags=["sales"], description="Loads"))
    whole = client.get(f"{API}/dags/etl").get_json() | {"is_paused": True}
    assert client.patch(f"{API}/dags/etl", json=whole).get_json() == whole
    changed = {**whole, "is_paused": False, "description": "not looked at"}
    answer = client.patch(f"{API}/dags/etl?update_mask=is_paused", json=changed)
    assert answer.get_json() == {**whole, "is_paused": False}


@pytest.mark.parametrize(
    ("query", "body", "word"),
    [
        ("", {}, "is_paused"),
        ("", {"is_paused": None}, "is_paused"),
        ("", {"is_paused": "x"}, "is_paused"),
        ("", {"is_paused": True, "description": "new"}, "description"),
        ("", {"is_paused": True, "nonsense": 1}, "nonsense"),
        ("?update_mask=tags", {"is_paused": True}, "tags"),
        ("?update_mask=is_paused,tags", {"is_paused": True}, "tags"),
        ("?update_mask=is_paused,owner", {"is_paused": True}, "owner"),
    ],
)
@pytest.mark.parametrize("path", ["dags/etl", "dags?dag_id_pattern=etl"])
def test_nothing_but_a_boolean_is_paused_can_be_sent(path, query, body, word, client, add, session):
    add(f.dag())
    url = f"{API}/{path}{query.replace('?', '&') if '?' in path else query}"
    assert_problem(client.patch(url, json=body), 400, word)
    assert paused(session) == {"etl": False}
    assert session.scalar(select(func.count()).select_from(Log)) == 0


@pytest.mark.parametrize("dag_id", ["nope", "~", "ETL"])
@pytest.mark.parametrize("method", ["patch", "delete"])
def test_an_unknown_dag_is_404_and_no_other_is_touched(method, dag_id, client, add, session):
    add(f.dag())
    body = {"json": {"is_paused": True}} if method == "patch" else {}
    assert_problem(getattr(client, method)(f"{API}/dags/{dag_id}", **body), 404)
    assert paused(session) == {"etl": False}


def test_who_pauses_is_in_the_audit_log(as_user, add, session):
    add(f.dag())
    as_user("Op", username="oprah").patch(f"{API}/dags/etl", json={"is_paused": True})
    row = session.scalars(select(Log)).one()
    assert (row.event, row.dag_id, row.owner) == ("api.patch_dag", "etl", "oprah")


# ---------------------------------------------------------------- several DAGs
@pytest.fixture
def several(add: Any) -> None:
    add(
        f.dag("sales_eu", tags=["sales"]), f.dag("sales_us", tags=["sales", "us"]), f.dag("salesXeu"),
        f.dag("Sales_old", is_active=False), f.dag("sales_eu.part", is_subdag=True, root_dag_id="sales_eu"),
        f.dag("etl"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("query", "changed", "total"),
    [
        ("dag_id_pattern=sales", {"sales_eu", "sales_us", "salesXeu"}, 3),
        ("dag_id_pattern=sales&only_active=false", {"Sales_old", "sales_eu", "sales_us", "salesXeu"}, 4),
        ("dag_id_pattern=s_eu", {"sales_eu", "salesXeu"}, 2),
        ("dag_id_pattern=s%25us", {"sales_us"}, 1),
        ("dag_id_pattern=~", {"etl", "sales_eu", "sales_us", "salesXeu"}, 4),
        ("dag_id_pattern=sales&tags=us", {"sales_us"}, 1),
        ("dag_id_pattern=sales&tags=us,nope&tags=sales", {"sales_eu", "sales_us"}, 2),
        ("dag_id_pattern=sales&tags=nope", set(), 0),
        ("dag_id_pattern=nothing", set(), 0),
        ("dag_id_pattern=~&limit=2&offset=1", {"salesXeu", "sales_eu"}, 4),
        ("dag_id_pattern=~&limit=2&offset=9", set(), 4),
    ],
)
def test_only_the_dags_of_the_page_that_match_are_changed(query, changed, total, client, several, session):
    before = paused(session)
    answer = client.patch(f"{API}/dags?{query}", json={"is_paused": True})
    found = answer.get_json()
    assert answer.status_code == 200 and found["total_entries"] == total
    if "offset=1" not in query:  # which of them are on a page is the database's collation
        assert {dag["dag_id"] for dag in found["dags"]} == changed
    shown = {dag["dag_id"] for dag in found["dags"]}
    assert len(shown) == len(changed)
    assert paused(session) == before | dict.fromkeys(shown, True)
    assert all(dag == client.get(f"{API}/dags/{dag['dag_id']}").get_json() for dag in found["dags"])


def test_the_next_page_is_announced_with_the_pattern(client, several):
    answer = client.patch(f"{API}/dags?dag_id_pattern=sales&limit=2", json={"is_paused": True})
    assert "dag_id_pattern=sales" in answer.headers["Link"] and "offset=2" in answer.headers["Link"]


def test_a_pattern_is_required(client, several, session):
    assert_problem(client.patch(f"{API}/dags", json={"is_paused": True}), 400, "dag_id_pattern")
    assert set(paused(session).values()) == {False}


def test_a_pattern_reaches_only_what_the_caller_may_edit(as_user, several, session):
    rights = ["DAG:sales_eu.can_edit", "DAG:sales_us.can_read", "DAGs.can_read"]
    found = as_user(permissions=rights).patch(f"{API}/dags?dag_id_pattern=~", json={"is_paused": True}).get_json()
    assert [dag["dag_id"] for dag in found["dags"]] == ["sales_eu"] and found["total_entries"] == 1
    assert {name for name, value in paused(session).items() if value} == {"sales_eu"}


def test_who_may_edit_no_dag_is_refused(as_user, several, session):
    reader = as_user("Viewer")
    assert_problem(reader.patch(f"{API}/dags?dag_id_pattern=~", json={"is_paused": True}), 403, "DAGs.can_edit")
    assert set(paused(session).values()) == {False}


# ---------------------------------------------------------------- deletion
def test_a_dag_goes_with_everything_that_refers_to_it_and_nothing_else(client, session):
    made = world(session, range(2))
    other = world(session, range(2), dag_id="other")
    error = f.import_error(filename=f.FILE)
    session.add(error)
    session.add(f.job(dag_id="etl", job_type="LocalTaskJob"))
    session.add(TaskFail(dag_id="etl", task_id="extract", run_id=f.RUN_ID, map_index=-1))
    session.commit()
    before, logs = rows_of(session, other.dag_id), session.scalar(select(func.count()).select_from(Log))
    rights = session.scalar(select(func.count()).select_from(Permission))
    assert len(rows_of(session, made.dag_id)) >= 15

    answer = client.delete(f"{API}/dags/etl")
    assert (answer.status_code, answer.data) == (204, b"")
    session.expire_all()
    assert rows_of(session, made.dag_id) == {}
    assert rows_of(session, other.dag_id) == before
    assert session.scalar(select(func.count()).select_from(Log)) == logs + 1
    assert session.scalar(select(func.count()).select_from(Permission)) == rights
    assert session.scalar(select(func.count()).where(DatasetEvent.source_dag_id == "etl")) == 2
    assert session.scalar(select(func.count()).where(DagImportError.filename == f.FILE)) == 0
    assert session.scalar(select(func.count()).where(Job.dag_id == "etl")) == 0
    assert_problem(client.delete(f"{API}/dags/etl"), 404, "etl")


def add_subdags(add: Any, **states: str | None) -> None:
    """The DAG `a_b` with the sub-DAG `a_b.c` and its sub-DAG `a_b.c.d`, each with a run and an instance; strangers."""
    dags = ["a_b", "a_b.c", "a_b.c.d", "axb.c", "A_B.c", "a_b.free"]
    sub = {"a_b.c": "a_b", "a_b.c.d": "a_b", "axb.c": "axb", "A_B.c": "A_B"}
    add(*(f.dag(d, is_subdag=d in sub, root_dag_id=sub.get(d)) for d in dags))
    add(*(f.dag_run(d) for d in dags))
    add(*(f.task_instance(d, task_id="t", state=states.get(d.replace(".", "_"), "success")) for d in dags))
    add(f.task_instance("a_b", task_id="c", state=states.get("parent", "success")))


def test_subdags_go_with_their_dag_but_not_what_is_only_named_alike(client, add, session):
    add_subdags(add)
    assert client.delete(f"{API}/dags/a_b").status_code == 204
    left = {"axb.c", "A_B.c", "a_b.free"}
    assert set(paused(session)) == set(session.scalars(select(DagRun.dag_id))) == left
    assert set(session.scalars(select(TaskInstance.dag_id))) == left


def test_a_subdag_takes_the_instances_of_its_task_in_the_parent_along(client, add, session):
    add_subdags(add)
    assert client.delete(f"{API}/dags/a_b.c").status_code == 204
    assert {"a_b.c", "a_b.c.d"}.isdisjoint(paused(session))
    assert session.scalars(select(TaskInstance.task_id).where(TaskInstance.dag_id == "a_b")).all() == ["t"]


@pytest.mark.parametrize(("dag_id", "where"), [("a_b", "a_b"), ("a_b", "a_b_c_d"), ("a_b.c", "parent")])
def test_a_dag_with_a_running_task_is_kept_whole(dag_id, where, client, add, session):
    add_subdags(add, **{where: "running"})
    before = {name: rows_of(session, name) for name in paused(session)}
    assert_problem(client.delete(f"{API}/dags/{dag_id}"), 409, "running")
    session.expire_all()
    assert {name: rows_of(session, name) for name in paused(session)} == before
    assert session.scalar(select(func.count()).select_from(Log)) == 0


@pytest.mark.parametrize("state", [None, "queued", "scheduled", "deferred", "up_for_retry"])
def test_a_dag_whose_tasks_wait_can_be_deleted(state, client, add, session):
    add(f.dag(), f.dag_run(state="running"), f.task_instance(state=state))
    assert client.delete(f"{API}/dags/etl").status_code == 204
    assert rows_of(session, "etl") == {}


def test_deleting_takes_the_right_to_delete_that_dag(as_user, add, session):
    add(f.dag(), f.dag("other"))
    assert_problem(as_user(permissions=EDITS_ONE).delete(f"{API}/dags/etl"), 403, "can_delete")
    owner = as_user(permissions=["DAG:etl.can_delete"])
    assert_problem(owner.delete(f"{API}/dags/other"), 403)
    assert owner.delete(f"{API}/dags/etl").status_code == 204
    assert set(paused(session)) == {"other"}


# ---------------------------------------------------------------- parsing
def test_a_file_is_queued_for_parsing_once(client, add, session):
    token = add(f.dag(), f.dag("twin")) and client.get(f"{API}/dags/etl").get_json()["file_token"]
    first, second = (client.put(f"{API}/parseDagFile/{token}") for _ in range(2))
    assert [(first.status_code, first.data), (second.status_code, second.data)] == [
        (201, b""),
        (201, b"Duplicate request"),
    ]
    found = session.scalars(select(DagPriorityParsingRequest)).all()
    assert [(row.id, row.fileloc) for row in found] == [(md5(f.FILE.encode()).hexdigest(), f.FILE)]


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "x.y",
        "é",
        SIGN("/dags/nothing here.py"),
        SIGN({"end_of_log": True}),
        SIGN(None),
        SIGN([]),
        SIGN(f.FILE)[:-1],
    ],
)
def test_a_token_that_names_no_file_with_dags_is_404(token, client, add, session):
    add(f.dag())
    assert_problem(client.put(f"{API}/parseDagFile/{token}"), 404)
    assert session.scalars(select(DagPriorityParsingRequest)).all() == []


def test_a_file_takes_the_right_to_edit_all_of_its_dags(as_user, add, session):
    add(f.dag(), f.dag("etl.part", is_subdag=True, root_dag_id="etl"), f.dag("other"))
    url = f"{API}/parseDagFile/{SIGN(f.FILE)}"
    assert_problem(as_user(permissions=EDITS_ONE).put(url), 403)
    assert_problem(as_user("Viewer").put(url), 403)
    assert session.scalars(select(DagPriorityParsingRequest)).all() == []
    assert as_user(permissions=[*EDITS_ONE, "DAG:other.can_edit"]).put(url).status_code == 201
