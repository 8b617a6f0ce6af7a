"""Tests of connections: what they are given, and how they say that they failed.

Each runs in a process of its own (`child.py`, started by `runner.py`), which time ends, which holds nothing of the
server's environment, and in which `guard.py` watches every address that is connected to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Target:
    """A connection to test; `extra` is parsed JSON, `folders` are those in which files may be looked at."""

    conn_type: str
    host: str | None = None
    port: int | None = None
    login: str | None = None
    password: str | None = None
    schema: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    timeout: float = 10


class Failed(Exception):
    """The test failed; the text says why, for the client."""
