"""`windsock serve` as a process of its own, for tests that need real workers and threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPMessage
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

from sqlalchemy import Engine

from changes import USERNAME
from clients import API, SETTINGS, credentials
from databases import free_port

_COMMAND = [sys.executable, "-c", "from windsock.cli import main; main()", "serve"]


class Reply(NamedTuple):
    """A status, a body (read, if it was JSON) and headers."""

    status: int
    body: Any
    headers: HTTPMessage


@dataclass
class Server:
    """A server and where it prints; its configuration is in its home."""

    home: Path
    port: int = field(default_factory=free_port)
    settings: dict[Any, object] = field(default_factory=lambda: dict(SETTINGS))
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def log(self) -> Path:
        """The file with what it has printed so far."""
        return self.home / "log"

    def configure(self, settings: Mapping[Any, object]) -> None:
        """Write the configuration file, with these settings beside or instead of those that there are."""
        self.settings |= settings
        sections: dict[str, str] = {}
        for (section, key), value in self.settings.items():
            line = f"{key} = {str(value).replace('%', '%%')}\n"
            sections[section] = sections.get(section, f"[{section}]\n") + line
        (self.home / "airflow.cfg").write_text("".join(sections.values()))

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Reply:
        """The reply to one request on a new connection, of the user of `changes`, who may everything."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            return ask(connection, path, method, body, **headers)
        finally:
            connection.close()

    def answers(self) -> bool:
        """Whether it answers at all."""
        with suppress(OSError, HTTPException):
            return self.ask("/version").status == 200
        return False

    def workers(self) -> list[int]:
        """The ids of its worker processes (Linux)."""
        found: list[str] = []
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with suppress(OSError):  # a thread that has ended since
                found += (task / "children").read_text().split()
        return sorted(map(int, found))

    def until(self, condition: Callable[[], Any], seconds: float = 30) -> Any:
        """Wait for a true value, and return it. Raises AssertionError, with the log, after these seconds."""
        deadline = monotonic() + seconds
        while not (value := condition()):
            assert monotonic() < deadline, f"not within {seconds} s:\n{self.log.read_text()}"
            sleep(0.05)
        return value


def ask(connection: HTTPConnection, path: str, method: str = "GET", body: Any = None, **headers: str) -> Reply:
    """The reply to a request below the API, or, for a path that begins with two slashes, for another page."""
    url = path[1:] if path.startswith("//") else API + path
    sent = {"Authorization": credentials(USERNAME), "Content-Type": "application/json", **headers}
    connection.request(method, url, None if body is None else json.dumps(body), sent)
    response = connection.getresponse()
    content = response.read()
    is_json = content and "json" in response.headers.get("Content-Type", "")
    return Reply(response.status, json.loads(content) if is_json else content.decode(), response.headers)


@contextmanager
def serving(home: Path, database: Engine, *arguments: str, settings: Mapping[Any, object] = {}) -> Iterator[Server]:
    """Serve a database until the end of the block, with the settings of the tests and further ones."""
    server = Server(home)
    url = database.url.render_as_string(hide_password=False)
    server.configure({("database", "sql_alchemy_conn"): url, **settings})
    with server.log.open("wb") as output:
        server.process = process = subprocess.Popen(
            [*_COMMAND, "--port", str(server.port), *arguments], stdout=output, stderr=output,
            env={**os.environ, "AIRFLOW_HOME": str(home)},
        )  # fmt: skip
    try:
        server.until(lambda: process.poll() is not None or server.answers(), 60)
        assert process.poll() is None, server.log.read_text()
        yield server
    finally:
        process.terminate()
        process.wait(timeout=20)
    assert "Traceback" not in server.log.read_text()
