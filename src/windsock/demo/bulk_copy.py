"""How bulk rows reach the database: COPY on PostgreSQL, executemany on SQLite, both without indexes in the way.

Values are as the database keeps them: moments as text in UTC, JSON as text, booleans as 0 and 1.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Connection, text

Rows = dict[str, list[tuple[Any, ...]]]  # by table

_KEY = ("task_id", "dag_id", "run_id", "map_index")
_TRY = (
    *_KEY, "start_date", "end_date", "duration", "state", "max_tries", "hostname", "unixname", "job_id", "queued_dttm",
    "queued_by_job_id", "pid", "pool", "pool_slots", "queue", "priority_weight", "operator", "custom_operator_name",
    "executor_config", "updated_at", "rendered_map_index", "task_display_name", "try_number",
)  # fmt: skip
#: The tables of bulk rows, in an order that foreign keys allow, and the columns that are written.
COLUMNS: dict[str, tuple[str, ...]] = {
    "dag_run": ("id", "dag_id", "queued_at", "execution_date", "start_date", "end_date", "state", "run_id",
                "creating_job_id", "external_trigger", "run_type", "conf", "data_interval_start", "data_interval_end",
                "last_scheduling_decision", "dag_hash", "log_template_id", "updated_at", "clear_number"),
    "task_instance": _TRY,
    "task_instance_history": ("id", *_TRY),
    "task_instance_note": (*_KEY, "content", "user_id", "created_at", "updated_at"),
    "task_fail": ("id", *_KEY, "start_date", "end_date", "duration"),
    "task_reschedule": ("id", *_KEY, "try_number", "start_date", "end_date", "duration", "reschedule_date"),
    "task_map": (*_KEY, "length"),
    "rendered_task_instance_fields": ("dag_id", "task_id", "run_id", "map_index", "rendered_fields"),
    "xcom": ("dag_run_id", "task_id", "map_index", "key", "dag_id", "run_id", "value", "timestamp"),
    "dag_run_note": ("user_id", "dag_run_id", "content", "created_at", "updated_at"),
    "dataset_event": ("id", "dataset_id", "extra", "source_task_id", "source_dag_id", "source_run_id",
                      "source_map_index", "timestamp"),
    "dagrun_dataset_event": ("dag_run_id", "event_id"),
    "log": ("id", "dttm", "dag_id", "task_id", "map_index", "event", "execution_date", "run_id", "owner",
            "owner_display_name", "extra", "try_number"),
}  # fmt: skip
_NEVER_NULL = {"task_instance": "hostname", "task_instance_history": "hostname"}  # the empty text is no NULL there

_CONSTRAINTS = """
    SELECT contype, conrelid::regclass::text AS "table", quote_ident(conname) AS name, pg_get_constraintdef(oid) AS body
    FROM pg_constraint
    WHERE contype IN ('p', 'u', 'f')
      AND (conrelid = ANY(CAST(:tables AS regclass[])) OR confrelid = ANY(CAST(:tables AS regclass[])))
    ORDER BY contype = 'f', contype, conname"""
_INDEXES = """
    SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS body
    FROM pg_index i LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p', 'u')
    WHERE i.indrelid = ANY(CAST(:tables AS regclass[])) AND c.oid IS NULL
    ORDER BY name"""

_SEQUENCES = """
    SELECT s.oid::regclass::text AS sequence, d.refobjid::regclass::text AS "table", quote_ident(a.attname) AS name
    FROM pg_class s
    JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i')
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE s.relkind = 'S' AND s.relnamespace = current_schema()::regnamespace"""


def stamp(moment: float) -> str:
    """Unix time as text, for both databases; PostgreSQL has to be told that its session is in UTC."""
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(" ", "microseconds")[:26]


def blob(connection: Connection) -> Callable[[bytes], Any]:
    """The function that makes of bytes what `write` takes."""
    return bytes if connection.dialect.name == "sqlite" else lambda value: f"\\x{value.hex()}"


def write(connection: Connection, rows: Rows) -> None:
    """Write rows of the tables in COLUMNS, in the caller's transaction."""
    cursor: Any = connection.connection.driver_connection.cursor()  # type: ignore[union-attr]
    for table, columns in COLUMNS.items():
        if not rows.get(table):
            continue
        names = ", ".join(f'"{name}"' for name in columns)
        if connection.dialect.name == "sqlite":
            marks = ", ".join("?" * len(columns))
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows[table])  # noqa: S608  # nosec B608
            continue
        body = io.StringIO()
        csv.writer(body).writerows(rows[table])
        forced = f", FORCE_NOT_NULL ({_NEVER_NULL[table]})" if table in _NEVER_NULL else ""
        with cursor.copy(f"COPY {table} ({names}) FROM STDIN (FORMAT csv{forced})") as copy:
            copy.write(body.getvalue())


@contextmanager
def without_indexes(connection: Connection) -> Iterator[None]:
    """Drop the indexes of the tables in COLUMNS, and build them again at the end; PostgreSQL's constraints, too.

    What is built is what the database itself said about the indexes.
    """
    dropping, building = _statements(connection)
    for statement in dropping:
        connection.exec_driver_sql(statement)
    yield
    for statement in building:
        connection.exec_driver_sql(statement)


def _statements(connection: Connection) -> tuple[list[str], list[str]]:
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(COLUMNS))
        query = f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql > '' AND tbl_name IN ({marks})"  # noqa: S608  # nosec B608
        found = connection.exec_driver_sql(query, tuple(COLUMNS)).all()
        return [f'DROP INDEX "{row.name}"' for row in found], [row.sql for row in found]
    tables = {"tables": list(COLUMNS)}
    constraints = connection.execute(text(_CONSTRAINTS), tables).all()
    indexes = connection.execute(text(_INDEXES), tables).all()
    dropping = [f"ALTER TABLE {row.table} DROP CONSTRAINT {row.name}" for row in reversed(constraints)]
    dropping += [f"DROP INDEX {row.name}" for row in indexes]
    keys = [f"ALTER TABLE {row.table} ADD CONSTRAINT {row.name} {row.body}" for row in constraints]
    first = sum(row.contype != "f" for row in constraints)  # foreign keys come last
    return dropping, [*keys[:first], *(row.body for row in indexes), *keys[first:]]


def advance_sequences(connection: Connection) -> None:
    """Let PostgreSQL number further rows of every table after those that were written with ids of ours."""
    if connection.dialect.name != "postgresql":
        return
    owned = connection.exec_driver_sql(_SEQUENCES).all()
    for row in owned:
        connection.exec_driver_sql(
            f"SELECT setval('{row.sequence}', max({row.name})) FROM {row.table} HAVING max({row.name}) > 0"  # noqa: S608  # nosec B608
        )
