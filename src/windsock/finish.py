"""The headers of every answer, whoever made it: the id of its request, and what protects who reads it.

They join the list that the server gets. Hooks of Flask would add them to Werkzeug's headers, which takes longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from flask import Flask

from windsock import request_ids
from windsock.observing import BEGAN

_ALWAYS = [("X-Content-Type-Options", "nosniff"), ("X-Robots-Tag", "noindex, nofollow")]
#: Of answers that do not say how they may be kept.
_UNKEPT = ("Cache-Control", "no-store")


def register(app: Flask) -> None:
    """Give every request of `app` an id, and every answer those headers."""
    inner: Callable[..., Iterable[bytes]] = app.wsgi_app

    def finished(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ[BEGAN] = perf_counter()
        known = (request_ids.HEADER, request_ids.take(environ))

        def start(status: str, headers: list[tuple[str, str]], *failure: Any) -> Any:
            for name, _ in headers:
                if name == "Cache-Control":
                    break
            else:
                headers.append(_UNKEPT)
            headers.append(known)
            headers.extend(_ALWAYS)
            return start_response(status, headers, *failure)

        return inner(environ, start)

    app.wsgi_app = finished  # type: ignore[method-assign]
