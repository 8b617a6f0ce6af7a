"""Connections."""

from __future__ import annotations

from typing import Any

from marshmallow import fields
from sqlalchemy import select

from windsock.context import context
from windsock.errors import not_yet_served
from windsock.listing import page
from windsock.models import Connection
from windsock.rows import Derived, RowSchema, read


def _shown(extra: str | None, encrypted: bool | None) -> str | None:
    clear = context.vault.reveal(extra, encrypted, "the extra of a connection")
    return context.vault.masker.mask_json(clear) if clear else clear


class ConnectionItemSchema(RowSchema):
    """A connection as lists show it: nothing secret is even fetched."""

    model, plural = Connection, "connections"
    connection_id = fields.String(attribute="conn_id")
    conn_type = fields.String()
    description = fields.String()
    host = fields.String()
    login = fields.String()
    schema = fields.String()
    port = fields.Integer()


class ConnectionSchema(ConnectionItemSchema):
    """A connection by itself: its extra with everything sensitive masked, its password never."""

    extra = Derived(_shown, "extra", "is_extra_encrypted")


connection_item_schema, connection_schema = ConnectionItemSchema(), ConnectionSchema()


def get_connections(**query: Any) -> dict[str, Any]:
    """List connections."""
    return page(select(Connection), connection_item_schema, query)


def get_connection(connection_id: str) -> dict[str, Any]:
    """Show a connection."""
    return read(connection_schema, conn_id=connection_id)


post_connection = patch_connection = delete_connection = test_connection = not_yet_served
