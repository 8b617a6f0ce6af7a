"""`windsock roles sync` adds what the default roles lack and takes nothing away."""

from __future__ import annotations

import shlex

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, func, insert, select

import factories as f
from windsock.cli import main
from windsock.models import Action, Permission, Resource, Role, role_permission
from windsock.roles import sync
from windsock.security_defaults import DEFAULT_ROLES, default_permissions, default_resources


def rights_of(connection, role: str) -> set[tuple[str, str]]:
    held = (
        select(Action.name, Resource.name)
        .select_from(role_permission)
        .join(Role, Role.id == role_permission.c.role_id)
        .join(Permission, Permission.id == role_permission.c.permission_view_id)
        .join(Action, Action.id == Permission.permission_id)
        .join(Resource, Resource.id == Permission.view_menu_id)
        .where(Role.name == role)
    )
    return {tuple(row) for row in connection.execute(held)}


def rows(connection) -> list[int]:
    tables = (Action.__table__, Resource.__table__, Permission.__table__, Role.__table__, role_permission)
    return [connection.scalar(select(func.count()).select_from(table)) for table in tables]


def remove_everything(connection) -> None:
    for table in (role_permission, Permission.__table__, Role.__table__, Action.__table__, Resource.__table__):
        connection.execute(delete(table))


def test_nothing_is_added_to_a_fresh_database(connection):
    before = rows(connection)
    assert sync(connection) == {}
    assert rows(connection) == before


def test_empty_tables_come_to_what_a_fresh_database_has(connection):
    fresh = rows(connection)
    remove_everything(connection)
    assert sync(connection).keys() == set(DEFAULT_ROLES)
    assert {role: rights_of(connection, role) for role in DEFAULT_ROLES} == default_permissions()
    assert rows(connection) == fresh
    assert set(connection.scalars(select(Resource.name))) == set(default_resources())
    assert sync(connection) == {}


def test_a_right_that_was_taken_from_a_default_role_comes_back(connection):
    viewer = connection.scalar(select(Role.id).where(Role.name == "Viewer"))
    connection.execute(delete(role_permission).where(role_permission.c.role_id == viewer))
    added = sync(connection)
    assert added.keys() == {"Viewer"} and "Pools.can_read" in added["Viewer"]
    assert rights_of(connection, "Viewer") == default_permissions()["Viewer"]


def test_what_an_administrator_added_stays(connection, session, add):
    extra = ["Pools.can_delete", "DAG:etl.can_edit", "Thing.can_read"]
    f.existing_roles(session, ["Viewer"])
    viewer = session.scalar(select(Role.id).where(Role.name == "Viewer"))
    for permission in f.permissions(session, extra):
        session.execute(insert(role_permission).values(role_id=viewer, permission_view_id=permission.id))
    add(f.role("clerk", permissions=f.permissions(session, ["DAG:etl.can_read", "Website.can_read"])))
    added = sync(connection)
    assert added == {"Admin": ["Thing.can_read"]}
    assert rights_of(connection, "Viewer") == default_permissions()["Viewer"] | {
        ("can_delete", "Pools"),
        ("can_edit", "DAG:etl"),
        ("can_read", "Thing"),
    }
    assert rights_of(connection, "clerk") == {("can_read", "DAG:etl"), ("can_read", "Website")}


def test_admin_gets_every_right_but_those_on_single_dags(connection, session):
    f.permissions(session, ["DAG:etl.can_edit", "DAG Run:etl.can_create", "Plugin View.can_read"])
    session.commit()
    assert sync(connection) == {"Admin": ["Plugin View.can_read"]}


def test_every_other_role_may_see_the_home_page(connection, add):
    add(f.role("clerk"))
    assert sync(connection) == {"clerk": ["Website.can_read"]}


def test_half_a_permission_is_passed_over(connection, add):
    add(Permission())
    assert sync(connection) == {}


# ---------------------------------------------------------------- the command
@pytest.fixture
def windsock(tmp_path):
    """Run a command on a fresh SQLite database."""
    config = tmp_path / "airflow.cfg"
    config.write_text(f"[database]\nsql_alchemy_conn = sqlite:///{tmp_path}/airflow.db\n")

    def run(line: str):
        return CliRunner().invoke(main, [*shlex.split(line), "--config", str(config)])

    assert run("db init").exit_code == 0
    return run


def test_the_command_says_what_it_added(windsock, tmp_path):
    import sqlite3

    assert windsock("roles sync").output == "The default roles are up to date.\n"
    with sqlite3.connect(tmp_path / "airflow.db") as connection:
        connection.execute("DELETE FROM ab_role WHERE name = 'Public'")
        connection.execute("INSERT INTO ab_role (name) VALUES ('clerk')")
    assert windsock("roles sync").output == "Public: added the role\nclerk: added Website.can_read\n"
    assert windsock("roles sync").output == "The default roles are up to date.\n"


def test_the_command_refuses_a_database_that_is_none_of_airflow(windsock, tmp_path):
    (tmp_path / "airflow.db").unlink()
    result = windsock("roles sync")
    assert result.exit_code == 1 and "does not exist" in result.output
    assert len(result.output.splitlines()) == 1
