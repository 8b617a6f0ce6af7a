"""Entity tags: 304 for who has the answer already, 412 for who would overwrite a change they have not seen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, text

import factories as f
from changes import CHANGES, USERNAME, Change, content, filled
from clients import API, SETTINGS, signed_in
from problems import assert_problem
from windsock import operations, spec
from windsock.app import create_app
from windsock.config import Config
from windsock.spec import Operation
from worlds import World, world

OPERATIONS = list(spec.operations().values())
READS = [o for o in OPERATIONS if o.method == "get"]
OPEN, SECRET = ([o for o in READS if o.raw.get("x-etag") == kind] for kind in ("open", "secret"))
CONDITIONAL = [o for o in OPERATIONS if any(p["name"] == "If-Match" for p in o.parameters)]
#: Reads whose answers may hold what not everybody with the right to read them should find in a cache.
MAY_HOLD_SECRETS = re.compile(
    "connection|variable|user|config|value|log|xcom|links|dag_run|task_instance|source|import_error"
)
TAG = re.compile(r'"([0-9a-f]{16}-)?[0-9a-f]{32}"')


def named(wanted: list[Operation]) -> Any:
    return pytest.mark.parametrize("operation", wanted, ids=lambda operation: operation.id)


@pytest.fixture
def made(session) -> World:
    return world(session)


# ---------------------------------------------------------------- reads
@named(OPEN)
def test_an_answer_without_secrets_is_not_sent_again_to_who_has_it(operation, client, made):
    url = made.url(operation)
    first = client.get(url)
    tag = first.headers["ETag"]
    assert first.status_code == 200 and TAG.fullmatch(tag)
    for known in (tag, f"W/{tag}", f'"other", {tag}', f'{tag},"other"', "*"):
        again = client.get(url, headers={"If-None-Match": known})
        assert (again.status_code, again.data) == (304, b""), known
        assert "Content-Type" not in again.headers and "Content-Length" not in again.headers
        for name in ("ETag", "Cache-Control", "Vary"):
            assert again.headers[name] == first.headers[name]
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert {"Authorization", "Cookie", "Accept-Encoding"} <= set(first.headers["Vary"].split(", "))
    for other in ('"other"', tag.strip('"'), tag[:-1], f'"x{tag[1:]}', "", "((((", "é"):
        assert client.get(url, headers={"If-None-Match": other.encode()}).data == first.data


@named(OPEN)
def test_a_tag_opens_nothing_to_who_may_not_read(operation, client, made, stranger, as_user):
    tag = client.get(made.url(operation)).headers["ETag"]
    for known in (tag, "*"):
        headers = {"If-None-Match": known}
        for who, status in ((stranger, 401), (as_user(), 403)):
            refused = who.get(made.url(operation), headers=headers)
            assert_problem(refused, status)
            assert "ETag" not in refused.headers and refused.headers["Cache-Control"] == "no-store"


def test_what_may_hold_secrets_is_always_sent_anew_and_never_kept(make_app, made, as_user):
    client, wrong = as_user("Admin", of=make_app({("webserver", "expose_config"): "True"})), {}
    for operation in [o for o in READS if o not in OPEN]:
        url = made.url(operation)
        first = client.get(url)
        again = [client.get(url, headers={"If-None-Match": t}) for t in (first.headers.get("ETag", '"x"'), "*")]
        seen = {(a.status_code, a.headers["Cache-Control"], "ETag" in a.headers) for a in (first, *again)}
        if seen != {(200, "no-store", operation in SECRET)}:
            wrong[operation.id] = seen
    assert wrong == {}


def test_the_document_opens_nothing_that_may_hold_secrets():
    assert [o.id for o in OPEN if MAY_HOLD_SECRETS.search(o.id)] == []
    assert len(OPEN) > 10 and len(SECRET) > 3


def test_a_tag_changes_with_the_answer(client, add):
    add(f.pool("p", slots=1))
    first = client.get(f"{API}/pools/p")
    client.patch(f"{API}/pools/p", json={"slots": 2})
    for path in ("pools/p", "pools"):
        second = client.get(f"{API}/{path}", headers={"If-None-Match": first.headers["ETag"]})
        assert second.status_code == 200 and second.headers["ETag"] != first.headers["ETag"]


def test_a_tag_is_that_of_what_this_caller_may_see(as_user, client, add):
    add(f.dag("mine"), f.dag("theirs"))
    all_of_them = client.get(f"{API}/dags")
    some = as_user(permissions=["DAG:mine.can_read"])
    answer = some.get(f"{API}/dags", headers={"If-None-Match": all_of_them.headers["ETag"]})
    assert answer.status_code == 200
    assert [dag["dag_id"] for dag in answer.get_json()["dags"]] == ["mine"]
    unseen = {"If-None-Match": client.get(f"{API}/dags/theirs").headers["ETag"]}
    assert_problem(some.get(f"{API}/dags/theirs", headers=unseen), 403)


def test_head_gives_the_headers_of_get(client, made):
    different = {}
    for operation in READS:
        url = made.url(operation)
        get, head = client.get(url), client.head(url)
        ours = ("ETag", "Cache-Control", "Vary", "Link", "Content-Type")
        if [get.headers.get(n) for n in ours] != [head.headers.get(n) for n in ours]:
            different[operation.id] = head.headers
        if head.data or head.headers.get("Content-Length", str(len(get.data))) != str(len(get.data)):
            different[operation.id] = head.headers
        if "ETag" in get.headers and operation in OPEN:
            assert client.head(url, headers={"If-None-Match": get.headers["ETag"]}).status_code == 304
    assert different == {}


def test_a_tag_tells_nothing_to_who_does_not_have_the_key_of_the_server(make_app, as_user, add):
    add(f.variable("v", "guess me"), f.pool("p"))
    seen = set()
    for key in ("one key", "another key", ""):
        client = as_user("Admin", of=make_app({("webserver", "secret_key"): key}))
        seen.add(client.get(f"{API}/variables/v").headers.get("ETag"))
        assert "ETag" in client.get(f"{API}/pools/p").headers
    assert len(seen) == 3 and None in seen


def test_the_document_itself_is_kept_and_not_sent_again(stranger):
    for path in ("openapi.json", "openapi.yaml"):
        tag = stranger.get(f"{API}/{path}").headers["ETag"]
        assert stranger.get(f"{API}/{path}", headers={"If-None-Match": tag}).status_code == 304


# ---------------------------------------------------------------- the document
@named(READS)
def test_a_read_documents_its_tag(operation):
    names = {p["name"] for p in operation.parameters}
    answer = operation.raw["responses"]["200"]
    assert ("If-None-Match" in names) == ("304" in operation.raw["responses"]) == (operation in OPEN)
    assert ("ETag" in answer.get("headers", {})) == ("x-etag" in operation.raw)


@named([o for o in OPERATIONS if o.method != "get"])
def test_a_change_of_what_has_a_tag_takes_if_match_and_documents_412(operation):
    tagged = {o.path for o in READS if "x-etag" in o.raw and o.path_names}
    takes = operation.path in tagged and operation.method in ("patch", "delete")
    assert takes == (operation in CONDITIONAL) == ("412" in operation.raw["responses"])


@pytest.mark.parametrize(
    ("path", "method", "change", "words"),
    [
        ("/pools", "get", {"x-etag": "weak"}, "x-etag is 'weak'"),
        ("/pools", "get", {"x-etag": True}, "x-etag is True"),
        ("/pools", "post", {"x-etag": "open"}, "belongs to a GET"),
        ("/pools/{pool_name}", "get", {"x-etag": None}, "patch_pool: If-Match"),
    ],
)
def test_start_up_refuses_a_tag_that_means_nothing(path, method, change, words, monkeypatch):
    damaged = orjson.loads(orjson.dumps(spec.lean()))
    entry = damaged["paths"][path][method]
    entry |= change
    for name in [name for name, value in change.items() if value is None]:
        del entry[name]
    try:
        spec.lean.cache_clear(), spec.operations.cache_clear()
        monkeypatch.setattr(spec, "written", lambda: damaged)
        with pytest.raises(spec.DocumentError, match=words):
            operations.handlers()
    finally:
        spec.lean.cache_clear(), spec.operations.cache_clear()


# ---------------------------------------------------------------- changes
@pytest.fixture(scope="module")
def database(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A filled database of this module."""
    with filled(database_kind, tmp_path_factory.mktemp("etags")) as engine:
        yield engine


