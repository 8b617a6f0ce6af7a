"""The public keys of an OpenID Connect issuer: asked for when they are needed, and kept for a while.

No client chooses a URL: what is asked is configured, or stands in the issuer's own metadata.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, build_opener

from jwt import PyJWK
from jwt.exceptions import PyJWTError

log = logging.getLogger(__name__)

#: Seconds for which keys count without another look, and while the issuer cannot be asked.
FRESH, KEPT = 300, 3600
#: Seconds between two attempts to ask, whatever tokens come meanwhile.
PAUSE = 10
#: Seconds for one answer, and its bytes.
TIMEOUT, LARGEST = 5, 512 * 1024
_METADATA = "/.well-known/openid-configuration"


class Issuer:
    """The keys of the issuer whose URL is `name`, for some algorithms; threads may share it.

    Without `jwks_url` the issuer's metadata says where the keys are (OpenID Connect Discovery 1.0, section 4).
    """

    def __init__(self, name: str, jwks_url: str, algorithms: Sequence[str]) -> None:
        self.name = name
        self._jwks_url, self._algorithms = jwks_url, algorithms
        self._keys: dict[tuple[str, str], PyJWK] = {}
        self._asked, self._answered = -math.inf, -math.inf
        self._asking = threading.Lock()

    def key(self, key_id: str, algorithm: str) -> PyJWK | None:
        """The key of this id for this algorithm; None if the issuer publishes none, or cannot be asked."""
        wanted = (key_id, algorithm)
        known = wanted in self._keys
        if not known or time.monotonic() - self._answered >= FRESH:
            self._refresh(patient=not known)
        return self._keys.get(wanted) if time.monotonic() - self._answered < KEPT else None

    def _refresh(self, patient: bool) -> None:
        """Ask for the keys, unless that was done just now; who has a key does not wait while another thread asks."""
        if not self._asking.acquire(timeout=TIMEOUT if patient else 0):
            return
        try:
            if time.monotonic() - self._asked >= PAUSE:
                self._keys = dict(self._read())
                self._answered = self._asked = time.monotonic()
        except (OSError, HTTPException, ValueError, RecursionError) as error:
            self._asked = time.monotonic()
            log.warning("[windsock] oidc_issuer: the keys of %s cannot be read: %.300r", self.name, str(error))
        finally:
            self._asking.release()

    def _read(self) -> Iterator[tuple[tuple[str, str], PyJWK]]:
        found = _get(self._jwks_url or self._published()).get("keys")
        if not isinstance(found, list):
            raise ValueError("the document of the keys has no list `keys`")
        for given in found:
            if isinstance(given, dict) and isinstance(given.get("kid"), str) and given.get("use", "sig") == "sig":
                for algorithm in self._algorithms:
                    if given.get("alg", algorithm) == algorithm and (key := _key(given, algorithm)):
                        yield (given["kid"], algorithm), key

    def _published(self) -> str:
        """The URL of the keys. Another issuer's metadata would lead to another issuer's keys."""
        metadata = _get(self.name.rstrip("/") + _METADATA)
        if metadata.get("issuer") != self.name:
            raise ValueError(f"its metadata is that of the issuer {metadata.get('issuer')!r}")
        url = metadata.get("jwks_uri")
        if not isinstance(url, str) or not is_safe(url):
            raise ValueError(f"its metadata has no usable jwks_uri, but {url!r}")
        return url


def is_safe(url: str) -> bool:
    """Whether keys may come from this URL: HTTPS, or HTTP within this machine; without user or fragment."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc or "#" in url or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _key(given: dict[str, Any], algorithm: str) -> PyJWK | None:
    """None for a key of another kind; its length and curve are checked whenever a signature is."""
    try:
        return PyJWK(given, algorithm)
    except (PyJWTError, ValueError, TypeError):
        return None


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow nothing: it would lead away from what is configured."""


def _get(url: str) -> dict[str, Any]:
    """The JSON object at a URL. Raises OSError, HTTPException, ValueError or RecursionError."""
    within = [ProxyHandler({})] if url.startswith("http:") else []  # nobody in between where nothing is encrypted
    until, content = time.monotonic() + TIMEOUT, b""
    with build_opener(_NoRedirect, *within).open(url, timeout=TIMEOUT) as response:
        while part := response.read1(65536):
            content += part
            if len(content) > LARGEST or time.monotonic() > until:
                raise ValueError(f"the answer of {url} is larger than {LARGEST} bytes, or takes too long")
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError(f"the answer of {url} is no JSON object")
    return found
