"""Real databases for the tests: `postgres()` yields the URL of a fresh, empty PostgreSQL database.

The server is the one in $WINDSOCK_TEST_POSTGRES (a URL whose user may create databases), else a server started here
from an installed PostgreSQL, else from the binaries in the package pgserver. It starts at the first call and stops
with the test process.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, make_url, text

KINDS = tuple(os.environ.get("WINDSOCK_TEST_DATABASES", "sqlite,postgres").split(","))  # what the tests run on
_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}
_numbers = itertools.count(1)


@contextmanager
def postgres() -> Iterator[URL]:
    """Yield the URL of an empty database and drop the database afterwards. Raises RuntimeError without a server."""
    server = _server()
    name = f"windsock_test_{os.getpid()}_{next(_numbers)}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    _execute(admin, f'CREATE DATABASE "{name}" TEMPLATE template0')
    try:
        yield server.set(database=name)
    finally:
        _execute(admin, f'DROP DATABASE "{name}" WITH (FORCE)')
        admin.dispose()


def _execute(admin: Engine, statement: str) -> None:
    with admin.connect() as connection:
        connection.execute(text(statement))


@functools.cache
def _server() -> URL:
    if url := os.environ.get("WINDSOCK_TEST_POSTGRES"):
        return make_url(url).set(drivername="postgresql+psycopg")
    return _start(_binaries())


def _binaries() -> Path:
    """Find the directory with initdb and pg_ctl."""
    candidates: list[Path] = []
    if pg_config := shutil.which("pg_config"):
        candidates.append(Path(subprocess.check_output([pg_config, "--bindir"], text=True).strip()))
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    candidates += [Path(entry) / "pgserver" / "pginstall" / "bin" for entry in sys.path if entry]
    for directory in candidates:
        if (directory / "initdb").exists() and (directory / "pg_ctl").exists():
            return directory
    raise RuntimeError("no PostgreSQL: install a server or pgserver, or set WINDSOCK_TEST_POSTGRES to a server's URL")


def _start(binaries: Path) -> URL:
    home = Path(tempfile.mkdtemp(prefix="windsock-postgres-"))
    # PostgreSQL refuses to run as root.
    account = "postgres" if _has_account("postgres") else "nobody"
    prefix = ["setpriv", f"--reuid={account}", "--clear-groups"] if os.getuid() == 0 else []
    if prefix:
        shutil.chown(home, account)
        if "pgserver" in binaries.parts:  # it may lie in a directory that only root can enter
            site = binaries.parents[2]
            for directory in ("pgserver/pginstall", "pgserver.libs"):
                shutil.copytree(site / directory, home / directory)
            binaries = home / binaries.relative_to(site)

    def run(*command: str) -> None:
        done = subprocess.run([*prefix, *command], capture_output=True, text=True, cwd=home, check=False)
        if done.returncode:
            server_log = home / "log"
            raise RuntimeError(done.stdout + done.stderr + (server_log.read_text() if server_log.exists() else ""))

    data, port = str(home / "data"), free_port()
    run(str(binaries / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
    settings = {**_SETTINGS, "port": str(port), "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
    with (home / "data" / "postgresql.conf").open("a") as conf:
        conf.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
    stop = [*prefix, str(binaries / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop"]  # stops the pid in data
    atexit.register(_stop, os.getpid(), stop, home)
    run(str(binaries / "pg_ctl"), "-D", data, "-l", str(home / "log"), "-w", "start")
    return URL.create("postgresql+psycopg", username="postgres", host="127.0.0.1", port=port, database="postgres")


def _stop(owner: int, command: list[str], home: Path) -> None:
    if os.getpid() == owner:  # not in a child that a test has forked
        subprocess.run(command, capture_output=True, cwd=home, check=False)
        shutil.rmtree(home, ignore_errors=True)


def _has_account(name: str) -> bool:
    import pwd

    return any(entry.pw_name == name for entry in pwd.getpwall())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
