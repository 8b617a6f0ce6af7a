"""`windsock config`: show what is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from windsock.cli.base import with_config

if TYPE_CHECKING:
    from windsock.config import Config


@click.group()
def config() -> None:
    """Show the configuration that is in force."""


@config.command("get-value")
@click.argument("section")
@click.argument("key")
@with_config
def get_value(config: Config, section: str, key: str) -> None:
    """Print the value of one option, a secret one too."""
    click.echo(config.get(section, key))


@config.command("list")
@with_config
def list_command(config: Config) -> None:
    """Print every option in the format of airflow.cfg, secrets hidden."""
    for section in config.sections():
        click.echo(f"[{section}]")
        for key, value in config.items(section):
            click.echo(f"{key} = {value}")
        click.echo()
