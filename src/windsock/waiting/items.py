"""What is told to who waits, and how it is written: as lines of JSON, or as server-sent events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from windsock.jsontext import to_json
from windsock.waiting.watch import Look

NDJSON, EVENTS = "application/x-ndjson", "text/event-stream"
Item = dict[str, Any]


def item(event: str, reason: str | None, look: Look) -> Item:
    """What happened (`state`, `heartbeat` or `end`), why it ends if it does, and the run as it was seen."""
    return {"event": event, "reason": reason, **look._asdict()}


def _line(told: Item) -> bytes:
    return to_json(told) + b"\n"


def _event(told: Item) -> bytes:
    """A server-sent event; a heartbeat is a comment, which no listener hears."""
    if told["event"] == "heartbeat":
        return b": heartbeat\n\n"
    return b"event: %s\ndata: %s\n\n" % (told["event"].encode(), to_json(told))


SHAPES: dict[str, Callable[[Item], bytes]] = {NDJSON: _line, EVENTS: _event}
