"""`windsock db`: make and check the schema of a metadata database."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from windsock.cli.base import engine, examples, with_config
from windsock.cli.output import progress

if TYPE_CHECKING:
    from windsock.config import Config


@click.group()
def db() -> None:
    """Create or check the schema of the metadata database."""


@db.command(epilog=examples("db init --config airflow.cfg"))
@with_config
def init(config: Config) -> None:
    """Create the tables, default roles and permissions of Airflow 2.11 in an empty database."""
    from windsock import migrate

    used = engine(config, create=True)
    mask = os.umask(0o077)  # a SQLite file is for this user alone
    try:
        with progress(len(migrate.TABLES), "Tables") as advance:
            migrate.init(used, advance)
    finally:
        os.umask(mask)
    click.echo(f"Created the schema of Airflow 2.11 (revision {migrate.REVISION}). Add a user: windsock users create")


@db.command(epilog=examples("db check --config airflow.cfg && echo fits"))
@with_config
def check(config: Config) -> None:
    """Say whether Windsock knows the schema; status 1 when it does not."""
    from windsock import migrate

    revision = migrate.check(engine(config))
    click.echo(f"The database has revision {revision}, which Windsock serves.")
    if said := migrate.reservation(revision):
        click.echo(said)
