"""`Authorization: Bearer` with a signed JWT (RFC 7519) of one OpenID Connect issuer, checked as RFC 8725 advises.

The token says who it is. What they may do comes from the user of that name in the database or, when
`[windsock] oidc_roles_claim` is set, from another claim. Needs the package PyJWT.
"""

from __future__ import annotations

import logging
from typing import Any

from flask import Request
from sqlalchemy import String, bindparam, func, select

from windsock import db
from windsock.callers import Caller, find_by_roles, find_caller
from windsock.config import Config, ConfigError
from windsock.context import context
from windsock.grants import roles_named
from windsock.models import User

try:
    import jwt

    from windsock.auth.oidc_settings import Policy, policy_of
except ImportError as error:
    raise ConfigError(
        f"[api] auth_backends: oidc needs the package PyJWT: pip install 'windsock[oidc]' ({error})"
    ) from error

log = logging.getLogger(__name__)

#: Kinds of JWT that may be credentials; a log-out token, say, names itself otherwise (RFC 8725, section 3.11).
_KINDS = ("jwt", "at+jwt", "application/jwt", "application/at+jwt")
_OPTIONS: Any = {"require": ["exp", "iat", "iss", "aud"], "enforce_minimum_key_length": True}
#: Claims that hold several values in one text (RFC 8693, section 4.2).
_SPACED = {"scope", "scp"}
#: Characters of the column `owner` of the audit log.
_LONGEST = 500
_NAMED = func.lower(User.username) == func.lower(bindparam("name", type_=String))
_INACTIVE = select(User.id).where(_NAMED, User.active.is_not(True)).limit(1)


def authenticate(request: Request) -> Caller | None:
    """Whom a valid token of the issuer names, else None; without database or network for what is no token of it."""
    given = request.authorization
    if given is None or given.type != "bearer" or not given.token:
        return None
    policy = policy_of(context.config)
    header = _header(policy, given.token)
    if header is None:
        return None
    try:
        claims = _verify(policy, header, given.token)
        name = _name(policy, claims)
    except (jwt.PyJWTError, ValueError) as error:
        log.warning("A token of %s is refused: %.200r", policy.issuer.name, str(error))
        return None
    return _with_roles(policy, name, claims) if policy.roles_claim else _user(name)


def check(config: Config) -> None:
    """Raise ConfigError, which says what to do, unless the settings `[windsock] oidc_*` can be used together."""
    policy_of(config)


# ---------------------------------------------------------------- the token
def _header(policy: Policy, token: str) -> dict[str, Any] | None:
    """The header of what says that it is a token of the issuer, which anybody can say."""
    try:
        found = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    return found["header"] if found["payload"].get("iss") == policy.issuer.name else None


def _verify(policy: Policy, header: dict[str, Any], token: str) -> dict[str, Any]:
    """The claims of a token. Nothing in it chooses more than one of the keys that the issuer publishes."""
    kind, key_id, algorithm = header.get("typ", "JWT"), header.get("kid"), header.get("alg")
    if not isinstance(kind, str) or kind.lower() not in _KINDS:
        raise ValueError(f"its typ is {kind!r}")
    key = policy.issuer.key(key_id, algorithm) if isinstance(key_id, str) and isinstance(algorithm, str) else None
    if key is None:
        raise ValueError(f"the issuer has no key {key_id!r} for the algorithm {algorithm!r}, or it is not allowed")
    expected: Any = {"audience": policy.audience, "issuer": policy.issuer.name, "leeway": policy.leeway}
    claims = jwt.decode(token, key, algorithms=[key.algorithm_name], options=_OPTIONS, **expected)
    if "cnf" in claims:
        raise ValueError("it is bound to a key of its owner, which a bearer does not show")
    return claims


def _name(policy: Policy, claims: dict[str, Any]) -> str:
    claim = policy.username_claim
    name = _claim(claims, claim)
    if not _is_name(name):
        raise ValueError(f"its claim {claim} is missing or cannot be a name")
    if claim == "email" and claims.get("email_verified") is not True:
        raise ValueError("its e-mail address is not verified")
    return str(name)


def _is_name(value: Any) -> bool:
    """Control characters could forge lines of logs, and formats and spaces at the ends make names look alike."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isprintable() and value == value.strip()


def _claim(claims: dict[str, Any], path: str) -> Any:
    """A claim of this name, else the member at this dotted path; None without one."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


# ---------------------------------------------------------------- the caller
def _user(name: str) -> Caller | None:
    """The user of exactly this name: issuers may tell names apart by case."""
    found = find_caller(_NAMED, name=name)
    if found is None or found.username != name:
        log.warning("A token is refused, because there is no user %.200r", name)
        return None
    return found


def _with_roles(policy: Policy, name: str, claims: dict[str, Any]) -> Caller | None:
    """Somebody with the mapped roles; None if a user of the database has the name and is not active."""
    if db.execute(_INACTIVE, {"name": name}).first() is not None:
        return None
    roles = {role for value in _values(policy, claims) for role in policy.roles.get(value, ())}
    shown = claims["name"] if _is_name(claims.get("name")) else name
    nothing = Caller(None, name, None, True, shown, frozenset(), False, None, roles_named(()))  # known, so 403, not 401
    return find_by_roles(name, shown, roles) or nothing


def _values(policy: Policy, claims: dict[str, Any]) -> list[str]:
    found = _claim(claims, policy.roles_claim)
    if isinstance(found, str):
        return found.split() if policy.roles_claim in _SPACED else [found]
    return [value for value in found if isinstance(value, str)] if isinstance(found, list) else []


authenticate.challenge = 'Bearer realm="Windsock"'  # type: ignore[attr-defined]
authenticate.check = check  # type: ignore[attr-defined]
