"""What one application holds, and what one request knows, for code that runs inside a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from flask import Request, current_app, g
from werkzeug.local import LocalProxy

if TYPE_CHECKING:
    from windsock.callers import Caller
    from windsock.config import Config
    from windsock.crypto import Vault
    from windsock.db import Database
    from windsock.spec import Operation

KEY = "windsock"
Backend = Callable[[Request], "Caller | None"]


@dataclass
class Context:
    """One application's configuration, database, Fernet keys and authentication back ends."""

    config: Config
    database: Database
    vault: Vault
    backends: list[Backend] = field(default_factory=list)


context = cast(Context, LocalProxy(lambda: current_app.extensions[KEY]))


def operation() -> Operation:
    """The operation that this request asked for."""
    return cast("Operation", g.operation)


def caller() -> Caller | None:
    """Who asks; None on a public operation."""
    return cast("Caller | None", g.get("caller"))
