"""Beginning near a page that is far into a list: an index may tell where, without a look at the rows before it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from windsock import complements, counts, db
from windsock.access import Reach
from windsock.filters import Rows
from windsock.ordering import Key, Stretch, bounds, landing, plain

#: When so many rows are skipped, it pays to look at no more of them than the keys.
FAR = 1000


def nearby(
    of: Rows, keys: tuple[Key, ...], offset: int, values: dict[str, Any]
) -> tuple[Stretch | None, dict[str, Any]]:
    """What to begin with instead of the first row, and how many rows to skip from there, among other parameters."""
    found = None
    if offset >= FAR and counts.guessed(of) and plain(keys) and _own(of, keys):
        first = keys[: _indexed_in_part(keys)]
        if first:
            found = _by_some_keys(of, first, offset, values)
        elif of.reach is Reach.MANY:
            found = _by_all_rows(of, keys, offset, values)
    return found or (None, {"page_start": offset})


def _by_some_keys(of: Rows, first: tuple[Key, ...], offset: int, values: dict[str, Any]) -> Any:
    """An index that sorts by the first keys tells with which of them the page begins.

    What comes before them is known if rows just before have other ones. Skipping by all keys would read the rows.
    """
    given = {**values, "page_rows": FAR + 1, "page_start": offset - FAR}
    for *edge, same, there in db.rows(Rows.landing, of, first, values=given):
        if same < there:
            return landing(first)[1], {**bounds(edge), "page_start": FAR + same - there}
    return None


def _by_all_rows(of: Rows, keys: tuple[Key, ...], offset: int, values: dict[str, Any]) -> Any:
    """As if the caller might see all DAGs; then as many rows are skipped as were counted among those, but are hidden.

    The index of an order does not tell of what DAG a row is.
    """
    given = {**values, "page_rows": 1, "page_start": offset}
    for *edge, _, _ in db.rows(Rows.landing, of._replace(reach=Reach.ALL), keys, values=given):
        limits = bounds(edge)
        hidden = db.rows(complements.hidden_before, of, keys, values={**values, **limits})[0][0]
        return landing(keys)[1], {**limits, "page_start": int(hidden)}
    return None


def _own(of: Rows, keys: tuple[Key, ...]) -> bool:
    """Whether all keys are columns of the listed table."""
    return all(key.column.property.columns[0].table is of.plan.model.__table__ for key in keys)


@lru_cache(512)
def _indexed_in_part(keys: tuple[Key, ...]) -> int:
    """How many of the first keys an index sorts by: two or more, but not all; else 0."""
    wanted = [key.column.property.columns[0] for key in keys]
    indexes = [list(index.columns) for index in (wanted[0].table.primary_key, *wanted[0].table.indexes)]
    lengths = (n for n in range(len(wanted), 1, -1) if any(index[:n] == wanted[:n] for index in indexes))
    return next(lengths, 0) % len(wanted)
