"""Who may do what: the gate (401, 403, 406) before anything else is looked at, and the scope (which DAGs)."""

from __future__ import annotations

import logging
from dataclasses import replace
from enum import Enum
from functools import lru_cache
from typing import Any, cast

from flask import Request, g, request
from sqlalchemy import BindParameter, ColumnElement, Text, and_, bindparam, literal, or_, select, true

from windsock import db
from windsock.accepting import preferred
from windsock.callers import Caller, dag_id, dag_right_alone, find_by_roles
from windsock.context import caller as current_caller
from windsock.context import context, kept
from windsock.context import operation as current_operation
from windsock.errors import PermissionDenied, Unauthenticated
from windsock.grants import PER_DAG, Granted, TextArray, among, dag_action, each, granted, readable, resources
from windsock.spec import Operation
from windsock.spec import Permission as Right

log = logging.getLogger(__name__)


# ---------------------------------------------------------------- who, and what
def gate(operation: Operation, asked: Request) -> None:
    """Refuse who is not known (401), who may not (403, naming what is missing) and what cannot be produced (406)."""
    state = kept()
    state.operation = operation
    if not operation.public:
        state.caller = known = _authenticate(asked)
        _authorise(operation, known)
        db.may_use_replica()
    _negotiate(operation, asked)


def confirm(operation: Operation, caller: Caller) -> None:
    """Look again, while an answer goes on, whether its caller is still somebody who may have it.

    Raises Unauthenticated and PermissionDenied, also when the user's password is another one by now.
    """
    g.operation = operation
    found = caller.again()
    if found is None or not found.active or found.password != caller.password:
        raise _stranger("The credentials are no longer valid")
    g.caller = replace(found, read_only=caller.read_only, anonymous=caller.anonymous)
    _authorise(operation, g.caller)


def _authenticate(asked: Request) -> Caller:
    for backend in context.backends:
        found = backend(asked)
        if found is not None and found.active:
            return found
    nobody = None if asked.authorization or "Authorization" in asked.headers else _anonymous()
    if nobody is None:
        raise _stranger("Valid credentials are needed; see [api] auth_backends for the ways this server takes them")
    return nobody


def _anonymous() -> Caller | None:
    """Who sends no credentials, if `[windsock] anonymous_role` names a role for them. Wrong credentials stay wrong."""
    role = context.config.get("windsock", "anonymous_role")
    found = find_by_roles("anonymous", "Anonymous", (role,)) if role else None
    if role and found is None:
        _complain(role)
    return found and replace(found, anonymous=True)


@lru_cache(16)
def _complain(role: str) -> None:
    log.warning("[windsock] anonymous_role: there is no role %r, so requests without credentials are refused", role)


def _stranger(detail: str) -> Unauthenticated:
    """A 401 with every challenge once, each in a header of its own: not all clients split a list of them."""
    challenges = dict.fromkeys(backend.challenge for backend in context.backends)  # type: ignore[attr-defined]
    given = request.authorization
    wrong = ', error="invalid_token"' if given is not None and given.type == "bearer" else ""  # RFC 6750
    said = [text + wrong if text.startswith("Bearer ") else text for text in challenges]
    return Unauthenticated(detail, {"WWW-Authenticate": said})


def _authorise(operation: Operation, caller: Caller) -> None:
    if caller.read_only and operation.audit:
        raise PermissionDenied(f"{caller.username!r} came with a token that may only read")
    if caller.rights.issuperset(operation.permissions):
        return
    missing = [right for right in operation.permissions if not _holds(operation, caller, right)]
    if not missing:
        return
    lacks = f"lacks {', '.join(map(str, missing))}" + (f" on DAG {dag_id()!r}" if dag_id() else "")
    if caller.anonymous:
        raise _stranger(f"Without credentials this is refused: the role of anonymous callers {lacks}")
    raise PermissionDenied(f"{caller.username!r} {lacks}")


