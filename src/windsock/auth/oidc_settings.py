"""The settings `[windsock] oidc_*`, checked together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from windsock.auth.issuer import Issuer, is_safe
from windsock.config import Config, ConfigError

#: Signatures that only the issuer can make; with a shared secret (HS*), whoever can check one could make one.
_ALGORITHMS = {f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)} | {"EdDSA"}


@dataclass(frozen=True)
class Policy:
    """Whose tokens are taken, and what their claims mean."""

    issuer: Issuer
    audience: list[str]
    username_claim: str
    roles_claim: str
    roles: dict[str, set[str]]  # names of roles, by value of that claim
    leeway: int  # seconds


@lru_cache(16)
def policy_of(config: Config) -> Policy:
    """The checked settings of a configuration, always the same object, since it holds the keys of the issuer.

    Raises ConfigError, which says what to do.
    """

    def get(key: str) -> str:
        return config.get("windsock", f"oidc_{key}").strip()

    issuer, jwks_url, leeway = get("issuer"), get("jwks_url"), config.get_int("windsock", "oidc_leeway")
    audience, algorithms = (config.get_list("windsock", f"oidc_{key}") for key in ("audience", "algorithms"))
    roles_claim, roles = get("roles_claim"), _roles(get("roles"))
    wrong = sorted(set(algorithms) - _ALGORITHMS)
    _demand(is_safe(issuer) and "?" not in issuer, "issuer", "the https URL of the issuer, as in the claim iss")
    _demand(bool(audience), "audience", "what the claim aud of tokens for this server says")
    _demand(not jwks_url or is_safe(jwks_url), "jwks_url", "an https URL, or empty to ask the issuer for it")
    _demand(bool(algorithms) and not wrong, "algorithms", f"some of {', '.join(sorted(_ALGORITHMS))}, not {wrong}")
    _demand(bool(get("username_claim")), "username_claim", "the name of a claim, such as preferred_username")
    _demand(bool(roles) == bool(roles_claim), "roles", "set together with oidc_roles_claim, or neither of them")
    _demand(0 <= leeway <= 300, "leeway", "0 to 300 seconds")
    return Policy(Issuer(issuer, jwks_url, algorithms), audience, get("username_claim"), roles_claim, roles, leeway)


def _roles(text: str) -> dict[str, set[str]]:
    """`value: Role` pairs, between commas or line ends; a value may hold colons, and may come several times."""
    found: dict[str, set[str]] = {}
    for pair in filter(None, map(str.strip, re.split(r"[,\n]", text))):
        value, _, role = (part.strip() for part in pair.rpartition(":"))
        _demand(bool(value and role), "roles", f"pairs such as `airflow-admins: Admin`, not {pair!r}")
        found.setdefault(value, set()).add(role)
    return found


def _demand(met: bool, key: str, expected: str) -> None:
    if not met:
        raise ConfigError(f"[windsock] oidc_{key} must be {expected}")
