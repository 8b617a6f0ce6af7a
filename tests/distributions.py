"""Distributions that are installed for a test: metadata, entry points, and modules that say when they are imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from windsock.distributions import declared

#: The first lines of a module that nobody may import.
RAISES = "raise RuntimeError('this module must not be imported')\n"


def write(folder: Path, name: str, entries: dict[str, str], *, source: str = RAISES, summary: str = "") -> None:
    """A distribution in version 1.2.0; `entries` is group -> line such as `name = module:attribute`.

    `source` is the text of the module in that line.
    """
    information = folder / f"{name.replace('-', '_')}-1.2.0.dist-info"
    information.mkdir(parents=True)
    written = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.0\n"
    (information / "METADATA").write_text(written + (f"Summary: {summary}\n" if summary else ""))
    lines = [f"[{group}]\n{line}\n" for group, line in entries.items()]
    (information / "entry_points.txt").write_text("".join(lines))
    for line in entries.values():
        module = line.partition("=")[2].strip().partition(":")[0]
        (folder / f"{module}.py").write_text(source)


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """The distributions of a folder are installed meanwhile."""
    sys.path.insert(0, str(folder))
    declared.cache_clear()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        declared.cache_clear()
