"""Who calls: a user of the database, or somebody who only brings names of roles; each found in one statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

from flask import g, request
from sqlalchemy import BindParameter, ColumnElement, Row, Select, String, bindparam, exists, false, select

from windsock import db
from windsock.context import context
from windsock.context import operation as current_operation
from windsock.grants import dag_action, dag_names, held, roles_named, roles_of
from windsock.models import Role, User, user_role
from windsock.replica import watch
from windsock.spec import Operation
from windsock.spec import Permission as Right

ANY = "~"


@dataclass(frozen=True)
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


def find_caller(condition: ColumnElement[bool], **parameters: Any) -> Caller | None:
    """The user that meets `condition` on `ab_user`, with the rights that matter here, in one statement.

    A back end that makes its condition once, with `bindparam`, and gives the values here saves building SQL each time.
    """
    seconds = _watched_seconds()
    rows = _rows(_user_statement(current_operation(), condition, seconds), parameters, seconds > 0)
    if not rows:
        return None
    first = rows[0]
    same = [row for row in rows if row.id == first.id]
    name = f"{first.first_name} {first.last_name}"
    known = (first.id, first.username, first.password, bool(first.active), name, _rights(same), bool(first.some_dag))
    again = partial(find_caller, condition, **parameters)
    return Caller(*known, first.last_login, roles_of(first.id), again=again)


def find_by_roles(username: str, display_name: str, names: Iterable[str]) -> Caller | None:
    """Somebody who is no user of the database but has the roles with these names; None if no such role exists."""
    given = sorted(set(names))
    seconds = _watched_seconds()
    parameters = {"role_names": given, "owner": username} if seconds else {"role_names": given}
    rows = _rows(_roles_statement(current_operation(), seconds), parameters, seconds > 0)
    if not rows:
        return None
    some_dag = bool(rows[0].some_dag)
    known = (None, username, None, True, display_name, _rights(rows), some_dag)
    again = partial(find_by_roles, username, display_name, given)
    return Caller(*known, None, roles_named(tuple(given)), again=again)


def _watched_seconds() -> float:
    """The seconds that a replica wants to know about; 0 where there is none."""
    replica = context.database.replica
    return replica.seconds if replica else 0


def _rows(statement: Select[Any], parameters: dict[str, Any], watched: bool) -> list[Row[Any]]:
    """The rows of a caller; what a replica wants to know of them stays with the request."""
    rows = db.fresh_rows(statement, {"dag_id": dag_id() or ANY, **parameters})
    if watched:
        g.watched = rows[0] if rows else None
    return rows


def dag_id() -> str | None:
    """The DAG that the path of this request names; None where it names none, all, or what no DAG is called."""
    found = (request.view_args or {}).get("dag_id", ANY)
    return None if found == ANY or "\0" in found else found  # validation refuses a NUL; PostgreSQL takes none


def dag_right_alone(operation: Operation) -> bool:
    """Whether an operation asks for nothing but a right on DAGs."""
    return {right.resource for right in operation.permissions} == {"DAGs"}


def _rights(rows: Iterable[Row[Any]]) -> frozenset[Right]:
    return frozenset(Right(row.action, row.resource) for row in rows if row.action)


@lru_cache(1024)
def _user_statement(operation: Operation, condition: ColumnElement[bool], seconds: float) -> Select[Any]:
    """User, and one row for each right of theirs that the operation names (outer join: a user without any stays)."""
    right = held(operation)
    user = (User.id, User.username, User.password, User.active, User.first_name, User.last_name, User.last_login)
    watched = watch(User.username, seconds) if seconds else ()
    return (
        select(*user, right.c.action, right.c.resource, _some_dag(operation, roles_of(User.id)), *watched)
        .outerjoin(user_role, user_role.c.user_id == User.id)
        .outerjoin(right, right.c.role_id == user_role.c.role_id)
        .where(condition)
    )


@lru_cache(256)
def _roles_statement(operation: Operation, seconds: float) -> Select[Any]:
    right = held(operation)
    watched = watch(bindparam("owner", type_=String), seconds) if seconds else ()
    names: BindParameter[Any] = bindparam("role_names", expanding=True)
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
