"""Values that task instances left for others."""

from __future__ import annotations

from typing import Any

from marshmallow import fields
from sqlalchemy import bindparam

from windsock.callers import ANY
from windsock.context import context
from windsock.errors import BadRequest
from windsock.listing import page
from windsock.models import XCom
from windsock.rows import Derived, RowSchema, Timestamp, read
from windsock.text_forms import xcom_native, xcom_text


class XComItemSchema(RowSchema):
    """An XCom as lists show it, without its value."""

    model, plural, large = XCom, "xcom_entries", True
    order = ("dag_id", "task_id", "run_id", "map_index", "key")
    key = fields.String()
    timestamp = Timestamp()
    execution_date = Timestamp(attribute="dag_run.execution_date")
    map_index = fields.Integer()
    task_id = fields.String()
    dag_id = fields.String()


class XComTextSchema(XComItemSchema):
    """An XCom with its value as text."""

    value = Derived(xcom_text, "value")


class XComNativeSchema(XComItemSchema):
    """An XCom with its value as JSON."""

    value = Derived(xcom_native, "value")


xcom_item_schema, xcom_text_schema, xcom_native_schema = XComItemSchema(), XComTextSchema(), XComNativeSchema()
#: The column xcom.dag_run_id is a number; run ids are in run_id.
_OF_RUN = XCom.run_id == bindparam("run_id")


def get_xcom_entries(dag_run_id: str, **query: Any) -> dict[str, Any]:
    """List XComs of a task instance; `~` stands for any DAG, run or task."""
    if dag_run_id == ANY:
        return page(xcom_item_schema, query)
    return page(xcom_item_schema, query, _OF_RUN, run_id=dag_run_id)


def get_xcom_entry(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    xcom_key: str,
    map_index: int = -1,
    deserialize: bool = False,
    stringify: bool = True,
    fields: list[str] | None = None,
) -> dict[str, Any]:
    """Show an XCom with its value; a class that the value names is never imported."""
    if deserialize and not context.config.get_bool("api", "enable_xcom_deserialize_support"):
        raise BadRequest("deserialize=true needs [api] enable_xcom_deserialize_support on this server")
    schema = xcom_text_schema if stringify else xcom_native_schema
    return read(schema, fields, dag_id=dag_id, run_id=dag_run_id, task_id=task_id, key=xcom_key, map_index=map_index)
