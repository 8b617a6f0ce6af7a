"""The configuration."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Response

from windsock.accepting import preferred
from windsock.context import context
from windsock.errors import NotFound, PermissionDenied
from windsock.exposure import Exposure
from windsock.jsontext import to_json

Sections = dict[str, dict[str, str]]


def get_config(section: str | None = None) -> Response:
    """Show the configuration, or one section of it."""
    shown = _exposure()
    names = shown.names()
    if section:
        found = _named(section, names)
        if found is None:
            raise NotFound(f"There is no section {section!r} in the configuration")
        names = {found: names[found]}
    return _answer({part: {key: shown.value(part, key) for key in keys} for part, keys in names.items()})


def get_value(section: str, option: str) -> Response:
    """Show one option."""
    shown = _exposure()
    names = shown.names()
    found = _named(section, names)
    key = _named(option, names[found]) if found is not None else None
    if found is None or key is None:
        raise NotFound(f"There is no option [{section}] {option} in the configuration")
    return _answer({found: {key: shown.value(found, key)}})


def _exposure() -> Exposure:
    mode = context.config.get("webserver", "expose_config").partition("#")[0].strip().lower()
    if mode == "non-sensitive-only":
        return Exposure(context.config, known_only=True)
    if not context.config.get_bool("webserver", "expose_config"):
        raise PermissionDenied("The configuration is not shown; [webserver] expose_config = True shows it")
    return Exposure(context.config)


def _named(wanted: str, names: Iterable[str]) -> str | None:
    """The name itself, else the one that differs in case only, as Airflow finds options."""
    return wanted if wanted in names else next((n for n in names if n.lower() == wanted.lower()), None)


def _answer(found: Sections) -> Response:
    if preferred("text/plain", "application/json") == "text/plain":
        return Response("\n".join(map(_text, found, found.values())), content_type="text/plain; charset=utf-8")
    sections = [
        {"name": name, "options": [{"key": key, "value": value} for key, value in options.items()]}
        for name, options in found.items()
    ]
    return Response(to_json({"sections": sections}), content_type="application/json")


def _text(name: str, options: dict[str, str]) -> str:
    lines = [f"{key} = {value}".rstrip().replace("\n", "\n    ") for key, value in options.items()]
    return "\n".join([f"[{name}]", *lines, ""])
