"""The text of a token: signed, with the token's id, its end, whether it may only read, and a seal.

The seal is a signature over the stored hash of its user's password, so that the token dies with that password.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any, NamedTuple

from itsdangerous import BadData, Signer, URLSafeSerializer

from windsock.config import Config

#: Lets people and programs that look for leaked secrets know one.
PREFIX = "wst_"
_SIGNED: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}


class Token(NamedTuple):
    """What the text of a token says; `ends` is in seconds since 1970."""

    id: str
    ends: int
    read_only: bool
    seal: str


def write(config: Config, token: Token) -> str:
    """The text of a token. Raises ConfigError when there is no key to sign with."""
    return PREFIX + str(_serializer(config).dumps(token))


def read(config: Config, text: str) -> Token | None:
    """What a text says that was signed here and has not expired, else None. Takes no look at the database."""
    if not text.startswith(PREFIX):
        return None
    try:
        token = Token(*_serializer(config).loads(text[len(PREFIX) :]))
    except (BadData, ValueError):
        return None
    return token if token.ends > time.time() else None


def seal(config: Config, token_id: str, password: str | None) -> str:
    """The seal of a token for the stored hash of a password."""
    return _sealer(config).get_signature(_sealed(token_id, password)).decode()


def seal_holds(config: Config, token_id: str, seal: str, password: str | None) -> bool:
    """Whether the stored hash of a password is still the one that the token was made with."""
    return _sealer(config).verify_signature(_sealed(token_id, password), seal)


def _serializer(config: Config) -> URLSafeSerializer:
    return URLSafeSerializer(config.secret_keys, salt="windsock-token", signer_kwargs=_SIGNED)


def _sealer(config: Config) -> Signer:
    return Signer(config.secret_keys, salt="windsock-token-seal", **_SIGNED)


def _sealed(token_id: str, password: str | None) -> str:
    return f"{token_id}:{password or ''}"
