"""SPNEGO, `Authorization: Negotiate` (RFC 4559), with a Kerberos ticket for a service of `[kerberos] keytab`.

One token has to be enough, as it is for Kerberos: no state is kept between requests. Replays are found by the replay
cache of the Kerberos library. Needs the package gssapi.
"""

from __future__ import annotations

import base64
import logging
import os
import re
from typing import NamedTuple

from flask import Request, Response, after_this_request
from sqlalchemy import String, bindparam, func

from windsock.auth.origin import foreign_change
from windsock.callers import Caller, find_caller
from windsock.config import Config, ConfigError
from windsock.context import context
from windsock.models import User

try:
    import gssapi
    from gssapi.raw import GSSError
except ImportError as error:
    raise ConfigError(
        f"[api] auth_backends: kerberos_auth needs the package gssapi: pip install 'windsock[kerberos]' ({error})"
    ) from error

log = logging.getLogger(__name__)

#: Airflow's own name of the service, and the one that browsers and curl ask for.
_SERVICES = ("airflow/", "HTTP/")
#: The text form of a principal: a backslash stands before an `@` that belongs to the name or to the realm.
_PRINCIPAL = re.compile(r"((?:[^\\@]|\\.)+)@((?:[^\\@]|\\.)+)", re.DOTALL)
_NAMED = func.lower(User.username) == func.lower(bindparam("name", type_=String))


class _Proven(NamedTuple):
    """Who sent a token, and for which service."""

    name: str
    realm: str
    service: str
    service_realm: str
    answer: bytes | None  # proves to the client that it talks to the service


def authenticate(request: Request) -> Caller | None:
    """The user whose name is the principal, as in Airflow, or, in the service's own realm, the principal's name alone.

    None also for a change that a foreign page asks for: browsers send tickets whichever page asks.
    """
    given = request.authorization
    if given is None or given.type != "negotiate" or not given.token:
        return None
    if foreign_change(request):
        return None
    proven = _accept(given.token)
    if proven is None:
        return None
    known = find_caller(_NAMED, name=f"{proven.name}@{proven.realm}")
    if known is None and proven.realm == proven.service_realm:
        known = find_caller(_NAMED, name=proven.name)
    if known is not None and known.active and proven.answer:
        _answer(proven.answer)
    return known


def check(config: Config) -> None:
    """Raise ConfigError unless the keytab can be read and holds a key."""
    try:
        _credentials(config)
    except GSSError as error:
        wanted = "it must be a file that Windsock may read, with a key of HTTP/HOST or airflow/HOST"
        raise ConfigError(f"[kerberos] keytab: {_keytab(config)!r} cannot be used ({error}); {wanted}") from error


def _keytab(config: Config) -> str:
    """As in Airflow, the variable goes before the setting."""
    return os.environ.get("KRB5_KTNAME") or config.get("kerberos", "keytab")


def _credentials(config: Config) -> gssapi.Credentials:
    """Read anew for each token, so that a changed keytab counts at once."""
    return gssapi.Credentials(usage="accept", store={"keytab": _keytab(config)})


def _accept(token: str) -> _Proven | None:
    try:
        received = base64.b64decode(token, validate=True)
        security = gssapi.SecurityContext(creds=_credentials(context.config), usage="accept")
        answer = security.step(received)  # may keep an error back; `complete` raises it
        if not security.complete or security.mech != gssapi.MechType.kerberos:
            return None
        proven = _Proven(*_principal(security.initiator_name), *_principal(security.target_name), answer)
    except (ValueError, GSSError) as error:
        log.warning("A Kerberos token is refused: %r", str(error))
        return None
    return proven if proven.service.startswith(_SERVICES) else None


def _principal(name: gssapi.Name) -> tuple[str, str]:
    """Name and realm, escaped as in the text form. Raises ValueError for what is no text or no principal."""
    found = _PRINCIPAL.fullmatch(bytes(name).decode())
    if found is None:
        raise ValueError("not a principal")
    return found[1], found[2]


def _answer(token: bytes) -> None:
    @after_this_request
    def prove(response: Response) -> Response:
        response.headers["WWW-Authenticate"] = f"Negotiate {base64.b64encode(token).decode()}"
        return response


authenticate.challenge = "Negotiate"  # type: ignore[attr-defined]
authenticate.check = check  # type: ignore[attr-defined]
