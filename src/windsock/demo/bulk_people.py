"""The users of bulk data: `all` may do everything, `each` the same, but for DAGs has only grants on single ones."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, insert, select

from windsock.accounts import NewUser, create_user
from windsock.models import Action, Dag, Permission, Resource, Role, role_permission

GRANTS = 3000
_ROLE = "Each DAG"
_ACTIONS = ("can_read", "can_edit", "can_delete")


def add_users(connection: Connection, password: str) -> None:
    """Add `all` with the role Admin, and `each` with a role of its own that has GRANTS grants on DAGs, or on all.

    Raises AccountError when one of the names is taken.
    """
    role = connection.execute(insert(Role).values(name=_ROLE).returning(Role.id)).scalar_one()
    dags = connection.scalars(select(Dag.dag_id).order_by(Dag.dag_id).limit(GRANTS)).all()
    granted = [*_grants(connection, dags), *_beside_dags(connection)]
    connection.execute(insert(role_permission), [{"role_id": role, "permission_view_id": one} for one in granted])
    for name, first, held in (("all", "All", "Admin"), ("each", "Each", _ROLE)):
        create_user(connection, NewUser(name, password, f"{name}@example.com", first, "Dags", held))


def _grants(connection: Connection, dags: Iterable[str]) -> list[int]:
    """The ids of rights on single DAGs: to read each of them, then to edit, then to delete."""
    names = [f"DAG:{dag_id}" for dag_id in dags]
    connection.execute(insert(Resource), [{"name": name} for name in names])
    resources = {row.name: row.id for row in connection.execute(select(Resource.name, Resource.id))}
    actions = {row.name: row.id for row in connection.execute(select(Action.name, Action.id))}
    pairs = [(actions[action], resources[name]) for action in _ACTIONS for name in names][:GRANTS]
    connection.execute(insert(Permission), [{"permission_id": one, "view_menu_id": on} for one, on in pairs])
    ids = connection.execute(select(Permission.permission_id, Permission.view_menu_id, Permission.id))
    found = {(one, on): number for one, on, number in ids}
    return [found[pair] for pair in pairs]


def _beside_dags(connection: Connection) -> list[int]:
    """The ids of what Admin may do with anything but DAGs."""
    held = (
        select(Permission.id)
        .join(role_permission, role_permission.c.permission_view_id == Permission.id)
        .join(Role, Role.id == role_permission.c.role_id)
        .join(Resource, Resource.id == Permission.view_menu_id)
        .where(Role.name == "Admin", Resource.name != "DAGs")
    )
    return list(connection.scalars(held))
