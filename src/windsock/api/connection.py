"""Connections."""

from __future__ import annotations

import json
import re
from typing import Any

from marshmallow import fields

from windsock.changing import accepted, create, fetch, remove, update
from windsock.context import context
from windsock.crypto import MASK
from windsock.errors import BadRequest, PermissionDenied
from windsock.listing import page
from windsock.models import Connection
from windsock.probes import Target
from windsock.probes.runner import test as probe
from windsock.rows import Derived, Hidden, RowSchema, read
from windsock.unmask import restored

#: What Airflow takes as an id, and how long a new one may be (airflow.utils.helpers.validate_key).
_ID, _LONGEST_ID = re.compile(r"[\w.-]+"), 200
_DEEPEST = 100
_TESTED = ("conn_type", "host", "port", "login", "password", "schema")


def _clear(extra: str | None, encrypted: bool | None) -> str | None:
    return context.vault.reveal(extra, encrypted, "the extra of a connection")


def _shown(extra: str | None, encrypted: bool | None) -> str | None:
    clear = _clear(extra, encrypted)
    return context.vault.masker.mask_json(clear) if clear else clear


def _sealed_password(password: str) -> dict[str, Any]:
    stored, encrypted = context.vault.encrypt(password) if password else (None, False)
    return {"password": stored, "is_encrypted": encrypted}


def _settings(extra: str | None) -> dict[str, Any]:
    try:
        settings = json.loads(extra or "{}")
    except ValueError:
        settings = {}  # Airflow takes a text that is no JSON at all, too
    except RecursionError:
        settings = None
    if not isinstance(settings, dict) or _too_deep(settings):
        raise BadRequest('Member \'extra\' must be a JSON object in a string, such as "{\\"sslmode\\": \\"require\\"}"')
    return settings


def _sealed_extra(extra: str | None) -> dict[str, Any]:
    _settings(extra)
    stored, encrypted = context.vault.encrypt(extra) if extra else (extra, False)
    return {"extra": stored, "is_extra_encrypted": encrypted}


def _too_deep(value: Any, left: int = _DEEPEST) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left == 0 or any(_too_deep(part, left - 1) for part in parts)


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

    extra = Derived(_shown, "extra", "is_extra_encrypted", load=_sealed_extra)
    password = Hidden(_sealed_password)


connection_item_schema, connection_schema = ConnectionItemSchema(), ConnectionSchema()


def get_connections(**query: Any) -> dict[str, Any]:
    """List connections."""
    return page(connection_item_schema, query)


def get_connection(connection_id: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Show a connection."""
    return read(connection_schema, fields, conn_id=connection_id)


def post_connection(body: dict[str, Any]) -> dict[str, Any]:
    """Create a connection."""
    wanted = body["connection_id"]
    if not _ID.fullmatch(wanted) or len(wanted) > _LONGEST_ID:
        raise BadRequest(
            f"Member 'connection_id' must consist of 1 to {_LONGEST_ID} letters, digits, dashes, dots and underscores"
        )
    return create(connection_schema, body)


def patch_connection(connection_id: str, body: dict[str, Any], update_mask: list[str] | None = None) -> dict[str, Any]:
    """Change a connection; secrets that come back masked stay as they are stored."""
    found = fetch(Connection, conn_id=connection_id)
    if body.get("connection_id", connection_id) != connection_id:
        raise BadRequest(f"Member 'connection_id' cannot be changed; it is {connection_id!r}")
    wanted = accepted(found, connection_schema, body, update_mask)
    return update(found, connection_schema, _without_masks(found, wanted))


def _without_masks(found: Connection, wanted: dict[str, Any]) -> dict[str, Any]:
    """The members to change, where a stored secret takes the place of the mask that was shown for it."""
    if wanted.get("password") == MASK:
        wanted = {name: value for name, value in wanted.items() if name != "password"}
    if "extra" in wanted:
        stored = _clear(found.extra, found.is_extra_encrypted)
        extra = restored(wanted.pop("extra"), stored, context.vault.masker)
        if extra != stored:
            wanted["extra"] = extra
    return wanted


def delete_connection(connection_id: str) -> None:
    """Delete a connection."""
    remove(fetch(Connection, conn_id=connection_id))


def test_connection(body: dict[str, Any]) -> dict[str, Any]:
    """Try a connection, where the configuration allows it; nothing that is stored takes part."""
    config = context.config
    if config.get("core", "test_connection").strip().lower() != "enabled":
        raise PermissionDenied("Testing connections is switched off; [core] test_connection = Enabled switches it on")
    if not body.get("conn_type"):
        raise BadRequest("Member 'conn_type' is missing; it names the type of the connection, such as 'http'")
    for name in ("password", "extra"):
        if MASK in (body.get(name) or ""):
            raise BadRequest(f"Member {name!r} holds {MASK}; a test takes no stored secret, so send the secret itself")
    folders = tuple(config.get_list("windsock", "test_connection_folders"))
    timeout = config.get_float("windsock", "test_connection_timeout")
    given: dict[str, Any] = {name: body.get(name) for name in _TESTED}
    return probe(Target(**given, extra=_settings(body.get("extra")), folders=folders, timeout=timeout), config)
