"""Who may do what: the gate (401, 403, 406) before anything else is looked at, and the scope (which DAGs).

Permissions are Airflow's: a role holds pairs of action and resource; `DAG:<id>` and `DAG Run:<id>` are the resources
of one DAG, `DAGs` and `DAG Runs` those of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

from flask import Request, g, request
from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, exists, func, literal, or_, select, true
from werkzeug.datastructures import MIMEAccept

from windsock import db
from windsock.context import caller as current_caller
from windsock.context import context
from windsock.context import operation as current_operation
from windsock.errors import NotAcceptable, PermissionDenied, Unauthenticated
from windsock.models import Action, Dag, Permission, Resource, User, role_permission, user_role
from windsock.spec import Operation
from windsock.spec import Permission as Right

ANY = "~"
#: Resource of all DAGs -> prefix of the resource of one.
PER_DAG = {"DAGs": "DAG:", "DAG Runs": "DAG Run:"}


@dataclass(frozen=True)
class Caller:
    """A known user and those of their rights that matter to this request."""

    id: int
    username: str
    password: str | None
    active: bool
    display_name: str
    rights: frozenset[Right]
    some_dag: bool  # holds the operation's DAG action on at least one DAG
    last_login: datetime | None  # naive, local

    def may(self, action: str, resource: str) -> bool:
        """Whether the caller holds a right that this request's operation names, or one on its DAG."""
        return Right(action, resource) in self.rights


# ---------------------------------------------------------------- who
def find_caller(condition: ColumnElement[bool], **parameters: Any) -> Caller | None:
    """The user that meets `condition` on `ab_user`, with the rights that matter here, in one statement.

    A back end that makes its condition once, with `bindparam`, and gives the values here saves building SQL each time.
    """
    statement = _caller_statement(current_operation(), condition)
    rows = db.execute(statement, {"dag_id": _dag_id() or ANY, **parameters}).all()
    return _caller(rows) if rows else None


def _caller(rows: list[Row[Any]]) -> Caller:
    first = rows[0]
    same = [r for r in rows if r.id == first.id]
    rights = frozenset(Right(r.action, r.resource) for r in same if r.action)
    name = f"{first.first_name} {first.last_name}"
    some_dag, active = bool(first.some_dag), bool(first.active)
    return Caller(first.id, first.username, first.password, active, name, rights, some_dag, first.last_login)


@lru_cache(1024)
def _caller_statement(operation: Operation, condition: ColumnElement[bool]) -> Select[Any]:
    """User, and one row for each right of theirs that the operation names (outer join: a user without any stays)."""
    action = dag_action(operation)
    named = {*operation.permissions, Right("can_read", "DAGs"), Right(action, "DAGs")}
    root = select(Dag.root_dag_id).where(Dag.dag_id == bindparam("dag_id")).scalar_subquery()
    wanted = [and_(Action.name == right.action, Resource.name == right.resource) for right in sorted(named)]
    for resource, prefix in PER_DAG.items():
        actions = sorted({r.action for r in operation.permissions if r.resource == resource})
        names: tuple[Any, Any] = (prefix + bindparam("dag_id"), prefix + root)  # a sub-DAG takes its root's rights
        wanted += [and_(Action.name.in_(actions), Resource.name.in_(names))] if actions else []
    held = (
        select(user_role.c.user_id, Action.name.label("action"), Resource.name.label("resource"))
        .join(role_permission, role_permission.c.role_id == user_role.c.role_id)
        .join(Permission, Permission.id == role_permission.c.permission_view_id)
        .join(Action, Action.id == Permission.permission_id)
        .join(Resource, Resource.id == Permission.view_menu_id)
        .where(or_(*wanted))
        .subquery()
    )
    some_dag = exists(dag_names(action, User.id)) if _dag_right_alone(operation) else User.id.is_(None)
    user = select(User.id, User.username, User.password, User.active, User.first_name, User.last_name, User.last_login)
    right = (held.c.action, held.c.resource, some_dag.label("some_dag"))
    return user.add_columns(*right).outerjoin(held, held.c.user_id == User.id).where(condition)


def _resources(action: str, user_id: Any) -> Select[Any]:
    """The names of what the user may do `action` on."""
    return (
        select(Resource.name)
        .join(Permission, Permission.view_menu_id == Resource.id)
        .join(Action, Action.id == Permission.permission_id)
        .join(role_permission, role_permission.c.permission_view_id == Permission.id)
        .join(user_role, user_role.c.role_id == role_permission.c.role_id)
        .where(user_role.c.user_id == user_id, Action.name == action)
    )


