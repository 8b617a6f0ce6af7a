"""The order in which MySQL locks what a row consists of there."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, inspect, select, tuple_

from windsock import db


def by_primary_key(statement: Select[Any], model: type[Any]) -> None:
    """On MySQL, lock the rows of `select(model)...` until the end of the transaction; other locks of them come later.

    InnoDB locks the entry of the index by which it finds a row, then the row. Who has the row, and comes by that index
    later, would wait for who has the entry and waits for the row. All who lock the row first wait in one line.
    """
    session = db.session()
    if session.get_bind().dialect.name != "mysql":
        return
    key = inspect(model).primary_key
    if found := session.execute(statement.with_only_columns(*key)).all():
        session.execute(select(*key).where(tuple_(*key).in_(found)).order_by(*key).with_for_update()).all()
