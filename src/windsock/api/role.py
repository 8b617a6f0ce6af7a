"""Roles and what they allow."""

from __future__ import annotations

from typing import Any

from marshmallow import fields
from sqlalchemy import delete, select

from windsock import db
from windsock.api.permission import ActionSchema
from windsock.changing import accepted, add_missing, create, fetch, remove, update
from windsock.errors import BadRequest
from windsock.listing import page
from windsock.lockout import way_in_kept
from windsock.models import Action, Permission, Resource, Role, user_role
from windsock.rows import RowSchema, read
from windsock.security_defaults import DEFAULT_ROLES


class ResourceSchema(RowSchema):
    """What an action is allowed on."""

    model = Resource
    name = fields.String()


class PermissionSchema(RowSchema):
    """An action on a resource."""

    model = Permission
    action = fields.Nested(ActionSchema)
    resource = fields.Nested(ResourceSchema)


def _permissions(granted: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows of pairs of action and resource; a pair that is not there yet is made."""
    actions = _ids(Action, {pair["action"]["name"] for pair in granted})
    resources = _ids(Resource, {pair["resource"]["name"] for pair in granted})
    pairs = {(actions[pair["action"]["name"]], resources[pair["resource"]["name"]]) for pair in granted}
    rows = _pairs() if pairs else {}
    made = [{"permission_id": action, "view_menu_id": resource} for action, resource in sorted(pairs - rows.keys())]
    if made:
        add_missing(Permission, made)
        rows = _pairs()
    return {"permissions": [rows[pair] for pair in sorted(pairs)]}


def _pairs() -> dict[tuple[int | None, int | None], Permission]:
    return {(row.permission_id, row.view_menu_id): row for row in db.session().scalars(select(Permission))}


def _ids(model: type[Action] | type[Resource], names: set[str]) -> dict[str, int]:
    """Name -> id. Raises BadRequest for an unknown name."""
    ids = {name: number for name, number in db.session().execute(select(model.name, model.id))} if names else {}  # noqa: C416
    for name in sorted(names - ids.keys()):
        good = "can_read" if model is Action else "Pools"
        raise BadRequest(f"Member 'actions': there is no {model.__name__.lower()} {name!r}; one is {good!r}")
    return ids


class RoleSchema(RowSchema):
    """A role."""

    model, plural = Role, "roles"
    name = fields.String()
    actions = fields.List(fields.Nested(PermissionSchema), attribute="permissions", metadata={"load": _permissions})


role_schema = RoleSchema()


def get_roles(**query: Any) -> dict[str, Any]:
    """List roles."""
    return page(role_schema, query)


def get_role(role_name: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Show a role."""
    return read(role_schema, fields, name=role_name)


def post_role(body: dict[str, Any]) -> dict[str, Any]:
    """Create a role."""
    return create(role_schema, body)


def patch_role(role_name: str, body: dict[str, Any], update_mask: list[str] | None = None) -> dict[str, Any]:
    """Rename a role and give it further permissions; as in Airflow, none that it has is taken away."""
    role = fetch(Role, name=role_name)
    wanted = accepted(role, role_schema, body, update_mask)
    if role_name in DEFAULT_ROLES and wanted.get("name", role_name) != role_name:
        raise BadRequest(f"Member 'name': the default role {role_name!r} cannot be renamed")
    added = _permissions(wanted.pop("actions", []))["permissions"]
    db.session().refresh(role, ["permissions"])
    role.permissions = list(dict.fromkeys([*role.permissions, *added]))
    return update(role, role_schema, wanted)


def delete_role(role_name: str) -> None:
    """Delete a role, take it from all users, and keep the default roles."""
    if role_name in DEFAULT_ROLES:
        raise BadRequest(f"The role {role_name!r} cannot be deleted: it is one of Airflow's own roles")
    with way_in_kept():
        role = fetch(Role, name=role_name)
        db.session().execute(delete(user_role).where(user_role.c.role_id == role.id))
        remove(role)
