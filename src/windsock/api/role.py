"""Roles and what they allow."""

from __future__ import annotations

from typing import Any

from marshmallow import fields
from sqlalchemy import select

from windsock.api.permission import ActionSchema
from windsock.errors import not_yet_served
from windsock.listing import page
from windsock.models import Permission, Resource, Role
from windsock.rows import RowSchema, read


class ResourceSchema(RowSchema):
    """What an action is allowed on."""

    model = Resource
    name = fields.String()


class PermissionSchema(RowSchema):
    """An action on a resource."""

    model = Permission
    action = fields.Nested(ActionSchema)
    resource = fields.Nested(ResourceSchema)


class RoleSchema(RowSchema):
    """A role."""

    model, plural = Role, "roles"
    name = fields.String()
    actions = fields.List(fields.Nested(PermissionSchema), attribute="permissions")


role_schema = RoleSchema()


def get_roles(**query: Any) -> dict[str, Any]:
    """List roles."""
    return page(select(Role), role_schema, query)


def get_role(role_name: str) -> dict[str, Any]:
    """Show a role."""
    return read(role_schema, name=role_name)


post_role = patch_role = delete_role = not_yet_served
