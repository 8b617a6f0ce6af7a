"""Collects the rows of the demo and writes them, table by table, in an order that the foreign keys allow."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import Connection, Table, insert

from windsock.crypto import Vault
from windsock.demo.definitions import Dag
from windsock.models import Base

HOSTS = ("worker-1", "worker-2", "worker-3")


@dataclass
class Run:
    """One run to be: `live` gives the states of tasks of a run that has not ended, `victim` names the failing task."""

    dag: Dag
    kind: str  # "scheduled", "manual" or "dataset_triggered"
    logical: datetime
    started: datetime | None
    interval: tuple[datetime, datetime]
    victim: str | None = None
    live: dict[str, tuple[str, ...]] | None = None
    conf: dict[str, Any] = field(default_factory=dict)
    note: str | None = None
    id: int = 0
    ended: datetime | None = None

    @property
    def run_id(self) -> str:
        """The id that Airflow gives such a run."""
        return f"{self.kind}__{self.logical.isoformat()}"


class World:
    """The rows so far, and what makes them the same for the same `now`: one random generator and counters."""

    def __init__(self, vault: Vault, now: datetime) -> None:
        self.vault, self.now = vault, now.replace(microsecond=0)
        self.random = random.Random(20260301)  # noqa: S311  # nosec B311 - the same demo for everybody, no secret
        self.ids: dict[str, count[int]] = defaultdict(lambda: count(1))
        self.hashes: dict[str, str] = {}
        self.logs: dict[str, str] = {}  # path below the log folder -> text
        self._rows: dict[Table, list[dict[str, Any]]] = defaultdict(list)

    def add(self, model: Any, **values: Any) -> None:
        """Remember one row of a model or a table."""
        self._rows[getattr(model, "__table__", model)].append(values)

    def rows(self, model: Any) -> list[dict[str, Any]]:
        """The rows of a model so far."""
        return self._rows[getattr(model, "__table__", model)]

    def jitter(self, seconds: float) -> timedelta:
        """About this long, at most a third more or less."""
        return timedelta(seconds=round(seconds * self.random.uniform(0.67, 1.33), 6))

    def ago(self, **span: float) -> datetime:
        """The moment this long before now."""
        return self.now - timedelta(**span)

    def save(self, connection: Connection) -> None:
        """Insert everything, in the caller's transaction."""
        for table in Base.metadata.sorted_tables:
            if rows := self._rows.get(table):
                names = {name for row in rows for name in row}
                connection.execute(insert(table), [{name: row.get(name) for name in names} for row in rows])
