"""The document as clients get it: with the server's address, and with what importers fill requests in from.

Postman takes what it sends from the `default` of a schema, whatever the examples are, and makes up the rest: `<string>`
for a text, `<dateTime>` for a moment. So this adds defaults that change no meaning: on what is required OpenAPI gives
a default none, and what is optional is as good as null, or as empty, when nobody has filled it in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml
from flask import Flask, Response, request

from windsock import responses, spec
from windsock.config import Config
from windsock.jsontext import to_json
from windsock.spec import BASE_PATH

Node = dict[str, Any]


def register(app: Flask, config: Config) -> None:
    """Serve the document with an absolute server URL: `[webserver] base_url`, else the request's own."""

    def serve(form: str) -> Response:
        base = config.get("webserver", "base_url") or request.url_root
        before, after = _around_the_server(form)
        return responses.static(before + to_json(base.rstrip("/") + BASE_PATH) + after, f"application/{form}")

    for form in ("json", "yaml"):
        app.add_url_rule(f"{BASE_PATH}/openapi.{form}", f"openapi_{form}", serve, defaults={"form": form})


@cache
def _around_the_server(form: str) -> list[bytes]:
    """The text of the document before and after the server's URL, which either form takes as a string of JSON."""
    whole = document("{server}")
    text = to_json(whole) if form == "json" else as_yaml(whole).encode()
    return re.split(rb"""["']\{server\}["']""", text, maxsplit=1)


def document(server: str = BASE_PATH) -> Node:
    """The whole document as plain data, made anew; `server` is the URL of the API."""
    whole = spec.written()
    whole["servers"][0]["url"] = server
    for parameter in _parameters(whole):
        _fill_in(parameter)
    for media in _bodies(whole):
        _fill_in_body(whole, media)
    return whole


def as_yaml(whole: Node) -> str:
    """The text of a document, its prose as it was written."""
    return yaml.dump(whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def operations(whole: Node) -> Iterator[tuple[str, str, Node]]:
    """Path, method and entry of every operation, in the order of the document."""
    for path, item in whole["paths"].items():
        yield from ((path, method, item[method]) for method in item if method in spec.METHODS)


def resolved(whole: Node, node: Node) -> Node:
    """What a reference inside the document leads to, or the node itself."""
    if "$ref" not in node:
        return node
    found: Any = whole
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return resolved(whole, found)


def example(whole: Node, holder: Node) -> Any:
    """The first example of a parameter or a media type; KeyError without one."""
    if "example" in holder:
        return holder["example"]
    return resolved(whole, next(iter(holder["examples"].values())))["value"]


def _parameters(whole: Node) -> Iterator[Node]:
    yield from whole["components"]["parameters"].values()
    for _, _, entry in operations(whole):
        yield from (one for one in entry.get("parameters", ()) if "$ref" not in one)


def _fill_in(parameter: Node) -> None:
    schema = parameter["schema"]
    if parameter.get("required"):
        parameter["schema"] = {**schema, "default": parameter["example"]}
    elif "default" not in schema:
        parameter["schema"] = {**schema, "nullable": True, "default": None}


def _bodies(whole: Node) -> Iterator[Node]:
    for _, _, entry in operations(whole):
        if "requestBody" in entry:
            yield from resolved(whole, entry["requestBody"])["content"].values()


def _fill_in_body(whole: Node, media: Node) -> None:
    schema = media["schema"]
    whole_schema = {"allOf": [schema]} if "$ref" in schema else schema
    media["schema"] = {**whole_schema, "default": example(whole, media)}
