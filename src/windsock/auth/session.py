"""The cookie `session` that Airflow's own web server hands out, in either form of `[webserver] session_backend`.

`database`: the cookie is the signed id of a row in the table `session`; `securecookie`: it is the session, signed.
Both are signed with `[webserver] secret_key`, or were with one of `[windsock] old_secret_keys`. Only JSON is read: the
pickles of old releases sign nobody in.
"""

from __future__ import annotations

import hashlib
import logging
from functools import lru_cache
from typing import Any

from flask import Request
from itsdangerous import BadData, Signer, URLSafeTimedSerializer
from sqlalchemy import Integer, String, bindparam, select

from windsock import db, sessions
from windsock.auth.origin import foreign_change
from windsock.callers import Caller, find_caller
from windsock.context import context
from windsock.models import User, WebSession

log = logging.getLogger(__name__)

#: How Flask derives the key of a signature; salts are those of Flask-Session and of Flask.
_SIGNED: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha1}
_STORED = select(WebSession.data, WebSession.expiry).where(
    WebSession.session_id == bindparam("session_id", type_=String)
)
_NUMBERED = User.id == bindparam("user_id", type_=Integer)


def authenticate(request: Request) -> Caller | None:
    """The user who is signed in to Airflow's web interface, else None; None for a change that a foreign page asks."""
    cookie = request.cookies.get("session")
    if not cookie or foreign_change(request):
        return None
    if not context.config.get("webserver", "secret_key"):  # anybody could sign with it
        _complain()
        return None
    database = context.config.get_choice("webserver", "session_backend") == "database"
    user_id = sessions.user_id(_from_database(cookie) if database else _from_cookie(cookie))
    return None if user_id is None else find_caller(_NUMBERED, user_id=user_id)


def _from_database(cookie: str) -> Any:
    try:
        session_id = Signer(context.config.secret_keys, salt="flask-session", **_SIGNED).unsign(cookie).decode()
    except (BadData, ValueError):  # forged
        return None
    stored = db.execute(_STORED, {"session_id": session_id}).first()
    if stored is None or stored.expiry is None or stored.expiry <= sessions.now():
        return None
    return sessions.read(stored.data)


def _from_cookie(cookie: str) -> Any:
    lifetime = context.config.get_int("webserver", "session_lifetime_minutes") * 60
    reader = URLSafeTimedSerializer(context.config.secret_keys, salt="cookie-session", signer_kwargs=_SIGNED)
    try:
        return reader.loads(cookie, max_age=lifetime)
    except (BadData, ValueError, RecursionError):
        return None


@lru_cache(1)
def _complain() -> None:
    log.warning("A session cookie was sent, but [webserver] secret_key is empty: no cookie is taken")


authenticate.challenge = 'Session realm="Windsock"'  # type: ignore[attr-defined]
