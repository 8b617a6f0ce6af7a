"""Actions that permissions are made of."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from windsock.listing import page
from windsock.models import Action
from windsock.rows import RowSchema


class ActionSchema(RowSchema):
    """An action, such as can_read."""

    model, plural = Action, "actions"
    name = fields.String()


action_schema = ActionSchema()


def get_permissions(**query: Any) -> dict[str, Any]:
    """List actions."""
    return page(action_schema, query)
