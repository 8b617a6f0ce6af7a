"""What the commands share: --config, a database connection, and errors in one line instead of a traceback.

Modules that take long to import are imported where they are needed, so that `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from windsock.config import Config

_OPTION = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The airflow.cfg to use. Default: $AIRFLOW_CONFIG, else $AIRFLOW_HOME/airflow.cfg.",
)


def with_config(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option --config, and the loaded configuration as its first argument."""

    @wraps(command)
    def run(config_file: Path | None, **options: Any) -> Any:
        from windsock.config import Config

        return command(Config.load(config_file), **options)

    return _OPTION(run)


def accept_config(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command that needs no configuration take --config all the same, as every other command does."""

    @wraps(command)
    def run(config_file: Path | None, **options: Any) -> Any:
        return command(**options)

    return _OPTION(run)


def examples(*lines: str) -> str:
    """The end of a command's help: lines to type."""
    return "\b\nExamples:\n" + "\n".join(f"  windsock {line}" for line in lines)


class OneLineErrors(click.Group):
    """A group whose commands end with one line and status 1 when something outside the program is wrong."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error with a known cause becomes a ClickException."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except Exception as error:
            if (message := explain(error)) is None:
                raise
            raise click.ClickException(message) from None


def explain(error: Exception) -> str | None:
    """One line for an error whose cause lies outside the program, else None. It never shows a database password."""
    from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

    from windsock.accounts import AccountError
    from windsock.config import ConfigError
    from windsock.migrate import SchemaError
    from windsock.spec import DocumentError

    if isinstance(error, (ConfigError, SchemaError, DocumentError, AccountError)):
        return _line(error)
    if isinstance(error, (ArgumentError, NoSuchModuleError)):
        return "[database] sql_alchemy_conn is not a valid database URL."
    if isinstance(error, DBAPIError):
        return f"The database of [database] sql_alchemy_conn cannot be used: {_line(error.orig)}"
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):  # click knows what to do about a pipe
        return _line(error)
    return None


def _line(error: BaseException | None) -> str:
    return " ".join(str(error).split())


def engine(config: Config, create: bool = False) -> Engine:
    """An engine with transactions. Raises SchemaError for a SQLite file that does not exist, unless `create`."""
    from windsock.engines import plain_engine
    from windsock.migrate import SchemaError

    made = plain_engine(config)
    file = made.url.database if made.dialect.name == "sqlite" else None
    if file and file != ":memory:" and not create and not Path(file).exists():  # SQLite would create it
        raise SchemaError(
            f"The database {file} does not exist. Check [database] sql_alchemy_conn, or run `windsock db init`."
        )
    return made


@contextmanager
def transaction(config: Config) -> Iterator[Connection]:
    """A transaction on a database whose schema is known; it commits at the end."""
    from windsock import migrate

    used = engine(config)
    try:
        migrate.check(used)
        with used.begin() as connection:
            yield connection
    finally:
        used.dispose()
