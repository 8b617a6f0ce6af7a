"""`windsock roles`: the default roles of the metadata database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from windsock.cli.base import examples, transaction, with_config

if TYPE_CHECKING:
    from windsock.config import Config


@click.group()
def roles() -> None:
    """Bring the default roles up to date."""


@roles.command(epilog=examples("roles sync --config airflow.cfg"))
@with_config
def sync(config: Config) -> None:
    """Add what Admin, Op, User, Viewer and Public lack, as `airflow sync-perm` does; nothing is taken away.

    A right of these roles that was removed comes back; what was added to them stays. Admin gets every right that is
    not on a single DAG, and every other role the right to Airflow's home page.
    """
    from windsock.roles import sync as sync_roles

    with transaction(config) as connection:
        added = sync_roles(connection)
    for role, rights in added.items():
        click.echo(f"{role}: added {', '.join(rights) or 'the role'}")
    if not added:
        click.echo("The default roles are up to date.")
