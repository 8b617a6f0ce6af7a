"""One good request for every operation that changes something, and a database in which all of them succeed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from itsdangerous import URLSafeSerializer
from sqlalchemy import Engine, inspect, text
from sqlalchemy.orm import Session

import factories as f
from clients import API, PASSWORD_HASH, SETTINGS
from databases import engine_of, fresh
from windsock import migrate
from worlds import MAPPED, world

USERNAME = "writer"
_RUN, _OTHER_RUN = quote(f.RUN_ID), "run-0"
_TASK = f"/dags/etl/dagRuns/{_RUN}/taskInstances/{f.TASK_ID}"
_MAPPED = f"/dags/etl/dagRuns/{_RUN}/taskInstances/{MAPPED}/0"
_TOKEN = URLSafeSerializer(SETTINGS["webserver", "secret_key"]).dumps(f.FILE)
_URI = quote("s3://bucket/", safe="")
_REACH = {f"include_{where}": False for where in ("upstream", "downstream", "future", "past")}
_ROLE = {"name": "clerk", "actions": [{"action": {"name": "can_read"}, "resource": {"name": "Pools"}}]}
_PERSON = {"first_name": "Grace", "last_name": "Hopper"}
_GRACE = {"username": "grace", "email": "grace@example.com", "roles": [{"name": "Viewer"}]}
_KEPT = {"username": "kept", "email": "kept@example.com", "roles": [{"name": "Op"}]}
_STATE = {"dry_run": False, "new_state": "success"}


class Change(NamedTuple):
    """A request; `path` is below the API."""

    method: str
    path: str
    body: dict[str, Any] | None = None

    def send(self, client: Any) -> Any:
        """The answer of a Flask test client."""
        return client.open(API + self.path, method=self.method, json=self.body)


#: Operation -> its request. All of them succeed in this order, and each of them does without the others.
CHANGES = {
    "post_pool": Change("POST", "/pools", {"name": "new", "slots": 3}),
    "patch_pool": Change("PATCH", "/pools/kept", {"name": "kept", "slots": 9, "description": "changed"}),
    "delete_pool": Change("DELETE", "/pools/lost"),
    "post_variables": Change("POST", "/variables", {"key": "new", "value": "some value"}),
    "patch_variable": Change("PATCH", "/variables/kept", {"key": "kept", "value": "changed"}),
    "delete_variable": Change("DELETE", "/variables/lost"),
    "post_connection": Change("POST", "/connections", {"connection_id": "new", "conn_type": "http", "password": "x"}),
    "patch_connection": Change("PATCH", "/connections/kept", {"host": "changed", "extra": '{"token": "x"}'}),
    "delete_connection": Change("DELETE", "/connections/lost"),
    "post_role": Change("POST", "/roles", _ROLE),
    "patch_role": Change("PATCH", "/roles/kept", _ROLE | {"name": "kept"}),
    "delete_role": Change("DELETE", "/roles/lost"),
    "post_user": Change("POST", "/users", _PERSON | _GRACE),
    "patch_user": Change("PATCH", "/users/kept", _PERSON | _KEPT),
    "delete_user": Change("DELETE", "/users/lost"),
    "patch_dag": Change("PATCH", "/dags/etl", {"is_paused": True}),
    "patch_dags": Change("PATCH", "/dags?dag_id_pattern=etl-", {"is_paused": True}),
    "delete_dag": Change("DELETE", "/dags/doomed"),
    "reparse_dag_file": Change("PUT", f"/parseDagFile/{_TOKEN}"),
    "post_dag_run": Change("POST", "/dags/etl/dagRuns", {"conf": {"a": 1}, "note": "by hand"}),
    "update_dag_run_state": Change("PATCH", f"/dags/etl-0/dagRuns/{_RUN}", {"state": "failed"}),
    "clear_dag_run": Change("POST", f"/dags/cleared/dagRuns/{_RUN}/clear", {"dry_run": False}),
    "set_dag_run_note": Change("PATCH", f"/dags/etl/dagRuns/{_RUN}/setNote", {"note": "changed"}),
    "delete_dag_run": Change("DELETE", f"/dags/unwound/dagRuns/{_RUN}"),
    "post_clear_task_instances": Change(
        "POST",
        "/dags/etl/clearTaskInstances",
        {"dry_run": False, "only_failed": False, "reset_dag_runs": True, "dag_run_id": _OTHER_RUN},
    ),
    "post_set_task_instances_state": Change(
        "POST",
        "/dags/set/updateTaskInstancesState",
        {"dry_run": False, "task_id": f.TASK_ID, "dag_run_id": f.RUN_ID, "new_state": "failed", **_REACH},
    ),
    "patch_task_instance": Change("PATCH", _TASK, {**_STATE, "new_state": "failed"}),
    "patch_mapped_task_instance": Change("PATCH", _MAPPED, {**_STATE, "new_state": "failed"}),
    "set_task_instance_note": Change("PATCH", f"{_TASK}/setNote", {"note": "changed"}),
    "set_mapped_task_instance_note": Change("PATCH", f"{_MAPPED}/setNote", {"note": "changed"}),
    "create_dataset_event": Change("POST", "/datasets/events", {"dataset_uri": "s3://bucket/1", "extra": {"a": 1}}),
    "delete_dataset_queued_events": Change("DELETE", f"/datasets/queuedEvent/{_URI}1"),
    "delete_dag_dataset_queued_events": Change("DELETE", "/dags/etl/datasets/queuedEvent"),
    "delete_dag_dataset_queued_event": Change("DELETE", f"/dags/etl-1/datasets/queuedEvent/{_URI}0"),
}


def fill(engine: Engine) -> None:
    """Make the tables and what the requests need; `USERNAME` with the tests' password may do everything."""
    migrate.init(engine)
    with Session(engine) as session:
        for name in ("kept", "lost"):
            session.add_all([f.pool(name), f.variable(name), f.connection(name), f.user(name), f.role(name)])
        admin = f.existing_roles(session, ["Admin"])
        session.add(f.user(USERNAME, password=PASSWORD_HASH, last_login=f.counted(), roles=admin))
        world(session, (0, 1))
        for dag_id in ("doomed", "unwound", "cleared", "set"):
            world(session, (0,), dag_id=dag_id)


@contextmanager
def filled(kind: str, home: Path) -> Iterator[Engine]:
    """A new database of a kind (for SQLite, below a folder) with all of that."""
    with fresh(kind, home) as url:
        engine = engine_of(url)
        try:
            fill(engine)
            yield engine
        finally:
            engine.dispose()


def content(engine: Engine) -> dict[str, list[str]]:
    """Every table with its rows as text, but for the numbers that SQLite gave last."""
    quote = engine.dialect.identifier_preparer.quote
    with engine.connect() as connection:
        tables = inspect(connection).get_table_names()
        rows = {name: connection.execute(text(f"SELECT * FROM {quote(name)}")).all() for name in tables}
    return {name: sorted(map(repr, found)) for name, found in rows.items()}
