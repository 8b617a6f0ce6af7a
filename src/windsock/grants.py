"""Statements over the tables of rights: a role holds pairs of action and resource.

`DAG:<id>` and `DAG Run:<id>` are the resources of one DAG, `DAGs` and `DAG Runs` those of all. A DAG that is named
`DAGs` has the resource `DAG:DAGs`, so the names of the two kinds never meet.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, bindparam, func, or_, select

from windsock.models import Action, Dag, Permission, Resource, Role, User, role_permission, user_role
from windsock.spec import Operation
from windsock.spec import Permission as Right

#: Resource of all DAGs -> prefix of the resource of one.
PER_DAG = {"DAGs": "DAG:", "DAG Runs": "DAG Run:"}


def dag_action(operation: Operation) -> str:
    """The action on DAGs that the operation asks for; `can_read` when it names none."""
    return next((right.action for right in operation.permissions if right.resource == "DAGs"), "can_read")


def roles_of(user_id: Any) -> Select[Any]:
    """The ids of the roles of a user, whose own id is an int or a column."""
    mine = user_role.alias()  # the statement around it may join the table itself
    return select(mine.c.role_id).where(mine.c.user_id == user_id).correlate(User)


def roles_named(names: Any) -> Select[Any]:
    """The ids of the roles with these names, a sequence or an expanding parameter."""
    return select(Role.id).where(Role.name.in_(names))


def held(operation: Operation) -> Subquery:
    """Role, action and resource of every right that the operation names, for the DAG `:dag_id` also by its own name."""
    named = {*operation.permissions, Right("can_read", "DAGs"), Right(dag_action(operation), "DAGs")}
    root = select(Dag.root_dag_id).where(Dag.dag_id == bindparam("dag_id")).scalar_subquery()
    wanted = [and_(Action.name == right.action, Resource.name == right.resource) for right in sorted(named)]
    for resource, prefix in PER_DAG.items():
        actions = sorted({r.action for r in operation.permissions if r.resource == resource})
        names: tuple[Any, Any] = (prefix + bindparam("dag_id"), prefix + root)  # a sub-DAG takes its root's rights
        wanted += [and_(Action.name.in_(actions), Resource.name.in_(names))] if actions else []
    columns = (role_permission.c.role_id, Action.name.label("action"), Resource.name.label("resource"))
    return (
        select(*columns)
        .join(Permission, Permission.id == role_permission.c.permission_view_id)
        .join(Action, Action.id == Permission.permission_id)
        .join(Resource, Resource.id == Permission.view_menu_id)
        .where(or_(*wanted))
        .subquery()
    )


def resources(action: str, roles: Select[Any]) -> Select[Any]:
    """The names of what the roles may do `action` on."""
    return (
        select(Resource.name)
        .join(Permission, Permission.view_menu_id == Resource.id)
        .join(Action, Action.id == Permission.permission_id)
        .join(role_permission, role_permission.c.permission_view_id == Permission.id)
        .where(role_permission.c.role_id.in_(roles), Action.name == action)
    )


def dag_names(action: str, roles: Select[Any], prefix: str = PER_DAG["DAGs"]) -> Select[Any]:
    """The ids of the DAGs on which the roles hold `action` by a right of its own."""
    own = resources(action, roles).where(Resource.name.startswith(prefix))
    return own.with_only_columns(func.substr(Resource.name, len(prefix) + 1))


def readable(column: ColumnElement[Any], action: str, roles: Select[Any], prefix: str = PER_DAG["DAGs"]) -> Any:
    """Whether `column` is the id of a DAG on which the roles hold `action`, or of a sub-DAG of one."""
    names = dag_names(action, roles, prefix)
    return or_(column.in_(names), column.in_(select(Dag.dag_id).where(Dag.root_dag_id.in_(names))))
