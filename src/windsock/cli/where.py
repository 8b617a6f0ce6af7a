"""`windsock where`: from an operation to the code that serves it."""

from __future__ import annotations

import difflib
import inspect
import os

import click

from windsock.cli.base import accept_config


@click.command()
@click.argument("operation_id")
@accept_config
def where(operation_id: str) -> None:
    """Print file and line of the handler, method and path, and the permissions of an operation."""
    from windsock import operations, spec
    from windsock.app import BASE_PATH

    known = spec.operations()
    if operation_id not in known:
        near = difflib.get_close_matches(operation_id, known, n=5, cutoff=0.5)
        hint = f" Near: {', '.join(near)}." if near else ""
        raise click.ClickException(f"There is no operation {operation_id!r}.{hint}")
    operation = known[operation_id]
    handler = inspect.unwrap(operations.handlers()[operation_id])
    file, line = inspect.getsourcefile(handler), inspect.getsourcelines(handler)[1]
    click.echo(f"{os.path.relpath(str(file))}:{line}")
    click.echo(f"{operation.method.upper()} {BASE_PATH}{operation.path}")
    click.echo(", ".join(map(str, operation.permissions)) or "public")
