"""What is refused, or written otherwise, because the database is that of an older Airflow."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column

from windsock import db
from windsock.errors import BadRequest, PermissionDenied
from windsock.older import schema_of
from windsock.revisions import Found

_WAY_OUT = "Run `airflow db migrate` with Airflow 2.10 or 2.11"


def refuse(since: tuple[int, ...]) -> None:
    """Raise PermissionDenied for a change that only databases of this version and later take."""
    found = _here()
    if found.number < since:
        raise PermissionDenied(
            f"This change needs a database of Airflow {'.'.join(map(str, since))} or later; this one has the schema of "
            f"{found.version}, whose scheduler would misread it. {_WAY_OUT}"
        )


def refuse_value(column: Column[Any], member: str, value: Any) -> None:
    """Raise BadRequest for a value that the database has no column for, unless it is what is read there anyway."""
    found = _here()
    lacking = found.columns.get(column.table.name, {})
    if column.name in lacking and value != lacking[column.name]:
        raise BadRequest(
            f"Member {member!r} cannot be {value!r}: the database has the schema of Airflow {found.version}, which has "
            f"no column for it. {_WAY_OUT}"
        )


def longest_event() -> int:
    """How many characters of an event the audit log takes."""
    return _here().longest_event


def state_of_the_undone() -> str:
    """The state that tasks get which a failed run leaves undone."""
    return _here().state_of_the_undone


def uncounted() -> tuple[str, ...]:
    """The states in which the try of a task that has begun is not counted, until it goes on or ends."""
    return _here().uncounted


def _here() -> Found:
    """The schema of the database that this transaction changes."""
    return schema_of(db.session().connection().dialect)
