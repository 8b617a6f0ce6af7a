"""Which requests a foreign page may have sent with what a browser adds by itself: cookies, tickets."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Request

from windsock.context import context

_SAFE = ("GET", "HEAD", "OPTIONS")


def foreign_change(request: Request) -> bool:
    """Whether the request changes something and another page than our own asks for it.

    An `Origin` is our own if it names the host of the request or is that of `[webserver] base_url`.
    """
    return request.method not in _SAFE and not _from_ourselves(request)


def _from_ourselves(request: Request) -> bool:
    """Browsers say which page asks. Its scheme is not compared with ours, which a proxy in front may hide from us."""
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    try:
        asking, base = urlsplit(origin.lower()), urlsplit(context.config.get("webserver", "base_url").lower())
    except ValueError:  # brackets that are no address
        return False
    if asking.scheme not in ("http", "https") or not asking.netloc:
        return False
    return asking.netloc == request.host.lower() or (asking.scheme, asking.netloc) == (base.scheme, base.netloc)
