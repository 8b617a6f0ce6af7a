"""Windsock's own tokens: `Authorization: Bearer`, made by `windsock tokens create`.

A text that was not signed here, or has expired, costs no statement; any other costs the one that reads the caller.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from flask import Request
from sqlalchemy import String, bindparam, select
from sqlalchemy.exc import DBAPIError

from windsock import outages, tokentext
from windsock.callers import Caller, find_caller
from windsock.config import Config
from windsock.context import context
from windsock.models import User
from windsock.models.token import token_table

log = logging.getLogger(__name__)

_GIVEN = token_table.c.id == bindparam("token_id", type_=String)
_OWNER = (User.id == select(token_table.c.user_id).where(_GIVEN).scalar_subquery()) & (
    User.created_on.is_not_distinct_from(select(token_table.c.user_created_on).where(_GIVEN).scalar_subquery())
)


def authenticate(request: Request) -> Caller | None:
    """The user of a token that is signed here, neither expired nor revoked, and as old as their password at most."""
    given = request.authorization
    if given is None or given.type != "bearer":
        return None
    token = tokentext.read(context.config, given.token or "")
    known = _owner(token.id) if token else None
    if token is None or known is None or not tokentext.seal_holds(context.config, token.id, token.seal, known.password):
        return None
    return replace(known, read_only=token.read_only)


def check(config: Config) -> None:
    """Raise ConfigError unless there is a key to check signatures with."""
    _ = config.secret_keys


def _owner(token_id: str) -> Caller | None:
    try:
        return find_caller(_OWNER, token_id=token_id)
    except DBAPIError as error:
        if not outages.unreadable(error):
            raise
        log.warning("A token is refused, because the database refuses to look it up: %s", error.orig)
        return None


authenticate.challenge = 'Bearer realm="Windsock"'  # type: ignore[attr-defined]
authenticate.check = check  # type: ignore[attr-defined]
