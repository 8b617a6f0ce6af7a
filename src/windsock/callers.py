"""Who calls: a user of the database, or somebody who only brings names of roles; each found in one statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, cast

from flask import g, request
from sqlalchemy import BindParameter, ColumnElement, Integer, Select, String, bindparam, exists, false, select

from windsock import db
from windsock.context import caller, context
from windsock.context import operation as current_operation
from windsock.grants import dag_action, dag_names, held, roles_named, roles_of
from windsock.models import Role, User, user_role
from windsock.replica import Watched, watch
from windsock.spec import Operation
from windsock.spec import Permission as Right
from windsock.statements import Make, Row

ANY = "~"


@dataclass(slots=True)
class Caller:
    """Somebody known, and those of their rights that matter to this request."""

    id: int | None  # None for who is no user of the database
    username: str
    password: str | None
    active: bool
    display_name: str
    rights: frozenset[Right]
    some_dag: bool  # holds the operation's DAG action on at least one DAG
    last_login: datetime | None  # naive, local
    roles: Select[Any]  # the ids of their roles
    read_only: bool = False  # refused every operation that changes something, whatever their rights
    anonymous: bool = False  # sent no credentials
    again: Callable[[], Caller | None] = field(default=lambda: None, compare=False)  # as the database now knows them

    def may(self, action: str, resource: str) -> bool:
        """Whether the caller holds a right that this request's operation names, or one on its DAG."""
        return Right(action, resource) in self.rights


#: The roles of whoever is a user: one text for all of them.
_MY_ROLES = roles_of(bindparam("caller_id", type_=Integer(), callable_=lambda: cast(Caller, caller()).id))
_NAMES: BindParameter[Any] = bindparam("role_names", expanding=True)
_USER = (User.id, User.username, User.password, User.active, User.first_name, User.last_name, User.last_login)


def find_caller(condition: ColumnElement[bool], **parameters: Any) -> Caller | None:
    """The user that meets `condition` on `ab_user`, with the rights that matter here, in one statement.

    A back end makes its condition once, with `bindparam`, and gives the values here.
    """
    rows = _rows(_user_statement, condition, parameters)
    if not rows:
        return None
    _, _, some_dag, number, username, password, active, first_name, last_name, last_login, *_ = rows[0]
    rights = _rights([row for row in rows if row[3] == number])
    known = (number, username, password, bool(active), f"{first_name} {last_name}", rights, bool(some_dag))
    return Caller(*known, last_login, _MY_ROLES, again=partial(find_caller, condition, **parameters))


def find_by_roles(username: str, display_name: str, names: Iterable[str]) -> Caller | None:
    """Somebody who is no user of the database but has the roles with these names; None if no such role exists."""
    given = sorted(set(names))
    rows = _rows(_roles_statement, _NAMES, {"role_names": given, "owner": username})
    if not rows:
        return None
    known = (None, username, None, True, display_name, _rights(rows), bool(rows[0][2]))
    again = partial(find_by_roles, username, display_name, given)
    return Caller(*known, None, roles_named(tuple(given)), again=again)


def _rows(make: Make, condition: Any, parameters: dict[str, Any]) -> list[Row]:
    """The rows of a caller, each with action, resource and `some_dag`; what a replica wants to know stays in `g`."""
    replica = context.database.replica
    shape = (current_operation(), condition, replica.seconds if replica else 0)
    rows = db.fresh_rows(make, *shape, values={"dag_id": dag_id() or ANY, **parameters})
    if replica:
        g.watched = Watched(*rows[0][-len(Watched._fields) :]) if rows else None
    return rows


def dag_id() -> str | None:
    """The DAG that the path of this request names; None where it names none, all, or what no DAG is called."""
    found = (request.view_args or {}).get("dag_id", ANY)
    return None if found == ANY or "\0" in found else found  # validation refuses a NUL; PostgreSQL takes none


def dag_right_alone(operation: Operation) -> bool:
    """Whether an operation asks for nothing but a right on DAGs."""
    return {right.resource for right in operation.permissions} == {"DAGs"}


def _rights(rows: Iterable[Row]) -> frozenset[Right]:
    return frozenset([Right(row[0], row[1]) for row in rows if row[0]])


def _user_statement(operation: Operation, condition: ColumnElement[bool], seconds: float) -> Select[Any]:
    """User, and one row for each right of theirs that the operation names (outer join: a user without any stays)."""
    right = held(operation)
    watched = watch(User.username, seconds) if seconds else ()
    return (
        select(right.c.action, right.c.resource, _some_dag(operation, roles_of(User.id)), *_USER, *watched)
        .outerjoin(user_role, user_role.c.user_id == User.id)
        .outerjoin(right, right.c.role_id == user_role.c.role_id)
        .where(condition)
    )


def _roles_statement(operation: Operation, names: BindParameter[Any], seconds: float) -> Select[Any]:
    right = held(operation)
    watched = watch(bindparam("owner", type_=String), seconds) if seconds else ()
    return (
        select(right.c.action, right.c.resource, _some_dag(operation, roles_named(names)), *watched)
        .select_from(Role)
        .outerjoin(right, right.c.role_id == Role.id)
        .where(Role.name.in_(names))
    )


def _some_dag(operation: Operation, roles: Select[Any]) -> ColumnElement[Any]:
    asked = dag_right_alone(operation)
    found = exists(dag_names(dag_action(operation), roles)) if asked else false()
    return found.label("some_dag")
