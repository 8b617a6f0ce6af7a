"""The cookie `session` that Airflow's own web server hands out, in either form of `[webserver] session_backend`.

`database`: the cookie is the signed id of a row in the table `session`; `securecookie`: it is the session, signed.
Both are signed with `[webserver] secret_key`. Only JSON is read: the pickles of old releases sign nobody in.
"""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from flask import Request
from itsdangerous import BadData, Signer, URLSafeTimedSerializer
from sqlalchemy import Integer, String, bindparam, select

from windsock import db
from windsock.callers import Caller, find_caller
from windsock.context import context
from windsock.models import User, WebSession

log = logging.getLogger(__name__)

#: How Flask derives the key of a signature; salts are those of Flask-Session and of Flask.
_SIGNED: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha1}
_SAFE = ("GET", "HEAD", "OPTIONS")
_LARGEST = 2**31 - 1
_STORED = select(WebSession.data, WebSession.expiry).where(
    WebSession.session_id == bindparam("session_id", type_=String)
)
_NUMBERED = User.id == bindparam("user_id", type_=Integer)


def authenticate(request: Request) -> Caller | None:
    """The user who is signed in to Airflow's web interface, else None; also None for a change that a foreign page asks.

    An `Origin` is our own if it names the host of the request or is that of `[webserver] base_url`.
    """
    cookie = request.cookies.get("session")
    if not cookie or (request.method not in _SAFE and not _from_ourselves(request)):
        return None
    key = context.config.get("webserver", "secret_key")
    if not key:  # anybody could sign with it
        _complain()
        return None
    database = context.config.get("webserver", "session_backend") == "database"
    found = _from_database(cookie, key) if database else _from_cookie(cookie, key)
    user_id = _user_id(found)
    return None if user_id is None else find_caller(_NUMBERED, user_id=user_id)


def _from_database(cookie: str, key: str) -> Any:
    try:
        session_id = Signer(key, salt="flask-session", **_SIGNED).unsign(cookie).decode()
        stored = db.execute(_STORED, {"session_id": session_id}).first()
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        if stored is None or stored.data is None or stored.expiry is None or stored.expiry <= now:
            return None
        return json.loads(stored.data)
    except (BadData, ValueError, RecursionError):  # forged, or data in another form
        return None


def _from_cookie(cookie: str, key: str) -> Any:
    lifetime = context.config.get_int("webserver", "session_lifetime_minutes") * 60
    reader = URLSafeTimedSerializer(key, salt="cookie-session", signer_kwargs=_SIGNED)
    try:
        return reader.loads(cookie, max_age=lifetime)
    except (BadData, ValueError, RecursionError):
        return None


def _user_id(found: Any) -> int | None:
    """The number of the user in a session: releases of Airflow store it as a number or as its digits."""
    given = found.get("_user_id") if isinstance(found, dict) else None
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) <= len(str(_LARGEST)):
        given = int(given)
    return given if type(given) is int and 0 < given <= _LARGEST else None


def _from_ourselves(request: Request) -> bool:
    """Browsers say which page asks. Its scheme is not compared with ours, which a proxy in front may hide from us."""
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    try:
        asking, base = urlsplit(origin.lower()), urlsplit(context.config.get("webserver", "base_url").lower())
    except ValueError:  # brackets that are no address
        return False
    if asking.scheme not in ("http", "https") or not asking.netloc:
        return False
    return asking.netloc == request.host.lower() or (asking.scheme, asking.netloc) == (base.scheme, base.netloc)


@lru_cache(1)
def _complain() -> None:
    log.warning("A session cookie was sent, but [webserver] secret_key is empty: no cookie is taken")


authenticate.challenge = 'Session realm="Windsock"'  # type: ignore[attr-defined]
