"""Brings the default roles of a metadata database up to date, as `airflow sync-perm` does, and takes nothing away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, insert, select

from windsock.grants import PER_DAG
from windsock.models import Action, Permission, Resource, Role, role_permission
from windsock.security_defaults import ACTIONS, DEFAULT_ROLES, default_permissions, default_resources

_HOMEPAGE = ("can_read", "Website")  # every role may see Airflow's home page


def sync(connection: Connection) -> dict[str, list[str]]:
    """Add what is missing, in the caller's transaction; return role -> the rights (`Pools.can_read`) that it got.

    A role that had to be made is in the answer even without rights. Roles, rights and grants that are there stay.
    """
    connection.execute(select(Role.id).with_for_update()).all()  # one at a time
    before = _ids(connection, Role)
    actions, resources = _ensure(connection, Action, ACTIONS), _ensure(connection, Resource, default_resources())
    roles = _ensure(connection, Role, DEFAULT_ROLES)
    wanted = default_permissions()
    _ensure_permissions(connection, {(actions[a], resources[r]) for a, r in wanted["Admin"]})
    rights = _rights(connection)
    of_all_dags = {pair for pair in rights if not pair[1].startswith(tuple(PER_DAG.values()))}
    wanted["Admin"] |= of_all_dags  # also what plugins and administrators have brought
    added: dict[str, list[str]] = {name: [] for name in DEFAULT_ROLES if name not in before}
    for name, role_id in sorted(roles.items()):
        got = _grant(connection, role_id, wanted.get(name, {_HOMEPAGE}), rights)
        if got:
            added[name] = got
    return added


def _ids(connection: Connection, model: Any) -> dict[str, int]:
    return {row.name: row.id for row in connection.execute(select(model.name, model.id))}


def _ensure(connection: Connection, model: Any, names: Iterable[str]) -> dict[str, int]:
    """All names of the table with their ids, those given among them."""
    found = _ids(connection, model)
    missing = [{"name": name} for name in names if name not in found]
    if not missing:
        return found
    connection.execute(insert(model), missing)
    return _ids(connection, model)


def _ensure_permissions(connection: Connection, pairs: set[tuple[int, int]]) -> None:
    found = connection.execute(select(Permission.permission_id, Permission.view_menu_id))
    missing = sorted(pairs - {(row.permission_id, row.view_menu_id) for row in found})
    if missing:
        rows = [{"permission_id": action, "view_menu_id": resource} for action, resource in missing]
        connection.execute(insert(Permission), rows)


def _rights(connection: Connection) -> dict[tuple[str, str], int]:
    """Action and resource -> id of the permission; half permissions, which FAB can leave behind, are passed over."""
    complete = (
        select(Action.name, Resource.name, Permission.id)
        .select_from(Permission)
        .join(Action, Action.id == Permission.permission_id)
        .join(Resource, Resource.id == Permission.view_menu_id)
    )
    return {(action, resource): number for action, resource, number in connection.execute(complete)}


def _grant(
    connection: Connection, role_id: int, wanted: set[tuple[str, str]], rights: dict[tuple[str, str], int]
) -> list[str]:
    """Give a role what it lacks of `wanted`."""
    of_role = select(role_permission.c.permission_view_id).where(role_permission.c.role_id == role_id)
    held = set(connection.scalars(of_role))
    missing = sorted((resource, action) for action, resource in wanted if rights[action, resource] not in held)
    if missing:
        rows = [{"role_id": role_id, "permission_view_id": rights[action, resource]} for resource, action in missing]
        connection.execute(insert(role_permission), rows)
    return [f"{resource}.{action}" for resource, action in missing]