@pytest.fixture(scope="module")
def admin(database: Engine) -> FlaskClient:
    """A client of an application with engines of its own on that database."""
    return new_client(database)


@pytest.fixture(scope="module")
def other_admin(untouched: Engine) -> FlaskClient:
    """As `admin`, on the other database."""
    return new_client(untouched)


def new_client(database: Engine) -> FlaskClient:
    url = database.url.render_as_string(hide_password=False)
    return signed_in(create_app(Config({**SETTINGS, ("database", "sql_alchemy_conn"): url})), USERNAME)


def send(client: FlaskClient, change: Change, tag: str | None) -> Any:
    headers = {} if tag is None else {"If-Match": tag}
    return client.open(API + change.path, method=change.method, json=change.body, headers=headers)


def tag_of(client: FlaskClient, change: Change) -> str:
    found = client.get(API + change.path)
    assert found.status_code == 200
    return found.headers["ETag"]


@named(CONDITIONAL)
def test_a_change_is_made_only_in_the_state_that_the_client_has_read(operation, admin, database):
    change = CHANGES[operation.id]
    tag, before = tag_of(admin, change), content(database)
    state, _, rest = tag.strip('"').partition("-")
    old = f'"{state[::-1]}-{rest}"'
    for wrong in (old, f"W/{tag}", f'"{rest}"', '"x", "y"', '""'):
        assert_problem(send(admin, change, wrong), 412, "If-Match")
    for malformed in (tag.strip('"'), "x", "", f"{tag} and more", "* , *", '"'):
        assert_problem(send(admin, change, malformed), 400, "If-Match", '"')
    assert content(database) == before
    answer = send(admin, change, f'"x", {tag}')
    assert answer.status_code in (200, 204), answer.get_json()
    if change.method == "PATCH":
        now = tag_of(admin, change)
        assert answer.headers["ETag"] == now
        assert answer.headers["Cache-Control"] == "no-store"
        assert send(admin, change, "*").status_code == 200
    assert_problem(send(admin, change, tag), 412 if change.method == "PATCH" else 404)


