"""A server of MySQL or MariaDB on this machine.

It is the one in $WINDSOCK_TEST_MYSQL_BIN, a folder with mysqld or mariadbd, else an installed one.
"""

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

#: No durability, and on both what either is stricter in.
_SETTINGS = (
    "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", "--skip-log-bin", "--innodb-buffer-pool-size=128M",
    "--character-set-server=utf8mb4", "--explicit-defaults-for-timestamp=1", "--max-connections=300",
    "--sql-mode=STRICT_TRANS_TABLES,ONLY_FULL_GROUP_BY,NO_ZERO_DATE,NO_ENGINE_SUBSTITUTION",
    "--default-time-zone=+05:45",
)  # fmt: skip


class Mysqld:
    """One server, its data and its port on loopback. It runs as a user who is not root."""

    def __init__(self, *settings: str) -> None:
        """Make and start a server; options `settings` go before those that all tests have.

        Raises RuntimeError without one, or if it does not start.
        """
        self._settings = (*_SETTINGS, *settings)
        self._program = _program("mariadbd", "mysqld")
        version = subprocess.check_output([self._program, "--no-defaults", "--version"], text=True)
        self._is_mariadb = "MariaDB" in version
        self.home, self.port = Path(tempfile.mkdtemp(prefix="windsock-mysqld-")), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = os.environ | {"TMPDIR": str(self.home)}  # a server removes what others have in theirs
        self._user = []
        if os.getuid() == 0:
            shutil.chown(self.home, _account())
            self._user = [f"--user={_account()}"]
        self._make()
        self.start()

    @property
    def url(self) -> URL:
        """The URL of the server, for its superuser."""
        return URL.create("mysql+pymysql", username="root", host="127.0.0.1", port=self.port)

    def _make(self) -> None:
        if self._is_mariadb:
            making = [_program("mariadb-install-db", "mysql_install_db"), "--no-defaults", "--skip-test-db"]
            making.append("--auth-root-authentication-method=normal")
        else:
            making = [self._program, "--no-defaults", "--initialize-insecure"]
        making += [f"--datadir={self.home}/data", *self._user]
        made = subprocess.run(making, env=self._environment, capture_output=True, text=True, check=False)
        if made.returncode:
            raise RuntimeError(made.stdout + made.stderr)

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        command = [
            self._program, "--no-defaults", f"--datadir={self.home}/data", f"--port={self.port}",
            "--bind-address=127.0.0.1", f"--socket={self.home}/socket", f"--pid-file={self.home}/pid", *self._settings,
            *([] if self._is_mariadb else ["--mysqlx=OFF"]), *self._user,
        ]  # fmt: skip
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.home, env=self._environment)
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

    def stop(self, how: str = "immediate") -> None:
        """Kill the server, or, if it is to be `fast`, let it end what it does."""
        if self._process is not None:
            self._process.terminate() if how == "fast" else self._process.kill()
            self._process.wait()

    def remove(self) -> None:
        """Stop the server and delete all of it."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)


def _program(*names: str) -> str:
    named = os.environ.get("WINDSOCK_TEST_MYSQL_BIN")
    folders = named or os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"))
    for name in names:
        if found := shutil.which(name, path=folders):
            return found
    raise RuntimeError(f"no {names[0]} in {folders}: install MariaDB or MySQL, or set WINDSOCK_TEST_MYSQL(_BIN)")


def _account() -> str:
    """The user for a server that refuses to run as root."""
    return "mysql" if any(entry.pw_name == "mysql" for entry in pwd.getpwall()) else "nobody"
