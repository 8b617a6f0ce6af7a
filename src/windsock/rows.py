"""Schemas of rows, and reading one row as its schema shows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

from marshmallow import Schema, fields
from marshmallow import missing as missing_
from sqlalchemy import Insert, Select, bindparam, insert, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from windsock import access, db, outdated
from windsock.context import operation
from windsock.errors import AlreadyExists, BadRequest, NotFound
from windsock.jsontext import to_json
from windsock.plans import Derived, Hidden, Plan, Timestamp, plan_of

__all__ = [
    "Derived", "Hidden", "RowSchema", "Timestamp", "also", "chosen", "missing", "narrowed", "one", "plan_of", "read",
]  # fmt: skip


Row = TypeVar("Row")


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


def fetch(model: type[Row], **keys: Any) -> Row:
    """The one row with these attributes, as an entity of this transaction, locked until its end.

    Raises NotFound when it is not there or out of scope.
    """
    return lock(select(model).filter_by(**keys), model, **keys)


def lock(statement: Select[Any], model: type[Row], **keys: Any) -> Row:
    """The first row of `select(model)...` as `fetch` gives it; a NotFound names `keys`."""
    found = db.session().scalars(access.scope(statement, model).with_for_update(key_share=True)).first()
    if found is None:
        raise missing(model, keys)
    return found


def create(schema: RowSchema, body: dict[str, Any], **columns: Any) -> dict[str, Any]:
    """Insert a row from a body and further columns, and dump it. Raises AlreadyExists when it is there already."""
    added = schema.model(**attributes(schema, body), **columns)
    db.session().add(added)
    return show(schema, added)


def add_missing(model: type[Any], rows: list[dict[str, Any]]) -> int:
    """Insert those rows, given by column, whose key is not there yet, whoever inserts it meanwhile; how many."""
    used = db.session().connection()
    kind = used.dialect.name
    if kind == "mysql":
        added: Insert = insert(model).prefix_with("IGNORE")
    else:
        added = (postgresql if kind == "postgresql" else sqlite).insert(model).on_conflict_do_nothing()
    return used.execute(added.execution_options(preserve_rowcount=True), rows).rowcount if rows else 0


def update(row: Any, schema: RowSchema, body: dict[str, Any], update_mask: list[str] | None = None) -> dict[str, Any]:
    """Change the members that the body gives, or of those only the ones in `update_mask`, and dump the row.

    Raises BadRequest as `accepted` does, AlreadyExists when a unique column would collide.
    """
    for name, value in attributes(schema, accepted(row, schema, body, update_mask)).items():
        if name in inspect(schema.model).relationships:
            db.session().refresh(row, [name])  # to see what goes and what comes
        setattr(row, name, value)
    return show(schema, row)


def remove(row: Any) -> None:
    """Delete a row."""
    db.session().delete(row)
    try:
        db.session().flush()
    except IntegrityError as error:
        raise AlreadyExists(f"Another row still refers to this {type(row).__name__}") from error


def show(schema: RowSchema, row: Any) -> dict[str, Any]:
    """Write a row and dump it as the database now has it."""
    unique = _unique(schema, row)  # a failed flush leaves the row unreadable
    try:
        db.session().flush()
    except IntegrityError as error:
        what = f"There is already a {schema.model.__name__} with {unique}"
        raise AlreadyExists(what) from error
    return _now(schema, row)


def _now(schema: RowSchema, row: Any) -> dict[str, Any]:
    """A row of this transaction, dumped as the database has it."""
    return read(schema, **{column.name: getattr(row, column.name) for column in inspect(schema.model).primary_key})


def _unique(schema: RowSchema, row: Any) -> str:
    """The members that no two rows may have alike, with their values."""
    columns = inspect(schema.model).columns
    known = ((name, field.attribute or name) for name, field in schema.fields.items())
    found = (f"{name} {getattr(row, to)!r}" for name, to in known if to in columns and columns[to].unique)
    return " or ".join(found) or "this key"


def attributes(schema: RowSchema, body: dict[str, Any]) -> dict[str, Any]:
    """The attributes of the model that the members of a body set.

    Raises BadRequest for a text that is too long and a null where the column takes none.
    """
    found: dict[str, Any] = {}
    for name, value in body.items():
        field = schema.fields[name]
        load = field.load if isinstance(field, Derived) else field.metadata.get("load")
        if load is not None:
            found |= load(value)
        else:
            found[field.attribute or name] = value
        _check_fits(schema.model, name, field.attribute or name, value)
    return found


def _check_fits(model: type[Any], name: str, attribute: str, value: Any) -> None:
    """Refuse what PostgreSQL would refuse; SQLite stores a text of any length."""
    column = inspect(model).columns.get(attribute)
    if column is not None and value is None and not column.nullable:
        raise BadRequest(f"Member {name!r} must not be null")
    longest = getattr(column.type, "length", None) if column is not None else None
    if longest and isinstance(value, str) and len(value) > longest:
        raise BadRequest(f"Member {name!r} has {len(value)} characters; it may have {longest}")
    if column is not None:
        outdated.refuse_value(column, name, value)


def accepted(row: Any, schema: RowSchema, body: dict[str, Any], mask: list[str] | None = None) -> dict[str, Any]:
    """The members of a body that are to change: those that the mask names, else all that are not only shown.

    Members that are only shown may come back unchanged. Raises BadRequest for an unknown or absent name in the mask and
    for a changed member that is only shown.
    """
    only_shown = {name for name, field in schema.fields.items() if field.dump_only}
    mask = None if mask is None else [name.strip() for name in mask]
    for name in mask or ():
        if name not in schema.fields or name in only_shown:
            known = ", ".join(sorted(schema.fields.keys() - only_shown))
            raise BadRequest(f"update_mask: {name!r} cannot be updated; known: {known}")
        if name not in body:
            raise BadRequest(f"update_mask: {name!r} is not in the request body")
    if mask is not None:
        return {name: body[name] for name in mask}
    if only_shown & body.keys():
        now = _now(schema, row)
        for name in sorted(only_shown & body.keys()):
            if to_json(body[name]) != to_json(now[name]):
                raise BadRequest(f"Member {name!r} is read-only; leave it out or as it is")
    return {name: value for name, value in body.items() if name not in only_shown}


def missing(model: type[Any], keys: dict[str, Any]) -> NotFound:
    """The 404 that names what was looked for."""
    named = ", ".join(f"{name} {value!r}" for name, value in keys.items())
    return NotFound(f"There is no {model.__name__} with {named}")
