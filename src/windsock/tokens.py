"""Windsock's own bearer tokens: made, listed and revoked on the command line.

A row in `windsock_token` says that a token has not been revoked. Its text is not kept.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, delete, func, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from windsock import tokentext
from windsock.accounts import AccountError
from windsock.config import Config
from windsock.models import User
from windsock.models.base import utcnow
from windsock.models.token import token_table

_SAME_USER = and_(User.id == token_table.c.user_id, User.created_on.is_not_distinct_from(token_table.c.user_created_on))


class Wanted(NamedTuple):
    """What a token is to be: for whom, how long it lives, whether it may only read, and what it is for."""

    username: str
    lifetime: timedelta
    read_only: bool = False
    name: str = ""


class Made(NamedTuple):
    """A new token: its text, which cannot be had again, its id and its end (aware)."""

    text: str
    id: str
    expires: datetime


class Listed(NamedTuple):
    """A token that has not been revoked; `username` is None, and `state` says so, if its user is gone."""

    id: str
    username: str | None
    ending: str
    read_only: bool
    issued: datetime
    expires: datetime
    state: str
    name: str


def make(connection: Connection, config: Config, wanted: Wanted) -> Made:
    """A token for an active user, in the caller's transaction; tokens that have expired are forgotten.

    Raises ConfigError without a key to sign with, AccountError for an unknown or inactive user, for a lifetime or a
    name that is too long, and when the table is missing and cannot be created.
    """
    _refuse(config, wanted)
    user = _user(connection, wanted.username)
    if not user.active:
        raise AccountError(f"The user {user.username!r} is inactive, so the token would be refused.")
    _create_table(connection)
    issued = utcnow().replace(microsecond=0)
    expires = issued + wanted.lifetime
    token_id = secrets.token_hex(8)
    seal = tokentext.seal(config, token_id, user.password)
    text = tokentext.write(config, tokentext.Token(token_id, int(expires.timestamp()), wanted.read_only, seal))
    row = {
        "id": token_id,
        "user_id": user.id,
        "user_created_on": select(User.created_on).where(User.id == user.id).scalar_subquery(),  # just as it is stored
        "issued": issued,
        "expires": expires,
        "read_only": wanted.read_only,
        "seal": seal,
        "ending": text[-4:],
        "name": wanted.name or None,
    }
    connection.execute(delete(token_table).where(token_table.c.expires <= issued))
    connection.execute(insert(token_table).values(row))
    return Made(text, token_id, expires)


def list_tokens(connection: Connection, config: Config, username: str | None = None) -> list[Listed]:
    """The tokens of one user or of all, the oldest first. Raises AccountError for an unknown user."""
    wanted = None if username is None else _user(connection, username).id
    if not inspect(connection).has_table(token_table.name):
        return []
    query = select(token_table, User.username, User.active, User.password).outerjoin(User, _SAME_USER)
    if wanted is not None:
        query = query.where(token_table.c.user_id == wanted)
    return [
        Listed(t.id, t.username, t.ending, t.read_only, t.issued, t.expires, _state(t, config), t.name or "")
        for t in connection.execute(query.order_by(token_table.c.issued, token_table.c.id))
    ]


def revoke(connection: Connection, token_id: str | None = None, username: str | None = None) -> int:
    """Revoke the token with this id, or all of a user, and return how many. Raises AccountError for an unknown one."""
    condition = token_table.c.id == token_id
    if username is not None:
        condition = token_table.c.user_id == _user(connection, username).id
    known = inspect(connection).has_table(token_table.name)
    revoked = connection.execute(delete(token_table).where(condition)).rowcount if known else 0
    if not revoked and username is None:
        raise AccountError(f"There is no token {token_id!r}. `windsock tokens list` shows all.")
    return revoked


def _refuse(config: Config, wanted: Wanted) -> None:
    most = min(config.get_int("windsock", "max_token_days"), 36500)
    if not timedelta(0) < wanted.lifetime <= timedelta(days=most):
        raise AccountError(
            f"A token must expire after more than 0 and at most {most} days ([windsock] max_token_days)."
        )
    if len(wanted.name) > 256 or not wanted.name.isprintable():
        raise AccountError("The name of a token must be at most 256 printable characters.")


def _user(connection: Connection, username: str) -> Any:
    columns = (User.id, User.username, User.active, User.password)
    found = connection.execute(select(*columns).where(func.lower(User.username) == func.lower(username))).first()
    if found is None:
        raise AccountError(f"There is no user {username!r}. `windsock users list` shows all.")
    return found


def _create_table(connection: Connection) -> None:
    try:
        token_table.create(connection, checkfirst=True)
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        raise AccountError(
            f"The table {token_table.name} cannot be created ({reason}). Create a first token as a database user who "
            "may create tables, and let the server's user read that table."
        ) from None


def _state(row: Row[Any], config: Config) -> str:
    if row.username is None:
        return "user deleted"
    if not row.active:
        return "user inactive"
    if row.expires <= utcnow():
        return "expired"
    return "valid" if tokentext.seal_holds(config, row.id, row.seal, row.password) else "password changed"
