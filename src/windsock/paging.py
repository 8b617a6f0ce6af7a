"""Finding the rows of one page, however many there are beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from windsock import counts, db, skipping
from windsock.cursors import Position
from windsock.filters import Rows, Sorting
from windsock.ordering import WHOLE, Key, Stretch, after, bounds, grouped, parted

#: So many rows that an index finds are sorted sooner than others are read in their order; a tenth of them if the whole
#: table is read to find them.
_FEW = 50_000


class Slice(NamedTuple):
    """Which rows a page has: it skips `offset` rows, or starts after `start`, which is None at the start of a walk."""

    limit: int
    offset: int = 0
    by_cursor: bool = False
    start: Position | None = None

    @property
    def passed(self) -> int:
        """How many rows come before the page."""
        return self.start.passed if self.start else self.offset


def expected(of: Rows, values: dict[str, Any]) -> int | None:
    """How many rows of a large table PostgreSQL expects behind the filters of a query; None for anything else."""
    return counts.estimated(of, values) if of.asked and counts.guessed(of) else None


def few(of: Rows, expected: int | None, counted: bool) -> bool:
    """Whether so many rows are to be found first and then sorted; `counted` says that all are to be found anyway.

    The planner takes them for evenly spread, so it would read all others in the order of the page.
    """
    return expected is not None and expected < (_FEW if of.indexed or counted else _FEW // 10)


def sorting(keys: tuple[Key, ...], member: str | None, part: Slice, few: bool) -> Sorting:
    """How to sort a page."""
    return Sorting(keys, member, part.by_cursor, few, late=few or part.offset >= skipping.FAR)


def rows(of: Rows, by: Sorting, part: Slice, values: dict[str, Any]) -> list[Any]:
    """The rows of a page and the first of the next, if there is one; for a cursor, with the values they are sorted by.

    Starting after a row costs the same wherever it is; skipping rows means reading their keys.
    """
    if part.start is None and (part.offset or by.few or not grouped(by.keys)):
        stretch, limits = (
            (None, {"page_start": part.offset}) if by.few else skipping.nearby(of, by.keys, part.offset, values)
        )
        given = {**values, "page_rows": part.limit + 1, **limits}
        return db.rows(Rows.page, of, by, stretch, values=given)
    found: list[Any] = []
    for stretch, limits in _stretches(of, by, part, values):
        given = {**values, **limits, "page_rows": part.limit + 1 - len(found)}
        own = by
        if stretch.even and counts.guessed(of):
            even = of._replace(conditions=(*of.conditions, stretch.condition))
            own = sorting(by.keys, by.member, part, counts.estimated(even, given) < _FEW)
        found += db.rows(Rows.page, of, own, stretch, values=given)
        if len(found) > part.limit:
            break
    return found


def _stretches(of: Rows, by: Sorting, part: Slice, values: dict[str, Any]) -> Iterator[tuple[Stretch, dict[str, Any]]]:
    """Ranges of the order that hold a page, and the values of their limits.

    Where many rows have the same first key, an index of that key does not sort them. What comes before the group in
    which the page ends is less than a page, and in that group another index may give the order.
    """
    limits = bounds(part.start.values) if part.start else {}
    for stretch in after(by.keys, part.start.values[0] is None) if part.start else (WHOLE,):
        if by.few or stretch.even or not grouped(by.keys):
            yield stretch, limits
            continue
        given = {**values, **limits, "page_start": part.limit}
        last = db.rows(Rows.edge, of, by, stretch, values=given)
        if not last:
            yield stretch, limits
            continue
        edge = last[0][0]
        for piece in parted(by.keys, stretch, edge is None):
            yield piece, {**limits, "edge": edge}
