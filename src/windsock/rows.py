"""Schemas of rows, and reading one row as its schema shows it; `changing` has how one is changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from marshmallow import Schema, fields
from marshmallow import missing as missing_
from sqlalchemy import Select, bindparam, inspect, select

from windsock import access, db
from windsock.context import operation
from windsock.errors import BadRequest, NotFound
from windsock.plans import Derived, Hidden, Plan, Timestamp, plan_of

__all__ = [
    "Derived", "Hidden", "RowSchema", "Timestamp", "also", "chosen", "missing", "narrowed", "one", "plan_of", "read",
]  # fmt: skip


class RowSchema(Schema):
    """Members of one resource. `model` is the mapped class, `plural` the name of its collection in a list.

    `order` names attributes, never null, by which a list is sorted unless asked otherwise; then comes the primary key.
    `large` says that there may be millions of rows, of which a filter can leave a few anywhere in that order.
    """

    model: ClassVar[type[Any]]
    plural: ClassVar[str] = ""
    order: ClassVar[tuple[str, ...]] = ()
    large: ClassVar[bool] = False

    def on_bind_field(self, field_name: str, field_obj: fields.Field) -> None:
        """Show a member as null, rather than not at all, when the row that holds it is missing."""
        if field_obj.dump_default is missing_:
            field_obj.dump_default = None


def chosen(schema: RowSchema, names: Iterable[str] | None) -> frozenset[str] | None:
    """The members that `fields=` asks for; None means all. Raises BadRequest for an unknown one."""
    return _known(names, schema.dump_fields) if names else None


def narrowed(item: dict[str, Any], names: Iterable[str] | None) -> dict[str, Any]:
    """Of an object that is no row, the members that `fields=` asks for. Raises BadRequest for an unknown one."""
    if names is None:
        return item
    wanted = _known(names, item)
    return {name: value for name, value in item.items() if name in wanted}


def all_narrowed(items: list[dict[str, Any]], names: Iterable[str] | None) -> list[dict[str, Any]]:
    """The same of every object of a list; what is unknown is refused also when the list is empty."""
    if names is not None and not items:
        _known(names, operation().members)
    return [narrowed(item, names) for item in items]


def also(names: Iterable[str] | None, *further: str) -> list[str] | None:
    """What `fields=` asks for, and what a room needs besides; None means all."""
    return None if names is None else [*names, *further]


def _known(names: Iterable[str], known: Iterable[str]) -> frozenset[str]:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise BadRequest(f"fields: {unknown[0]!r} is unknown; known: {', '.join(known)}")
    return frozenset(names)


def read(schema: RowSchema, only: Iterable[str] | None = None, **keys: Any) -> dict[str, Any]:
    """The one row whose attributes equal `keys`, dumped; the first, if they are not all of the primary key.

    Raises NotFound when it is not there or out of scope.
    """
    plan = plan_of(schema, chosen(schema, only))
    found = db.rows(_one, plan, tuple(keys), access.reach(schema.model), values=keys)
    if not found:
        raise missing(schema.model, keys)
    return plan.items(found)[0]


def _one(plan: Plan, names: tuple[str, ...], reach: access.Reach) -> Select[Any]:
    found = plan.join(select(plan.model).filter_by(**{name: bindparam(name) for name in names}))
    further = [column for column in inspect(plan.model).primary_key if column.name not in names]
    if len(further) < len(inspect(plan.model).primary_key):
        found = found.order_by(*further)
    return plan.selected(access.narrow(found, plan.model, reach).limit(1))


def one(statement: Select[Any], schema: RowSchema, only: Iterable[str] | None = None, **keys: Any) -> dict[str, Any]:
    """The first row of `select(model)...`, dumped; a NotFound names `keys`."""
    plan = plan_of(schema, chosen(schema, only))
    found = plan.fetch(access.scope(plan.join(statement), schema.model).limit(1))
    if not found:
        raise missing(schema.model, keys)
    return found[0]


def missing(model: type[Any], keys: dict[str, Any]) -> NotFound:
    """The 404 that names what was looked for."""
    named = ", ".join(f"{name} {value!r}" for name, value in keys.items())
    return NotFound(f"There is no {model.__name__} with {named}")
