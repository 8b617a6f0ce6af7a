"""Demo data: the DAGs of a shop's data team with some hundred runs up to now, and all that an API can show of them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from windsock.crypto import Vault
from windsock.demo import runs, store
from windsock.demo.world import World


def load(connection: Connection, vault: Vault, logs: Path, now: datetime) -> None:
    """Fill a database that `windsock db init` made, in the caller's transaction, and write task logs below `logs`.

    The rows are the same for the same `now`, an aware datetime; only encrypted values differ.
    """
    for name, text in fill(connection, vault, now).logs.items():
        file = logs / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def fill(connection: Connection, vault: Vault, now: datetime) -> World:
    """As `load`, but leave the task logs in the World that is returned."""
    world = World(vault, now)
    store.add_dags(world)
    store.add_datasets(world)
    store.add_store(world)
    store.add_people(world, connection)
    runs.add_runs(world)
    runs.add_notes(world)
    store.add_alias_events(world)
    store.finish_audit(world)
    world.save(connection)
    return world
