"""PostgreSQL servers on this machine.

They are from $WINDSOCK_TEST_POSTGRES_BIN, a folder with initdb, pg_ctl and postgres, else from an installed PostgreSQL,
else from the package pgserver.
"""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from sqlalchemy import URL

_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}
_INITDB = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")


class Cluster:
    """One server, its data and its port on loopback. What it runs, it runs as a user who is not root."""

    def __init__(self, **settings: object) -> None:
        """Make a home; `settings` go before those that all tests have. Raises RuntimeError without a PostgreSQL."""
        self.home, self.port = Path(tempfile.mkdtemp(prefix="windsock-postgres-")), free_port()
        self.data, self._binaries, self._settings = self.home / "data", binaries(), settings
        hand_over(self.home)
        if "pgserver" in self._binaries.parts and os.getuid() == 0:  # it may lie where only root can enter
            site = self._binaries.parents[2]
            for directory in ("pgserver/pginstall", "pgserver.libs"):
                shutil.copytree(site / directory, self.home / directory)
            self._binaries = self.home / self._binaries.relative_to(site)

    @property
    def url(self) -> URL:
        """The URL of the database `postgres`, for its superuser."""
        return URL.create(
            "postgresql+psycopg", username="postgres", host="127.0.0.1", port=self.port, database="postgres"
        )

    def init(self) -> None:
        """Make an empty server."""
        self.run("initdb", "-D", str(self.data), *_INITDB)
        self._configure()

    def copy(self, primary: Cluster) -> None:
        """Make a standby of a running server."""
        where = primary.url.set(drivername="postgresql").render_as_string()
        self.run("pg_basebackup", "-D", str(self.data), "-d", where, "-R", "-c", "fast", "-X", "stream")
        self._configure()

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        self.run("pg_ctl", "-D", str(self.data), "-l", str(self.home / "log"), "-w", "start")

    def stop(self, how: str = "immediate") -> None:
        """Stop the server as `pg_ctl stop -m` does."""
        self.run("pg_ctl", "-D", str(self.data), "-m", how, "-w", "stop")

    def remove(self) -> None:
        """Stop the server, if it runs, and delete all of it."""
        command = unprivileged(str(self._binaries / "pg_ctl"), "-D", str(self.data), "-m", "immediate", "stop")
        subprocess.run(command, capture_output=True, cwd=self.home, check=False)
        shutil.rmtree(self.home, ignore_errors=True)

    def log(self) -> str:
        """What the server has written."""
        log = self.home / "log"
        return log.read_text() if log.exists() else ""

    def run(self, program: str, *arguments: str) -> None:
        """Run a program of PostgreSQL; raises RuntimeError with what it and the server have said."""
        command = unprivileged(str(self._binaries / program), *arguments)
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.home, check=False)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr + self.log())

    def _configure(self) -> None:
        fixed = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{key} = '{value}'\n" for key, value in {**_SETTINGS, **self._settings, **fixed}.items())


@functools.cache
def binaries() -> Path:
    """The directory with initdb and pg_ctl. Raises RuntimeError when there is none."""
    if named := os.environ.get("WINDSOCK_TEST_POSTGRES_BIN"):
        return Path(named)
    candidates: list[Path] = []
    if pg_config := shutil.which("pg_config"):
        candidates.append(Path(subprocess.check_output([pg_config, "--bindir"], text=True).strip()))
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    candidates += [Path(entry) / "pgserver" / "pginstall" / "bin" for entry in sys.path if entry]
    for directory in candidates:
        if (directory / "initdb").exists() and (directory / "pg_ctl").exists():
            return directory
    raise RuntimeError("no PostgreSQL: install a server or pgserver, or set WINDSOCK_TEST_POSTGRES(_BIN)")


def account() -> str:
    """The user for servers that refuse to run as root."""
    return "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"


def hand_over(path: Path) -> None:
    """Make a directory or file one of that user's, if we are root."""
    if os.getuid() == 0:
        shutil.chown(path, account())


def unprivileged(*command: str) -> list[str]:
    """A command, run as that user if we are root."""
    return ["setpriv", f"--reuid={account()}", "--clear-groups", *command] if os.getuid() == 0 else list(command)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
