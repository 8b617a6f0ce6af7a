"""What commands print: `--output table|json|yaml`, progress bars in a terminal, and nothing but text elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

Record = dict[str, Any]


def with_output(*further: str) -> Callable[[Any], Any]:
    """The option --output of a command that lists something; the first of `further` formats, if any, is the default."""
    formats = (*further, "table", "json", "yaml")
    return click.option(
        "--output", "form", type=click.Choice(formats), default=formats[0], show_default=True, help="The format."
    )


def show(records: Iterable[Record], form: str) -> None:
    """Print records, all with the same members in the same order, in one of the formats of `with_output`."""
    found = list(records)
    if form == "table":
        for line in _table(found):
            click.echo(line)
    else:
        click.echo(structured(found, form), nl=False)


def structured(value: Any, form: str) -> str:
    """Plain data as JSON or YAML."""
    if form == "json":
        return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def _table(records: list[Record]) -> Iterator[str]:
    """Lines with aligned columns below their names; nothing for no records."""
    if not records:
        return
    rows = [[_cell(value) for value in record.values()] for record in records]
    names = [name.replace("_", " ").upper() for name in records[0]]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    for number, row in enumerate((names, *rows)):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        yield line if number else click.style(line, bold=True)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else "" if value is None else str(value)


@contextmanager
def progress(total: int, label: str, then: str = "") -> Iterator[Callable[[int], None]]:
    """A function that moves a progress bar by so many steps; there is none but in a terminal.

    `then` is what goes on after the last step, if anything does.
    """
    if not sys.stdout.isatty():
        yield lambda steps: None
        return
    with click.progressbar(length=total, label=label) as bar:

        def advance(steps: int) -> None:
            bar.update(steps)
            if bar.finished and then:
                click.echo(f"\n{then}")

        yield advance
