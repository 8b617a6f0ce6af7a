"""Demo data."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from windsock.crypto import Vault


def load(connection: Connection, vault: Vault, logs: Path, now: datetime) -> None:
    """Fill."""
