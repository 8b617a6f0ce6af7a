"""The audit row of a change, in the transaction of the change: who did what to which DAG, run and task."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from flask import request

from windsock import db, outdated, spec
from windsock.context import caller, context
from windsock.crypto import MASK
from windsock.models import Log
from windsock.spec import Operation

#: Events that Airflow does not name after the operation.
_EVENTS = {
    "post_connection": "api.connection.create",
    "patch_connection": "api.connection.edit",
    "delete_connection": "api.connection.delete",
    "post_variables": "api.variable.create",
    "patch_variable": "api.variable.edit",
    "delete_variable": "api.variable.delete",
    "set_mapped_task_instance_note": "api.set_task_instance_note",
}
#: Characters that MySQL's TEXT holds; json.dumps gives ASCII. Beyond that, members longer than the second are left out.
_LONGEST, _SHORT = 65_535, 2_000
#: What has a column of its own, or says nothing.
_OUT_OF_EXTRA = frozenset({"dag_id", "task_id", "dag_run_id", "run_id", "execution_date", "is_paused", "csrf_token"})


def record(operation: Operation, values: dict[str, Any], body: dict[str, Any] | None) -> None:
    """Add the row of a change; `values` are those of the path, `body` what the client sent (secrets are masked)."""
    who = caller()
    db.session().add(
        Log(
            dttm=datetime.now(timezone.utc),
            event=_EVENTS.get(operation.id, f"api.{operation.id}")[: outdated.longest_event()],
            owner=who and who.username,
            owner_display_name=who and who.display_name,
            dag_id=_id(values, "dag_id"),
            task_id=_id(values, "task_id"),
            run_id=_id(values, "dag_run_id"),
            extra=_extra(values, _readable(operation, body or {})),
        )
    )


def _id(values: dict[str, Any], name: str) -> str | None:
    found = values.get(name, request.args.get(name))
    return None if found is None else str(found)


def _readable(operation: Operation, body: dict[str, Any]) -> dict[str, Any]:
    """A body as the row shows it: what can only be written is masked, settings are looked through by their names."""
    members = spec.properties(operation.body or {})
    shown = {name: MASK if members[name].get("writeOnly") else value for name, value in body.items()}
    if operation.tag == "Connection" and shown.get("extra"):
        shown["extra"] = _settings(shown["extra"])
    return shown


def _settings(extra: str) -> Any:
    try:
        return json.loads(extra)
    except ValueError:
        return MASK  # a text of no known form may hold secrets in any place


def _extra(values: dict[str, Any], body: dict[str, Any]) -> str:
    sent = {**request.args.to_dict(), **values}
    extra = {name: value for name, value in sent.items() if name not in _OUT_OF_EXTRA} | body
    if body and "variable_key" in extra:
        extra["key"] = extra.pop("variable_key")  # as Airflow writes it, once; the masker judges the value by it
    if "X-Request-Id" in request.headers:
        extra["request_id"] = request.headers["X-Request-Id"]
    text = context.vault.masker.mask_audit(json.dumps(extra, default=str))
    if len(text) <= _LONGEST or context.database.writing.dialect.name != "mysql":
        return text
    short = {name: value if len(str(value)) <= _SHORT else "(too long to be kept)" for name, value in extra.items()}
    return context.vault.masker.mask_audit(json.dumps(short, default=str))
