"""Mapped tasks and mapped task groups of a serialized DAG: what they unfold from, which instances belong together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from windsock.encoded import MAX_DEPTH, flag, text, unwrap

Group = dict[str, Any]


class Place(NamedTuple):
    """Where a task stands: the mapped task groups around it, innermost first, and whether the closest group is one."""

    groups: list[Group]
    directly: bool


def places(root: Any) -> dict[str, Place]:
    """The place of each task; `root` is the document's `_task_group`."""
    found: dict[str, Place] = {}
    waiting: list[tuple[Any, list[Group], int]] = [(root, [], 0)]
    while waiting:
        group, around, depth = waiting.pop()
        children = group.get("children") if isinstance(group, dict) else None
        if not isinstance(children, dict) or depth > MAX_DEPTH:
            continue
        mapped = flag(group.get("is_mapped"))
        groups = [group, *around] if mapped else around
        for child in children.values():
            content = child[1] if isinstance(child, list) and len(child) == 2 else None
            if isinstance(content, str):
                found[content] = Place(groups, mapped)
            else:
                waiting.append((content, groups, depth + 1))
    return found


def expand_input(body: Mapping[str, Any]) -> Any:
    """What a mapped operator or a mapped task group expands over, as `{"type": ..., "value": ...}`."""
    return body.get(text(body.get("_expand_input_attr")) or "expand_input")


def referenced_tasks(value: Any, depth: int = 0) -> set[str]:
    """The ids of the tasks whose XComs an encoded value refers to."""
    if depth > MAX_DEPTH or not isinstance(value, (dict, list)):
        return set()
    if isinstance(value, dict) and value.get("__type") == "xcomref":
        return _ids(value.get("__var"), depth)
    members = value.values() if isinstance(value, dict) else value
    return set().union(*(referenced_tasks(member, depth + 1) for member in members))


def _ids(reference: Any, depth: int) -> set[str]:
    """The tasks of one reference: a plain one names a task; mapped, zipped and joined ones nest others."""
    if depth > MAX_DEPTH or not isinstance(reference, dict):
        return set()
    arguments = reference.get("args")
    nested = [reference.get("arg"), *(arguments if isinstance(arguments, list) else [])]
    own = text(reference.get("task_id"))
    return set().union([own] if own else [], *(_ids(member, depth + 1) for member in nested))


def map_length(source: Any, lengths: Mapping[str, int]) -> int | None:
    """Into how many instances an expand input unfolds, or None while that is not known.

    `lengths` are the lengths of the XComs that tasks of the run have pushed for mapping (table `task_map`).
    """
    if not isinstance(source, dict):
        return None
    value = source.get("value")
    if isinstance(value, dict) and value.get("__type") == "xcomref":
        return _reference_length(value.get("__var"), lengths)
    value = unwrap(value)
    if isinstance(value, list):
        return len(value)
    if not isinstance(value, dict) or not value:
        return 0
    known = [_argument_length(argument, lengths) for argument in value.values()]
    return None if None in known else math.prod(length for length in known if length is not None)


def _argument_length(argument: Any, lengths: Mapping[str, int]) -> int | None:
    if isinstance(argument, dict) and argument.get("__type") == "xcomref":
        return _reference_length(argument.get("__var"), lengths)
    argument = unwrap(argument)
    return len(argument) if isinstance(argument, (list, dict)) else None


def _reference_length(reference: Any, lengths: Mapping[str, int], depth: int = 0) -> int | None:
    if depth > MAX_DEPTH or not isinstance(reference, dict):
        return None
    kind = reference.get("type")
    if kind == "map":
        return _reference_length(reference.get("arg"), lengths, depth + 1)
    if kind not in ("zip", "concat"):
        return lengths.get(text(reference.get("task_id")) or "")
    arguments = reference.get("args")
    found = [_reference_length(item, lengths, depth + 1) for item in arguments] if isinstance(arguments, list) else []
    known = [length for length in found if length is not None]
    if not known or len(known) < len(found):
        return None
    if kind == "concat":
        return sum(known)
    return max(known) if "fillvalue" in reference else min(known)


def dependencies(body: Mapping[str, Any], place: Place) -> set[str]:
    """The tasks whose XComs decide how often one task (its encoded operator) unfolds; empty when it is not mapped."""
    if flag(body.get("_is_mapped")):
        return referenced_tasks(expand_input(body))
    return referenced_tasks(expand_input(place.groups[0])) if place.groups else set()


def relevant_indexes(
    groups: list[Group], upstream_groups: list[Group], map_index: int, lengths: Mapping[str, int]
) -> range | None:
    """Which instances of an upstream task one instance of a task in mapped groups waits for; None means all.

    Two tasks in the same mapped group are matched: by position, or, when the upstream task unfolds further inside
    that group, a stretch of its instances. Both group lists are innermost first. While the lengths are not known,
    nothing can be matched.
    """
    own = {id(group) for group in groups}
    depth = next((depth for depth, group in enumerate(upstream_groups) if id(group) in own), None)
    if depth is None:
        return None
    unfolds = [map_length(expand_input(group), lengths) for group in groups]
    if not all(unfolds):
        return None
    common = len(upstream_groups) - depth
    inside = math.prod(length or 1 for length in unfolds[: len(groups) - common])
    first, count = map_index // inside, 1
    if depth:
        first, count = first * inside, inside
    return range(first, first + count)
