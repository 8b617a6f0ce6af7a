"""Refuses values that are too much for MySQL at once, instead of losing the connection, which looks like an outage."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event

from windsock.errors import BadRequest

#: Characters of a value; statements without longer ones are far below every limit, the least of which is 1 MB.
_LONG = 100_000


def limit(engine: Engine) -> None:
    """Let an engine raise BadRequest for a statement that is longer than the server's `max_allowed_packet`."""
    event.listen(engine, "connect", _ask)
    event.listen(engine, "before_cursor_execute", _refuse)


def _ask(connection: Any, record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        (record.info["most"],) = cursor.fetchone()


def _refuse(connection: Any, cursor: Any, statement: str, parameters: Any, _: Any, many: bool) -> None:
    """Rows that are sent together are parted by the driver."""
    most = connection.info["most"]
    if many or not any(isinstance(value, str | bytes) and len(value) > _LONG for value in parameters.values()):
        return
    if len(cursor.mogrify(statement, parameters).encode(errors="replace")) >= most:
        raise BadRequest(f"A value is too long: the database takes {most} bytes at once; see its max_allowed_packet")
