"""The parts of connexion that Windsock uses: the only module that imports it.

Connexion also loads its aiohttp half when it can, which costs every worker start-up time and memory for nothing.
"""

from __future__ import annotations

import sys

_unused = "aiohttp" not in sys.modules
if _unused:
    sys.modules["aiohttp"] = None  # type: ignore[assignment]  # reads as "not installed"
try:
    from connexion import FlaskApi
    from connexion.json_schema import resolve_refs
    from connexion.operations import OpenAPIOperation
    from connexion.resolver import Resolver
    from connexion.spec import OpenAPISpecification
finally:
    if _unused:
        del sys.modules["aiohttp"]

__all__ = ["FlaskApi", "OpenAPIOperation", "OpenAPISpecification", "Resolver", "resolve_refs"]
