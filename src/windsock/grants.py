"""Statements over the tables of rights: a role holds pairs of action and resource.

`DAG:<id>` and `DAG Run:<id>` are the resources of one DAG, `DAGs` and `DAG Runs` those of all. A DAG that is named
`DAGs` has the resource `DAG:DAGs`, so the names of the two kinds never meet.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Select,
    Subquery,
    Text,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import UserDefinedType

from windsock import db
from windsock.models import Action, Dag, Permission, Resource, Role, User, role_permission, user_role
from windsock.spec import Operation
from windsock.spec import Permission as Right

#: Resource of all DAGs -> prefix of the resource of one.
PER_DAG = {"DAGs": "DAG:", "DAG Runs": "DAG Run:"}
#: Up to so many DAGs, an index finds their rows sooner than a look at one row after the other.
FEW = 100


@cache
def dag_action(operation: Operation) -> str:
    """The action on DAGs that the operation asks for; `can_read` when it names none."""
    return next((right.action for right in operation.permissions if right.resource == "DAGs"), "can_read")


@lru_cache(128)
def roles_of(user_id: Any) -> Select[Any]:
    """The ids of the roles of a user, whose own id is an int or a column."""
    mine = user_role.alias()  # the statement around it may join the table itself
    return select(mine.c.role_id).where(mine.c.user_id == user_id).correlate(User)


@lru_cache(64)
def roles_named(names: Any) -> Select[Any]:
    """The ids of the roles with these names, a tuple or an expanding parameter."""
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


def readable(column: Any, action: str, roles: Select[Any], prefix: str = PER_DAG["DAGs"]) -> Any:
    """Whether `column` is the id of a DAG on which the roles hold `action`, or of a sub-DAG of one."""
    own = dag_names(action, roles, prefix)
    return column.in_(union_all(own, select(Dag.dag_id).where(Dag.root_dag_id.in_(own))))


# ---------------------------------------------------------------- thousands of grants: read once, bound as one text
class Granted(NamedTuple):
    """The sorted ids of some DAGs, as a JSON array and as PostgreSQL writes an array; an index is of use if few."""

    ids: str
    array: str
    few: bool


class TextArray(UserDefinedType[str]):
    """An array of PostgreSQL, as text: to send thousands of strings in a list takes a millisecond."""

    cache_ok, render_bind_cast = True, True

    def get_col_spec(self, **kw: Any) -> str:
        """The name of the type."""
        return "TEXT[]"


def each(ids: ColumnElement[str], array: ColumnElement[str]) -> ColumnElement[str]:
    """The ids as the column of a table; they are given as the text of a JSON array and, for PostgreSQL, as an array."""
    return _Each(ids, array).table_valued("value").c.value


def among(column: ColumnElement[str], ids: ColumnElement[str], array: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a column is one of the ids, given as for `each`.

    The planner of PostgreSQL knows of an array how many there are and how often each occurs.
    """
    return _Among(column, ids, array)


def granted(action: str, roles: Select[Any]) -> Granted:
    """The DAGs on which the roles hold `action` by a right of its own, and the sub-DAGs of those; in one statement."""
    return _granted(*db.fresh_rows(_everything, action, roles, values={})[0])


def _everything(action: str, roles: Select[Any]) -> Select[Any]:
    """The names of all that the roles may do `action` on, and as such names their sub-DAGs.

    No condition on the names, and none that could be turned into a join: both mislead the planners.
    """
    mine = select(role_permission.c.permission_view_id).where(role_permission.c.role_id.in_(roles))
    names = (
        select(_Gathered(Resource.name))
        .join(Permission, Permission.view_menu_id == Resource.id)
        .where(Permission.permission_id == select(Action.id).where(Action.name == action).scalar_subquery())
        .where(Permission.id.in_(mine).is_(True))
    )
    root = resources(action, roles).where(Resource.name == PER_DAG["DAGs"] + Dag.root_dag_id)
    below = select(_Gathered(PER_DAG["DAGs"] + Dag.dag_id)).where(Dag.root_dag_id.is_not(None), exists(root))
    return select(names.scalar_subquery(), below.scalar_subquery())


@lru_cache(16)
def _granted(*lists: str | None) -> Granted:
    prefix = PER_DAG["DAGs"]
    names = {name for found in lists for name in orjson.loads(found or "[]") if name.startswith(prefix)}
    ids = sorted(name[len(prefix) :] for name in names)
    return Granted(orjson.dumps(ids).decode(), _array(ids), len(ids) <= FEW)


def _array(ids: list[str]) -> str:
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in ids)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


class _Gathered(FunctionElement[str]):
    """The values of a column as the text of a JSON array; None, or an empty array, when there are none."""

    type, inherit_cache = Text(), True


class _Each(FunctionElement[str]):
    """The strings of a JSON array as rows with the column `value`."""

    inherit_cache = True


class _Among(FunctionElement[bool]):
    """Whether a column is in an array; see `among`."""

    type, inherit_cache = Boolean(), True


@compiles(_Gathered)
def _json_agg(element: Any, compiler: Any, **kwargs: Any) -> str:
    return f"CAST(json_agg({compiler.process(element.clauses, **kwargs)}) AS TEXT)"


@compiles(_Gathered, "sqlite")
def _json_group_array(element: Any, compiler: Any, **kwargs: Any) -> str:
    return f"json_group_array({compiler.process(element.clauses, **kwargs)})"


@compiles(_Gathered, "mysql")
def _json_arrayagg(element: Any, compiler: Any, **kwargs: Any) -> str:
    return f"json_arrayagg({compiler.process(element.clauses, **kwargs)})"


@compiles(_Each)
def _unnest(element: Any, compiler: Any, **kwargs: Any) -> str:
    _, array = element.clauses
    return f"(SELECT unnest({compiler.process(array, **kwargs)}) AS value)"


@compiles(_Each, "sqlite")
def _json_each(element: Any, compiler: Any, **kwargs: Any) -> str:
    ids, _ = element.clauses
    return f"json_each({compiler.process(ids, **kwargs)})"


@compiles(_Among)
def _any_of(element: Any, compiler: Any, **kwargs: Any) -> str:
    column, _, array = element.clauses
    return f"{compiler.process(column, **kwargs)} = ANY ({compiler.process(array, **kwargs)})"


@compiles(_Among, "sqlite")
@compiles(_Among, "mysql")
def _in_json(element: Any, compiler: Any, **kwargs: Any) -> str:
    column, *both = element.clauses
    return compiler.process(column.in_(select(each(*both))), **kwargs)


@compiles(_Each, "mysql")
def _json_table(element: Any, compiler: Any, **kwargs: Any) -> str:
    kind = "varchar(250) CHARACTER SET utf8mb3 COLLATE utf8mb3_bin"  # that of the ids, so that their indexes are used
    ids, _ = element.clauses
    return f"json_table({compiler.process(ids, **kwargs)}, '$[*]' COLUMNS (value {kind} PATH '$'))"
