"""What bulk data consists of: how many rows, which DAGs, and how often each of them has run."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isqrt
from typing import Any

from windsock.demo.bulk_shapes import Shape, fan_out, shapes
from windsock.demo.definitions import Dag
from windsock.demo.runs import latest


@dataclass(frozen=True)
class Size:
    """How many rows a table holds in the end, those of the demo among them."""

    dags: int
    runs: int
    instances: int
    audit: int


SIZES = {
    "S": Size(100, 5_000, 50_000, 100_000),
    "M": Size(1_000, 300_000, 3_000_000, 10_000_000),
    "L": Size(10_000, 2_000_000, 40_000_000, 100_000_000),
}
OTHER_POOLS = ("warehouse", "web", "team_a", "team_b")
_AREAS = ("sales", "orders", "stock", "pricing", "finance", "hr", "web", "crm", "fraud", "ads", "search", "logistics")
_WORK = ("import", "export", "sync", "report", "features", "cleanup", "aggregates", "snapshot", "quality", "backup")
_OWNERS = ("data-platform", "ingestion", "pricing", "marketing", "data-science", "finance", "privacy", "airflow")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_LADDER = (_MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 4 * _HOUR, _DAY, 7 * _DAY)  # from the most frequent one
_SPAN = 300 * _DAY  # what the runs of one DAG cover at most, when its schedule allows
_MAPPED_SHARE = 0.03  # of all instances, those of the DAG with the very long mapped tasks


@dataclass
class Plan:
    """One DAG with its runs to be: one each `every` seconds, the newest with the logical date `newest` (Unix time)."""

    number: int
    dag: Dag
    shape: Shape
    runs: int
    every: int
    newest: int
    live: str | None = None  # the state of a manual run just now, in the place of the newest
    outlet: int | None = None  # the id of the dataset that the last task updates
    inlets: tuple[int, ...] = ()  # the ids of those that start the DAG
    widths: tuple[int, ...] = ()  # of the mapped task, for each run, where they differ
    dag_hash: str = ""


def uri(dataset: int) -> str:
    """The URI of a dataset of the bulk data."""
    return f"s3://lake/bulk/{dataset:05}.parquet"


def dataset_count(dags: int) -> int:
    """How many datasets so many DAGs share."""
    return max(2, dags // 20)


def plans(want: Size, pick: random.Random, now: datetime, first_dataset: int) -> Iterator[Plan]:
    """The DAGs, those with the most runs first; `want` is met exactly in DAGs, runs and task instances."""
    reserved = isqrt(int(want.instances * _MAPPED_SHARE))
    amounts = _skewed(want.runs - reserved, want.dags - 1)
    choices = shapes(pick, want.instances / want.runs)
    sizes = [shape.instances for shape in choices]
    mean = want.instances * (1 - _MAPPED_SHARE) / (want.runs - reserved)
    middle, runs, instances = bisect_left(sizes, mean), 0, 0
    for number, amount in enumerate(amounts):
        large = instances <= mean * runs  # so the sum stays close to what is wanted
        shape = pick.choice(choices[middle:] if large else choices[:middle])
        runs, instances = runs + amount, instances + amount * shape.instances
        yield _plan(number, shape, amount, pick, now, range(first_dataset, first_dataset + dataset_count(want.dags)))
    widths, every = _widths(want.instances - instances, reserved), _every(reserved)
    shape = fan_out(max(widths))
    dag = Dag("partitions_backfill", "data-platform", shape.tasks, **_schedule(every, 0, 0), retries=1,
              tags=("bulk", "backfill"), description="Loads every partition, each by itself")  # fmt: skip
    yield Plan(want.dags - 1, dag, shape, reserved, every, int(latest(dag, now).timestamp()), widths=widths)


def _skewed(total: int, parts: int) -> list[int]:
    """`total` in parts that fall as one over their rank, at least one each."""
    weights = [1 / (rank + 2) for rank in range(parts)]
    unit = (total - parts) / sum(weights)
    found = [1 + int(weight * unit) for weight in weights]
    found[0] += total - sum(found)
    return found


def _widths(instances: int, runs: int) -> tuple[int, ...]:
    """The number of mapped instances of each run, beside the two other tasks."""
    each, more = divmod(instances - 2 * runs, runs)
    return tuple(each + (number < more) for number in range(runs))


def _plan(number: int, shape: Shape, runs: int, pick: random.Random, now: datetime, datasets: range) -> Plan:
    every, chance = _every(runs), pick.random()
    inlets = tuple(sorted(pick.sample(datasets, k=pick.choice((1, 1, 2))))) if chance < 0.08 else ()
    unscheduled = 0.08 <= chance < 0.12
    outlet = pick.choice(datasets) if 0.12 <= chance < 0.2 else None
    minute, hour = pick.randrange(1, 60), pick.randrange(24)
    schedule: dict[str, Any] = {} if inlets or unscheduled else _schedule(every, hour, minute)
    if inlets:
        schedule = {"schedule": "Dataset", "schedule_text": "Triggered by datasets",
                    "condition": (pick.choice(("any", "all")), tuple(map(uri, inlets)))}  # fmt: skip
    tasks = shape.tasks
    if outlet is not None:
        tasks = (*tasks[:-1], replace(tasks[-1], outlets=(uri(outlet),)))
    area, work = pick.choice(_AREAS), pick.choice(_WORK)
    tags = ("bulk", area, work)[: pick.randrange(1, 4)]
    dag = Dag(f"{area}_{work}_{number:05}", pick.choice(_OWNERS), tasks, **schedule, tags=tags,
              description=pick.choice((None, f"The {work} of {area}")), retries=pick.choice((0, 0, 1, 2, 3)),
              max_active_runs=pick.choice((1, 4, 16)), failures=pick.choice((0.005, 0.01, 0.02, 0.1)),
              paused=pick.random() < 0.08, broken=number % 100 == 50)  # fmt: skip
    newest = latest(dag, now).timestamp() if dag.every else now.timestamp() - 2 * every
    live = pick.choice((None,) * 17 + ("running", "running", "queued"))
    return Plan(number, dag, shape, runs, every, int(newest), live, outlet, inlets)


def _every(runs: int) -> int:
    fitting = [every for every in _LADDER if every * runs <= _SPAN]
    return fitting[-1] if fitting else _LADDER[0]


def _schedule(every: int, hour: int, minute: int) -> dict[str, Any]:
    """The members of a Dag that runs every so many seconds."""
    step, offset = timedelta(seconds=every), timedelta()
    if every < _HOUR:
        text = (f"*/{every // 60} * * * *", f"Every {every // 60} minutes")
    elif every == _HOUR:
        text, offset = (f"{minute} * * * *", f"At {minute} minutes past the hour"), timedelta(minutes=minute)
    elif every < _DAY:
        hours = every // _HOUR
        text = (f"{minute} */{hours} * * *", f"At {minute} minutes past the hour, every {hours} hours")
        offset = timedelta(minutes=minute)
    else:
        offset = timedelta(hours=hour, minutes=minute)
        at, day = f"At {hour:02}:{minute:02}", "1" if every > _DAY else "*"
        text = (f"{minute} {hour} * * {day}", f"{at}, only on Monday" if every > _DAY else at)
    return {"schedule": text[0], "schedule_text": text[1], "every": step, "at": offset}


def starts(plan: Plan, now: float, pick: random.Random) -> Iterator[tuple[float, int, int, str, float]]:
    """For each run, oldest first: when it starts (Unix time), number of the plan, index, type and logical date."""
    usual = "scheduled" if plan.dag.every else "dataset_triggered" if plan.inlets else "manual"
    for index in range(plan.runs):
        logical: float = plan.newest - (plan.runs - 1 - index) * plan.every
        newest = index == plan.runs - 1
        if newest and plan.live:
            moment = now - pick.uniform(1, 300)
            yield moment, plan.number, index, "manual", round(moment - 2.1, 6)
        elif usual == "scheduled" and (newest or pick.random() > 0.03):
            yield logical + plan.every + pick.uniform(0.5, 8), plan.number, index, usual, logical
        else:
            moment = logical + plan.every * pick.uniform(1.2, 1.6)  # between two of the schedule
            kind = "manual" if usual == "scheduled" else usual
            yield moment, plan.number, index, kind, round(moment - 2.1, 6)
