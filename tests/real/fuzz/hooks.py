"""What Schemathesis is told beyond the document; loaded through SCHEMATHESIS_HOOKS.

$WINDSOCK_FUZZ_IDS is a JSON file of `run.identifiers`: identifiers that exist, for all operations and for single ones,
and examples of bodies. Further, what the server checks but OpenAPI 3.0 has no words for: which members `order_by`,
`fields` and `update_mask` may name, which members a body may have when its schema is put together by `allOf`, and how
large an integer may be.
"""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import schemathesis

from windsock import spec
from windsock.parameters import INT32

KNOWN = json.loads(Path(os.environ["WINDSOCK_FUZZ_IDS"]).read_text("utf-8"))
#: The operation -> members of its body which no two rows may share; those of the example are made anew in each call.
UNIQUE = {
    "post_connection": ("connection_id",),
    "post_pool": ("name",),
    "post_role": ("name",),
    "post_user": ("username", "email"),
    "post_variables": ("key",),
    "post_dag_run": ("logical_date",),
}
EXAMPLES: dict[str, dict[str, Any]] = {}
_numbers = itertools.count(1)


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Replace parameters and bodies of every operation by the resolved ones with what is known beyond."""
    for item in raw_schema["paths"].values():
        item.pop("parameters", None)
    for operation in spec.operations().values():
        entry = raw_schema["paths"][operation.path][operation.method]
        written = [_resolved(raw_schema, one) for one in entry.get("parameters", [])]
        examples = {one["name"]: one["example"] for one in written if "example" in one}
        entry["parameters"] = [_parameter(operation, one, examples.get(one["name"])) for one in operation.parameters]
        if operation.body is not None:
            media = _resolved(raw_schema, entry["requestBody"])["content"]["application/json"]
            media = {**media, **KNOWN["bodies"].get(operation.id, {}), "schema": _body(operation)}
            EXAMPLES[operation.id] = media.get("example", {})
            entry["requestBody"] = {"required": True, "content": {"application/json": media}}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Give the rows that an example would make, and all that Schemathesis derives from it, names of their own.

    Who has no credentials makes none up either: a wrong password costs the server a tenth of a second.
    """
    if not KNOWN["credentials"]:
        (case.headers or {}).pop("Authorization", None)
    name = case.operation.definition.raw["operationId"]
    if name == "wait_dag_run" and _is_good_timeout((case.query or {}).get("timeout", "600")):
        case.query = {**(case.query or {}), "timeout": 1}  # nobody waits longer for what no scheduler runs
    for member in UNIQUE.get(name, ()):
        example = EXAMPLES[name].get(member)
        if isinstance(case.body, dict) and example is not None and case.body.get(member) == example:
            case.body = {**case.body, member: _fresh(member, example, next(_numbers))}


def _is_good_timeout(value: Any) -> bool:
    return str(value).isdecimal() and int(value) <= 3600


def _fresh(member: str, example: str, number: int) -> str:
    if member == "logical_date":
        return f"{1970 + number // 9000}-03-02T09:30:00.{number:06}+00:00"
    return f"fuzz-{number}-{example}"


def _resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    for part in node["$ref"].removeprefix("#/").split("/"):
        document = document[part]
    return document


def _parameter(operation: spec.Operation, given: dict[str, Any], example: Any) -> dict[str, Any]:
    name, schema = given["name"], _bounded(given["schema"])
    if given["in"] == "path":
        known = KNOWN["operations"].get(operation.id, {}).get(name) or KNOWN["all"][name]
        schema, example = {**schema, "enum": known}, known[0]
    if name == "If-Match":  # else only tags that an answer before has brought do not lead to a 412
        schema, example = {**schema, "enum": ["*"]}, "*"
    if name == "order_by":
        schema = {**schema, "enum": _orders(operation)}
    if name == "cursor":  # another is what an answer before has brought
        schema, example = {**schema, "enum": [""]}, ""
    if name == "fields":
        schema = {**schema, "items": {"enum": _members(operation)}}
    if name == "update_mask":
        schema = {**schema, "items": {"enum": KNOWN["masks"].get(operation.id) or list(_writable(operation))}}
    return {**given, "schema": schema, **({} if example is None else {"example": example})}


def _orders(operation: spec.Operation) -> list[str]:
    return [sign + name for name in operation.sortable for sign in ("", "-")]


def _members(operation: spec.Operation) -> list[str]:
    """The members of what the operation returns, or of what it lists."""
    _, (media, *_) = operation.success
    answer = spec.properties(operation.raw["responses"]["200"]["content"][media]["schema"])
    if "total_entries" in answer:
        lists = [one for one in answer.values() if one.get("type") == "array" and not one.get("deprecated")]
        answer = spec.properties(lists[0]["items"])
    return sorted(name for name, one in answer.items() if not (one.get("deprecated") or one.get("writeOnly")))


def _writable(operation: spec.Operation) -> dict[str, Any]:
    members = spec.properties(operation.body or {})
    return {name: _bounded(schema) for name, schema in members.items() if not schema.get("readOnly")}


def _body(operation: spec.Operation) -> dict[str, Any]:
    """One object schema in the place of its parts."""
    members = _writable(operation)
    if "order_by" in members:
        members["order_by"] = {**members["order_by"], "enum": _orders(operation)}
    if "cursor" in members:
        members["cursor"] = {**members["cursor"], "enum": [""]}
    if "fields" in members:
        members["fields"] = {**members["fields"], "items": {"enum": _members(operation)}}
    flat = {"type": "object", "properties": members, "additionalProperties": False}
    required = sorted(set(_required(operation.body or {})) & members.keys())
    return {**flat, **({"required": required} if required else {})}


def _required(schema: dict[str, Any]) -> list[str]:
    return [*schema.get("required", []), *(name for part in schema.get("allOf", ()) for name in _required(part))]


def _bounded(schema: Any) -> Any:
    """Integers as wide as the columns behind them, unless the document names their format."""
    if isinstance(schema, list):
        return [_bounded(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _bounded(value) for name, value in schema.items()}
    if found.get("type") != "integer" or "format" in found:
        return found
    return {"minimum": -INT32, "maximum": INT32, **found}
