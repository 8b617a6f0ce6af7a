"""The runs of the demo: those of the schedules up to now, runs that datasets started, and manual ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from windsock.demo.definitions import DAGS, Dag
from windsock.demo.instances import RETRY_DELAY, play
from windsock.demo.world import Run, World
from windsock.models import (
    DagRun,
    DagRunNote,
    Dataset,
    DatasetEvent,
    Log,
    SlaMiss,
    TaskInstanceNote,
    dagrun_dataset_event,
)

ADA = 1001  # her ab_user.id
_MONDAY = datetime(2026, 1, 5, tzinfo=timezone.utc)
_BY_ID = {dag.id: dag for dag in DAGS}
_MARCH_1, _MARCH_2 = (datetime(2026, 3, day, 2, tzinfo=timezone.utc) for day in (1, 2))


def add_runs(world: World) -> None:
    """Add all runs with their task instances, oldest first."""
    for run in sorted([*_of_schedules(world), *_manual(world), *_of_the_document()], key=lambda run: run.logical):
        add_run(world, run)
    events = sorted(world.rows(DatasetEvent), key=lambda row: row["timestamp"])
    for dag in DAGS:
        if dag.condition:
            _consume(world, dag, events)
    world.add(SlaMiss, task_id="transform", dag_id="nightly_sales", execution_date=_manual_in_march(), email_sent=True,
              timestamp=datetime(2026, 3, 2, 9, 37, 0, 512034, timezone.utc), notification_sent=True)  # fmt: skip


def add_run(world: World, run: Run) -> None:
    """Add one run with its task instances and its note."""
    run.id = next(world.ids["run"])
    state = play(world, run)
    manual = run.kind == "manual"
    asked = run.started - timedelta(seconds=1.4) if run.started else max(run.logical, run.interval[1])
    world.add(
        DagRun,
        id=run.id,
        dag_id=run.dag.id,
        run_id=run.run_id,
        run_type=run.kind,
        state=state,
        execution_date=run.logical,
        queued_at=asked,
        start_date=run.started,
        end_date=run.ended,
        creating_job_id=None if manual else 1,
        external_trigger=manual,
        conf=run.conf,
        data_interval_start=run.interval[0],
        data_interval_end=run.interval[1],
        last_scheduling_decision=run.ended or run.started,
        dag_hash=world.hashes[run.dag.id],
        log_template_id=1,
        updated_at=run.ended or run.started or asked,
        clear_number=0,
    )
    if run.note:
        world.add(DagRunNote, dag_run_id=run.id, user_id=ADA, content=run.note, created_at=asked, updated_at=asked)
    if manual:
        world.add(Log, dttm=asked, dag_id=run.dag.id, event="api.post_dag_run", owner="ada",
                  owner_display_name="Ada Lovelace", extra="{}")  # fmt: skip


def latest(dag: Dag, now: datetime) -> datetime:
    """The last logical date whose data interval has ended; ValueError for a DAG without a schedule."""
    if dag.every is None:
        raise ValueError(f"{dag.id} has no schedule")
    first = _MONDAY + dag.at
    return first + ((now - first) // dag.every - 1) * dag.every


def _of_schedules(world: World) -> Iterator[Run]:
    for dag in DAGS:
        if dag.every is None:
            continue
        newest = latest(dag, world.ago(days=9) if dag.paused else world.now)
        for back in reversed(range(dag.runs)):
            logical = newest - back * dag.every
            run = Run(dag, "scheduled", logical, logical + dag.every, (logical, logical + dag.every))
            if world.random.random() < dag.failures:
                run.victim = world.random.choice([task for task in dag.tasks if task.kind != "empty"]).id
            if logical + dag.every > world.now - _longest(dag):
                run.live = {dag.tasks[0].id: ("running",)}
            if (dag.id, logical) != ("nightly_sales", _MARCH_1):
                yield run


def _longest(dag: Dag) -> timedelta:
    """How long a run lasts at most, with all its retries."""
    tries = dag.retries + 1
    work = sum(task.seconds * 1.4 + 10 for task in dag.tasks)
    return timedelta(seconds=work * tries) + RETRY_DELAY * dag.retries * len(dag.tasks)


def _manual(world: World) -> Iterator[Run]:
    """Runs that are under way, so that every state can be seen, and some that have ended."""
    live: tuple[tuple[str, int, dict[str, tuple[str, ...]]], ...] = (
        ("nightly_sales", 14, {"transform": ("running", "running", "queued")}),
        ("hourly_orders", 9, {"store": ("scheduled",)}),
        ("stock_snapshot", 8, {"warehouses.count": ("success", "removed", "running", "success")}),
        ("price_watch", 7, {"fetch_prices": ("success", "up_for_retry", "running", "restarting")}),
        ("supplier_feed", 40, {"wait_for_file": ("up_for_reschedule",)}),
        ("train_demand_model", 50, {"train.fit": ("running",)}),
        ("erase_customer", 6, {"erase": ("running",)}),
        ("erase_customer", 4, {"erase": ("scheduled",)}),
    )
    for number, (dag_id, minutes, states) in enumerate(live):
        conf = {"customer_id": 3000 + number} if dag_id == "erase_customer" else {}
        yield _by_hand(_BY_ID[dag_id], world.ago(minutes=minutes, seconds=number), conf=conf, live=states)
    for dag_id, minutes in (("nightly_sales", 3), ("archive_raw_files", 2 * 1440)):
        waiting = _by_hand(_BY_ID[dag_id], world.ago(minutes=minutes))
        waiting.started = None
        yield waiting
    for days in (1, 2, 5, 9):
        run = _by_hand(_BY_ID["erase_customer"], world.ago(days=days), conf={"customer_id": 4000 + days})
        run.note = "Asked for by letter" if days == 2 else None
        run.victim = "erase" if days == 5 else None
        yield run


def _by_hand(dag: Dag, when: datetime, **members: Any) -> Run:
    end = latest(dag, when) + dag.every if dag.every else when
    return Run(dag, "manual", when, when + timedelta(seconds=2.118), (end - (dag.every or timedelta()), end), **members)


def _manual_in_march() -> datetime:
    return _MARCH_2.replace(hour=9, minute=30)


def _of_the_document() -> Iterator[Run]:
    """The runs that the examples of spec/v1.yaml name."""
    dag, interval = _BY_ID["nightly_sales"], (_MARCH_1, _MARCH_2)
    yield Run(dag, "scheduled", _MARCH_1, _MARCH_2 + timedelta(seconds=1.204518), interval)
    failed = _by_hand(dag, _manual_in_march(), conf={"country": "SE"}, victim="transform")
    failed.note = "Rerun for Sweden after the price correction"
    yield failed


def add_notes(world: World) -> None:
    """Add the notes on task instances that the examples of the document show."""
    notes = (
        ("extract", f"scheduled__{_MARCH_1.isoformat()}", -1, "The source system was 40 minutes late."),
        ("transform", f"manual__{_manual_in_march().isoformat()}", 1, "Rows without a currency, ticket DATA-311."),
    )
    for task_id, run_id, index, content in notes:
        when = _manual_in_march()
        world.add(TaskInstanceNote, dag_id="nightly_sales", task_id=task_id, run_id=run_id, map_index=index,
                  content=content, user_id=ADA, created_at=when, updated_at=when)  # fmt: skip


def _consume(world: World, dag: Dag, events: list[dict[str, Any]]) -> None:
    """One run of `dag` for each update of a dataset that it waits for; the last two have not ended."""
    wanted = {row["id"] for row in world.rows(Dataset) if dag.condition and row["uri"] in dag.condition[1]}
    mine = [event for event in events if event["dataset_id"] in wanted]
    first, second = dag.tasks[:2]
    live: dict[Any, dict[str, tuple[str, ...]]] = {
        mine[-1]["id"]: {first.id: ("deferred" if first.kind == "wait" else "running",)},
        mine[-2]["id"]: {second.id: ("scheduled",)},
    }
    for event in mine:
        when = event["timestamp"]
        logical = when + timedelta(seconds=2.532605)
        if event["id"] == 41:
            logical = datetime(2026, 3, 2, 2, 14, 31, 482915, timezone.utc)
        interval = (logical - timedelta(days=1), logical)
        run = Run(
            dag, "dataset_triggered", logical, logical + timedelta(seconds=1.6), interval, live=live.get(event["id"])
        )
        if event["id"] not in live and world.random.random() < dag.failures:
            run.victim = dag.tasks[-1].id
        add_run(world, run)
        world.add(dagrun_dataset_event, dag_run_id=run.id, event_id=event["id"])
