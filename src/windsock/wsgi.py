"""The WSGI application, `windsock.wsgi:app`, for servers other than that of `windsock serve`."""

from __future__ import annotations

from windsock.worker import build

app = build()
