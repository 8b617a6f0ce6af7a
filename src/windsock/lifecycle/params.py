"""Check the configuration of a run against the params of its DAG, each of which has a JSON schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import jsonschema_rs
from dateutil.parser import isoparse

from windsock import encoded
from windsock.errors import BadRequest


def check(params: Any, conf: dict[str, Any]) -> None:
    """Raise BadRequest that names the first param whose value, from `conf` or else its default, is not valid.

    `params` is the member of the serialized DAG. Members of `conf` that are no params are free.
    """
    unset = _without_default(params)
    for name, param in encoded.params(params).items():
        if name in conf:
            _validate(name, conf[name], param["schema"])
        elif name in unset:
            raise BadRequest(f"Param {name!r} has no default value: give it in conf")
        else:
            _validate(name, param["value"], param["schema"])


def _without_default(params: Any) -> set[str]:
    pairs = params.items() if isinstance(params, dict) else params if isinstance(params, list) else ()
    defaults = {name: param.get("default") for name, param in pairs if isinstance(param, dict)}
    return {name for name, value in defaults.items() if isinstance(value, dict) and value.get("__type") == _NOT_SET}


_NOT_SET = "arg_not_set"


def _validate(name: str, value: Any, schema: dict[str, Any]) -> None:
    try:
        validator = jsonschema_rs.validator_for(schema, validate_formats=True, formats=_FORMATS, offline=True)
    except (ValueError, jsonschema_rs.ValidationError) as error:
        raise BadRequest(f"Param {name!r} cannot be checked, since its schema is not valid: {error}") from None
    for wrong in validator.iter_errors(value):
        path = "".join(f"[{step!r}]" for step in wrong.instance_path)
        raise BadRequest(f"Param {name!r}{path}: {wrong.message}")


def _is_moment(text: str) -> bool:
    """A date and a time in any form of ISO 8601: Airflow takes those beside RFC 3339."""
    try:
        isoparse(text)
    except ValueError:
        return False
    return re.match(r"[^T ]+[T ]\d", text) is not None


def _is_time(text: str) -> bool:
    try:
        datetime.strptime(text, "%H:%M:%S")
    except ValueError:
        return False
    return True


def _anything(_: str) -> bool:
    return True


#: Formats that mean something else to Airflow than to JSON Schema, or nothing.
_FORMATS: dict[str, Callable[[str], bool]] = {
    "date-time": _is_moment,
    "time": _is_time,
    **dict.fromkeys(
        (
            *("duration", "hostname", "idn-hostname", "iri", "iri-reference", "json-pointer", "relative-json-pointer"),
            *("uri", "uri-reference", "uri-template"),
        ),
        _anything,
    ),
}
