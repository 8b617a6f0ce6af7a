"""`windsock serve`: the production server, granian with the WSGI interface."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, NamedTuple

import click

from windsock.cli.base import engine, examples, with_config

if TYPE_CHECKING:
    from flask import Flask

    from windsock.config import Config


class Listen(NamedTuple):
    """Where the server listens and how wide it is: processes, and threads in each."""

    host: str
    port: int
    workers: int
    threads: int

    @property
    def url(self) -> str:
        """The address for a client on this machine."""
        # An address that is replaced, not one to listen on
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104  # nosec B104
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"


def cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@click.command(epilog=examples("serve --config airflow.cfg", "serve --host 0.0.0.0 --workers 4 --threads 8"))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--workers", type=click.IntRange(1), help="Worker processes.  [default: the number of CPU cores]")
@click.option("--threads", default=4, show_default=True, type=click.IntRange(1), help="Threads in each worker.")
@with_config
def serve(config: Config, host: str, port: int, workers: int | None, threads: int) -> None:
    """Serve the API of an existing metadata database under /api/v1."""
    listen = Listen(host, port, workers or cores(), threads)
    check_port(listen)
    run(listen, _config_path())


def _config_path() -> Path | None:
    given = click.get_current_context().params.get("config_file")
    return given.expanduser().absolute() if given else None


def check_port(listen: Listen) -> None:
    """Refuse a port that is in use: granian's workers share ports, so two servers could answer in turns."""
    try:
        found = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise click.ClickException(f"--host {listen.host} is no address of this machine: {error.strerror}") from None
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "is already in use. Choose another with --port." if taken else f"cannot be used: {error.strerror}."
        raise click.ClickException(f"Port {listen.port} on {listen.host} {why}") from None


def run(listen: Listen, config_file: Path | None, ready: Callable[[], None] | None = None) -> None:
    """Serve until a signal ends it; `ready` is called once, when the server answers.

    Raises what keeps it from starting: ConfigError, SchemaError, DocumentError or a database error.
    """
    with _environment(listen, config_file):
        gc.disable()  # saves time while all of this is imported, and then `build` freezes it
        try:
            from windsock.server import Server

            server = Server(listen, _build)
        finally:
            gc.enable()
        if ready:
            forked = threading.Semaphore(0)
            os.register_at_fork(after_in_parent=forked.release)
            waiting = threading.Thread(target=_tell, args=(listen, forked, ready), daemon=True)
            server.on_startup(waiting.start)
        server.run()


@contextmanager
def _environment(listen: Listen, config_file: Path | None) -> Iterator[None]:
    """What the workers read from variables, such as the place, in memory if possible, in which their metrics meet."""
    before = dict(os.environ)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else os.environ.get("TMPDIR", "/tmp")  # noqa: S108  # nosec B108
    counts = os.path.join(memory, f"windsock-metrics-{token_hex(8)}")  # made when it is needed
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", counts)
    os.environ["WINDSOCK_THREADS"] = str(listen.threads)
    if config_file:
        os.environ["AIRFLOW_CONFIG"] = str(config_file)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(counts, ignore_errors=True)


def _build() -> Flask:
    """The application, if the database has a schema that it knows. What this imports, the workers inherit."""
    from windsock import migrate
    from windsock.config import Config
    from windsock.worker import build

    config = Config.load()
    config.check()
    used = engine(config)
    try:
        revision = migrate.check(used)
    finally:
        used.dispose()
    if said := migrate.reservation(revision):
        click.echo(said, err=True)
    return build()


def _tell(listen: Listen, forked: threading.Semaphore, ready: Callable[[], None]) -> None:
    """Call `ready` as soon as a worker answers; give up after a minute."""
    # A lock of a C library that this thread held at a fork would stay locked in the worker: touch none before.
    for _ in range(listen.workers):
        forked.acquire(timeout=2)  # where workers are spawned, nothing is ever forked
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError, HTTPException):
            connection = HTTPConnection(listen.url.removeprefix("http://"), timeout=5)
            connection.request("GET", "/api/v1/version")
            if connection.getresponse().status == 200:
                return ready()
        time.sleep(0.05)
