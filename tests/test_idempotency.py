"""`Idempotency-Key`: a trigger that is sent again creates no second run, whatever happened to the first answer."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.orm import Session

import factories as f
from changes import USERNAME, filled
from clients import API, SETTINGS, credentials, signed_in
from problems import assert_problem
from servers import serving
from windsock.app import create_app
from windsock.config import Config
from windsock.models import DagRun, Log
from windsock.models.base import utcnow

RUNS = f"{API}/dags/etl/dagRuns"
KEY = "5f9c1a52-0f4e-4f0e-9a63-6b0f6f1f8c7d"
REPLAYED = "Idempotent-Replayed"
Post = Callable[..., Any]


@pytest.fixture
def etl(add: Any) -> None:
    """The DAGs `etl` and `other`."""
    add(f.dag(), f.serialized_dag(), f.dag("other"), f.serialized_dag("other"))


@pytest.fixture
def post(client: Any, etl: None) -> Post:
    """`post(key, conf={...})` triggers `etl` with a key."""

    def post(key: str | None = KEY, url: str = RUNS, by: Any = client, **body: Any) -> Any:
        return by.post(url, json=body, headers={"Idempotency-Key": key} if key is not None else {})

    return post


def count(session: Session, model: Any = DagRun) -> int:
    return session.scalar(select(func.count()).select_from(model))


def test_the_same_request_again_gives_the_same_run_and_changes_nothing(post, session):
    first = post(conf={"a": 1, "b": 2}, note="by hand")
    assert first.status_code == 201 and REPLAYED not in first.headers
    logged = count(session, Log)
    again = post(note="by hand", conf={"b": 2, "a": 1})
    assert (again.status_code, again.headers[REPLAYED]) == (201, "true")
    assert again.get_json()["dag_run_id"] == first.get_json()["dag_run_id"]
    assert (count(session), count(session, Log)) == (1, logged)


def test_the_run_is_shown_as_it_is_now(post, client):
    run_id = post().get_json()["dag_run_id"]
    client.patch(f"{RUNS}/{run_id}", json={"state": "failed"})
    assert post().get_json()["state"] == "failed"


def test_a_run_with_an_id_and_a_date_of_the_clients_own_is_found_again_too(post, session):
    body = {"dag_run_id": "mine", "logical_date": "2026-05-01T02:00:00+02:00"}
    assert [post(**body).status_code for _ in range(3)] == [201, 201, 201]
    assert_problem(post(None, **body), 409)
    assert count(session) == 1


def test_a_repeated_creation_has_the_status_that_creations_have(make_app, as_user, post):
    lenient = as_user("Admin", of=make_app({("windsock", "created_status"): "200"}))
    assert [post(by=lenient).status_code for _ in range(2)] == [200, 200]


def test_another_body_under_the_same_key_is_refused_and_creates_nothing(post, session):
    post(conf={"a": 1})
    assert_problem(post(conf={"a": 2}), 422, "Idempotency-Key")
    assert_problem(post(), 422, "Idempotency-Key")
    assert count(session) == 1


def test_a_key_belongs_to_one_user_and_one_dag(post, as_user, session):
    answers = [post(), post(by=as_user("Admin")), post(url=f"{API}/dags/other/dagRuns"), post("another"), post(None)]
    assert [answer.status_code for answer in answers] == [201] * 5
    assert [REPLAYED in answer.headers for answer in answers] == [False] * 5
    assert count(session) == 5


def test_a_refused_request_uses_up_no_key(post, client, add):
    add(f.dag_run("etl", "taken"))
    assert_problem(post(dag_run_id="taken"), 409)
    assert_problem(post(note="x" * 2000), 400)
    assert post().status_code == 201


def test_a_key_whose_run_was_deleted_is_refused(post, client):
    run_id = post().get_json()["dag_run_id"]
    assert client.delete(f"{RUNS}/{run_id}").status_code == 204
    assert_problem(post(), 409, run_id)


def test_a_key_is_forgotten_after_a_day(post, session):
    post()
    session.execute(update(Log).values(dttm=utcnow() - timedelta(hours=24, minutes=1)))
    again = post()
    assert again.status_code == 201 and REPLAYED not in again.headers
    assert count(session) == 2


@pytest.mark.parametrize("key", ["", " "])
def test_an_empty_key_is_none(key, post, session):
    assert [post(key).status_code for _ in range(2)] == [201, 201]
    assert count(session) == 2


@pytest.mark.parametrize("key", ["x" * 256, '"open', "é", 'in"side', "back\\slash"])
def test_what_is_no_key_is_refused(key, post, session):
    assert_problem(post(key), 400, "Idempotency-Key")
    assert count(session) == 0


def test_a_key_may_stand_in_quotes_as_the_standard_has_it(post):
    post(KEY)
    assert post(f'"{KEY}"').headers[REPLAYED] == "true"


def test_an_old_secret_key_still_finds_what_was_created(make_app, as_user, post, session):
    old, new = {("webserver", "secret_key"): "old"}, {("webserver", "secret_key"): "new"}
    user = as_user("Admin", of=make_app(old))
    run_id = post(by=user).get_json()["dag_run_id"]
    name = session.scalars(select(Log.owner).order_by(Log.id.desc()).limit(1)).one()
    later = signed_in(make_app(new | {("windsock", "old_secret_keys"): "old"}), name)
    assert post(by=later).get_json()["dag_run_id"] == run_id


def test_a_server_without_a_secret_key_takes_no_idempotency_key(make_app, as_user, post):
    client = as_user("Admin", of=make_app({("webserver", "secret_key"): ""}))
    assert_problem(post(by=client), 400, "secret_key")


def test_neither_key_nor_body_can_be_read_in_the_audit_log(post, client):
    post(conf={"password": "hunter2"})
    logged = client.get(f"{API}/eventLogs").get_data(as_text=True)
    assert "idempotency." in logged and KEY not in logged and "hunter2" not in logged


# ---------------------------------------------------------------- several processes
@pytest.fixture(scope="module")
def database(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A filled database that servers and the test open."""
    with filled(database_kind, tmp_path_factory.mktemp("idempotency")) as engine:
        engine.dispose()  # so that a child has no connection of ours
        yield engine


