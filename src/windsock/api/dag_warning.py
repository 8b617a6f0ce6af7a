"""Warnings that the parser left about DAGs."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from windsock.listing import page
from windsock.models import DagWarning
from windsock.rows import RowSchema, Timestamp


class DagWarningSchema(RowSchema):
    """A warning about a DAG."""

    model, plural = DagWarning, "dag_warnings"
    dag_id = fields.String()
    warning_type = fields.String()
    message = fields.String()
    timestamp = Timestamp()


dag_warning_schema = DagWarningSchema()


def get_dag_warnings(**query: Any) -> dict[str, Any]:
    """List warnings."""
    return page(dag_warning_schema, query)
