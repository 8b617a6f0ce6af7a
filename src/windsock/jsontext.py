"""JSON text of answers."""

from __future__ import annotations

import json
from typing import Any

import orjson


def to_json(value: Any) -> bytes:
    """JSON text of plain data and datetimes; integers beyond 64 bits included, NaN as null."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, default=lambda moment: moment.isoformat()).encode()
