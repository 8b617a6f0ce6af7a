"""The task instances of one run, with all that hangs on them: tries, XComs, rendered fields, events, logs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from windsock.demo import outputs
from windsock.demo.definitions import Task
from windsock.demo.serialized import OPERATORS
from windsock.demo.world import HOSTS, Run, World
from windsock.models import (
    Dataset,
    DatasetEvent,
    Job,
    Log,
    RenderedFields,
    TaskFail,
    TaskInstance,
    TaskInstanceHistory,
    TaskMap,
    TaskReschedule,
    Trigger,
    XCom,
)

_BAD = {"failed", "upstream_failed"}
_ENDED = _BAD | {"success", "skipped", "removed"}
_STARTED = {"success", "failed", "running", "deferred", "up_for_retry", "up_for_reschedule", "restarting"}
RETRY_DELAY = timedelta(minutes=5)


def play(world: World, run: Run) -> str:
    """Add the instances of all tasks of a run, set `run.ended`, and return the state of the run."""
    states: dict[str, list[str | None]] = {}
    ends: dict[str, datetime] = {}
    chosen: dict[str, str] = {}
    for task in run.dag.tasks:
        state = _state(run, task, states, chosen)
        if task.kind == "branch" and state == "success":
            other = [name for name in run.dag.downstream(task.id) if name != task.argument]
            chosen[task.id] = task.argument if world.random.random() < 0.7 else other[0]
        begin = max((ends[up] for up in task.after), default=run.started or run.logical) + world.jitter(4)
        live = (run.live or {}).get(task.id)
        unfolded = bool(task.mapped) and (live is not None or state in ("success", "failed"))
        made = []
        for index, label in enumerate(task.mapped if unfolded else (None,)):
            one = live[index % len(live)] if live else state
            if unfolded and one == "failed" and not live and index != 1:  # one of the instances is enough
                one = "success"
            place = _Place(world, run, task, index if unfolded else -1, label, begin, chosen.get(task.id))
            made.append((one, place.instance(one)))
        states[task.id] = [one for one, _ in made]
        ends[task.id] = max(end for _, end in made)
    return _finish(run, states, ends)


def _finish(run: Run, states: dict[str, list[str | None]], ends: dict[str, datetime]) -> str:
    found = {state for group in states.values() for state in group}
    if run.started is None:
        return "queued"
    if found - _ENDED:
        return "running"
    run.ended = max(ends.values()) + timedelta(seconds=1.3)
    real = {task.id for task in run.dag.tasks if task.rank != "teardown"}  # a teardown does not decide
    leaves = [name for name in real if not real & set(run.dag.downstream(name))]
    return "failed" if _BAD & {state for leaf in leaves for state in states[leaf]} else "success"


def _state(run: Run, task: Task, states: dict[str, list[str | None]], chosen: dict[str, str]) -> str | None:
    """The state that a task comes to: by the state of those before it and by who is to fail."""
    before = {state for up in task.after for state in states[up]}
    if run.started is None or before - _ENDED:
        return None
    rule = task.trigger_rule
    if rule == "one_failed":
        return "success" if "failed" in before else "skipped"
    if not rule.startswith("all_done"):
        if before & _BAD:
            return "upstream_failed"
        others = {chosen[up] for up in task.after if up in chosen} - {task.id}
        if others or ("skipped" in before and (rule == "all_success" or before == {"skipped"})):
            return "skipped"
    return "failed" if task.id == run.victim else "success"


class _Place:
    """One task instance to be."""

    def __init__(
        self, world: World, run: Run, task: Task, index: int, label: str | None, begin: datetime, chosen: str | None
    ) -> None:
        self.world, self.run, self.task, self.label, self.begin, self.chosen = world, run, task, label, begin, chosen
        self.key: dict[str, Any] = {"dag_id": run.dag.id, "task_id": task.id, "run_id": run.run_id, "map_index": index}

    def instance(self, state: str | None) -> datetime:
        """Add the instance in this state, and return when it ended."""
        if state not in _STARTED:
            end = self.begin if state in _ENDED else None
            self.world.add(TaskInstance, **self._row(state, 0, end, end))
            return self.begin
        retries, chance = self.run.dag.retries, self.world.random.random()
        tries = retries + 1 if state == "failed" else 2 if retries and state == "success" and chance < 0.08 else 1
        begin = self.begin
        for number in range(1, tries):
            begin = self._failed_try(number, begin) + RETRY_DELAY
        return self._last_try(state, tries, begin)

    def _failed_try(self, number: int, begin: datetime) -> datetime:
        end = begin + self.world.jitter(max(self.task.seconds / 3, 1))
        self.world.add(TaskInstanceHistory, **self._row("failed", number, begin, end))
        self._event("running", number, begin)
        self._failure(number, begin, end)
        return end

    def _last_try(self, state: str, number: int, begin: datetime) -> datetime:
        duration = self.world.jitter(self.task.seconds)
        if self.run.live and self.task.id in self.run.live:
            since = duration + timedelta(seconds=5) if state in ("success", "up_for_retry") else timedelta(seconds=90)
            begin = max(begin, self.world.now - since)
        end = begin + duration if state in ("success", "failed", "up_for_retry") else None
        row = self._row(state, number, begin, end)
        self._event("running", number, begin)
        if state == "deferred":
            row |= self._defer()
        self.world.add(TaskInstance, **row)
        if state == "up_for_retry" and end:
            self.world.add(TaskInstanceHistory, **{k: v for k, v in row.items() if k != "state"}, state="failed")
        if state in ("failed", "up_for_retry") and end:
            self._failure(number, begin, end)
        if state == "success" and end:
            self._success(number, begin, end)
        if state == "up_for_reschedule":
            self._reschedule(begin)
        fields = outputs.rendered(self.task, self.run, self.label)
        self.world.add(RenderedFields, **self.key, rendered_fields=fields, k8s_pod_yaml=None)
        if state in ("running", "deferred"):
            self._log(number, state, begin, None)
        return end or begin

    def _row(self, state: str | None, number: int, begin: datetime | None, end: datetime | None) -> dict[str, Any]:
        operator, started = OPERATORS[self.task.kind], begin is not None and number > 0
        pick = self.world.random
        return {
            **self.key,
            "state": state,
            "try_number": number,
            "start_date": begin,
            "end_date": end,
            "duration": (end - begin).total_seconds() if begin and end else None,
            "max_tries": self.run.dag.retries,
            "hostname": pick.choice(HOSTS) if started else "",
            "unixname": "airflow",
            "job_id": self._job(state, begin, end) if started else None,
            "pid": pick.randrange(2000, 32000) if started else None,
            "pool": self.task.pool,
            "pool_slots": 1,
            "queue": self.task.queue,
            "priority_weight": self.run.dag.weight(self.task.id),
            "operator": operator.name,
            "custom_operator_name": operator.decorator,
            "queued_dttm": begin - timedelta(seconds=2.3) if started and begin else self._queued(state),
            "queued_by_job_id": 1 if started else None,
            "executor": "CeleryExecutor" if self.task.queue == "heavy" else None,
            "executor_config": {"queue_memory": "8Gi"} if self.task.queue == "heavy" else {},
            "updated_at": end or begin or self.run.started or self.run.logical,
            "rendered_map_index": self.label if started else None,
            "task_display_name": self.task.id,
            "trigger_id": None,
            "trigger_timeout": None,
            "next_method": None,
            "next_kwargs": None,
        }

    def _queued(self, state: str | None) -> datetime | None:
        return self.world.ago(seconds=20) if state == "queued" else None

    def _job(self, state: str | None, begin: datetime | None, end: datetime | None) -> int:
        number = next(self.world.ids["job"]) + 20
        kept = {"running": "running", "failed": "failed"}.get(state or "", "success")
        self.world.add(Job, id=number, dag_id=self.run.dag.id, state=kept, job_type="LocalTaskJob", start_date=begin,
                       end_date=end, latest_heartbeat=end or self.world.now, hostname=HOSTS[number % 3],
                       unixname="airflow")  # fmt: skip
        return number

    def _event(self, event: str, number: int, when: datetime) -> None:
        self.world.add(Log, **self.key, dttm=when, event=event, execution_date=self.run.logical,
                       owner=self.run.dag.owner, try_number=number)  # fmt: skip

    def _failure(self, number: int, begin: datetime, end: datetime) -> None:
        self._event("failed", number, end)
        seconds = int((end - begin).total_seconds())
        self.world.add(TaskFail, **self.key, start_date=begin, end_date=end, duration=seconds)
        self._log(number, "failed", begin, end)

    def _success(self, number: int, begin: datetime, end: datetime) -> None:
        self._event("success", number, end)
        self._log(number, "success", begin, end)
        values = outputs.values(self.task, self.run, self.label, self.chosen, end, self.world.random)
        for name, value in values.items():
            self.world.add(
                XCom, **self.key, dag_run_id=self.run.id, key=name, timestamp=end, value=outputs.encode(value)
            )
        feeds = [self.run.dag.task(name) for name in self.run.dag.downstream(self.task.id)]
        if lengths := [len(task.mapped) for task in feeds if task.mapped]:
            self.world.add(TaskMap, **self.key, length=lengths[0], keys=None)
        for uri in self.task.outlets:
            self._update(uri, end)

    def _update(self, uri: str, when: datetime) -> None:
        dataset = next(row for row in self.world.rows(Dataset) if row["uri"] == uri)
        number = next(self.world.ids["event"]) + 100
        if self.run.kind == "scheduled" and self.run.logical == datetime(2026, 3, 1, 2, tzinfo=timezone.utc):
            number = 41  # as in the document
        source = {f"source_{name}": value for name, value in self.key.items()}
        extra = {"rows": self.world.random.randrange(20_000, 60_000)}
        self.world.add(DatasetEvent, id=number, dataset_id=dataset["id"], extra=extra, timestamp=when, **source)
        dataset["updated_at"] = max(dataset["updated_at"], when)

    def _defer(self) -> dict[str, Any]:
        number, until = 12, self.world.now + timedelta(minutes=20)
        moment = {"__var": until.timestamp(), "__type": "datetime"}
        kwargs = {"__var": {"moment": moment, "end_from_trigger": False}, "__type": "dict"}
        text, _ = self.world.vault.encrypt(outputs.encode(kwargs).decode())
        self.world.add(Trigger, id=number, classpath="airflow.triggers.temporal.DateTimeTrigger", kwargs=text,
                       created_date=self.world.ago(minutes=3), triggerer_id=3)  # fmt: skip
        naive = (self.world.now + timedelta(days=7)).replace(tzinfo=None)
        after = {"__var": {}, "__type": "dict"}
        return {"trigger_id": number, "trigger_timeout": naive, "next_method": "execute_complete", "next_kwargs": after}

    def _reschedule(self, begin: datetime) -> None:
        end, again = begin + timedelta(seconds=1), self.world.now + timedelta(minutes=4)
        self.world.add(TaskReschedule, **self.key, try_number=1, start_date=begin, end_date=end, duration=1,
                       reschedule_date=again)  # fmt: skip

    def _log(self, number: int, state: str, begin: datetime, end: datetime | None) -> None:
        if begin < self.world.ago(days=3) and self.run.logical.year * 100 + self.run.logical.month != 202603:
            return
        index = self.key["map_index"]
        mapped = f"map_index={index}/" if index >= 0 else ""
        path = (f"dag_id={self.run.dag.id}/run_id={self.run.run_id}/task_id={self.task.id}/{mapped}"
                f"attempt={number}.log")  # fmt: skip
        self.world.logs[path] = outputs.log_text(self.task, self.run, self.label, state, begin, end)
