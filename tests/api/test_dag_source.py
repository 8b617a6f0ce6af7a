"""The text of DAG files: who gets it, in which form, and by which tokens."""

from __future__ import annotations

from typing import Any

import pytest
from itsdangerous import URLSafeSerializer

import factories as f
from clients import API, SETTINGS, signed_in
from problems import assert_problem
from windsock.sources import location_hash

MINE, THEIRS = "mine", "theirs"
SOURCE = "# Příliš žluťoučký kůň\nwith DAG('mine'):\n    ...\n"
READER = ["DAG Code.can_read", f"DAG:{MINE}.can_read"]
SIGNER = URLSafeSerializer(SETTINGS["webserver", "secret_key"])
ESCAPING = URLSafeSerializer(SETTINGS["webserver", "secret_key"], serializer_kwargs={"ensure_ascii": True})


def url(token: str) -> str:
    return f"{API}/dagSources/{token}"


@pytest.fixture
def stored(add: Any) -> str:
    """The URL of the source of a file with one DAG."""
    add(f.dag(MINE), f.dag_code(fileloc_hash=location_hash(f.FILE), source_code=SOURCE))
    return url(SIGNER.dumps(f.FILE))


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        (None, "text/plain"),
        ("*/*", "text/plain"),
        ("text/*", "text/plain"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/plain"),
        ("application/json", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        ("text/plain;q=0.5, application/json", "application/json"),
        ("application/*", "application/json"),
        ("application/json, text/plain", "text/plain"),
    ],
)
def test_the_accept_header_chooses_text_or_json(accept, mimetype, stored, client):
    response = client.get(stored, headers={"Accept": accept} if accept else {})
    assert (response.status_code, response.mimetype) == (200, mimetype)
    found = response.get_json()["content"] if mimetype == "application/json" else response.get_data(as_text=True)
    assert found == SOURCE


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*", "text/plain;q=0, application/json;q=0"])
def test_what_is_neither_text_nor_json_is_not_acceptable(accept, stored, client):
    assert_problem(client.get(stored, headers={"Accept": accept}), 406, "application/json", "text/plain")


def test_text_says_its_encoding_and_is_not_taken_for_a_page(stored, client):
    response = client.get(stored)
    assert response.content_type == "text/plain; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_the_token_that_a_dag_shows_leads_to_its_source(stored, get, client):
    token = get(f"dags/{MINE}")["file_token"]
    assert client.get(url(token)).get_data(as_text=True) == SOURCE


def test_a_token_that_was_compressed_leads_to_its_source(add, client):
    path = "/dags/" + "teams/sales/" * 20 + "etl.py"
    add(f.dag(MINE, fileloc=path), f.dag_code(fileloc_hash=location_hash(path), fileloc=path, source_code="# long"))
    token = SIGNER.dumps(path)
    assert token.startswith(".")
    assert client.get(url(token)).get_data(as_text=True) == "# long"


def test_a_token_that_airflow_signed_leads_to_the_source_that_airflow_stored(make_app, make_user, add):
    """Key, token, path and hash are those of a recorded answer of Airflow 2.11.2."""
    app = make_app({("webserver", "secret_key"): "windsock-peer-secret-key-0123456789"})
    path, number = "/opt/airflow/dags/ws_paused.py", 49173295784902587
    add(f.dag(MINE, fileloc=path), f.dag_code(fileloc_hash=number, fileloc=path, source_code=SOURCE))
    client = signed_in(app, make_user("Admin").username)
    token = "Ii9vcHQvYWlyZmxvdy9kYWdzL3dzX3BhdXNlZC5weSI.iiZLf6x7RjvlzELkt6wrXM6hrvw"
    assert client.get(url(token)).get_data(as_text=True) == SOURCE
    assert client.get(f"{API}/dags/{MINE}").get_json()["file_token"] == token


@pytest.mark.parametrize(
    "token",
    [
        "bad",
        "a.b.c",
        ".",
        "..%2F..%2Fetc%2Fpasswd",
        SIGNER.dumps(f.FILE)[:-1],
        SIGNER.dumps(f.FILE) + "x",
        URLSafeSerializer("another key").dumps(f.FILE),
        SIGNER.dumps(7),
        SIGNER.dumps(None),
        SIGNER.dumps([f.FILE]),
        SIGNER.dumps("/etc/passwd"),
        SIGNER.dumps("/dags/with\0nul.py"),
        ESCAPING.dumps("/dags/\ud800.py"),
    ],
)
def test_a_token_of_no_file_finds_nothing(token, stored, client):
    assert_problem(client.get(url(token)), 404)


def test_the_id_of_a_dag_leads_to_the_source_of_its_file(stored, add, client, as_user):
    assert client.get(url(MINE)).get_data(as_text=True) == SOURCE
    assert as_user(permissions=READER).get(url(MINE)).get_data(as_text=True) == SOURCE
    add(f.dag(THEIRS))
    assert_problem(as_user(permissions=READER).get(url(MINE)), 403, "DAGs.can_read")


def test_the_id_of_a_dag_out_of_sight_is_as_good_as_none(stored, add, as_user):
    add(f.dag(THEIRS, fileloc="/dags/theirs.py"))
    hidden, unknown = (as_user(permissions=READER).get(url(name)) for name in (THEIRS, "nobody_s"))
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.get_json()["detail"] == unknown.get_json()["detail"]


def test_a_file_whose_text_is_not_stored_is_not_found(add, client):
    add(f.dag(MINE))
    assert_problem(client.get(url(SIGNER.dumps(f.FILE))), 404, "not stored")


def test_a_file_on_disk_is_never_read(add, client, tmp_path):
    file = tmp_path / "etl.py"
    file.write_text("# on disk")
    add(f.dag(MINE, fileloc=str(file)))
    assert_problem(client.get(url(SIGNER.dumps(str(file)))), 404, "not stored")


def test_two_files_with_one_hash_are_not_mixed_up(add, client):
    add(f.dag(MINE), f.dag_code(fileloc_hash=location_hash(f.FILE), fileloc="/dags/other.py", source_code="# other"))
    assert_problem(client.get(url(SIGNER.dumps(f.FILE))), 404, "not stored")


# ---------------------------------------------------------------- rights
def test_the_right_on_the_one_dag_of_the_file_is_enough(stored, as_user):
    assert as_user(permissions=READER).get(stored).get_data(as_text=True) == SOURCE


@pytest.mark.parametrize("right", READER)
def test_the_right_on_code_and_that_on_the_dag_are_both_needed(right, stored, as_user):
    assert_problem(as_user(permissions=[right]).get(stored), 403)


def test_the_right_to_edit_the_dag_does_not_show_its_source(stored, as_user):
    client = as_user(permissions=["DAG Code.can_read", f"DAG:{MINE}.can_edit"])
    assert_problem(client.get(stored), 403, "DAGs.can_read")


@pytest.mark.parametrize("active", [True, False])
def test_a_file_that_also_holds_a_dag_of_others_is_refused(active, stored, add, as_user):
    add(f.dag(THEIRS, is_active=active))
    response = as_user(permissions=READER).get(stored)
    assert_problem(response, 403, "DAGs.can_read")
    assert THEIRS not in response.get_data(as_text=True)
    everywhere = as_user(permissions=["DAG Code.can_read", "DAGs.can_read"])
    assert everywhere.get(stored).status_code == 200


def test_a_stranger_learns_nothing_of_tokens(stored, stranger):
    assert_problem(stranger.get(stored), 401)
    assert_problem(stranger.get(url("bad")), 401)