def _holds(operation: Operation, caller: Caller, right: Right) -> bool:
    if right in caller.rights:
        return True
    if right.resource not in PER_DAG:
        return False
    if asked := dag_id():
        prefix = PER_DAG[right.resource]
        held = (r.resource for r in caller.rights if r.action == right.action and r.resource.startswith(prefix))
        # of the DAG or of the one around it, and spelt like it: MySQL finds other spellings as well
        return any(f"{asked}.".startswith(f"{name.removeprefix(prefix)}.") for name in held)
    if right.resource != "DAGs":
        return False
    return caller.some_dag if dag_right_alone(operation) else True  # rows are narrowed by `scope`


def _negotiate(operation: Operation, asked: Request) -> None:
    _, produced = operation.success
    if produced and asked.environ.get("HTTP_ACCEPT", "*/*") != "*/*":
        preferred(*produced)


# ---------------------------------------------------------------- which DAGs
class Reach(Enum):
    """How many of the DAGs whose rows are asked for the caller may touch."""

    ALL, MANY, FEW = "all", "many", "few"


def scope(statement: Any, model: type[Any]) -> Any:
    """Narrow a statement to the rows of DAGs that the caller may touch; rows that belong to no DAG stay."""
    return narrow(statement, model, reach(model))


def reach(model: type[Any]) -> Reach:
    """How far the caller reaches among the rows of a model: the part of `scope` that a statement is made for."""
    if getattr(model, "dag_id", None) is None or touches_all():
        return Reach.ALL
    return Reach.FEW if _granted().few else Reach.MANY


def narrow(statement: Any, model: type[Any], reach: Reach, counting: bool = False) -> Any:
    """Narrow a statement as `scope` does, for all callers who reach so far.

    A count tells the planner the ids of those DAGs. Anything else asks row by row, unless they are few: a page is full
    after some rows in its order.
    """
    if reach is Reach.ALL:
        return statement
    column: Any = model.dag_id
    if counting or column.nullable:
        within = among(column, _IDS, _ARRAY) if counting else _within(column)
        return statement.where(or_(column.is_(None), within) if column.nullable else within)
    return statement.where(_within(column) if reach is Reach.FEW else _within(column).is_(True))


def touches_all() -> bool:
    """Whether the caller may touch every DAG, or the operation is a public one."""
    who = current_caller()
    return who is None or who.may(dag_action(current_operation()), "DAGs")


def touches(column: Any) -> ColumnElement[bool]:
    """Whether `column` is the id of a DAG that the caller may touch; one condition for all who may not touch all."""
    return true() if touches_all() else _within(column)


def beyond(column: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether `column` is the id of a DAG that the caller, who may not touch all, may not touch."""
    return and_(column.is_not(None), among(column, _IDS, _ARRAY).is_not(True))


@lru_cache(64)
def _within(column: Any) -> ColumnElement[bool]:
    return column.in_(select(each(_IDS, _ARRAY)))


def _granted() -> Granted:
    """The DAGs that this request's caller may touch, who has no right on all."""
    if "granted" not in g:
        g.granted = granted(dag_action(current_operation()), cast(Caller, current_caller()).roles)
    return cast(Granted, g.granted)


#: The ids of those DAGs, which the request has when a statement with them is sent.
_IDS: BindParameter[Any] = bindparam("granted", type_=Text(), callable_=lambda: _granted().ids)
_ARRAY: BindParameter[Any] = bindparam("granted_array", type_=TextArray(), callable_=lambda: _granted().array)


def holds(column: Any, right: Right) -> ColumnElement[bool]:
    """Whether the caller holds a right, named as that on all DAGs, on the DAG whose id is in `column`."""
    roles = cast(Caller, current_caller()).roles
    on_all = literal(right.resource).in_(resources(right.action, roles))
    return or_(on_all, readable(column, right.action, roles, PER_DAG[right.resource]))
