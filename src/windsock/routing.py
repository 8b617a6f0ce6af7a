"""Ids that hold a slash.

A WSGI server hands over the path decoded, so an id's `%2F` looks like a separator. A path that no route takes as it
stands is matched again with routes in which an id may span separators; what matches strictly never changes meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter, IntegerConverter, Map, MapAdapter, Rule


class Spanning(BaseConverter):
    """Any text, separators included; the shortest that fits."""

    regex = r"[\s\S]+?"
    part_isolating = False


class _Signed(IntegerConverter):
    """So that a negative number is found wanting where a number stands, instead of joining the id before it."""

    regex = r"-?\d+"


class _Adapter(MapAdapter):
    """Takes a second look, at a map that is made when it is first needed."""

    def __init__(self, spanning: Callable[[], Map], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._spanning = spanning

    def match(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().match(*args, **kwargs)
        except NotFound:
            self.map = self._spanning()
            return super().match(*args, **kwargs)


class _OneWay(Rule):
    """A rule that finds the view of a URL, and never makes a URL: to prepare that takes most of the time of a rule."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        def build(*_: Any, **__: Any) -> tuple[str, str]:
            raise NotImplementedError("Windsock has no use for url_for")

        return build


class _Request(Request):
    blueprints: list[str] = []  # none has hooks of its own, for which Flask would look thrice


class _NoSessions(SessionInterface):
    """Callers bring credentials: Flask keeps nothing of its own in a cookie, and need not look for a key each time."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        """The one that refuses to be written to."""
        return self._none


class SlashTolerantFlask(Flask):
    """Flask whose router finds `/pools/a%2Fb` (decoded: `/pools/a/b`)."""

    request_class = _Request
    session_interface = _NoSessions()
    url_rule_class = _OneWay

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """An adapter with the second look. No route depends on a host, so none is looked for until one is asked for."""
        if request is None:  # outside of a request, nothing is to be found
            return None
        path = request.environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")
        where = (request.host, request.root_path or "/", "", request.scheme, path or "/", request.method)
        return _Adapter(lambda: self._spanning_map, self.url_map, *where)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself: none here is a coroutine, and Flask would look at five of them in each request."""
        return func

    @cached_property
    def _spanning_map(self) -> Map:
        converters = {**self.url_map.converters, "default": Spanning, "path": Spanning, "int": _Signed}
        rules = [rule.empty() for rule in self.url_map.iter_rules()]
        return Map(rules, merge_slashes=False, converters=converters)
