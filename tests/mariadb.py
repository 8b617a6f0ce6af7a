"""A MariaDB server on this machine, from an installed one (Debian: apt install mariadb-server)."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pymysql
from sqlalchemy import URL

from clusters import free_port

#: No durability, and all that MySQL 8 is stricter in.
_SETTINGS = (
    "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", "--skip-log-bin", "--innodb-buffer-pool-size=128M",
    "--character-set-server=utf8mb4", "--explicit-defaults-for-timestamp=1", "--max-connections=300",
    "--sql-mode=STRICT_TRANS_TABLES,ONLY_FULL_GROUP_BY,NO_ZERO_DATE,NO_ENGINE_SUBSTITUTION",
    "--default-time-zone=+05:45",
)  # fmt: skip


class MariaDB:
    """One server, its data and its port on loopback. It runs as a user who is not root."""

    def __init__(self) -> None:
        """Make and start a server. Raises RuntimeError without an installed one, or if it does not start."""
        self.home, self.port = Path(tempfile.mkdtemp(prefix="windsock-mariadb-")), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if os.getuid() == 0:
            shutil.chown(self.home, _account())
        self._make()
        self.start()

    @property
    def url(self) -> URL:
        """The URL of the server, for its superuser."""
        return URL.create("mysql+pymysql", username="root", host="127.0.0.1", port=self.port)

    def _make(self) -> None:
        program = _program("mariadb-install-db", "mysql_install_db")
        made = subprocess.run(
            [program, "--no-defaults", f"--datadir={self.home}/data", "--auth-root-authentication-method=normal",
             "--skip-test-db", *([f"--user={_account()}"] if os.getuid() == 0 else [])],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode:
            raise RuntimeError(made.stdout + made.stderr)

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        command = [
            _program("mariadbd", "mysqld"), "--no-defaults", f"--datadir={self.home}/data", f"--port={self.port}",
            "--bind-address=127.0.0.1", f"--socket={self.home}/socket", f"--pid-file={self.home}/pid", *_SETTINGS,
        ]  # fmt: skip
        if os.getuid() == 0:
            command.append(f"--user={_account()}")
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.home)
        deadline = time.monotonic() + 60
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError((self.home / "log").read_text())
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            pymysql.connect(host="127.0.0.1", port=self.port, user="root").close()
        except pymysql.MySQLError:
            return False
        return True

    def stop(self) -> None:
        """Kill the server."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def remove(self) -> None:
        """Stop the server and delete all of it."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)


def _program(*names: str) -> str:
    for name in names:
        if found := shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin"):
            return found
    raise RuntimeError(f"no {names[0]}: install MariaDB, or set WINDSOCK_TEST_MYSQL to the URL of a server")


def _account() -> str:
    """The user for a server that refuses to run as root."""
    return "mysql" if any(entry.pw_name == "mysql" for entry in pwd.getpwall()) else "nobody"
