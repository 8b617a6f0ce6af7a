"""What a document promises its clients, as flat data, and what a later one breaks of it.

    python tests/promises.py > spec/released/0.1.0.yaml     # what this document promises

An operation, such as `GET /dags`, has places: `query limit`, `body.slots`, `answer.dags[].dag_id`, `status 404`. Each
has what is promised there: type, format, allowed values, bounds, whether it is required. References and `allOf` are put
together, and prose is left out, so that two documents can be compared place by place.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from windsock import published, spec

Place = dict[str, Any]
Promises = dict[str, dict[str, Place]]
KEPT = ("type", "format", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern",
        "nullable", "default", "deprecated", "x-sunset", "x-deprecated-since")  # fmt: skip


# ---------------------------------------------------------------- a document
def promises(document: Place) -> Promises:
    """The places of every operation, in the order of the document."""
    return {f"{method.upper()} {path}": dict(_places(document, entry))
            for path, method, entry in published.operations(document)}  # fmt: skip


def _places(document: Place, entry: Place) -> Iterator[tuple[str, Place]]:
    yield "operation", {"id": entry["operationId"], **_kept(entry)}
    for parameter in (published.resolved(document, one) for one in entry.get("parameters", ())):
        where = f"{parameter['in']} {parameter['name']}"
        for place, promise in _members(document, where, parameter["schema"], ()):
            own = _kept(parameter) | _required(parameter.get("required", False)) if place == where else {}
            yield place, promise | own
    for media in published.resolved(document, entry.get("requestBody", {})).get("content", {}).values():
        yield from _members(document, "body", media["schema"], ())
    for code, answer in entry["responses"].items():
        yield "status 2xx" if code.startswith("2") else f"status {code}", {}
        for kind, media in published.resolved(document, answer).get("content", {}).items():
            if code.startswith("2"):
                where = "answer" if kind == "application/json" else f"answer {kind}"
                yield from _members(document, where, media["schema"], ())


def _members(document: Place, where: str, schema: Place, above: tuple[str, ...]) -> Iterator[tuple[str, Place]]:
    """A schema and its members below; one inside itself is not followed again."""
    if (reference := schema.get("$ref", "")) in above:
        return
    whole = _whole(document, schema)
    above = (*above, reference) if reference else above
    yield where, _kept(whole)
    if "items" in whole:
        yield from _members(document, f"{where}[]", whole["items"], above)
    for name, member in whole["properties"].items():
        if _whole(document, member).get("readOnly" if where.startswith("body") else "writeOnly"):
            continue
        for place, promise in _members(document, f"{where}.{name}", member, above):
            yield place, promise | _required(name in whole["required"] and place == f"{where}.{name}")


def _whole(document: Place, schema: Place) -> Place:
    """A schema with its reference followed and its `allOf` put together."""
    schema = published.resolved(document, schema)
    parts = [_whole(document, part) for part in schema.get("allOf", ())] + [schema]
    whole = {key: value for part in parts for key, value in part.items()}
    whole["nullable"] = all(part.get("nullable") for part in parts if "type" in part) and "type" in whole
    members = [pair for part in parts for pair in part.get("properties", {}).items()]
    whole["properties"] = {name: {"allOf": [one for also, one in members if also == name]} for name, _ in members}
    whole["required"] = [name for part in parts for name in part.get("required", ())]
    return whole


def _kept(node: Place) -> Place:
    return {key: node[key] for key in KEPT if key in node and node[key] is not False}


def _required(required: bool) -> Place:
    return {"required": True} if required else {}


# ---------------------------------------------------------------- two documents
class Breach(NamedTuple):
    """A promise that is no longer kept: which, and how."""

    operation: str
    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.operation} {self.place}: {self.what}"


def breaches(old: Promises, new: Promises, today: str) -> Iterator[Breach]:
    """What the new document takes away; what was deprecated and is past its sunset on `today` (ISO 8601) may go."""
    for operation, places in old.items():
        if operation not in new:
            if not _over(places["operation"], today):
                yield Breach(operation, "operation", "removed")
            continue
        for place, promise in places.items():
            if place not in new[operation]:
                gone = _over(promise, today)
                parents = [one for one in places if place.startswith((f"{one}.", f"{one}["))]
                if not gone and all(parent in new[operation] for parent in parents):  # else the parent says it
                    yield Breach(operation, place, "removed")
            else:
                for what in _broken(place, promise, new[operation][place]):
                    yield Breach(operation, place, what)
        for place in new[operation].keys() - places.keys():
            if new[operation][place].get("required") and _asked(place) and _parent(place) in {*places, ""}:
                yield Breach(operation, place, "new and required")


def _over(promise: Place, today: str) -> bool:
    return bool(promise.get("deprecated")) and promise.get("x-sunset", "9999") <= today


def _asked(place: str) -> bool:
    return place.startswith(("query ", "path ", "header ", "body"))


def _parent(place: str) -> str:
    return max(place.rpartition(".")[0], place.rpartition("[")[0], key=len)


def _broken(place: str, old: Place, new: Place) -> Iterator[str]:
    """How a promise at one place is broken."""
    for key in ("id", "type", "format"):
        if key in old and old[key] != new.get(key):
            yield f"{key} was {old[key]}, is {new.get(key)}"
    if old.get("x-sunset", "") > new.get("x-sunset", "9999"):
        yield f"x-sunset was {old['x-sunset']}, is {new['x-sunset']}"
    yield from _narrowed(old, new) if _asked(place) else _widened(old, new)


def _narrowed(old: Place, new: Place) -> Iterator[str]:
    """What a request may no longer say."""
    if new.get("required") and not old.get("required"):
        yield "became required"
    if old.get("nullable") and not new.get("nullable"):
        yield "may no longer be null"
    if "enum" in new and ("enum" not in old or not set(old["enum"]) <= set(new["enum"])):
        yield f"allowed {old.get('enum', 'anything')}, allows {new['enum']}"
    if old.get("default") != new.get("default") and "default" in old:
        yield f"default was {old['default']}, is {new.get('default')}"
    if "pattern" in new and new["pattern"] != old.get("pattern"):
        yield f"pattern was {old.get('pattern')}, is {new['pattern']}"
    if "format" in new and "format" not in old and not new["format"].startswith("int"):
        yield f"format is {new['format']}"
    for low in ("minimum", "minLength", "minItems"):
        if low in new and new[low] > old.get(low, float("-inf")):
            yield f"{low} was {old.get(low)}, is {new[low]}"
    for high in ("maximum", "maxLength", "maxItems"):
        if high in new and new[high] < old.get(high, float("inf")):
            yield f"{high} was {old.get(high)}, is {new[high]}"


def _widened(old: Place, new: Place) -> Iterator[str]:
    """What an answer may say that a client does not expect."""
    if old.get("required") and not new.get("required"):
        yield "may be missing"
    if new.get("nullable") and not old.get("nullable"):
        yield "may be null"
    if "enum" in old and ("enum" not in new or not set(new["enum"]) <= set(old["enum"])):
        yield f"was one of {old['enum']}, is one of {new.get('enum', 'anything')}"


if __name__ == "__main__":
    yaml.dump(promises(spec.written()), sys.stdout, sort_keys=False, allow_unicode=True, width=120)
