"""What the document must not say, since code that is generated from it would not compile or could not be used.

tests/real/clients/generate.py runs the generators themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from windsock import spec

DOCUMENT = spec.written()
SCHEMAS = DOCUMENT["components"]["schemas"]
ENUMERATIONS = {name: schema for name, schema in SCHEMAS.items() if "enum" in schema}
#: The words under which a schema holds others.
_INSIDE = ("items", "additionalProperties", "allOf", "anyOf", "oneOf")


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema as it is written and all that it holds; references are not followed."""
    if not isinstance(schema, dict):
        return
    yield schema
    inside = [schema.get(word) for word in _INSIDE] + list(schema.get("properties", {}).values())
    for one in inside:
        for part in one if isinstance(one, list) else [one]:
            yield from parts(part)


def written() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of the document with the name of the place that holds it."""
    for name, schema in SCHEMAS.items():
        yield from ((name, part) for part in parts(schema))
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            body = operation.get("requestBody", {}).get("content", {}) if method != "parameters" else {}
            yield from ((f"{method} {path}", part) for media in body.values() for part in parts(media["schema"]))


def constants(schema: dict[str, Any]) -> list[str]:
    """The names that a generator gives to the values of an enumeration."""
    return schema.get("x-enum-varnames", [str(value).upper() for value in schema["enum"] if value is not None])


def test_no_two_enumerations_have_a_constant_of_the_same_name():
    # In Go, constants of one package share their names.
    named = Counter(name for schema in ENUMERATIONS.values() for name in constants(schema))
    assert [name for name, count in named.items() if count > 1] == []


@pytest.mark.parametrize("name", ENUMERATIONS)
def test_names_of_constants_fit_their_values_and_null_comes_last(name):
    # Generators pair names and values by their order, after they have dropped null.
    values = [value for value in ENUMERATIONS[name]["enum"] if value is not None]
    assert ENUMERATIONS[name]["enum"][: len(values)] == values
    pairs = zip(constants(ENUMERATIONS[name]), values, strict=True)
    assert [constant for constant, value in pairs if not constant.endswith(value.upper())] == []


def test_alternatives_are_objects():
    # Java cannot name the class of a list in a choice.
    kinds = {
        (place, SCHEMAS[option["$ref"].rpartition("/")[2]].get("type") if "$ref" in option else option.get("type"))
        for place, schema in written()
        for word in ("anyOf", "oneOf")
        for option in schema.get(word, ())
    }
    assert kinds and {place for place, kind in kinds if kind != "object"} == set()


def test_an_object_without_named_members_says_that_it_may_hold_any():
    # TypeScript takes it for one that holds none.
    words = {"properties", "additionalProperties", "allOf", "anyOf", "oneOf"}
    assert [place for place, one in written() if one.get("type") == "object" and not words & one.keys()] == []
