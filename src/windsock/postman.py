"""The document as a collection of Postman, format 2.1: a folder for each tag, the examples as values and bodies.

What Postman's own importer makes of the document has folders by path and every optional parameter in each request; here
those wait, with their examples, to be switched on.
"""

from __future__ import annotations

import json
import re
from typing import Any

from windsock.published import Node, example, operations, resolved

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
#: Named as Postman's importer names them.
USER, PASSWORD = "basicAuthUsername", "basicAuthPassword"  # nosec B105 - the names of variables


def collection(document: Node) -> Node:
    """The collection, as plain data, of a document whose first server has an absolute URL."""
    folders = {tag["name"]: {**tag, "item": []} for tag in document["tags"]}
    for path, method, entry in operations(document):
        folders[entry["tags"][0]]["item"].append(_item(document, path, method, entry))
    variables = {"baseUrl": document["servers"][0]["url"], USER: "", PASSWORD: ""}
    return {
        "info": {**{k: document["info"][k] for k in ("version", "description")}, "schema": SCHEMA,
                 "name": document["info"]["title"]},
        "auth": {"type": "basic", "basic": [_pair("username", f"{{{{{USER}}}}}"),
                                            _pair("password", f"{{{{{PASSWORD}}}}}")]},
        "variable": [_pair(key, value) for key, value in variables.items()],
        "item": list(folders.values()),
    }  # fmt: skip


def _item(document: Node, path: str, method: str, entry: Node) -> Node:
    parameters = [resolved(document, one) for one in entry.get("parameters", ())]
    media = resolved(document, entry.get("requestBody", {})).get("content", {}).get("application/json")
    request: Node = {
        "method": method.upper(),
        "description": entry["description"],
        "header": [*_accepted(entry), *_given(document, parameters, "header")],
        "url": _url(document, path, parameters),
    }
    if media:
        text = json.dumps(example(document, media), indent=2, ensure_ascii=False)
        request["body"] = {"mode": "raw", "raw": text, "options": {"raw": {"language": "json"}}}
    if entry.get("security") == []:
        request["auth"] = {"type": "noauth"}
    return {"name": entry["summary"], "request": request, "response": []}


def _accepted(entry: Node) -> list[Node]:
    code = min(entry["responses"])
    return [_pair("Accept", kind) for kind in list(entry["responses"][code].get("content", ()))[:1]]


def _url(document: Node, path: str, parameters: list[Node]) -> Node:
    parts = re.sub(r"\{(\w+)\}", r":\1", path).strip("/").split("/")
    query = _given(document, parameters, "query")
    asked = "&".join(f"{one['key']}={one['value']}" for one in query if not one["disabled"])
    return {
        "raw": "/".join(["{{baseUrl}}", *parts]) + (f"?{asked}" if asked else ""),
        "host": ["{{baseUrl}}"],
        "path": parts,
        "query": query,
        "variable": [_pair(p["name"], example(document, p), p["description"]) for p in parameters if p["in"] == "path"],
    }


def _given(document: Node, parameters: list[Node], place: str) -> list[Node]:
    """Parameters of a query or a header, with their examples; the optional ones are switched off."""
    return [
        {**_pair(p["name"], example(document, p), p["description"]), "disabled": not p.get("required", False)}
        for p in parameters
        if p["in"] == place
    ]


def _pair(key: str, value: Any, description: str = "") -> Node:
    value = ",".join(map(str, value)) if isinstance(value, list) else value
    text = value if isinstance(value, str) else json.dumps(value)
    return {"key": key, "value": text, **({"description": description} if description else {})}
