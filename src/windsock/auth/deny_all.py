"""The default: every request is refused."""

from __future__ import annotations

from flask import Request

from windsock.callers import Caller


def authenticate(request: Request) -> Caller | None:
    """Know nobody."""
    return None


authenticate.challenge = 'Deny realm="no [api] auth_backends is enabled"'  # type: ignore[attr-defined]
