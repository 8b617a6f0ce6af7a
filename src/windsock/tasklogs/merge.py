"""The lines of one or more log files as one text, in the order of their timestamps, a few at a time.

As in Airflow 2.11, empty lines and immediate repetitions are left out, and a line without timestamp goes with the one
before it. Unlike there, a line finds its place only among some ten thousand others, so that memory is bounded.
"""

from __future__ import annotations

import codecs
import heapq
import logging
import re
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from itertools import chain, groupby

from windsock.tasklogs.local import Source

log = logging.getLogger(__name__)

#: Bytes read at a time, and characters after which a line is broken.
CHUNK, LONGEST_LINE = 64 * 1024, 1024 * 1024
#: Lines among which one finds its place, and chunks of them; lines that are put together to a piece.
WINDOW, MOST_CHUNKS, PIECE = 20_000, 32, 500
#: Characters that the last lines of a log may have together.
LONGEST_TAIL = 8 * 1024 * 1024
_Stamped = tuple[str, int, int, str]  # timestamp, number in the file, number of the file, text
_EARLY = "2000-01-01T00:00:00"  # of lines before the first timestamp, as in Airflow
_STAMP = re.compile(
    r"\[?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,6}))?\d*(Z|[+-]\d\d:?\d\d)?[\] ]", re.ASCII
).match
_USUAL = re.compile(r"\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})\+0000\] ", re.ASCII).match  # the same, for speed


def merged(sources: list[Source]) -> Iterator[list[str]]:
    """The lines of a log without line ends, some at a time."""
    stamped = [_stamped(number, source) for number, source in enumerate(sources)]
    batches = stamped[0] if len(stamped) == 1 else _merged(stamped)
    last = None
    for found in _in_order(batches):
        for start in range(0, len(found), PIECE):
            lines = [line for line, _ in groupby(stamp[3] for stamp in found[start : start + PIECE])]
            if lines[0] == last:
                del lines[0]
            if lines:
                last = lines[-1]
                yield lines


def pieces(batches: Iterable[list[str]], skip: int = 0) -> Iterator[str]:
    """Lines put together, with line ends between them; the first `skip` characters are left out."""
    between = ""
    for lines in batches:
        text = between + "\n".join(lines)
        between = "\n"
        yield from (text[start : start + CHUNK] for start in range(skip, len(text), CHUNK))
        skip = max(0, skip - len(text))


def last_lines(batches: Iterable[list[str]], count: int) -> list[str]:
    """The last so many lines, or fewer when they are long."""
    kept: deque[str] = deque()
    size = 0
    for line in chain.from_iterable(batches):
        kept.append(line)
        size += len(line)
        while len(kept) > count or size > LONGEST_TAIL:
            size -= len(kept.popleft())
    return list(kept)


# ---------------------------------------------------------------- one file
def _stamped(index: int, source: Source) -> Iterator[list[_Stamped]]:
    """The lines that are not empty, each with its timestamp or that of the one before."""
    when, number = _EARLY, 0
    for lines in _lines(source):
        found = []
        for line in lines:
            if line:
                if match := _USUAL(line):
                    when = match[1]
                elif match := _STAMP(line):
                    when = _utc(*match.groups()) or when
                found.append((when, number, index, line))
            number += 1
        yield found


def _lines(source: Source) -> Iterator[list[str]]:
    """The lines of a file, broken where they are very long; says so when it cannot be read to its end."""
    decoder, rest = codecs.getincrementaldecoder("utf-8")("replace"), ""
    try:
        for data in _chunks(source):
            text = rest + decoder.decode(data)
            lines = text.splitlines()
            rest = lines.pop() if text and text[-1].splitlines() != [""] else ""
            if len(rest) > LONGEST_LINE:
                lines.append(rest)
                rest = ""
            yield lines
        yield (rest + decoder.decode(b"", final=True)).splitlines()
    except Exception:  # storage of any kind; the answer has begun
        log.exception("Cannot read on in %s", source.name)
        yield [f"*** {source.name} could not be read to its end"]


def _chunks(source: Source) -> Iterator[bytes]:
    source.file.seek(0)
    left = source.size
    while left > 0 and (data := source.file.read(min(CHUNK, left))):
        left -= len(data)
        yield data


def _utc(day: str, time: str, fraction: str | None, zone: str | None) -> str | None:
    """A timestamp as a text that sorts; UTC unless it says otherwise."""
    if zone in (None, "Z", "+0000", "+00:00"):
        return f"{day}T{time}.{fraction or 0}"
    try:
        local = datetime.fromisoformat(f"{day}T{time}{zone if ':' in zone else zone[:3] + ':' + zone[3:]}")
        return f"{local.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S}.{fraction or 0}"
    except (ValueError, OverflowError):
        return None


# ---------------------------------------------------------------- order
def _merged(files: list[Iterator[list[_Stamped]]]) -> Iterator[list[_Stamped]]:
    stream = heapq.merge(*map(chain.from_iterable, files))
    waiting: list[_Stamped] = []
    size = 0
    for found in stream:
        waiting.append(found)
        size += len(found[3])
        if len(waiting) == PIECE or size > CHUNK:
            yield waiting
            waiting, size = [], 0
    yield waiting


def _in_order(batches: Iterator[list[_Stamped]]) -> Iterator[list[_Stamped]]:
    """Lines that stand near to each other, sorted: processes that write into one file overtake each other a little."""
    waiting: list[_Stamped] = []
    held = 0
    for batch in batches:
        waiting += batch
        held += 1
        if len(waiting) >= WINDOW or held >= MOST_CHUNKS:
            waiting.sort()
            half = len(waiting) // 2
            yield waiting[:half]
            del waiting[:half]
            held //= 2
    yield sorted(waiting)
