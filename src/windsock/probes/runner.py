"""Starts tests of connections: a few at a time, each in a process that has nothing of the server's environment."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import asdict
from functools import cache
from threading import BoundedSemaphore
from typing import Any

from windsock.config import Config
from windsock.crypto import MASK, Masker
from windsock.distributions import declared
from windsock.errors import TooManyRequests
from windsock.probes import Target
from windsock.probes.child import GROUP
from windsock.probes.kinds import SHIPPED

log = logging.getLogger(__name__)

#: What a test may know of the server: where programs and certificates are, and the language.
_KEPT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TZ")
#: No password file, certificate or cloud credential of the server's account, nor of its machine.
_EMPTY = {
    "HOME": "/nonexistent",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_START = "from windsock.probes.child import main; main()"
_RETRY_AFTER = 5


@cache
def _slots(number: int) -> BoundedSemaphore:
    return BoundedSemaphore(number)


def types() -> list[str]:
    """The types of connections that can be tested here."""
    return sorted({*SHIPPED, *(entry.name for entry, _ in declared(GROUP))})


def test(target: Target, config: Config) -> dict[str, Any]:
    """Status (bool) and message of a test. Raises TooManyRequests when no further one is allowed meanwhile."""
    if target.conn_type not in types():
        known = ", ".join(types())
        return _outcome(False, f"Connections of type {target.conn_type!r} cannot be tested here; these can: {known}")
    slots = _slots(config.get_int("windsock", "test_connection_concurrency"))
    if not slots.acquire(blocking=False):
        raise TooManyRequests("Other connections are being tested; try again soon", _RETRY_AFTER)
    try:
        return _in_child(target, config)
    finally:
        slots.release()


def _in_child(target: Target, config: Config) -> dict[str, Any]:
    denied = config.get_list("windsock", "test_connection_deny")
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        done = subprocess.run(  # noqa: S603  # nosec B603 (a constant program; what the client sent is its input)
            [sys.executable, "-c", _START],
            input=json.dumps({"target": asdict(target), "denied": denied}).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=target.timeout,
            env={**kept, **_EMPTY, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            cwd="/",
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _outcome(False, f"There was no answer within {target.timeout:g} seconds")
    try:
        outcome = json.loads(done.stdout)
    except ValueError:
        log.warning("The test of a connection of type %s ended with status %s", target.conn_type, done.returncode)
        return _outcome(False, "The test ended without an outcome")
    return _outcome(outcome["status"], _without_secrets(outcome["message"], target))


def _outcome(status: bool, message: str) -> dict[str, Any]:
    return {"status": status, "message": message}


def _without_secrets(message: str, target: Target) -> str:
    masker = Masker()
    for secret in filter(None, [target.password, *_secrets(target.extra, masker)]):
        message = message.replace(secret, MASK)
    return masker.mask_code(message)


def _secrets(value: Any, masker: Masker, hidden: bool = False) -> list[str]:
    """The texts in a connection's extra that have a sensitive name."""
    if isinstance(value, dict):
        return [s for name, item in value.items() for s in _secrets(item, masker, hidden or masker.is_sensitive(name))]
    if isinstance(value, list):
        return [s for item in value for s in _secrets(item, masker, hidden)]
    return [value] if hidden and isinstance(value, str) else []
