"""How often one user may ask, and how often logins from one address may fail; the package `limits` counts.

Counts are of fixed windows, in the memory of each worker or, for all of them, in `[windsock] rate_limit_storage`. A
storage that cannot be reached refuses nobody: the log says so, and nothing is counted for a minute.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from functools import update_wrapper
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response, request

from windsock.config import Config, ConfigError
from windsock.context import KEY, Backend, caller
from windsock.errors import TooManyRequests

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import FixedWindowRateLimiter

    from windsock.callers import Caller

log = logging.getLogger(__name__)

RATE, LOGIN = ("windsock", "rate_limit"), ("windsock", "login_rate_limit")
STORAGE = ("windsock", "rate_limit_storage")
#: Seconds without counting after a failure of the storage; seconds that Redis may take to answer.
_PAUSE, _REDIS = 60.0, {"socket_timeout": 1, "socket_connect_timeout": 1}


def register(app: Flask, config: Config) -> None:
    """Limit the requests of `app` as far as the configuration asks for it. Raises ConfigError if it cannot be met."""
    requests, logins = load(config)
    if logins:
        app.after_request(lambda response: _count_failure(response, logins))
    if requests:
        app.after_request(lambda response: _count_nobody(response, requests))
    if requests or logins:
        known = app.extensions[KEY]
        known.backends = [_limited(b, requests, logins, b is known.backends[-1]) for b in known.backends]


def load(config: Config) -> tuple[Limit | None, Limit | None]:
    """The limits of requests and of failed logins, None where there is none. Raises ConfigError for an unusable one."""
    requests, logins = _parse(config, RATE), _parse(config, LOGIN)
    if not requests and not logins:
        return None, None
    counter = _counter(config)
    return (
        Limit(requests, counter, "requests") if requests else None,
        Limit(logins, counter, "failed logins from this address") if logins else None,
    )


class Limit:
    """Some rates and what they count. A key is a user or an address."""

    def __init__(self, rates: list[RateLimitItem], counter: FixedWindowRateLimiter, what: str) -> None:
        self._rates, self._counter, self._what = rates, counter, what
        self._paused_until = 0.0

    def count(self, key: str) -> list[RateLimitItem]:
        """Count one. The rates that it exceeds."""
        return [rate for rate in self._rates if self._ask("hit", rate, key) is False]

    def spend(self, key: str) -> None:
        """Count one, and raise TooManyRequests, which says when to come back, if it is one too many."""
        self._refuse(self.count(key), key)

    def check(self, key: str) -> None:
        """Raise TooManyRequests if one more would be too many; count nothing."""
        self._refuse([rate for rate in self._rates if self._ask("test", rate, key) is False], key)

    def _refuse(self, full: list[RateLimitItem], key: str) -> None:
        if full:
            ends = [self._ask("get_window_stats", rate, key) for rate in full]
            wait = max([1, *(math.ceil(end.reset_time - time.time()) for end in ends if end)])
            allowed = "; ".join(map(str, full))
            raise TooManyRequests(f"There were too many {self._what}: {allowed} are allowed. Wait {wait} s", wait)

    def _ask(self, method: str, rate: RateLimitItem, key: str) -> Any:
        """What the counter says; None while it cannot be asked."""
        from limits.errors import StorageError

        if time.monotonic() < self._paused_until:
            return None
        try:
            return getattr(self._counter, method)(rate, self._name(key))
        except StorageError as error:
            self._paused_until = time.monotonic() + _PAUSE
            log.warning("Requests are not counted for a minute: [windsock] rate_limit_storage: %.200r", str(error))
            return None

    def _name(self, key: str) -> str:
        """What every storage takes, whatever is in the name of a user."""
        return hashlib.sha256(f"{self._what} {key}".encode("utf-8", "surrogatepass")).hexdigest()


def _limited(backend: Backend, requests: Limit | None, logins: Limit | None, last: bool) -> Backend:
    """A back end that is not asked while too many logins fail, and whose callers may not ask too often.

    Whom the last one does not know, and who sent no credentials, may be let in without any: then the address counts.
    """

    def limited(asked: Request) -> Caller | None:
        identified = "Authorization" in asked.headers
        if logins and identified:
            logins.check(_address())
        found = backend(asked)
        if requests and found is not None and found.active:
            requests.spend(f"user {found.username}")
        elif requests and last and not identified:
            requests.check(_address())
        return found

    return update_wrapper(limited, backend)


def _count_failure(response: Response, logins: Limit) -> Response:
    if response.status_code == 401 and "Authorization" in request.headers:
        logins.count(_address())
    return response


def _count_nobody(response: Response, requests: Limit) -> Response:
    who = caller()
    if who is not None and who.anonymous:
        requests.count(_address())
    return response


def _address() -> str:
    """The client's address; of IPv6, the network of 64 bits, all of which one client may use."""
    try:
        found = ip_address(request.remote_addr or "")
    except ValueError:  # a socket of this machine has none
        return ""
    return str(found if found.version == 4 else ip_network((found, 64), strict=False))


def _parse(config: Config, place: tuple[str, str]) -> list[RateLimitItem]:
    text = config.get(*place).strip()
    if not text:
        return []
    try:
        from limits import parse_many

        return parse_many(text)
    except ImportError:
        raise ConfigError(f"[{place[0]}] {place[1]} needs a package: pip install 'windsock[rate-limit]'") from None
    except ValueError:
        raise ConfigError(f"[{place[0]}] {place[1]} must be like 100 per minute; 10 per second, not {text!r}") from None


def _counter(config: Config) -> FixedWindowRateLimiter:
    from limits.errors import ConfigurationError
    from limits.storage import storage_from_string
    from limits.strategies import FixedWindowRateLimiter

    uri = config.get(*STORAGE)
    options: dict[str, Any] = _REDIS if uri.startswith("redis") else {}
    try:
        return FixedWindowRateLimiter(storage_from_string(uri, wrap_exceptions=True, **options))
    except (ConfigurationError, ValueError):  # the message may show the password of the URI
        raise ConfigError(
            "[windsock] rate_limit_storage must be memory:// or, with its package installed, redis://host:6379/0 or"
            " memcached://host:11211"
        ) from None
