"""What one application holds, and what one request knows, for code that runs inside a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from flask import Request, current_app, g

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


class _Current:
    """The Context of the current application. A LocalProxy would do, in three times the time."""

    def __getattr__(self, name: str) -> Any:
        return getattr(current_app._get_current_object().extensions[KEY], name)  # type: ignore[attr-defined]


context = cast(Context, _Current())


def kept() -> Any:
    """What this request keeps: Flask's `g`, found once for several uses, since each of `g` itself finds it anew."""
    return g._get_current_object()


def operation() -> Operation:
    """The operation that this request asked for."""
    return cast("Operation", kept().operation)


def caller() -> Caller | None:
    """Who asks; None on a public operation."""
    return cast("Caller | None", kept().get("caller"))
