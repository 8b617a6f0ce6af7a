"""`windsock doctor`: look at an installation and say what to fix."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click

from windsock.cli.base import examples, with_config
from windsock.cli.output import show, with_output

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windsock.config import Config
    from windsock.doctor import Finding

#: Level -> its mark, its colour, and the status with which the command ends if that is the worst.
_LEVELS: dict[str, tuple[str, str, int]] = {
    "ok": (" ok ", "green", 0),
    "warning": ("warn", "yellow", 1),
    "error": ("FAIL", "red", 2),
}


@click.command(epilog=examples("doctor --config airflow.cfg", "doctor --output json"))
@with_output("text")
@with_config
def doctor(config: Config, form: str) -> None:
    """Find what is wrong, and say what to fix.

    Configuration, packages, database, clocks, keys, permissions and files are looked at, and nothing is changed. The
    status is 0 if all is in order, 1 after warnings, and 2 after errors.
    """
    from windsock.doctor import examine

    found = list(examine(config))
    if form == "text":
        _tell(found)
    else:
        show((finding._asdict() for finding in found), form)
    click.get_current_context().exit(max(_LEVELS[finding.level][2] for finding in found))


def _tell(found: Iterable[Finding]) -> None:
    """Print for people: what belongs together below its heading, and what to do below what is wrong."""
    counted = dict.fromkeys(_LEVELS, 0)
    for area, findings in groupby(found, key=lambda finding: finding.area):
        click.secho(f"\n{area.capitalize()}", bold=True)
        for finding in findings:
            counted[finding.level] += 1
            mark, colour, _ = _LEVELS[finding.level]
            click.echo(f"  {click.style(mark, fg=colour)}  {finding.text}")
            if finding.fix:
                click.echo(f"        -> {finding.fix}")
    click.echo(f"\n{counted['error']} wrong, {counted['warning']} to look at, {counted['ok']} in order")
