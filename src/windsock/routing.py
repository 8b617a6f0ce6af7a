"""Ids that hold a slash.

A WSGI server hands over the path decoded, so an id's `%2F` looks like a separator. A path that no route takes as it
stands is matched again with routes in which an id may span separators; what matches strictly never changes meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from flask import Flask, Request
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
    spanning: Callable[[], MapAdapter]

    def match(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().match(*args, **kwargs)
        except NotFound:
            return self.spanning().match(*args, **kwargs)


class _OneWay(Rule):
    """A rule that finds the view of a URL, and never makes a URL: to prepare that takes most of the time of a rule."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        def build(*_: Any, **__: Any) -> tuple[str, str]:
            raise NotImplementedError("Windsock has no use for url_for")

        return build


class SlashTolerantFlask(Flask):
    """Flask whose router finds `/pools/a%2Fb` (decoded: `/pools/a/b`)."""

    url_rule_class = _OneWay

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Extend Flask's adapter by the second look."""
        adapter = super().create_url_adapter(request)
        if adapter is None or request is None:
            return adapter
        adapter.__class__ = _Adapter
        adapter.spanning = lambda: self._spanning_map.bind_to_environ(request.environ)  # type: ignore[attr-defined]
        return adapter

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself: none here is a coroutine, and Flask would look at five of them in each request."""
        return func

    @cached_property
    def _spanning_map(self) -> Map:
        converters = {**self.url_map.converters, "default": Spanning, "path": Spanning, "int": _Signed}
        rules = [rule.empty() for rule in self.url_map.iter_rules()]
        return Map(rules, merge_slashes=False, converters=converters)