def dag_names(action: str, user_id: Any, prefix: str = PER_DAG["DAGs"]) -> Select[Any]:
    """The ids of the DAGs on which the user holds `action` by a right of their own."""
    own = _resources(action, user_id).where(Resource.name.startswith(prefix))
    return own.with_only_columns(func.substr(Resource.name, len(prefix) + 1))


# ---------------------------------------------------------------- what
def dag_action(operation: Operation) -> str:
    """The action on DAGs that the operation asks for; `can_read` when it names none."""
    return next((right.action for right in operation.permissions if right.resource == "DAGs"), "can_read")


def _dag_right_alone(operation: Operation) -> bool:
    return {right.resource for right in operation.permissions} == {"DAGs"}


def _dag_id() -> str | None:
    found = (request.view_args or {}).get("dag_id", ANY)
    return None if found == ANY or "\0" in found else found  # validation refuses a NUL; PostgreSQL takes none


def gate(operation: Operation) -> None:
    """Refuse who is not known (401), who may not (403, naming what is missing) and what cannot be produced (406)."""
    g.operation = operation
    if not operation.public:
        g.caller = _authenticate(request)
        _authorise(operation, g.caller)
    _negotiate(operation)


def _authenticate(asked: Request) -> Caller:
    for backend in context.backends:
        found = backend(asked)
        if found is not None and found.active:
            return found
    challenges = [backend.challenge for backend in context.backends]  # type: ignore[attr-defined]
    raise Unauthenticated(
        "Valid credentials are needed; see [api] auth_backends for the ways this server takes them",
        {"WWW-Authenticate": ", ".join(dict.fromkeys(challenges))},
    )


def _authorise(operation: Operation, caller: Caller) -> None:
    missing = [right for right in operation.permissions if not _holds(operation, caller, right)]
    if missing:
        on = f" on DAG {_dag_id()!r}" if _dag_id() else ""
        raise PermissionDenied(f"{caller.username!r} lacks {', '.join(map(str, missing))}{on}")


def _holds(operation: Operation, caller: Caller, right: Right) -> bool:
    if right in caller.rights:
        return True
    if right.resource not in PER_DAG:
        return False
    if _dag_id():
        prefix = PER_DAG[right.resource]
        return any(r.action == right.action and r.resource.startswith(prefix) for r in caller.rights)
    if right.resource != "DAGs":
        return False
    return caller.some_dag if _dag_right_alone(operation) else True  # rows are narrowed by `scope`


def _negotiate(operation: Operation) -> None:
    accept = request.headers.get("Accept") or "*/*"
    _, produced = operation.success
    if accept == "*/*" or not produced:
        return
    plain = MIMEAccept([(kind.partition(";")[0].strip(), quality) for kind, quality in request.accept_mimetypes])
    if not plain.best_match(produced):  # a parameter such as charset asks for nothing that we could do otherwise
        raise NotAcceptable(f"Accept is {accept!r}; this operation produces {', '.join(produced)}")


# ---------------------------------------------------------------- which DAGs
def scope(statement: Any, model: type[Any]) -> Any:
    """Narrow a statement to the rows of DAGs that the caller may touch; rows that belong to no DAG stay."""
    column = getattr(model, "dag_id", None)
    if column is None or touches_all():
        return statement
    return statement.where(or_(column.is_(None), touches(column)) if column.nullable else touches(column))


def touches_all() -> bool:
    """Whether the caller may touch every DAG, or the operation is a public one."""
    who = current_caller()
    return who is None or who.may(dag_action(current_operation()), "DAGs")


def touches(column: Any) -> ColumnElement[bool]:
    """Whether `column` is the id of a DAG that the caller may touch."""
    if touches_all():
        return true()
    return readable(column, dag_action(current_operation()), cast(Caller, current_caller()).id)


def readable(column: ColumnElement[Any], action: str, user_id: int, prefix: str = PER_DAG["DAGs"]) -> Any:
    """Whether `column` is the id of a DAG on which the user holds `action`, or of a sub-DAG of one."""
    names = dag_names(action, user_id, prefix)
    return or_(column.in_(names), column.in_(select(Dag.dag_id).where(Dag.root_dag_id.in_(names))))


def holds(column: Any, right: Right) -> ColumnElement[bool]:
    """Whether the caller holds a right, named as that on all DAGs, on the DAG whose id is in `column`."""
    user_id = cast(Caller, current_caller()).id
    on_all = literal(right.resource).in_(_resources(right.action, user_id))
    return or_(on_all, readable(column, right.action, user_id, PER_DAG[right.resource]))