@named(CONDITIONAL)
def test_a_resource_that_is_not_there_is_a_404_whatever_if_match_says(operation, admin):
    where = World(None, f.filled)
    gone = dict.fromkeys(operation.path_names, "no-such-thing")
    body = CHANGES[operation.id].body
    for tag in ('"x"', "*"):
        answer = admin.open(where.url(operation, **gone), method=operation.method, json=body, headers={"If-Match": tag})
        assert_problem(answer, 404)


def test_a_stranger_learns_nothing_from_if_match(stranger, as_user, add):
    add(f.pool("p"))
    for header in ('"x"', "*", "malformed"):
        assert_problem(stranger.delete(f"{API}/pools/p", headers={"If-Match": header}), 401)
        assert_problem(as_user("Viewer").delete(f"{API}/pools/p", headers={"If-Match": header}), 403)


def test_what_nobody_can_set_does_not_keep_from_a_change(client, add, session):
    pool = add(f.pool("p", slots=3))
    dag = add(f.dag())
    urls = [f"{API}/pools/p", f"{API}/dags/etl"]
    before = [client.get(url).headers["ETag"] for url in urls]
    run = f.dag_run("etl")
    add(run, f.task_instance("etl", pool=pool.pool, state="running"))
    dag.last_parsed_time = dag.next_dagrun = f.dag_run().execution_date
    session.commit()
    assert all(client.get(url).headers["ETag"] != tag for url, tag in zip(urls, before, strict=True))
    assert client.patch(urls[0], json={"slots": 4}, headers={"If-Match": before[0]}).status_code == 200
    assert client.patch(urls[1], json={"is_paused": True}, headers={"If-Match": before[1]}).status_code == 200
    assert_problem(client.patch(urls[0], json={"slots": 5}, headers={"If-Match": before[0]}), 412)


def test_an_answer_with_some_members_has_a_tag_for_if_match_if_all_that_can_be_set_are_there(client, add):
    add(f.dag())
    url = f"{API}/dags/etl"
    without = client.get(f"{url}?fields=dag_id").headers["ETag"]
    assert_problem(client.patch(url, json={"is_paused": True}, headers={"If-Match": without}), 412)
    with_it = client.get(f"{url}?fields=is_paused").headers["ETag"]
    assert client.patch(url, json={"is_paused": True}, headers={"If-Match": with_it}).status_code == 200


