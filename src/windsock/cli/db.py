"""`windsock db`: make and check the schema of a metadata database."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from windsock.cli.base import engine, with_config

if TYPE_CHECKING:
    from windsock.config import Config


@click.group()
def db() -> None:
    """Create or check the schema of the metadata database."""


@db.command()
@with_config
def init(config: Config) -> None:
    """Create the tables, default roles and permissions of Airflow 2.11 in an empty database."""
    from windsock import migrate

    used = engine(config, create=True)
    mask = os.umask(0o077)  # a SQLite file is for this user alone
    try:
        migrate.init(used)
    finally:
        os.umask(mask)
    click.echo(f"Created the schema of Airflow 2.11 (revision {migrate.REVISION}). Add a user: windsock users create")


@db.command()
@with_config
def check(config: Config) -> None:
    """Say whether Windsock knows the schema; status 1 when it does not."""
    from windsock import migrate

    revision = migrate.check(engine(config))
    click.echo(f"The database has revision {revision}, which Windsock serves.")
