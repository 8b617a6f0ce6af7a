"""User name (or e-mail) and password against `ab_user`.

Checking a stored hash costs tens of milliseconds on purpose. It runs once per credential: a verified one is remembered
by an HMAC, under a key of this process, of user, password and stored hash. The user's row is still read at every
request, so a changed password or a deactivated user is refused at the next one; a wrong password always pays in full.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from flask import Request
from sqlalchemy import String, bindparam, func, or_
from werkzeug.security import check_password_hash

from windsock import logins
from windsock.accounts import HASH
from windsock.callers import Caller, find_caller
from windsock.models import User

#: Checked when there is no such user, so that the answer takes as long as for a wrong password that was set here.
_NOBODY = f"{HASH}${'0' * 16}${'0' * 64}"
#: Lowered by the database, which need not know all that Python's lower() knows.
_NAMED = or_(
    func.lower(User.username) == func.lower(bindparam("name", type_=String)),
    func.lower(User.email) == func.lower(bindparam("name", type_=String)),
)
_KEY = secrets.token_bytes(32)
_REMEMBERED = 4096
_verified: dict[bytes, None] = {}


def authenticate(request: Request) -> Caller | None:
    """The active user of a valid `Authorization: Basic` header, else None."""
    given = request.authorization
    if given is None or given.type != "basic":
        return None
    name, password = given.username, given.password
    if name is None or password is None or "\0" in name:  # no database stores one, and PostgreSQL compares with none
        return None
    found = find_caller(_NAMED, name=name)
    known = found if found is not None and found.active else None
    matches = _matches(name, password, (known and known.password) or _NOBODY)
    if known is None:
        return None
    if not matches:
        logins.count_failure(known)
        return None
    logins.count_success(known)
    return known


def _matches(name: str, password: str, stored: str) -> bool:
    text = "\0".join((name, password, stored)).encode("utf-8", "surrogatepass")
    proof = hmac.digest(_KEY, text, hashlib.sha256)
    if proof in _verified:
        return True
    if not _check(stored, password) or stored is _NOBODY:
        return False
    if len(_verified) >= _REMEMBERED:
        _verified.clear()
    _verified[proof] = None
    return True


def _check(stored: str, password: str) -> bool:
    try:
        return check_password_hash(stored, password)
    except ValueError:  # a hash of an unknown kind
        return False


authenticate.challenge = 'Basic realm="Windsock", charset="UTF-8"'  # type: ignore[attr-defined]
