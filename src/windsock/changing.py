"""Creating, changing and removing one row, as its schema takes it from the body of a request."""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import Insert, Select, insert, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from windsock import access, db, locks, outdated
from windsock.errors import AlreadyExists, BadRequest
from windsock.jsontext import to_json
from windsock.plans import Derived
from windsock.rows import RowSchema, missing, read

Row = TypeVar("Row")


def fetch(model: type[Row], **keys: Any) -> Row:
    """The one row with these attributes, as an entity of this transaction, locked until its end.

    Raises NotFound when it is not there or out of scope.
    """
    return lock(select(model).filter_by(**keys), model, **keys)


def lock(statement: Select[Any], model: type[Row], **keys: Any) -> Row:
    """The first row of `select(model)...` as `fetch` gives it; a NotFound names `keys`."""
    statement = access.scope(statement, model)
    locks.by_primary_key(statement, model)
    found = db.session().scalars(statement.with_for_update(key_share=True)).first()
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
