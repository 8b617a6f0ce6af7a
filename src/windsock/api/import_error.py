"""Files from which no DAG could be read."""

from __future__ import annotations

from functools import cache
from typing import Any

from marshmallow import fields
from sqlalchemy import ColumnElement, select

from windsock import access, db
from windsock.access import Reach
from windsock.context import context
from windsock.listing import page
from windsock.models import Dag, DagImportError
from windsock.rows import Derived, RowSchema, Timestamp, also, narrowed, one

_REDACTED = "Redacted: this file also holds DAGs that you may not read"


def _without_secrets(trace: str | None) -> str | None:
    return None if trace is None else context.vault.masker.mask_code(trace)


class ImportErrorSchema(RowSchema):
    """An error of one file."""

    model, plural = DagImportError, "import_errors"
    import_error_id = fields.Integer(attribute="id")
    timestamp = Timestamp()
    filename = fields.String()
    stack_trace = Derived(_without_secrets, "stacktrace")


import_error_schema = ImportErrorSchema()


@cache
def _visible(reach: Reach) -> tuple[ColumnElement[bool], ...]:
    """That a file holds a DAG which the caller may read; nothing for who may read all DAGs."""
    files = access.narrow(select(Dag.fileloc), Dag, reach)
    return () if reach is Reach.ALL else (DagImportError.filename.in_(files),)


def _redact(items: list[dict[str, Any]]) -> None:
    """A stack trace shows the code of the whole file, so hide those of files with DAGs that the caller may not read."""
    if access.touches_all() or not items:
        return
    own = access.scope(select(Dag.dag_id), Dag)
    names = [item["filename"] for item in items]
    mixed = set(db.execute(select(Dag.fileloc).where(Dag.fileloc.in_(names), Dag.dag_id.not_in(own))).scalars())
    for item in items:
        if item["filename"] in mixed:
            item["stack_trace"] = _REDACTED


def get_import_errors(fields: list[str] | None = None, **query: Any) -> dict[str, Any]:
    """List import errors."""
    found = page(import_error_schema, {**query, "fields": also(fields, "filename")}, *_visible(access.reach(Dag)))
    _redact(found["import_errors"])
    return {**found, "import_errors": [narrowed(item, fields) for item in found["import_errors"]]}


def get_import_error(import_error_id: int, fields: list[str] | None = None) -> dict[str, Any]:
    """Show an import error."""
    statement = select(DagImportError).where(DagImportError.id == import_error_id, *_visible(access.reach(Dag)))
    found = one(statement, import_error_schema, also(fields, "filename"), id=import_error_id)
    _redact([found])
    return narrowed(found, fields)
