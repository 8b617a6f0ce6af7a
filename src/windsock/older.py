"""Reading the database of an older Airflow as if it had the tables and columns of the latest one.

The models stay as they are. Statements for such a database are compiled to other SQL: in the place of a column that is
not there stands what Airflow's own migration would write into it, in the place of a table one without rows; what is
written leaves such columns out. Compiled statements are kept by their engine, so a request pays nothing for it.
"""

from __future__ import annotations

import copy
from typing import Any

from sqlalchemy import Column, Engine, Table, cast, false, literal_column, null, select
from sqlalchemy.engine import Dialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.sql.base import DedupeColumnCollection
from sqlalchemy.sql.compiler import SQLCompiler

from windsock.revisions import LATEST, Found, find


def adapt(engine: Engine, connection: DBAPIConnection) -> None:
    """Compile the statements of an engine for the schema that its database has; one that is unknown is the latest.

    `windsock.migrate.check` is what refuses an unknown schema.
    """
    found = _found(connection)
    if found and (found.columns or found.tables):
        usual = engine.dialect.statement_compiler
        engine.dialect.statement_compiler = type("OlderCompiler", (_Older, usual), {"found": found})


def schema_of(dialect: Dialect) -> Found:
    """The schema that statements of an engine are compiled for, once it has connected."""
    return getattr(dialect.statement_compiler, "found", _LATEST)


_LATEST = find(LATEST) or Found("", {}, frozenset())


def _found(connection: DBAPIConnection) -> Found | None:
    cursor = connection.cursor()
    try:
        cursor.execute("SELECT version_num FROM alembic_version")
        revisions = cursor.fetchall()
        return find(revisions[0][0]) if len(revisions) == 1 else None
    except Exception:  # each driver has its own for a table that is not there
        return None
    finally:
        cursor.close()
        connection.rollback()


class _Older(SQLCompiler):
    """What is put before the compiler of a dialect."""

    found: Found

    def visit_column(self, column: Any, *args: Any, **kwargs: Any) -> str:
        there = super().visit_column(column, *args, **kwargs)  # also notes which column of the result this is
        lacking = self.found.columns.get(_table_name(column.table), {})
        return self._instead(column, lacking[column.name]) if column.name in lacking else there

    def _instead(self, column: Any, value: Any) -> str:
        if value is not None:
            return self.process(false() if value is False else literal_column(str(value)))
        return self.process(self._null(column))

    def _null(self, column: Any) -> Any:
        """PostgreSQL takes a bare NULL for a text, and refuses to sort by one."""
        return cast(null(), column.type) if self.dialect.name == "postgresql" else null()

    def visit_table(self, table: Any, asfrom: bool = False, **kwargs: Any) -> str:  # type: ignore[override]
        if table.name not in self.found.tables or not asfrom:
            return super().visit_table(table, asfrom=asfrom, **kwargs)
        columns = [self._null(column).label(column.name) for column in table.columns]
        empty = f"({self.process(select(*columns).where(false()), asfrom=True)})"
        aliased = getattr(kwargs.get("enclosing_alias"), "element", None) is table
        return empty if aliased else f"{empty} AS {self.preparer.quote(table.name)}"

    def visit_insert(self, insert_stmt: Any, *args: Any, **kwargs: Any) -> str:
        return super().visit_insert(self._reduced(insert_stmt), *args, **kwargs)

    def _reduced(self, statement: Any) -> Any:
        """An INSERT of the columns that are there."""
        lacking = self.found.columns.get(statement.table.name)
        if not lacking:
            return statement
        reduced = statement._clone()
        reduced.table = _reduced(statement.table, lacking.keys())
        if statement._values:
            reduced._values = {c: v for c, v in statement._values.items() if getattr(c, "name", c) not in lacking}
        return reduced


def _table_name(table: Any) -> str:
    """The name of the table that a column belongs to, also through an alias; a subquery has none."""
    table = getattr(table, "element", table)
    return table.name if isinstance(table, Table) else ""


def _reduced(table: Table, lacking: Any) -> Table:
    """A table with the same columns, but for some; the columns still say that they belong to the whole table."""
    columns: DedupeColumnCollection[Column[Any]] = DedupeColumnCollection(
        [(column.key, column) for column in table.columns if column.name not in lacking]
    )
    reduced = copy.copy(table)
    reduced.__dict__.update(_columns=columns, columns=columns.as_readonly(), c=columns.as_readonly())
    return reduced