def test_many_requests_at_once_with_one_key_create_one_run(database: Engine, tmp_path: Path):
    with serving(tmp_path, database, "--workers", "2") as server:

        def send(_: int) -> tuple[int, str | None, bytes]:
            connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
            headers = {"Authorization": credentials(USERNAME), "Content-Type": "application/json"}
            connection.request("POST", RUNS, '{"note": "at once"}', {**headers, "Idempotency-Key": "at once"})
            response = connection.getresponse()
            return response.status, response.headers[REPLAYED], response.read()

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(send, range(32)))
    assert {status for status, _, _ in answers} == {201}
    assert [replayed for _, replayed, _ in answers].count(None) == 1
    with Session(database) as session:
        assert session.scalar(select(func.count()).select_from(Log).where(Log.event.startswith("idempotency."))) == 1
        assert session.scalar(select(func.count()).select_from(DagRun).where(DagRun.run_type == "manual")) == 1
        session.execute(delete(Log).where(Log.event.startswith("idempotency.")))


def test_a_worker_that_is_killed_before_it_answers_has_created_the_run_once(database: Engine):
    config = Config({**SETTINGS, ("database", "sql_alchemy_conn"): database.url.render_as_string(hide_password=False)})
    app = create_app(config)
    sent: dict[str, Any] = {"json": {"conf": {"a": 1}}, "headers": {"Idempotency-Key": "killed"}}
    child = os.fork()
    if child == 0:
        app.after_request(lambda response: os.kill(os.getpid(), signal.SIGKILL))
        try:
            signed_in(app, USERNAME).post(RUNS, **sent)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    answer = signed_in(create_app(config), USERNAME).post(RUNS, **sent)
    assert (answer.status_code, answer.headers[REPLAYED]) == (201, "true")
    with Session(database) as session:
        runs = session.scalars(select(DagRun).where(DagRun.dag_id == "etl", DagRun.run_type == "manual")).all()
    assert [run.run_id for run in runs if run.conf == {"a": 1}] == [answer.get_json()["dag_run_id"]]
