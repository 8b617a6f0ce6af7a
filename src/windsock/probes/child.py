"""The process in which one test of a connection runs: JSON in, JSON out."""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import entry_points

from windsock.probes import Failed, Target
from windsock.probes.guard import Forbidden, Guard
from windsock.probes.kinds import SHIPPED

GROUP = "windsock.connection_tests"
SUCCESS = "Connection successfully tested"  # the words of most of Airflow's hooks
_LONGEST = 1000


def main() -> None:
    """Read a target and the forbidden networks from standard input; write `status` and `message`."""
    answer = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    given = json.load(sys.stdin)
    guard = Guard(given["denied"])
    target = Target(**{**given["target"], "folders": tuple(given["target"]["folders"])})
    status, message = run(target, guard)
    os.write(answer, json.dumps({"status": status, "message": message[:_LONGEST]}).encode())


def run(target: Target, guard: Guard) -> tuple[bool, str]:
    """Whether the test passed, and what to say about it. From here on the guard watches this process."""
    guard.watch()
    try:
        return True, _test(target, guard) or SUCCESS
    except Failed as failure:
        reason = str(failure)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    return False, str(Forbidden()) if guard.refused else reason


def _test(target: Target, guard: Guard) -> str | None:
    for found in entry_points(group=GROUP, name=target.conn_type):
        return found.load()(target, guard)
    return SHIPPED[target.conn_type](target, guard)
