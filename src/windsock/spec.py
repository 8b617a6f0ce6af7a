"""Read the document (spec/v1.yaml) into Operation records; refuse an incomplete one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from windsock.framework import resolve_refs

_HERE = Path(__file__).parent
#: Beside the package in a wheel, in `spec/` in a checkout.
PATH = next(p for p in (_HERE / "v1.yaml", _HERE.parents[1] / "spec" / "v1.yaml") if p.exists())
#: What every path of the document is below.
BASE_PATH = "/api/v1"
METHODS = ("get", "post", "put", "patch", "delete")
COMPARISONS = ("=", ">=", "<=", ">", "<", "in", "not in", "like")


class DocumentError(Exception):
    """The document lacks something that the server needs to start."""


class Permission(NamedTuple):
    """One right, in the terms of Airflow's tables: `ab_permission.name` on `ab_view_menu.name`."""

    action: str
    resource: str

    def __str__(self) -> str:
        return f"{self.resource}.{self.action}"


class Filter(NamedTuple):
    """What `x-filter` says: the field of the listed schema (or attribute of its model) and the comparison."""

    field: str
    comparison: str


@dataclass(frozen=True, eq=False)
class Operation:
    """One entry of the document, its references resolved; `raw` is the whole entry as plain data."""

    id: str
    tag: str
    method: str
    path: str
    raw: dict[str, Any]

    @property
    def room(self) -> str:
        """The module that serves this operation, e.g. `windsock.api.dag_run` for the tag DAGRun."""
        name = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", self.tag).lower()
        return f"windsock.api.{name}"

    @cached_property
    def permissions(self) -> tuple[Permission, ...]:
        pairs = (str(p).rpartition(".") for p in self.raw["x-permission"])
        return tuple(Permission(action, resource) for resource, _, action in pairs)

    @cached_property
    def public(self) -> bool:
        return not self.permissions

    @cached_property
    def parameters(self) -> list[dict[str, Any]]:
        return self.raw.get("parameters", [])

    @cached_property
    def path_names(self) -> frozenset[str]:
        return frozenset(p["name"] for p in self.parameters if p["in"] == "path")

    @cached_property
    def body(self) -> dict[str, Any] | None:
        """The schema of the request body."""
        content = self.raw.get("requestBody", {}).get("content", {})
        return content["application/json"]["schema"] if content else None

    @cached_property
    def sortable(self) -> tuple[str, ...]:
        return tuple(self.raw.get("x-sortable", ()))

    @cached_property
    def filters(self) -> dict[str, Filter]:
        """Name of the query parameter or form property -> what it filters."""
        entries = [(p["name"], p) for p in self.parameters] + list(properties(self.body or {}).items())
        return {name: _filter(self.id, p["x-filter"]) for name, p in entries if "x-filter" in p}

    @cached_property
    def audit(self) -> bool:
        return bool(self.raw.get("x-audit", self.method != "get"))

    @cached_property
    def since(self) -> tuple[int, ...]:
        """The oldest Airflow whose database takes this change"""
        return tuple(map(int, self.raw["x-since"].split("."))) if "x-since" in self.raw else ()

    @cached_property
    def success(self) -> tuple[int, tuple[str, ...]]:
        """Status (int) of the documented success and the media types that it can have."""
        code = min(c for c in self.raw["responses"] if c.startswith("2"))
        return int(code), tuple(self.raw["responses"][code].get("content", ()))

    @cached_property
    def members(self) -> tuple[str, ...]:
        """The names of the members of what it answers with, or of what it lists."""
        code, (media, *_) = self.success
        answer = properties(self.raw["responses"][str(code)]["content"][media]["schema"])
        arrays = [one for one in answer.values() if one.get("type") == "array" and not one.get("deprecated")]
        return tuple(properties(arrays[0]["items"]) if "total_entries" in answer else answer)


def properties(schema: dict[str, Any]) -> dict[str, Any]:
    """Name -> schema of every property, through `allOf`; references are resolved already."""
    found: dict[str, Any] = {}
    for part in schema.get("allOf", ()):
        found |= properties(part)
    return found | schema.get("properties", {})


def _filter(operation_id: str, text: str) -> Filter:
    field, _, comparison = text.partition(" ")
    if comparison not in COMPARISONS:
        raise DocumentError(f"{operation_id}: x-filter {text!r} is not 'FIELD COMPARISON' with one of {COMPARISONS}")
    return Filter(field, comparison)


def written() -> dict[str, Any]:
    """The document as it is written, read anew; a worker has no use for its prose but to serve it."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(PATH.read_bytes(), Loader=loader)  # noqa: S506  # nosec B506 - safe, and in C where that is there


def _lean(node: Any) -> Any:
    """Drop the prose that no request needs, so that resolving references copies less."""
    if isinstance(node, dict):
        prose = ("example", "examples") if "schema" in node or "schemas" in node else ()
        return {str(k): _lean(v) for k, v in node.items() if k not in prose}
    return [_lean(v) for v in node] if isinstance(node, list) else node


@cache
def lean() -> dict[str, Any]:
    """The document without its examples, keys as strings, references unresolved."""
    return _lean(written())


def routes() -> dict[str, Any]:
    """The document as connexion needs it to route: paths and their parameters, and nothing that it would copy."""
    paths: dict[str, Any] = {}
    for operation in operations().values():
        named = [parameter for parameter in operation.parameters if parameter["in"] == "path"]
        entry = {"operationId": operation.id, "parameters": named, "responses": {}}
        paths.setdefault(operation.path, {})[operation.method] = entry
    return {"openapi": lean()["openapi"], "paths": paths}


@cache
def operations() -> dict[str, Operation]:
    """Every operation by its operationId.

    Raises DocumentError for one without tag, operationId or x-permission.
    """
    found: dict[str, Operation] = {}
    for path, item in resolve_refs(lean())["paths"].items():
        for method in METHODS:
            if method not in item:
                continue
            entry = item[method]
            missing = [k for k in ("operationId", "tags", "x-permission") if entry.get(k) is None]
            if missing:
                raise DocumentError(f"{method.upper()} {path} lacks {', '.join(missing)}")
            found[entry["operationId"]] = Operation(entry["operationId"], entry["tags"][0], method, path, entry)
    return found
