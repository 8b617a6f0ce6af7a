"""Takes away one guard after the other in a copy of the project, and tells whether the tests that name it fail then.

    python tests/real/mutate.py [-k PART_OF_A_NAME]...

`tests/mutations.yaml` lists the guards. Exit status 1 unless each is `killed`, which means that a test fails without
it: none has `survived`, the text of none is gone (`stale`), and the tests of each can begin without it (else `broken`).
Databases: SQLite, unless $WINDSOCK_TEST_DATABASES says otherwise.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
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
TESTS = "tests/test_advisories.py"
_QUIET: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}


def main() -> int:
    """Try the guards that were asked for; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", dest="parts", action="append", help="only guards with this text in their names")
    parts = [part.lower() for part in parser.parse_args().parts or [""]]
    listed = yaml.safe_load((ROOT / "tests/mutations.yaml").read_text("utf-8"))
    wanted = [guard for guard in listed if any(part in guard["name"].lower() for part in parts)]
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            copied = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copied(ROOT / name, copy / name)
        _check_import(copy)
        _check_tests(copy, wanted)
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
    file.write_text(text.replace(guard["old"], guard["new"]), "utf-8")
    try:
        status, said = _test(copy, guard.get("in", TESTS), guard["tests"])
    finally:
        file.write_text(text, "utf-8")
    if status not in (PASSED, FAILED) or said.startswith("ERROR"):
        return "broken", said  # the tests have not even begun
    return ("killed" if status == FAILED else "survived"), said


def _test(copy: Path, file: str, which: str) -> tuple[int, str]:
    """Pytest's exit status and what it says last; a run that had to be ended has failed."""
    command = [sys.executable, "-m", "pytest", file, "-k", which, "-q", "-x", "-p", "no:cacheprovider", "-W", "ignore"]
    process = subprocess.Popen(command, cwd=copy, env=_environ(copy), text=True, start_new_session=True, **_QUIET)
    try:
        said, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # and the servers that the tests have started
        process.communicate()
        return FAILED, f"no end within {PATIENCE} seconds"
    lines = said.splitlines() or ["nothing"]
    failed = [line for line in lines if line.startswith(("FAILED tests", "ERROR tests"))]
    return process.returncode, (failed or lines[-1:])[0][:300]


def _environ(copy: Path) -> dict[str, str]:
    ours = {"PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "400"}  # for pytest's reasons
    return {"WINDSOCK_TEST_DATABASES": "sqlite", **os.environ, **ours}


def _check_import(copy: Path) -> None:
    """Make sure that the tests, and the processes that they start, import the copy."""
    line = "import windsock; print(windsock.__path__[0])"
    shown = subprocess.run([sys.executable, "-c", line], env=_environ(copy), capture_output=True, text=True, check=True)
    if Path(shown.stdout.strip()).resolve() != (copy / "src/windsock").resolve():
        raise SystemExit(f"the tests would import {shown.stdout.strip()}, not the copy")


def _check_tests(copy: Path, wanted: list[dict[str, Any]]) -> None:
    """Make sure that the tests pass while all guards are there."""
    for file in dict.fromkeys(guard.get("in", TESTS) for guard in wanted):
        which = " or ".join(f"({guard['tests']})" for guard in wanted if guard.get("in", TESTS) == file)
        status, said = _test(copy, file, which)
        if status != PASSED:
            raise SystemExit(f"{file} fails with all guards in place: {said}")


if __name__ == "__main__":
    sys.exit(main())
