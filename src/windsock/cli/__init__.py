"""The command line: `windsock COMMAND`."""

from __future__ import annotations

import os

import click

from windsock.cli import completion, config, db, demo, doctor, roles, serve, spec, standalone, tokens, users, where
from windsock.cli.base import OneLineErrors, accept_config, examples

_EPILOG = """\b
Exit status:
  0  it is done
  1  it cannot be done: the message says why, in one line
  2  the command line is wrong
"""


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(package_name="windsock", message="%(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Serve the Airflow stable REST API from an Airflow metadata database."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False


@main.command(epilog=examples("version"))
@accept_config
def version() -> None:
    """Print the version of Windsock."""
    from importlib.metadata import version as installed

    click.echo(installed("windsock"))


for _command in (standalone.standalone, serve.serve, db.db, users.users, roles.roles, tokens.tokens, config.config,
                 demo.demo, doctor.doctor, spec.spec, where.where, completion.completion):  # fmt: skip
    main.add_command(_command)
