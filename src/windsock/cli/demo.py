"""`windsock demo`: data for measuring and trying, in bulk."""

from __future__ import annotations

import secrets
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

from windsock.cli.base import engine, examples, with_config
from windsock.cli.output import progress

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from windsock.config import Config
    from windsock.demo.bulk import Wish

_SIZES = "S: 100 DAGs, 5,000 runs; M: 1,000 DAGs, 300,000 runs; L: 10,000 DAGs, 2 million runs"


@click.group()
def demo() -> None:
    """Make up data."""


@demo.command("load", epilog=examples("demo load --size S", "demo load --size M --yes --seed 7 --now 2026-06-01"))
@click.option("--size", required=True, type=click.Choice(("S", "M", "L"), case_sensitive=False), help=f"{_SIZES}.")
@click.option("--password", metavar="TEXT", help="Of the users `all` and `each`. Default: a new one, which is printed.")
@click.option("--now", type=click.DateTime(("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S")), metavar="TIME",
              help="When the data ends, in UTC, as 2026-06-01T12:30:00. Default: this moment.")  # fmt: skip
@click.option("--seed", default=1, show_default=True, help="Other seeds give other rows.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_config
def load_command(config: Config, size: str, password: str | None, now: datetime | None, seed: int, yes: bool) -> None:
    """Fill a database without DAGs, such as `windsock db init` makes, with rows like those of a real installation.

    The same size, seed and --now give the same rows. There are two users: `all`, an administrator, and `each`, whose
    role has the same rights, but on DAGs only 3,000 single ones.
    """
    from windsock import migrate
    from windsock.demo.bulk import LoadError, Wish, check
    from windsock.revisions import RELEASES

    used = engine(config)
    if migrate.check(used) not in RELEASES[-1].revisions:
        raise migrate.SchemaError("Demo data needs the schema of Airflow 2.11, as `windsock db init` makes it.")
    try:
        with used.connect() as connection:
            check(connection)
        if not yes:
            where = used.url.render_as_string(hide_password=True)
            click.confirm(f"Load made-up data into {where}, which no Airflow may use?", abort=True)
        wish = Wish(size.upper(), now.replace(tzinfo=timezone.utc) if now else datetime.now(timezone.utc), seed,
                    password or secrets.token_urlsafe(12))  # fmt: skip
        _run(used, config, wish)
    except LoadError as error:
        raise click.ClickException(str(error)) from None
    finally:
        used.dispose()
    shown = "the password that you gave" if password else f"the password {wish.password}"
    click.echo(f"Sign in as `all` or `each` with {shown}.")


def _run(used: Engine, config: Config, wish: Wish) -> None:
    from windsock.crypto import Vault
    from windsock.demo import bulk
    from windsock.demo.bulk_plan import SIZES

    begin = time.monotonic()
    with used.begin() as connection, progress(SIZES[wish.size].runs, "Runs", "Building indexes") as advance:
        bulk.load(connection, Vault.from_config(config), wish, advance)
    bulk.finish(used)
    click.echo(f"Loaded the size {wish.size} in {time.monotonic() - begin:.0f} seconds.")
