"""`windsock tokens`: bearer tokens for the back end `token`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from windsock.cli.base import examples, transaction, with_config
from windsock.cli.output import show, with_output

if TYPE_CHECKING:
    from windsock.config import Config

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _lifetime(_context: click.Context, _option: click.Parameter, given: str) -> timedelta:
    """A number and a unit, as in 90d. Raises BadParameter for anything else."""
    found = re.fullmatch(r"([0-9]{1,6})([mhdw])", given)
    if found is None:
        raise click.BadParameter(f"{given!r} is no time; write minutes, hours, days or weeks as in 30m, 12h, 90d or 4w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


@click.group(short_help="Manage bearer tokens.")
def tokens() -> None:
    """Create, list and revoke bearer tokens for the back end `token`."""


@tokens.command(epilog=examples(
    "tokens create --user grafana", 'tokens create --user grafana --expires 12h --read-only --name "the dashboard"',
))  # fmt: skip
@click.option("--user", "username", required=True, metavar="NAME", help="Whose rights the token gives.")
@click.option("--expires", "lifetime", default="90d", show_default=True, metavar="TIME", callback=_lifetime,
              help="After which time: 30m, 12h, 90d or 4w.")  # fmt: skip
@click.option("--read-only", is_flag=True, help="Refuse the token every operation that changes something.")
@click.option("--name", default="", metavar="TEXT", help="What the token is for, shown in the list.")
@with_config
def create(config: Config, username: str, lifetime: timedelta, read_only: bool, name: str) -> None:
    """Print a new token, once: it is stored nowhere. The first one creates the table windsock_token.

    It is dead as soon as its user is deactivated, deleted or given another password, or when it is revoked.
    """
    from windsock.tokens import Wanted, make

    with transaction(config) as connection:
        made = make(connection, config, Wanted(username, lifetime, read_only, name))
    what = "reads only" if read_only else f"may do what {username} may"
    click.echo(f"Token {made.id} {what} and expires at {made.expires:%Y-%m-%d %H:%M} UTC. Keep it secret:", err=True)
    click.echo(made.text)


@tokens.command("list", epilog=examples("tokens list", "tokens list --user grafana --output yaml"))
@click.option("--user", "username", metavar="NAME", help="Only the tokens of this user.")
@with_output()
@with_config
def list_command(config: Config, username: str | None, form: str) -> None:
    """List the tokens that were not revoked, with their last characters. Times are in UTC."""
    from windsock.tokens import list_tokens

    with transaction(config) as connection:
        found = [token._asdict() for token in list_tokens(connection, config, username)]
    times = ("issued", "expires")
    show((token | {name: f"{token[name]:%Y-%m-%dT%H:%M:%SZ}" for name in times} for token in found), form)


@tokens.command(epilog=examples("tokens revoke 0d3f5a1c9be24788", "tokens revoke --user grafana"))
@click.argument("token_id", metavar="ID", required=False)
@click.option("--user", "username", metavar="NAME", help="All tokens of this user.")
@with_config
def revoke(config: Config, token_id: str | None, username: str | None) -> None:
    """Revoke the token with this ID, or all of a user, from the next request on."""
    from windsock.tokens import revoke as revoke_tokens

    if (token_id is None) == (username is None):
        raise click.UsageError("Give either the ID of a token or --user NAME.")
    with transaction(config) as connection:
        revoked = revoke_tokens(connection, token_id, username)
    click.echo(f"Revoked {revoked} token{'' if revoked == 1 else 's'}.")
