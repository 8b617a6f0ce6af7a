"""The audit log."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from windsock.context import context
from windsock.listing import page
from windsock.models import Log
from windsock.rows import Derived, RowSchema, Timestamp, read


def _masked(extra: str | None) -> str | None:
    return None if extra is None else context.vault.masker.mask_audit(extra)


class EventLogSchema(RowSchema):
    """An audit row; rows of old Airflow releases may hold secrets, so `extra` is masked as it is read."""

    model, plural, large = Log, "event_logs", True
    event_log_id = fields.Integer(attribute="id")
    when = Timestamp(attribute="dttm")
    dag_id = fields.String()
    task_id = fields.String()
    run_id = fields.String()
    map_index = fields.Integer()
    try_number = fields.Integer()
    event = fields.String()
    execution_date = Timestamp()
    owner = fields.String()
    extra = Derived(_masked, "extra")


event_log_schema = EventLogSchema()


def get_event_logs(**query: Any) -> dict[str, Any]:
    """List audit rows; an empty filter is no filter here, as in Airflow."""
    given = {name: value for name, value in query.items() if value != "" or name in ("order_by", "cursor")}
    return page(event_log_schema, given)


def get_event_log(event_log_id: int, fields: list[str] | None = None) -> dict[str, Any]:
    """Show an audit row."""
    return read(event_log_schema, fields, id=event_log_id)
