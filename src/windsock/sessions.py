"""Sessions of Airflow's web interface: whose they are, and their end."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, cast

from sqlalchemy import Connection, Table, bindparam, delete, select
from sqlalchemy.orm import Session

from windsock.models import WebSession

_LARGEST = 2**31 - 1


def now() -> datetime:
    """The present moment as the table stores it: UTC, without offset."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


def read(data: bytes | None) -> Any:
    """The session in a row, which is JSON; None for any other form."""
    try:
        return None if data is None else json.loads(data)
    except (ValueError, RecursionError):
        return None


def user_id(session: Any) -> int | None:
    """The number of a session's user: releases of Airflow store it as a number or as its digits."""
    given = session.get("_user_id") if isinstance(session, dict) else None
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) <= len(str(_LARGEST)):
        given = int(given)
    return given if type(given) is int and 0 < given <= _LARGEST else None


def end_all(connection: Connection | Session, of_user: int) -> None:
    """Delete a user's sessions, in the caller's transaction; rows that cannot be read sign nobody in, and stay."""
    living = select(WebSession.id, WebSession.data).where(WebSession.expiry > now())
    found = connection.execute(living, execution_options={"yield_per": 1000})
    ended = [{"ended": row.id} for row in found if user_id(read(row.data)) == of_user]
    if ended:
        table = cast(Table, WebSession.__table__)
        connection.execute(delete(table).where(table.c.id == bindparam("ended")), ended)
