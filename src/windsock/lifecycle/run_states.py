"""Move a run from one state to another, with the dates that go with it, as `DagRun.set_state` of Airflow 2.11 does."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

from windsock.models import DagRun

ENDED = ("success", "failed")


def move(run: DagRun, state: str) -> None:
    """Put a run into `queued`, `success` or `failed`; one that has ended keeps its end when it ends otherwise."""
    now = datetime.now(timezone.utc)
    if state == "queued":
        run.queued_at = now
    if run.state == state:
        return
    if state == "queued":
        run.start_date = run.end_date = None
    elif run.state not in ENDED:
        run.end_date = now
    run.state = state


def queue_again(runs: Iterable[DagRun]) -> None:
    """Hand runs that have ended back to the scheduler; others go on as they are."""
    for run in runs:
        if run.state in ENDED:
            move(run, "queued")
            run.last_scheduling_decision = None
            run.clear_number += 1