def test_a_tag_of_compressed_content_will_do(client, add):
    add(f.pool("p", description="x" * 2000))
    packed = client.get(f"{API}/pools/p", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    headers = {"If-Match": packed.headers["ETag"]}
    assert client.patch(f"{API}/pools/p", json={"slots": 2}, headers=headers).status_code == 200


# ---------------------------------------------------------------- at once
_OTHER = {
    "pools": "UPDATE slot_pool SET description = 'of another' WHERE pool = :id",
    "variables": "UPDATE variable SET description = 'of another' WHERE variable.key = :id",
    "connections": "UPDATE connection SET host = 'of another' WHERE conn_id = :id",
    "roles": "UPDATE ab_role SET name = :id WHERE name = :id",
    "users": "UPDATE ab_user SET last_name = 'of another' WHERE username = :id",
    "dags": "UPDATE dag SET is_paused = NOT is_paused WHERE dag_id = :id",
    "dagRuns": "UPDATE dag_run SET state = 'running' WHERE dag_id = :id",
}
_GRANT = (
    "INSERT INTO ab_permission_view_role (id, permission_view_id, role_id) SELECT (SELECT max(id) + 1 FROM"
    " ab_permission_view_role), (SELECT max(id) FROM ab_permission_view), id FROM ab_role WHERE name = :id"
)


def _of_another(change: Change) -> tuple[list[str], str]:
    """Statements with which somebody else changes the same resource, and its id in them."""
    kind, name = change.path.split("/")[1:3]
    if "dagRuns" in change.path:
        kind = "dagRuns"
    return [_OTHER[kind], _GRANT] if kind == "roles" else [_OTHER[kind]], name


@contextmanager
def _between(database: Engine, change: Change) -> Iterator[Callable[[], None]]:
    """A transaction of another that has changed the resource and is not committed; call what is given to commit it."""
    statements, name = _of_another(change)
    with database.connect() as connection:
        for statement in statements:
            connection.execute(text(statement), {"id": name})
        yield connection.commit


#: How many sessions wait for a lock. InnoDB looks again only when nobody has asked for a tenth of a second.
_WAITING = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}


def _wait_for_the_lock(database: Engine, seconds: float = 30) -> None:
    """Until a session waits for a lock; SQLite does not tell."""
    waiting = _WAITING.get(database.dialect.name)
    deadline = monotonic() + (seconds if waiting else 0.3)
    while monotonic() < deadline:
        if waiting:
            with database.connect() as connection:
                if connection.execute(text(waiting)).scalar_one():
                    return
        sleep(0.15)
    assert database.dialect.name == "sqlite", "nobody waits"


@pytest.fixture(scope="module")
def untouched(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Another one, for tests that want what those above delete."""
    with filled(database_kind, tmp_path_factory.mktemp("untouched")) as engine:
        yield engine


@named(CONDITIONAL)
def test_a_change_that_is_committed_between_the_request_and_its_lock_is_seen(operation, other_admin, untouched):
    change = CHANGES[operation.id]
    tag = tag_of(other_admin, change)
    with ThreadPoolExecutor(1) as pool, _between(untouched, change) as commit:
        asked = pool.submit(send, other_admin, change, tag)
        _wait_for_the_lock(untouched)
        assert not asked.done()
        commit()
        assert_problem(asked.result(timeout=30), 412, "If-Match")


def test_writers_that_read_change_and_send_back_lose_no_update(other_admin, untouched):
    writers, times = 4, 8
    other_admin.post(f"{API}/pools", json={"name": "counted", "slots": 0})
    refused: list[str] = []

    def write(client: FlaskClient) -> None:
        url, done = f"{API}/pools/counted", 0
        while done < times and len(refused) < 1000:
            found = client.get(url)
            body = {"slots": found.get_json()["slots"] + 1}
            answer = client.patch(url, json=body, headers={"If-Match": found.headers["ETag"]})
            assert answer.status_code in (200, 412), answer.get_json()
            done += answer.status_code == 200
            refused.extend([url] * (answer.status_code == 412))

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, [new_client(untouched) for _ in range(writers)]))
    assert other_admin.get(f"{API}/pools/counted").get_json()["slots"] == writers * times
    assert refused, "nobody was in anybody's way, so this test shows nothing"
