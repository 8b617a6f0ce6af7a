"""The audit row of a change, in the transaction of the change: who did what to which DAG, run and task."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from flask import request

from windsock import db
from windsock.context import caller, context
from windsock.models import Log
from windsock.spec import Operation

#: Events that Airflow does not name after the operation.
_EVENTS = {
    "post_connection": "connection.create",
    "patch_connection": "connection.edit",
    "delete_connection": "connection.delete",
    "post_variables": "variable.create",
    "patch_variable": "variable.edit",
    "delete_variable": "variable.delete",
}
#: What has a column of its own, or says nothing.
_OUT_OF_EXTRA = frozenset({"dag_id", "task_id", "dag_run_id", "run_id", "execution_date", "is_paused", "csrf_token"})


def record(operation: Operation, values: dict[str, Any], body: dict[str, Any] | None) -> None:
    """Add the row of a change; `values` are those of the path, `body` what the client sent (secrets are masked)."""
    who = caller()
    db.session().add(
        Log(
            dttm=datetime.now(timezone.utc),
            event=_EVENTS.get(operation.id, f"api.{operation.id}"),
            owner=who and who.username,
            owner_display_name=who and who.display_name,
            dag_id=_id(values, "dag_id"),
            task_id=_id(values, "task_id"),
            run_id=_id(values, "dag_run_id"),
            extra=_extra(values, body or {}),
        )
    )


def _id(values: dict[str, Any], name: str) -> str | None:
    found = values.get(name, request.args.get(name))
    return None if found is None else str(found)


def _extra(values: dict[str, Any], body: dict[str, Any]) -> str:
    sent = {**request.args.to_dict(), **values}
    extra = {name: value for name, value in sent.items() if name not in _OUT_OF_EXTRA} | body
    if "X-Request-Id" in request.headers:
        extra["request_id"] = request.headers["X-Request-Id"]
    return context.vault.masker.mask_audit(json.dumps(extra, default=str))
