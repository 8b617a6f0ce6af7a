"""`windsock db init` makes the database that a fresh Airflow 2.11.2 makes; `windsock db check` knows it again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session, selectinload

from databases import KINDS, engine_of, fresh
from windsock import migrate
from windsock.models import AlembicVersion, LogTemplate, Permission, Pool, Role
from windsock.revisions import RELEASES, Release


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database."""
    with fresh(request.param, tmp_path) as url:
        engine = engine_of(url)
        yield engine
        engine.dispose()


def run(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def test_a_new_database_has_the_known_revision_and_the_default_rows(engine: Engine) -> None:
    migrate.init(engine)
    assert migrate.check(engine) == "5f2621c13b39"
    with Session(engine) as session:
        pool = session.scalars(select(Pool)).one()
        assert (pool.pool, pool.slots, pool.description, pool.include_deferred) == (
            "default_pool",
            128,
            "Default pool",
            False,
        )
        assert session.scalars(select(LogTemplate.filename)).one().endswith("attempt={{ try_number }}.log")


def test_the_default_roles_have_as_many_permissions_as_in_airflow(engine: Engine) -> None:
    migrate.init(engine)
    permission = selectinload(Role.permissions)
    query = select(Role).options(permission.joinedload(Permission.action), permission.joinedload(Permission.resource))
    with Session(engine) as session:
        roles = {
            role.name: {(permission.action.name, permission.resource.name) for permission in role.permissions}
            for role in session.scalars(query.order_by(Role.id))
        }
        assert session.scalar(select(func.count()).select_from(Permission)) == 92
    assert {name: len(held) for name, held in roles.items()} == {
        "Admin": 92,
        "Public": 0,
        "Viewer": 30,
        "User": 39,
        "Op": 63,
    }
    assert ("can_edit", "DAGs") in roles["User"] - roles["Viewer"]
    assert ("can_create", "Variables") in roles["Op"] - roles["User"]
    assert ("can_read", "Audit Logs") in roles["Admin"] - roles["Op"]


def test_a_database_with_tables_is_left_alone(engine: Engine) -> None:
    run(engine, "create table precious (id integer)")
    with pytest.raises(migrate.SchemaError, match=r"not empty.*'precious'"):
        migrate.init(engine)
    with pytest.raises(migrate.SchemaError, match="no alembic_version"):
        migrate.check(engine)


def test_a_second_init_is_refused(engine: Engine) -> None:
    migrate.init(engine)
    with pytest.raises(migrate.SchemaError, match="not empty"):
        migrate.init(engine)
    assert migrate.check(engine) == migrate.REVISION


def test_an_empty_database_is_sent_to_init(engine: Engine) -> None:
    with pytest.raises(migrate.SchemaError, match="`windsock db init`"):
        migrate.check(engine)


@pytest.mark.parametrize("revision", ["29ce7909c52b", "788397e78828", "e07f49787c9d"])  # 3.0, amid 2.7, 2.4.3
def test_an_unknown_revision_is_refused_with_the_way_out(engine: Engine, revision: str) -> None:
    migrate.init(engine)
    run(engine, f"update alembic_version set version_num = '{revision}'")
    advice = r"Airflow 2\.5 to 2\.11.*`airflow db migrate`.*upgrade Windsock"
    with pytest.raises(migrate.SchemaError, match=advice) as raised:
        migrate.check(engine)
    assert revision in str(raised.value)


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.version)
def test_the_revisions_of_2_5_to_2_11_are_known_and_older_ones_come_with_a_reservation(
    engine: Engine, release: Release
) -> None:
    migrate.init(engine)
    for revision in release.revisions:
        run(engine, f"update alembic_version set version_num = '{revision}'")
        assert migrate.check(engine) == revision
        said = migrate.reservation(revision)
        assert f"schema of Airflow {release.version}:" in said if release is not RELEASES[-1] else said == ""


def test_a_database_without_a_revision_is_sent_to_airflow(engine: Engine) -> None:
    migrate.init(engine)
    run(engine, f"delete from {AlembicVersion.__tablename__}")
    with pytest.raises(migrate.SchemaError, match="`airflow db migrate`"):
        migrate.check(engine)
