"""`windsock standalone`: a server with a demo database of its own, for a first look and for trying clients."""

from __future__ import annotations

import os
import secrets
import shutil
from datetime import datetime, timezone
from pathlib import Path

import click

from windsock.cli.base import engine, examples
from windsock.cli.serve import Listen, check_port, run

ADMIN = "admin"
_CONFIG = "airflow.cfg"
#: The file of a fresh home; a percent sign in a path is doubled for the parser.
_TEMPLATE = """\
# Made by `windsock standalone`. Delete this directory to start afresh.
[core]
fernet_key = {fernet_key}

[database]
sql_alchemy_conn = sqlite:///{home}/airflow.db

[logging]
base_log_folder = {home}/logs

[api]
auth_backends = airflow.api.auth.backend.basic_auth

[webserver]
secret_key = {secret_key}
expose_config = non-sensitive-only
"""


@click.command(short_help="Serve a demo database.", epilog=examples("standalone", "standalone --port 8081 --home demo"))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="WINDSOCK_HOME",
    metavar="DIR",
    help="Where the database is kept. Default: $WINDSOCK_HOME, else $XDG_DATA_HOME/windsock, else "
    "~/.local/share/windsock.",
)
def standalone(host: str, port: int, home: Path | None) -> None:
    """Serve a demo database, which is made on the first start, to the user `admin`."""
    os.umask(0o077)  # what is made here and what SQLite makes later is for this user alone
    listen = Listen(host, port, workers=1, threads=4)
    check_port(listen)
    home = (home or default_home()).expanduser().absolute()
    file = home / _CONFIG
    password = None if file.exists() else create(home)
    run(listen, file, ready=lambda: click.echo(banner(listen.url, file, password)))


def default_home() -> Path:
    """`$XDG_DATA_HOME/windsock`, or `~/.local/share/windsock`."""
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "windsock"


def create(home: Path) -> str:
    """Make the home directory with configuration, database, demo data and logs; return the password of `admin`.

    It is built under another name and renamed at the end, so that a start that was interrupted can be repeated.
    """
    if any(home.iterdir() if home.is_dir() else ()):
        raise click.ClickException(f"{home} holds other files and no {_CONFIG}. Choose another directory with --home.")
    building = home.with_name(f"{home.name}.new")
    click.echo(f"Making a demo database in {home}")
    home.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700)
    _write_config(building / _CONFIG, home)
    password = secrets.token_urlsafe(12)
    _fill(building, password)
    building.rename(home)
    return password


def _write_config(file: Path, home: Path) -> None:
    from cryptography.fernet import Fernet

    text = _TEMPLATE.format(
        home=str(home).replace("%", "%%"),
        fernet_key=Fernet.generate_key().decode(),
        secret_key=secrets.token_urlsafe(32),
    )
    file.write_text(text, encoding="utf-8")


def _fill(building: Path, password: str) -> None:
    from sqlalchemy import event

    from windsock import demo, migrate
    from windsock.accounts import NewUser, create_user
    from windsock.config import Config
    from windsock.crypto import Vault

    conn = ("database", "sql_alchemy_conn")
    config = Config.load(building / _CONFIG, overrides={conn: f"sqlite:///{building}/airflow.db"})
    used = engine(config, create=True)
    # Nothing is lost when the machine stops now: what is half finished is made anew.
    event.listen(used, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    migrate.init(used)
    with used.begin() as connection:
        create_user(connection, NewUser(ADMIN, password, "admin@example.com", "Ada", "Admin", "Admin"))
        demo.load(connection, Vault.from_config(config), building / "logs", datetime.now(timezone.utc))
    used.dispose()


def banner(url: str, file: Path, password: str | None) -> str:
    """What the terminal shows when the server answers."""
    user = f"{ADMIN}:{password}" if password else ADMIN
    lines = [
        "",
        f"Windsock serves {url}/api/v1",
        f"  documentation  {url}/docs",
        f"  database       {file.parent}",
    ]
    if password:
        lines += [f"  user           {ADMIN}", f"  password       {password}    (shown this once)"]
    else:
        reset = f"windsock users reset-password --username {ADMIN} --config {file}"
        lines += [f"  user           {ADMIN}, with the password of the first start", f"  new password   {reset}"]
    return "\n".join([*lines, "", f"Try it:  curl --user {user} '{url}/api/v1/dags?limit=3'", ""])
