"""Logs that a worker or a triggerer serves itself, asked for as Airflow 2.11 asks: with a signed request for one file.

The name of the host comes from the database, so it is asked only if `[windsock] log_server_hosts` allows it, and no
redirect is followed.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, NamedTuple, cast
from urllib.parse import quote

from windsock.config import Config
from windsock.tasklogs.attempts import Attempt
from windsock.tasklogs.local import Source, path_parts
from windsock.tasklogs.merge import CHUNK

log = logging.getLogger(__name__)

AUDIENCE, ALGORITHM = "task-instance-logs", "HS512"
#: Seconds that one log may take, and bytes of it that are kept in memory; the rest goes to a temporary file.
LONGEST_FETCH, IN_MEMORY = 60, 4 * 1024 * 1024
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*", re.ASCII)


class _Server(NamedTuple):
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/log/{self.path}"


class Unread(Exception):
    """The log server gave no log; the message says why."""


def find_served(attempt: Attempt, path: str, config: Config) -> tuple[list[str], list[Source]]:
    """What to say about the log server of a try, and what it served. Raises OutsideError for a path that goes up."""
    path_parts(path)
    server = _server(attempt, path, config)
    try:
        source = _fetch(server, config)
    except Unread as error:
        return [f"Could not read served logs: {error}"], []
    except (OSError, HTTPException) as error:  # a refusal, a time-out, a name that is none
        log.info("Cannot read %s: %r", server.url, error)
        return [f"Could not read served logs: {server.host}:{server.port} does not answer ({type(error).__name__})"], []
    return ([f"Found logs served from host {server.url}"], [source]) if source.size else ([], [])


def allows(hosts: list[str], host: str) -> bool:
    """Whether one of these names is that of the host; a `*` in one stands for characters other than dots."""
    patterns = ("[^.]*".join(map(re.escape, name.split("*"))) for name in hosts)
    return any(re.fullmatch(pattern, host, re.IGNORECASE) for pattern in patterns)


def _server(attempt: Attempt, path: str, config: Config) -> _Server:
    if attempt.triggerer_id is None:
        return _Server(attempt.hostname or "", config.get_int("logging", "worker_log_server_port"), path)
    port = config.get_int("logging", "trigger_log_server_port")
    return _Server(attempt.triggerer_host or "", port, f"{path}.trigger.{attempt.triggerer_id}.log")


def _fetch(server: _Server, config: Config) -> Source:
    """The log of this address in a temporary file."""
    if not server.host:
        raise Unread("the task instance has no host")
    if not _HOST.fullmatch(server.host) or not allows(config.get_list("windsock", "log_server_hosts"), server.host):
        raise Unread(f"host {server.host!r} is not in [windsock] log_server_hosts")
    deadline = time.monotonic() + LONGEST_FETCH
    timeout = config.get_float("webserver", "log_fetch_timeout_sec")
    with closing(HTTPConnection(server.host, server.port, timeout=timeout)) as connection:
        where, headers = f"/log/{quote(server.path)}", {"Authorization": _signed(server.path, config)}
        connection.request("GET", where, headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            raise Unread(_reason(server, response.status))
        return _spool(server, _received(response, deadline))


def _received(response: HTTPResponse, deadline: float) -> Iterator[bytes]:
    while data := response.read1(CHUNK):
        yield data
        if time.monotonic() > deadline:
            yield b"\n*** The log server is too slow: the rest was not read\n"
            return


def _spool(server: _Server, received: Iterator[bytes]) -> Source:
    file = cast(BinaryIO, SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115  # closed with the answer
    try:
        for data in received:
            file.write(data)
    except BaseException:
        file.close()
        raise
    return Source(server.url, file, file.tell())


def _reason(server: _Server, status: int) -> str:
    if status == 403:
        return f"{server.url} refuses the request: [webserver] secret_key or the clocks differ"
    if status == 404:
        return f"{server.url} does not exist; the try may have run on another worker"
    return f"{server.url} answers {status}"


def _signed(path: str, config: Config) -> str:
    """A token for this file alone, for as long as `[webserver] log_request_clock_grace` says."""
    import jwt  # takes long, and most servers never need it

    key = config.get("webserver", "secret_key")
    if not key:
        raise Unread("[webserver] secret_key is empty, so no request can be signed")
    now = int(time.time())
    claims = {"aud": AUDIENCE, "iat": now, "nbf": now, "filename": path}
    claims["exp"] = now + config.get_int("webserver", "log_request_clock_grace")
    return jwt.encode(claims, key, ALGORITHM)
