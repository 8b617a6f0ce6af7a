"""The parts of connexion that Windsock uses: the only module that imports it.

Connexion also loads what it would need to serve with aiohttp, to ask other servers about tokens with requests and to
validate with jsonschema. That costs every start time and memory for nothing, so none of them is there while connexion
is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Absent:
    """Stands for a package that is set up at import and never used: any attribute, item or call gives it again.

    As a base of a class it is none.
    """

    def __getattr__(self, name: str) -> Any:
        return self

    def __getitem__(self, _: Any) -> Any:
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self

    def __mro_entries__(self, _: Any) -> tuple[type, ...]:
        return ()


@contextmanager
def _without(absent: dict[str, Any]) -> Iterator[None]:
    hidden = {name: module for name, module in absent.items() if name not in sys.modules}
    sys.modules.update(hidden)
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


_JSONSCHEMA = dict.fromkeys(("jsonschema", "jsonschema.exceptions", "jsonschema.validators"), _Absent())

with _without({"aiohttp": None, "requests": _Absent(), **_JSONSCHEMA}):  # None reads as "not installed"
    from connexion import FlaskApi
    from connexion.json_schema import resolve_refs
    from connexion.operations import OpenAPIOperation
    from connexion.resolver import Resolver
    from connexion.spec import OpenAPISpecification

__all__ = ["FlaskApi", "OpenAPIOperation", "OpenAPISpecification", "Resolver", "resolve_refs"]
