"""One task of a serialized DAG as the API's Task object, with the defaults that serialization leaves out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from windsock import encoded
from windsock.encoded import flag, number, text

TRIGGER_RULES = frozenset({
    "all_success", "all_failed", "all_done", "all_done_setup_success", "all_skipped", "always", "dummy",
    "none_failed", "none_failed_min_one_success", "none_failed_or_skipped", "none_skipped",
    "one_done", "one_failed", "one_success",
})  # fmt: skip


@dataclass(frozen=True)
class Defaults:
    """What Airflow's configuration gives where a serialized DAG says nothing; durations in seconds.

    In order: [operators] default_owner and default_queue, [core] default_task_retries, default_task_retry_delay,
    default_task_execution_timeout and default_task_weight_rule, [scheduler] ignore_first_depends_on_past_by_default
    and catchup_by_default, [webserver] dag_orientation.
    """

    owner: str = "airflow"
    queue: str = "default"
    retries: int = 0
    retry_delay: float = 300
    execution_timeout: float | None = None
    weight_rule: str = "downstream"
    ignore_first_depends_on_past: bool = True
    catchup: bool = True
    orientation: str = "LR"


@dataclass(frozen=True)
class TaskDoc:
    """A thin reading of one encoded operator; the DAG's dates hold where the task has none of its own."""

    data: dict[str, Any]
    dag_start_date: datetime | None = None
    dag_end_date: datetime | None = None
    defaults: Defaults = field(default_factory=Defaults)

    @property
    def task_id(self) -> str:
        return text(self.data.get("task_id")) or ""

    @property
    def is_mapped(self) -> bool:
        return flag(self.data.get("_is_mapped"))

    @property
    def start_date(self) -> datetime | None:
        return encoded.moment(self.data.get("start_date")) or self.dag_start_date

    @property
    def end_date(self) -> datetime | None:
        return encoded.moment(self.data.get("end_date")) or self.dag_end_date

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The operator's arguments: a mapped task keeps them apart, in what its `partial()` was given."""
        if not self.is_mapped:
            return self.data
        partial = self.data.get("partial_kwargs")
        return partial if isinstance(partial, dict) else {}

    @property
    def downstream_task_ids(self) -> list[str]:
        return encoded.texts(self.data.get("downstream_task_ids", self.data.get("_downstream_task_ids")))

    @property
    def is_setup(self) -> bool:
        return flag(self.arguments.get("is_setup"))

    @property
    def is_teardown(self) -> bool:
        return flag(self.arguments.get("is_teardown"))

    @property
    def needs_expansion(self) -> bool:
        """Whether a run can have several instances of this task: it is mapped, or in a mapped task group."""
        return self.is_mapped or flag(self.data.get("_needs_expansion"))

    @property
    def trigger_rule(self) -> str:
        rule = text(self.arguments.get("trigger_rule"))
        return rule if rule in TRIGGER_RULES else "all_success"

    @property
    def operator_name(self) -> str | None:
        return text(self.data.get("_operator_name"), text(self.data.get("_task_type")))

    @property
    def display_name(self) -> str:
        name = self.arguments.get("task_display_name" if self.is_mapped else "_task_display_property_value")
        return text(name) or self.task_id

    @property
    def execution_timeout(self) -> timedelta | None:
        # Serialization leaves out a null only where the configuration's default is null as well.
        default = None if self.is_mapped else self.defaults.execution_timeout
        return encoded.delta(self.arguments.get("execution_timeout", default))

    @property
    def retry_delay(self) -> timedelta | None:
        delay = encoded.delta(self.arguments.get("retry_delay"))
        return encoded.delta(self.defaults.retry_delay) if delay is None else delay

    @property
    def link_classes(self) -> list[tuple[str, Any]]:
        """Path and encoded arguments of the class of each link of the operator; no class is looked for."""
        links = self.data.get("_operator_extra_links")
        links = [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []
        return [pair for link in links for pair in list(link.items())[:1]]

    def answer(self) -> dict[str, Any]:
        """The Task object of the API."""
        return {name: read(self) for name, read in MEMBERS.items()}


def _text(name: str, default: str | None = None) -> Callable[[TaskDoc], str | None]:
    return lambda task: text(task.arguments.get(name), default)


def _flag(name: str) -> Callable[[TaskDoc], bool]:
    return lambda task: flag(task.arguments.get(name))


def _number(name: str, default: float) -> Callable[[TaskDoc], float | None]:
    return lambda task: number(task.arguments.get(name), default)


MEMBERS: dict[str, Callable[[TaskDoc], Any]] = {
    "class_ref": lambda task: {
        "module_path": text(task.data.get("_task_module")),
        "class_name": text(task.data.get("_task_type")),
    },
    "depends_on_past": _flag("depends_on_past"),
    "doc_md": _text("doc_md"),
    "downstream_task_ids": lambda task: task.downstream_task_ids,
    "end_date": lambda task: encoded.isoformat(task.end_date),
    "execution_timeout": lambda task: encoded.delta_answer(task.execution_timeout),
    "extra_links": lambda task: [encoded.class_ref(path) for path, _ in task.link_classes],
    "is_mapped": lambda task: task.is_mapped,
    "operator_name": lambda task: task.operator_name,
    "owner": lambda task: text(task.arguments.get("owner"), task.defaults.owner),
    "params": lambda task: encoded.params(task.data.get("params")),
    "pool": _text("pool", "default_pool"),
    "pool_slots": _number("pool_slots", 1.0),
    "priority_weight": _number("priority_weight", 1.0),
    "queue": lambda task: text(task.arguments.get("queue"), task.defaults.queue),
    "retries": lambda task: number(task.arguments.get("retries"), float(task.defaults.retries)),
    "retry_delay": lambda task: encoded.delta_answer(task.retry_delay),
    "retry_exponential_backoff": _flag("retry_exponential_backoff"),
    "start_date": lambda task: encoded.isoformat(task.start_date),
    "task_display_name": lambda task: task.display_name,
    "task_id": lambda task: task.task_id,
    "template_fields": lambda task: encoded.texts(task.data.get("template_fields")),
    "trigger_rule": lambda task: task.trigger_rule,
    "ui_color": lambda task: encoded.color(task.data.get("ui_color"), "#fff"),
    "ui_fgcolor": lambda task: encoded.color(task.data.get("ui_fgcolor"), "#000"),
    "wait_for_downstream": _flag("wait_for_downstream"),
    "weight_rule": lambda task: text(task.arguments.get("weight_rule"), task.defaults.weight_rule),
}

# Airflow's server sorts by members without a natural order, too; those are not offered. It never shows `executor`.
SORT_KEYS: dict[str, Callable[[TaskDoc], Any]] = {
    **{
        name: read
        for name, read in MEMBERS.items()
        if name not in {"class_ref", "downstream_task_ids", "extra_links", "params", "template_fields"}
    },
    "end_date": lambda task: task.end_date,
    "execution_timeout": lambda task: task.execution_timeout,
    "executor": _text("executor"),
    "retry_delay": lambda task: task.retry_delay,
    "start_date": lambda task: task.start_date,
}
