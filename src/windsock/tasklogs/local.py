"""Log files below a folder, opened name by name without following a link: no path leads out of it."""

from __future__ import annotations

import logging
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

log = logging.getLogger(__name__)

#: More files than this are not merged into one log.
MOST_FILES = 100
# What Airflow 2.11 adds to the name of a log: the triggerer's part, a rotated file, the part of another process.
_SUFFIX = re.compile(r"(\.trigger(\.\d+\.log)?|\.\d+|\.\w+\.log)?")
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)  # a pipe must not keep the server waiting
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


class OutsideError(ValueError):
    """The path of a log would lead out of the log folder."""


@dataclass
class Source:
    """One file of a log: what to call it, the file, which can be sought, and how many of its bytes to read."""

    name: str
    file: BinaryIO
    size: int


def path_parts(path: str) -> list[str]:
    """The names in a relative path. Raises OutsideError when it is absolute, goes up or holds a NUL."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or "\0" in path or not parts:
        raise OutsideError(path)
    return parts


def belongs(name: str, found: str) -> bool:
    """Whether a file of this name is a part of the log called `name`: not merely one that begins alike."""
    return found.startswith(name) and _SUFFIX.fullmatch(found[len(name) :]) is not None


def find_local(base: str, path: str) -> list[Source]:
    """The files of the log at this path below a folder, opened, in the order of their names. Raises OutsideError."""
    *folders, name = path_parts(path)
    try:
        folder = _open_folder(base, folders)
    except OSError:
        return []
    try:
        names = sorted(found for found in os.listdir(folder) if belongs(name, found))
        shown = Path(base, *folders)
        return [source for found in names[:MOST_FILES] if (source := _open(folder, found, str(shown / found)))]
    finally:
        os.close(folder)


def _open_folder(base: str, names: list[str]) -> int:
    folder = os.open(base, _FOLDER)
    for name in names:
        try:
            inner = os.open(name, _FOLDER | _NO_LINK, dir_fd=folder)
        finally:
            os.close(folder)
        folder = inner
    return folder


def _open(folder: int, name: str, shown: str) -> Source | None:
    try:
        descriptor = os.open(name, _FILE | _NO_LINK, dir_fd=folder)
    except OSError as error:
        log.warning("Log file %r is left out: %s", shown, error.strerror)
        return None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        return None
    with suppress(AttributeError, OSError):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    return Source(shown, cast(BinaryIO, os.fdopen(descriptor, "rb", buffering=0)), found.st_size)
