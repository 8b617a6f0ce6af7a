"""A log server for the tests of task logs, on a free port of this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response


@dataclass
class LogServer:
    """What was asked of it: each request and the claims of its token."""

    port: int = 0
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


@contextmanager
def log_server(key: str, answer: Callable[[str], Response]) -> Iterator[LogServer]:
    """A server that takes only what Airflow's own takes: a token for exactly the file that is asked for."""
    seen = LogServer()

    @Request.application
    def serve(request: Request) -> Response:
        wanted = request.path.removeprefix("/log/")
        seen.asked.append((wanted, {}))
        token = request.headers.get("Authorization", "")
        required = {"require": ["exp", "iat", "nbf"]}
        try:
            claims = jwt.decode(token, key, ["HS512"], required, audience="task-instance-logs")
        except jwt.InvalidTokenError:
            return Response(status=403)
        seen.asked[-1] = (wanted, claims)
        return answer(wanted) if claims.get("filename") == wanted else Response(status=403)

    server = make_server("127.0.0.1", 0, serve, threaded=True)
    seen.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
