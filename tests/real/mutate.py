"""Takes away one guard after the other in a copy of the project, and tells whether the tests that name it fail then.

    python tests/real/mutate.py [-k PART_OF_A_NAME]

`tests/mutations.yaml` lists the guards. Exit status 1 when a guard is missed by no test (survived), when its text is no
longer there (stale), or when its tests fail already with it (broken). Databases: SQLite, unless
$WINDSOCK_TEST_DATABASES says otherwise.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("src", "spec", "tests", "docs", "pyproject.toml")
#: Seconds for the tests of one guard; without it, some would wait for ever.
PATIENCE = 300
#: Exit statuses of pytest: all passed, some failed. Any other is a mistake of ours.
PASSED, FAILED = 0, 1
#: Tests, by file and choice, that have passed with all guards in place.
_passed: set[tuple[str, str]] = set()


def main() -> int:
    """Try the guards that were asked for; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", dest="part", default="", help="only guards with this text in their name")
    part = parser.parse_args().part.lower()
    listed = yaml.safe_load((ROOT / "tests/mutations.yaml").read_text("utf-8"))
    wanted = [guard for guard in listed if part in guard["name"].lower()]
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            copied = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copied(ROOT / name, copy / name)
        _check_import(copy)
        for guard in wanted:
            result, why = _try(copy, guard)
            counts[result] += 1
            print(f"{result:<9}{guard['name']}: {why.partition(' - ')[2] or why}", flush=True)
    print(", ".join(f"{counts[result]} {result}" for result in ("killed", "survived", "stale", "broken")))
    return int(counts["killed"] < len(wanted))


def _try(copy: Path, guard: dict[str, Any]) -> tuple[str, str]:
    """What came of one guard, and the last line that says so."""
    file = copy / guard["file"]
    text = file.read_text("utf-8")
    if guard["old"] not in text:
        return "stale", f"{guard['file']} no longer holds {guard['old']!r}"
    before = _test(copy, guard) if _tests(guard) not in _passed else (PASSED, "")
    if before[0] != PASSED:
        return "broken", f"the tests fail with the guard: {before[1]}"
    _passed.add(_tests(guard))
    file.write_text(text.replace(guard["old"], guard["new"]), "utf-8")
    try:
        status, said = _test(copy, guard)
    finally:
        file.write_text(text, "utf-8")
    if status not in (PASSED, FAILED) or said.startswith("ERROR"):
        return "broken", said  # the tests have not even begun
    return ("killed" if status == FAILED else "survived"), said


def _test(copy: Path, guard: dict[str, Any]) -> tuple[int, str]:
    """Pytest's exit status and what it says last; a run that had to be ended has failed."""
    file, which = _tests(guard)
    command = [sys.executable, "-m", "pytest", file, "-k", which, "-q", "-x", "-p", "no:cacheprovider", "-W", "ignore"]
    try:
        done = subprocess.run(command, cwd=copy, env=_environ(copy), capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return FAILED, f"no end within {PATIENCE} seconds"
    lines = done.stdout.splitlines() or done.stderr.splitlines() or ["nothing"]
    failed = [line for line in lines if line.startswith(("FAILED tests", "ERROR tests"))]
    return done.returncode, (failed or lines[-1:])[0][:300]


def _tests(guard: dict[str, Any]) -> tuple[str, str]:
    return guard.get("in", "tests/test_advisories.py"), guard["tests"]


def _environ(copy: Path) -> dict[str, str]:
    ours = {"PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "400"}  # for pytest's reasons
    return {"WINDSOCK_TEST_DATABASES": "sqlite", **os.environ, **ours}


def _check_import(copy: Path) -> None:
    """Make sure that the tests, and the processes that they start, import the copy."""
    line = "import windsock; print(windsock.__path__[0])"
    shown = subprocess.run([sys.executable, "-c", line], env=_environ(copy), capture_output=True, text=True, check=True)
    if Path(shown.stdout.strip()).resolve() != (copy / "src/windsock").resolve():
        raise SystemExit(f"the tests would import {shown.stdout.strip()}, not the copy")


if __name__ == "__main__":
    sys.exit(main())
