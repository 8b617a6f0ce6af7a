"""`windsock doctor`: what may be wrong with an installation, and what to do about it. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Engine

from windsock.config import Config

OK, WARNING, ERROR = "ok", "warning", "error"


class Finding(NamedTuple):
    """One thing that was looked at; what is not in order has a `fix`."""

    area: str
    level: str
    text: str
    fix: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return self._asdict()


@dataclass
class Patient:
    """What is looked at; `engine` is None until the database is known to be one that Windsock serves."""

    config: Config
    engine: Engine | None = None


Check = Callable[[Patient], Iterator[Finding]]


def examine(config: Config) -> Iterator[Finding]:
    """All findings, in an order in which later ones follow from earlier ones."""
    from windsock.doctor import database, files, keys, people, settings

    patient = Patient(config)
    for area, check in (
        ("configuration", settings.check),
        ("packages", settings.check_packages),
        ("database", database.check),
        ("clock", database.check_clock),
        ("keys", keys.check),
        ("permissions", people.check),
        ("files", files.check),
    ):
        try:
            for finding in check(patient):
                yield finding._replace(area=area)
        except Exception as error:  # whatever one check meets, the others are of use
            said = " ".join(str(getattr(error, "orig", None) or error).split())
            yield Finding(area, ERROR, f"Could not be looked at: {type(error).__name__}: {said:.300}")
    if patient.engine:
        patient.engine.dispose()


def ok(text: str) -> Finding:
    """A finding in order; `examine` fills in the area."""
    return Finding("", OK, text)


def warning(text: str, fix: str) -> Finding:
    """A finding that can be lived with."""
    return Finding("", WARNING, text, fix)


def error(text: str, fix: str) -> Finding:
    """A finding that keeps something from working, or from being safe."""
    return Finding("", ERROR, text, fix)
