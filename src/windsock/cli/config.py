"""`windsock config`: show what is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from windsock.cli.base import examples, with_config
from windsock.cli.output import show, structured, with_output

if TYPE_CHECKING:
    from windsock.config import Config


@click.group()
def config() -> None:
    """Show the configuration that is in force."""


@config.command("get-value", epilog=examples("config get-value api auth_backends"))
@click.argument("section")
@click.argument("key")
@with_config
def get_value(config: Config, section: str, key: str) -> None:
    """Print the value of one option, a secret one too."""
    click.echo(config.get(section, key))


@config.command("list", epilog=examples("config list", "config list --output table"))
@with_output("cfg")
@with_config
def list_command(config: Config, form: str) -> None:
    """Print every option, secrets hidden, in the format of airflow.cfg or another."""
    found = {section: dict(config.items(section)) for section in config.sections()}
    if form == "cfg":
        for section, options in found.items():
            click.echo("\n".join((f"[{section}]", *(f"{key} = {value}" for key, value in options.items()), "")))
    elif form == "table":
        show(({"section": s, "key": k, "value": v} for s, options in found.items() for k, v in options.items()), form)
    else:
        click.echo(structured(found, form), nl=False)
