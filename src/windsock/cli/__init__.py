"""The command line: `windsock COMMAND`."""

from __future__ import annotations

import click

from windsock.cli import config, db, demo, roles, serve, spec, standalone, tokens, users, where
from windsock.cli.base import OneLineErrors, accept_config


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Serve the Airflow stable REST API from an Airflow metadata database."""


@main.command()
@accept_config
def version() -> None:
    """Print the version of Windsock."""
    from importlib.metadata import version as installed

    click.echo(installed("windsock"))


for _command in (standalone.standalone, serve.serve, db.db, users.users, roles.roles, tokens.tokens, config.config,
                 demo.demo, spec.spec, where.where):  # fmt: skip
    main.add_command(_command)
