"""Create the schema in an empty database, and tell whether a database has a schema that Windsock knows."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine, event, insert, inspect, select
from sqlalchemy.orm import Session

from windsock.models import (
    Action,
    AlembicVersion,
    Base,
    LogTemplate,
    Permission,
    Pool,
    Resource,
    Role,
)
from windsock.revisions import LATEST, RELEASES, find
from windsock.security_defaults import ACTIONS, DEFAULT_ROLES, default_permissions, default_resources

REVISION = LATEST
_KNOWN = f"Windsock knows the schemas of Airflow {RELEASES[0].version} to 2.11."

_LOG_FILENAME = (
    "dag_id={{ ti.dag_id }}/run_id={{ ti.run_id }}/task_id={{ ti.task_id }}/"
    "{% if ti.map_index >= 0 %}map_index={{ ti.map_index }}/{% endif %}attempt={{ try_number }}.log"
)
_ELASTICSEARCH_ID = "{dag_id}-{task_id}-{run_id}-{map_index}-{try_number}"


TABLES = tuple(Base.metadata.tables.values())


class SchemaError(Exception):
    """The database does not have the tables that are needed here; the text says what to do about it."""


def init(engine: Engine, advance: Callable[[int], None] = lambda tables: None) -> None:
    """Create all tables and the rows of a fresh Airflow 2.11.2; `advance` is called as tables are made.

    Raises SchemaError unless the database is empty.
    """
    with engine.begin() as connection:
        tables = inspect(connection).get_table_names()
        if tables:
            raise SchemaError(
                f"The database is not empty: it has {len(tables)} table(s), among them {tables[0]!r}. "
                "`windsock db init` creates tables in an empty database only. Check an existing one with "
                "`windsock db check`, or name an empty one in [database] sql_alchemy_conn."
            )
        for table in TABLES:
            event.listen(table, "after_create", lambda *_, **__: advance(1), once=True)
        Base.metadata.create_all(connection)
        _fill(connection)


def _fill(connection: Connection) -> None:
    connection.execute(insert(AlembicVersion).values(version_num=REVISION))
    with Session(connection) as session:
        session.add(Pool(pool=Pool.DEFAULT, slots=128, description="Default pool", include_deferred=False))
        session.add(LogTemplate(filename=_LOG_FILENAME, elasticsearch_id=_ELASTICSEARCH_ID))
        actions = {name: Action(name=name) for name in ACTIONS}
        resources = {name: Resource(name=name) for name in default_resources()}
        granted = default_permissions()
        permissions = {
            (action, resource): Permission(action=actions[action], resource=resources[resource])
            for action, resource in sorted(granted["Admin"])
        }
        for rows in (actions, resources, permissions):
            session.add_all(rows.values())
            session.flush()
        for name in DEFAULT_ROLES:
            session.add(Role(name=name, permissions=[permissions[pair] for pair in sorted(granted[name])]))
            session.flush()  # one by one, so that the ids follow the order
        session.commit()


def check(engine: Engine) -> str:
    """Return the database's revision. Raises SchemaError, with the way out, when it is missing or unknown."""
    with engine.connect() as connection:
        found = inspect(connection)
        if not found.has_table(AlembicVersion.__tablename__):
            raise SchemaError(_without_revision(empty=not found.get_table_names()))
        revisions = connection.scalars(select(AlembicVersion.version_num)).all()
    if not revisions:
        raise SchemaError(
            "The table alembic_version is empty, so a migration was interrupted or never ran. Run `airflow db migrate` "
            "with Airflow 2.10 or 2.11."
        )
    unknown = [revision for revision in revisions if find(revision) is None]
    if unknown:
        raise SchemaError(_unknown(unknown[0]))
    return revisions[0]


def reservation(revision: str) -> str:
    """What does not work with a known revision, for people; empty for the latest schema."""
    found = find(revision)
    if found is None or not (found.columns or found.tables):
        return ""
    return (
        f"It is the schema of Airflow {found.version}: what came later is null or empty, and some changes of runs and "
        "tasks are refused. Run `airflow db migrate` with Airflow 2.10 or 2.11 to have all of it."
    )


def _without_revision(*, empty: bool) -> str:
    if empty:
        return "The database is empty. Run `windsock db init` to create its tables."
    return (
        "The database has tables but no alembic_version, so it is not an Airflow metadata database. "
        "Check [database] sql_alchemy_conn, or run `windsock db init` on an empty database."
    )


def _unknown(revision: str) -> str:
    return (
        f"The database has the unknown revision {revision}. {_KNOWN} If it comes from an older Airflow, or a migration "
        "was interrupted, run `airflow db migrate` with Airflow 2.10 or 2.11; if it comes from a newer one, upgrade "
        "Windsock."
    )
