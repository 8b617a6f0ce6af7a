"""Schemas of rows, and reading one row as its schema shows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from marshmallow import Schema, fields
from marshmallow import missing as missing_
from sqlalchemy import Select, select

from windsock import access
from windsock.errors import BadRequest, NotFound
from windsock.plans import Derived, Timestamp, plan_of

__all__ = ["Derived", "RowSchema", "Timestamp", "chosen", "missing", "one", "plan_of", "read"]


class RowSchema(Schema):
    """Members of one resource. `model` is the mapped class, `plural` the name of its collection in a list."""

    model: ClassVar[type[Any]]
    plural: ClassVar[str] = ""

    def on_bind_field(self, field_name: str, field_obj: fields.Field) -> None:
        """Show a member as null, rather than not at all, when the row that holds it is missing."""
        if field_obj.dump_default is missing_:
            field_obj.dump_default = None


def chosen(schema: RowSchema, names: Iterable[str] | None) -> frozenset[str] | None:
    """The members that `fields=` asks for; None means all. Raises BadRequest for an unknown one."""
    if names is None:
        return None
    unknown = sorted(set(names) - schema.fields.keys())
    if unknown:
        raise BadRequest(f"fields: {unknown[0]!r} is unknown; known: {', '.join(schema.fields)}")
    return frozenset(names)


def read(schema: RowSchema, only: Iterable[str] | None = None, **keys: Any) -> dict[str, Any]:
    """The one row whose attributes equal `keys`, dumped. Raises NotFound when it is not there or out of scope."""
    return one(select(schema.model).filter_by(**keys), schema, only, **keys)


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
