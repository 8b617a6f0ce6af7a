"""The rows of the runs of bulk DAGs, in the order of time and in batches, whatever the number of runs."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from windsock.demo.bulk_copy import Rows, stamp
from windsock.demo.bulk_instances import BAD, ENDED, Instances, Moment
from windsock.demo.bulk_plan import Plan, starts
from windsock.demo.bulk_shapes import Step
from windsock.demo.bulk_source import Source
from windsock.demo.runs import ADA
from windsock.demo.world import Run

BATCH = 1000  # runs
_RECENT = 30  # runs of a DAG whose rendered fields Airflow keeps
_CONFS: tuple[dict[str, Any], ...] = ({}, {"country": "SE"}, {"full": True, "days": 3})


class Generator:
    """Makes the rows of all runs of some plans, up to the moment `now` (Unix time)."""

    def __init__(self, plans: list[Plan], now: float, source: Source) -> None:
        self.plans, self.now, self.source, self.pick = plans, now, source, source.pick
        self.instances = Instances(now, source)
        self.confs = [source.pickled(conf) for conf in _CONFS]
        self.events: dict[int, int] = {}  # dataset -> its last event

    def batches(self, audit: int) -> Iterator[Rows]:
        """The rows of BATCH runs at a time; all together have `audit` audit rows."""
        total = sum(plan.runs for plan in self.plans)
        merged = heapq.merge(*(starts(plan, self.now, self.pick) for plan in self.plans))
        self.instances.audit.room = audit
        for done, (started, number, index, kind, logical) in enumerate(merged, start=1):
            moment = self._begin(self.plans[number], index, kind, started, logical)
            for place, step in enumerate(moment.plan.shape.steps):
                self._step(moment, place, step)
            self._finish(moment, kind, started, logical)
            self.instances.audit.fill(moment, started, left=audit - audit * done // total)
            if done % BATCH == 0 or done == total:
                yield self.source.take()

    def _begin(self, plan: Plan, index: int, kind: str, started: float, logical: float) -> Moment:
        when, newest = datetime.fromtimestamp(logical, timezone.utc), index == plan.runs - 1
        recent = index >= plan.runs - _RECENT
        run = Run(plan.dag, kind, when, None, (when, when + timedelta(seconds=plan.every)))
        failing = self.pick.random() < plan.dag.failures and not (plan.live and newest)
        return Moment(
            id=self.source.next("dag_run"),
            plan=plan,
            run_id=run.run_id,
            logical=stamp(logical),
            started=None if newest and plan.live == "queued" else started,
            victim=self.pick.randrange(len(plan.shape.steps)) if failing else -1,
            width=plan.widths[index] if plan.widths else 0,
            recent=recent,
            detail=run if recent or index % 4 == 0 else None,
        )

    def _step(self, moment: Moment, place: int, step: Step) -> None:
        begin = max((moment.ends[up] for up in step.before), default=moment.started or self.now)
        begin += 0.4 + self.pick.random() * 3
        state = self._state(moment, place, step, begin)
        found, end = state, begin
        for index in range(moment.width or step.width) if step.width else (-1,):
            wanted = "success" if state == "failed" and index > 0 else state  # one of the instances is enough
            one, one_end = self.instances.add(moment, step, index, wanted, begin)
            end = max(end, one_end)
            found = "running" if one == "running" else found
        moment.states.append(found)
        moment.ends.append(end)
        if step.task.kind == "branch":
            others = moment.plan.dag.downstream(step.task.id)
            moment.chosen = step.task.argument if self.pick.random() < 0.7 else others[0]
        if found == "success" and place == len(moment.plan.shape.steps) - 1 and moment.plan.outlet is not None:
            self._update(moment, step, moment.plan.outlet, end)

    def _state(self, moment: Moment, place: int, step: Step, begin: float) -> str | None:
        """The state that a step comes to, by those before it; the time may turn success into running."""
        before = [moment.states[up] for up in step.before]
        if moment.started is None or any(state not in ENDED for state in before):
            return None
        if any(state in BAD for state in before):
            return "upstream_failed"
        branched = any(moment.plan.shape.steps[up].task.kind == "branch" for up in step.before)
        if (branched and moment.chosen != step.task.id) or ("skipped" in before and not step.tolerant):
            return "skipped"
        if begin > self.now:
            return "queued" if begin < self.now + 2 else "scheduled"
        return "failed" if place == moment.victim else "success"

    def _update(self, moment: Moment, step: Step, dataset: int, end: float) -> None:
        number = self.events[dataset] = self.source.next("dataset_event")
        extra = json.dumps({"rows": self.pick.randrange(20_000, 60_000)})
        made_by = (step.task.id, moment.plan.dag.id, moment.run_id, -1)
        self.source.rows["dataset_event"].append((number, dataset, extra, *made_by, stamp(end)))

    def _finish(self, moment: Moment, kind: str, started: float, logical: float) -> None:
        found, end = set(moment.states), max(moment.ends) + 1.3
        live = not found <= ENDED or end > self.now
        state = "running" if live else "failed" if found & BAD else "success"
        begin, closed = stamp(started), None if live else stamp(end)
        manual, plan, rows = kind == "manual", moment.plan, self.source.rows
        asked, first = stamp(started - 1.4), logical if kind == "scheduled" else logical - plan.every
        conf = self.confs[self.pick.getrandbits(8) % 3 if manual else 0]
        rows["dag_run"].append((
            moment.id, plan.dag.id, asked, moment.logical, begin if moment.started else None, closed,
            state if moment.started else "queued", moment.run_id, None if manual else 1, int(manual), kind, conf,
            stamp(first), stamp(first + plan.every), closed or begin, plan.dag_hash, 1, closed or begin, 0,
        ))  # fmt: skip
        for dataset in plan.inlets:
            if kind == "dataset_triggered" and dataset in self.events:
                rows["dagrun_dataset_event"].append((moment.id, self.events[dataset]))
        if manual and self.pick.getrandbits(5) == 0:
            rows["dag_run_note"].append((ADA, moment.id, "Run again after the correction", asked, asked))
