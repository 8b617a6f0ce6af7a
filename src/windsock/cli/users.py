"""`windsock users`: create and list users of the metadata database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from windsock.cli.base import examples, transaction, with_config
from windsock.cli.output import show, with_output

if TYPE_CHECKING:
    from windsock.config import Config

_PASSWORD = click.option(
    "--password",
    prompt=True,
    hide_input=True,
    confirmation_prompt=True,
    help="Asked for when it is not given, which keeps it out of the shell's history.",
)


@click.group()
def users() -> None:
    """Create and list users."""


@users.command(epilog=examples(
    "users create --username ada --email ada@example.com --first-name Ada --last-name Lovelace --role Admin",
))  # fmt: skip
@click.option("--username", required=True, metavar="NAME")
@click.option("--email", required=True, metavar="ADDRESS")
@click.option("--first-name", required=True, metavar="NAME")
@click.option("--last-name", required=True, metavar="NAME")
@click.option("--role", required=True, metavar="ROLE", help="Admin, Op, User, Viewer, Public or a role of your own.")
@_PASSWORD
@with_config
def create(config: Config, **fields: str) -> None:
    """Create an active user with one role."""
    from windsock.accounts import NewUser, create_user

    with transaction(config) as connection:
        create_user(connection, NewUser(**fields))
    click.echo(f"Created the user {fields['username']} with the role {fields['role']}.")


@users.command("list", epilog=examples("users list", "users list --output json"))
@with_output()
@with_config
def list_command(config: Config, form: str) -> None:
    """List all users with their roles."""
    from windsock.accounts import list_users

    with transaction(config) as connection:
        found = list_users(connection)
    names = ("username", "email", "first_name", "last_name", "active")
    show(({name: getattr(user, name) for name in names} | {"roles": list(user.roles)} for user in found), form)


@users.command("reset-password", epilog=examples("users reset-password --username ada"))
@click.option("--username", required=True, metavar="NAME")
@_PASSWORD
@with_config
def reset_password(config: Config, username: str, password: str) -> None:
    """Give a user a new password; it counts from the next request on."""
    from windsock.accounts import set_password

    with transaction(config) as connection:
        set_password(connection, username, password)
    click.echo(f"Changed the password of {username}.")
