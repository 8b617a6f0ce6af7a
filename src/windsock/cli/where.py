"""`windsock where`: from an operation to the code that serves it."""

from __future__ import annotations

import difflib
import inspect
import os
import re
from importlib import import_module
from typing import TYPE_CHECKING

import click

from windsock.cli.base import accept_config, examples

if TYPE_CHECKING:
    from windsock.spec import Operation


@click.command(short_help="Find the code of an operation.", epilog=examples("where get_dag_run"))
@click.argument("operation_id")
@accept_config
def where(operation_id: str) -> None:
    """Print file and line of the handler, method and path, and the permissions of an operation."""
    from windsock import operations, spec

    known = spec.operations()
    if operation_id not in known:
        near = difflib.get_close_matches(operation_id, known, n=5, cutoff=0.5)
        hint = f" Near: {', '.join(near)}." if near else ""
        raise click.ClickException(f"There is no operation {operation_id!r}.{hint}")
    operation = known[operation_id]
    operations.handlers()  # refuses a document and rooms that do not agree
    click.echo(_place(operation))
    click.echo(f"{operation.method.upper()} {spec.BASE_PATH}{operation.path}")
    click.echo(", ".join(map(str, operation.permissions)) or "public")


def _place(operation: Operation) -> str:
    """File and line, in the room of the operation, where its name is defined or given to a function."""
    file = str(inspect.getsourcefile(import_module(operation.room)))
    definition = re.compile(rf"^def {operation.id}\b|^(.*\b)?{operation.id} = ")
    with open(file, encoding="utf-8") as source:
        line = next((number for number, text in enumerate(source, 1) if definition.match(text)), 1)
    return f"{os.path.relpath(file)}:{line}"
