"""Variables."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from windsock.changing import accepted, create, fetch, remove, update
from windsock.context import context
from windsock.errors import BadRequest
from windsock.listing import page
from windsock.models import Variable
from windsock.rows import Derived, RowSchema, read


def _clear(value: str | None, encrypted: bool | None) -> str | None:
    return context.vault.reveal(value, encrypted, "the value of a variable")


def _sealed(value: str) -> dict[str, Any]:
    stored, encrypted = context.vault.encrypt(value)
    return {"val": stored, "is_encrypted": encrypted}


class VariableSchema(RowSchema):
    """A variable; its value is null when no Fernet key fits."""

    model, plural = Variable, "variables"
    key = fields.String()
    value = Derived(_clear, "val", "is_encrypted", load=_sealed)
    description = fields.String()


variable_schema = VariableSchema()


def get_variables(**query: Any) -> dict[str, Any]:
    """List variables."""
    return page(variable_schema, query)


def get_variable(variable_key: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Show a variable."""
    return read(variable_schema, fields, key=variable_key)


def post_variables(body: dict[str, Any]) -> dict[str, Any]:
    """Create a variable."""
    return create(variable_schema, body)


def patch_variable(variable_key: str, body: dict[str, Any], update_mask: list[str] | None = None) -> dict[str, Any]:
    """Change the value and the description of a variable."""
    variable = fetch(Variable, key=variable_key)
    if body.get("key", variable_key) != variable_key:
        raise BadRequest(f"Member 'key' cannot be changed; it is {variable_key!r}")
    wanted = accepted(variable, variable_schema, body, update_mask)
    if wanted.get("value", "") is None:
        raise BadRequest("Member 'value' must not be null; leave it out, or write '' for an empty text")
    return update(variable, variable_schema, wanted)


def delete_variable(variable_key: str) -> None:
    """Delete a variable."""
    remove(fetch(Variable, key=variable_key))
