"""What installed distributions declare by entry points, read from their metadata: none of their code is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any


@cache
def declared(group: str) -> tuple[tuple[EntryPoint, Distribution], ...]:
    """The entry points of a group, each with its distribution, sorted by both names; read once in a process."""
    found = [(entry, entry.dist) for entry in entry_points(group=group) if entry.dist is not None]
    return tuple(sorted(found, key=lambda pair: (canonical(pair[1].name), pair[0].name)))


def canonical(name: str) -> str:
    """The name of a distribution in lower case, with single hyphens (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def description_of(entry: EntryPoint, distribution: Distribution) -> str:
    """What a provider package says about itself, else the summary of its distribution; empty when there is neither.

    A provider has a function that returns a dict; when its source has the description as a literal, as in all of
    Airflow's own providers, it is read from there.
    """
    for source in _sources(entry, distribution):
        for node in ast.walk(source):
            if isinstance(node, ast.FunctionDef) and node.name == entry.attr and (text := _described(node)):
                return text
    return distribution.metadata.get("Summary") or ""  # type: ignore[attr-defined]


def _sources(entry: EntryPoint, distribution: Distribution) -> Iterator[ast.Module]:
    """The syntax tree of the module of an entry point, where its file is beside the metadata and can be read."""
    module = entry.module.replace(".", "/")
    for path in (f"{module}.py", f"{module}/__init__.py"):
        try:
            yield ast.parse(distribution.locate_file(path).read_bytes())  # type: ignore[attr-defined]
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            continue


def _described(function: ast.FunctionDef) -> str | None:
    """The literal text of `description` in the dict that a function returns."""
    returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    for found in returned:
        if isinstance(found, ast.Dict):
            members: dict[Any, Any] = {
                key.value: value.value
                for key, value in zip(found.keys, found.values, strict=True)
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant)
            }
            if isinstance(members.get("description"), str):
                return str(members["description"])
    return None
