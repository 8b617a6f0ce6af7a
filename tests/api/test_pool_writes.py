"""Pools: created, changed, deleted."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

import factories as f
from clients import API
from problems import assert_problem
from windsock.models import Log, Pool

NEW = {
    "name": "warehouse",
    "slots": 3,
    "description": None,
    "include_deferred": False,
    "occupied_slots": 0,
    "running_slots": 0,
    "queued_slots": 0,
    "scheduled_slots": 0,
    "deferred_slots": 0,
    "open_slots": 3,
}


def test_a_new_pool_is_answered_whole_and_can_be_read(client, get):
    response = client.post(f"{API}/pools", json={"name": "warehouse", "slots": 3})
    assert response.status_code == 201 and response.get_json() == NEW
    assert get("pools/warehouse") == NEW


def test_the_status_of_a_create_can_be_set(make_app, as_user):
    client = as_user("Admin", of=make_app({("windsock", "created_status"): "200"}))
    assert client.post(f"{API}/pools", json={"name": "warehouse", "slots": 3}).status_code == 200


def test_a_second_pool_of_a_name_is_refused_and_leaves_no_audit_row(client, add, session):
    add(f.pool("taken"))
    assert_problem(client.post(f"{API}/pools", json={"name": "taken", "slots": 1}), 409, "Pool", "'taken'")
    assert session.scalars(select(Log)).all() == []


@pytest.mark.parametrize("slots", [-1, -5, 0])
def test_a_pool_with_few_or_unlimited_slots_breaks_no_answer(slots, client, get):
    assert client.post(f"{API}/pools", json={"name": "odd", "slots": slots}).status_code == 201
    assert get("pools/odd")["slots"] == slots and len(get("pools")["pools"]) == 2


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"name": "p"}, "slots"),
        ({"slots": 1}, "name"),
        ({"name": "", "slots": 1}, "name"),
        ({"name": None, "slots": 1}, "name"),
        ({"name": "p", "slots": None}, "slots"),
        ({"name": "p", "slots": 2**31}, "slots"),
        ({"name": "p", "slots": 1, "open_slots": 1}, "read-only"),
        ({"name": "p", "slots": 1, "bogus": 1}, "bogus"),
        ({"name": "x" * 257, "slots": 1}, "257 characters"),
        ({"name": "a\0b", "slots": 1}, "NUL"),
    ],
)
def test_what_is_no_pool_is_refused(body, word, client):
    assert_problem(client.post(f"{API}/pools", json=body), 400, word)


def test_a_name_may_be_as_long_as_its_column(client):
    assert client.post(f"{API}/pools", json={"name": "é" * 256, "slots": 1}).status_code == 201


@pytest.mark.parametrize(
    "body", [{}, {"slots": 4}, {"name": "p"}, {"description": None}, {"include_deferred": False}, {"open_slots": 4}]
)
def test_a_partial_body_leaves_the_rest_alone(body, client, add, get):
    add(f.pool("p", slots=4, description="kept", include_deferred=True))
    before = get("pools/p")
    response = client.patch(f"{API}/pools/p", json=body)
    assert response.status_code == 200 and response.get_json() == get("pools/p") == before | body


def test_the_number_of_slots_alone_is_a_body(client, add, get):
    add(f.pool("p", slots=4))
    before = get("pools/p")
    assert client.patch(f"{API}/pools/p", json={"slots": 8}).get_json() == before | {"slots": 8, "open_slots": 8}


@pytest.mark.parametrize("body", [{"name": None}, {"slots": None}, {"slots": "5"}])
def test_what_a_pool_cannot_be_is_refused_in_a_partial_body_too(body, client, add):
    add(f.pool("p"))
    assert_problem(client.patch(f"{API}/pools/p", json=body), 400, *body)


def test_a_whole_pool_can_be_sent_back_with_a_mask(client, add, get):
    add(f.pool("p", slots=4))
    whole = get("pools/p") | {"slots": 9, "description": "ignored", "open_slots": 77}
    found = client.patch(f"{API}/pools/p?update_mask=slots", json=whole).get_json()
    assert (found["slots"], found["open_slots"], found["description"]) == (9, 9, "A pool")


def test_an_empty_mask_is_none(client, add, get):
    add(f.pool("p", slots=4))
    before = get("pools/p")
    assert client.patch(f"{API}/pools/p?update_mask=", json={"slots": 8}).status_code == 200
    assert get("pools/p") == before | {"slots": 8, "open_slots": 8}


def test_a_whole_pool_can_be_sent_back_without_a_mask(client, add, get):
    add(f.pool("p", slots=4))
    whole = get("pools/p")
    assert client.patch(f"{API}/pools/p", json=whole).get_json() == whole


@pytest.mark.parametrize(
    ("mask", "body", "word"),
    [
        ("bogus", {"slots": 1}, "'bogus'"),
        ("slots,bogus", {"slots": 1}, "'bogus'"),
        ("slots", {"name": "p"}, "'slots'"),
        ("open_slots", {"open_slots": 1}, "'open_slots'"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_and_nothing_changes(mask, body, word, client, add, get):
    add(f.pool("p"))
    before = get("pools/p")
    assert_problem(client.patch(f"{API}/pools/p?update_mask={mask}", json=body), 400, "update_mask", word)
    assert get("pools/p") == before


def test_a_changed_read_only_member_is_refused(client, add):
    add(f.pool("p"))
    body = {"name": "p", "slots": 4, "open_slots": 1}
    assert_problem(client.patch(f"{API}/pools/p", json=body), 400, "open_slots", "read-only")


def test_a_pool_is_renamed_but_not_over_another(client, add, get):
    add(f.pool("p"), f.pool("taken"))
    assert_problem(client.patch(f"{API}/pools/p?update_mask=name", json={"name": "taken"}), 409, "'taken'")
    assert client.patch(f"{API}/pools/p?update_mask=name", json={"name": "q/r"}).status_code == 200
    assert get("pools/q%2Fr")["name"] == "q/r"
    assert_problem(client.get(f"{API}/pools/p"), 404)


@pytest.mark.parametrize(
    ("mask", "body"),
    [
        ("", {"name": "other", "slots": 1}),
        ("", {"name": "other"}),
        ("", {"description": "other"}),
        ("?update_mask=description", {"description": "other"}),
        ("?update_mask=name", {"name": "other"}),
    ],
)
def test_the_default_pool_keeps_its_name_and_description(mask, body, client, get):
    before = get("pools/default_pool")
    assert_problem(client.patch(f"{API}/pools/default_pool{mask}", json=body), 400, "default_pool")
    assert get("pools/default_pool") == before


def test_the_default_pool_takes_slots_and_include_deferred(client, get):
    whole = get("pools/default_pool") | {"slots": 64, "include_deferred": True, "open_slots": 128}
    found = client.patch(f"{API}/pools/default_pool?update_mask=slots,include_deferred", json=whole).get_json()
    assert (found["slots"], found["include_deferred"], found["description"]) == (64, True, "Default pool")


def test_a_pool_is_deleted_once_and_the_default_one_never(client, add):
    add(f.pool("p"))
    response = client.delete(f"{API}/pools/p")
    assert response.status_code == 204 and response.data == b""
    assert_problem(client.delete(f"{API}/pools/p"), 404, "'p'")
    assert_problem(client.delete(f"{API}/pools/default_pool"), 400, "default_pool")


def test_each_change_leaves_one_audit_row_with_who_what_and_the_request(client, session):
    headers = {"X-Request-Id": "abc"}
    client.post(f"{API}/pools", json={"name": "p", "slots": 1, "description": "é"}, headers=headers)
    client.patch(f"{API}/pools/p?update_mask=slots", json={"slots": 2})
    client.delete(f"{API}/pools/p")
    client.delete(f"{API}/pools/p")
    rows = session.scalars(select(Log).order_by(Log.id)).all()
    assert [row.event for row in rows] == ["api.post_pool", "api.patch_pool", "api.delete_pool"]
    assert json.loads(rows[0].extra) == {"name": "p", "slots": 1, "description": "é", "request_id": "abc"}
    assert json.loads(rows[1].extra) == {"update_mask": "slots", "pool_name": "p", "slots": 2}
    assert json.loads(rows[2].extra) == {"pool_name": "p"}
    assert {row.owner_display_name for row in rows} == {"Ada Lovelace"} and rows[0].dag_id is None


def test_a_viewer_changes_nothing(as_user, add, session):
    add(f.pool("p"))
    viewer = as_user("Viewer")
    assert_problem(viewer.patch(f"{API}/pools/p", json={"name": "p", "slots": 9}), 403, "Pools.can_edit")
    assert session.scalar(select(Pool.slots).where(Pool.pool == "p")) == 4
