"""Variables."""

from __future__ import annotations

from typing import Any

from marshmallow import fields
from sqlalchemy import select

from windsock.context import context
from windsock.errors import not_yet_served
from windsock.listing import page
from windsock.models import Variable
from windsock.rows import Derived, RowSchema, read


def _clear(value: str | None, encrypted: bool | None) -> str | None:
    return context.vault.reveal(value, encrypted, "the value of a variable")


class VariableSchema(RowSchema):
    """A variable; its value is null when no Fernet key fits."""

    model, plural = Variable, "variables"
    key = fields.String()
    value = Derived(_clear, "val", "is_encrypted")
    description = fields.String()


variable_schema = VariableSchema()


def get_variables(**query: Any) -> dict[str, Any]:
    """List variables."""
    return page(select(Variable), variable_schema, query)


def get_variable(variable_key: str) -> dict[str, Any]:
    """Show a variable."""
    return read(variable_schema, key=variable_key)


post_variables = patch_variable = delete_variable = not_yet_served
