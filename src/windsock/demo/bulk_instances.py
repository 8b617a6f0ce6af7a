"""The rows of one task instance of a bulk run: its tries, events and what it leaves behind."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from windsock.demo import outputs
from windsock.demo.bulk_audit import Audit
from windsock.demo.bulk_copy import stamp
from windsock.demo.bulk_plan import Plan
from windsock.demo.bulk_shapes import Step
from windsock.demo.bulk_source import Source
from windsock.demo.runs import ADA
from windsock.demo.world import Run

BAD = {"failed", "upstream_failed"}
ENDED = BAD | {"success", "skipped"}
_HOSTS = tuple(f"worker-{number:02}.airflow.example.com" for number in range(16))
_RETRY_DELAY = 300.0  # seconds


@dataclass
class Moment:
    """One run while its rows are made; texts are as the database wants them."""

    id: int
    plan: Plan
    run_id: str
    logical: str
    started: float | None  # Unix time
    victim: int  # the index of the step that fails, or -1
    width: int  # of the mapped step, where that differs from run to run
    recent: bool
    detail: Run | None  # for what only some of the runs have: XComs and rendered fields
    states: list[str | None] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    chosen: str = ""  # the task that a branch has chosen


class Instances:
    """Makes the rows of task instances, up to the moment `now` (Unix time)."""

    def __init__(self, now: float, source: Source) -> None:
        self.now, self.source, self.pick = now, source, source.pick
        self.audit = Audit(source)
        self.empty = source.pickled({})
        self.factors = [self.pick.lognormvariate(0, 0.5) for _ in range(4096)]  # of durations; few are very long

    def add(self, moment: Moment, step: Step, index: int, state: str | None, begin: float) -> tuple[str | None, float]:
        """Add one instance that began then; return its state, which may be `running`, and when it ends."""
        if state not in ("success", "failed"):
            at = stamp(begin) if state in ENDED else None
            self._row("task_instance", moment, step, index, (at, at, 0.0 if at else None, state), 0)
            return state, begin
        number, begin = self._earlier_tries(moment, step, index, state, begin)
        end = begin + step.task.seconds * self.factors[self.pick.getrandbits(12)] + 0.2
        ended = end <= self.now
        state = state if ended else "running"
        times = (stamp(begin), stamp(end) if ended else None, round(end - begin, 6) if ended else None, state)
        self._row("task_instance", moment, step, index, times, number)
        self.audit.event(moment, step, index, number, "running", times[0])
        if times[1]:
            self.audit.event(moment, step, index, number, state, times[1])
            self._leavings(moment, step, index, number, (state, begin, end))
        if moment.recent and moment.detail:
            label = step.task.mapped[index] if index >= 0 else None
            fields = json.dumps(outputs.rendered(step.task, moment.detail, label))
            key = (moment.plan.dag.id, step.task.id, moment.run_id, index)
            self.source.rows["rendered_task_instance_fields"].append((*key, fields))
        return state, end

    def _earlier_tries(self, moment: Moment, step: Step, index: int, state: str, begin: float) -> tuple[int, float]:
        """Add the tries that failed before the last one; return its number and when it begins."""
        number, retries = 1, moment.plan.dag.retries
        for _ in range(retries if state == "failed" else min(retries, self.pick.random() < 0.02)):
            end = begin + step.task.seconds * 0.4 + 1
            if end + _RETRY_DELAY > self.now:
                break
            times = (stamp(begin), stamp(end), round(end - begin, 6), "failed")
            self._row("task_instance_history", moment, step, index, times, number)
            self.audit.event(moment, step, index, number, "running", times[0])
            self.audit.event(moment, step, index, number, "failed", times[1])
            self._failure(moment, step, index, begin, end)
            number, begin = number + 1, end + _RETRY_DELAY
        return number, begin

    def _row(self, table: str, moment: Moment, step: Step, index: int, times: tuple[Any, ...], number: int) -> None:
        pick, begin = self.pick, times[0]
        host: tuple[Any, ...] = ("", "airflow", None, begin, None, None)
        if number:
            job, process = 100_000 + pick.getrandbits(30), 2000 + pick.getrandbits(14)
            host = (_HOSTS[pick.getrandbits(4)], "airflow", job, begin, 1, process)
        label = step.task.mapped[index] if index >= 0 and number else None
        row = (
            step.task.id, moment.plan.dag.id, moment.run_id, index, *times, moment.plan.dag.retries, *host,
            *step.settings, self.empty, times[1] or begin or moment.logical, label, step.task.id, number,
        )  # fmt: skip
        self.source.rows[table].append(row if table == "task_instance" else (self.source.next(table), *row))

    def _failure(self, moment: Moment, step: Step, index: int, begin: float, end: float) -> None:
        key = (step.task.id, moment.plan.dag.id, moment.run_id, index)
        row = (self.source.next("task_fail"), *key, stamp(begin), stamp(end), int(end - begin))
        self.source.rows["task_fail"].append(row)

    def _leavings(self, moment: Moment, step: Step, index: int, number: int, last: tuple[str, float, float]) -> None:
        """What some instances that have ended leave: failures, notes, XComs, reschedules, lengths of mapped tasks."""
        state, begin, end = last
        task, rows, key = step.task, self.source.rows, (step.task.id, moment.plan.dag.id, moment.run_id, index)
        if state == "failed":
            self._failure(moment, step, index, begin, end)
        if self.pick.getrandbits(11) == 0:
            at = stamp(min(end + 1800, self.now))
            rows["task_instance_note"].append((*key, "Looked into it, the source was late.", ADA, at, at))
        if task.kind == "poke" and moment.recent:
            poke = (number, stamp(begin), stamp(begin + 1), 1, stamp(begin + 60))
            rows["task_reschedule"].append((self.source.next("task_reschedule"), *key, *poke))
        if state == "success" and step.feeds:
            rows["task_map"].append((*key, moment.width or step.feeds))
        if state == "success" and moment.detail:
            label, when = task.mapped[index] if index >= 0 else None, datetime.fromtimestamp(end, timezone.utc)
            for name, value in outputs.values(task, moment.detail, label, moment.chosen, when, self.pick).items():
                stored = self.source.blob(outputs.encode(value))
                rows["xcom"].append((moment.id, task.id, index, name, *key[1:3], stored, stamp(end)))
