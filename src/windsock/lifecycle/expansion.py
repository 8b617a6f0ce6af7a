"""The task instances of a new run, one dict of columns each, as Airflow makes them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from getpass import getuser
from typing import Any

from windsock import encoded
from windsock.dagdoc import DagDoc
from windsock.encoded import MAX_DEPTH, number, text
from windsock.mapping import expand_input, map_length
from windsock.parameters import INT32
from windsock.taskdoc import TaskDoc

_CONTAINERS = {"tuple": tuple, "set": set, "frozenset": frozenset}


def instances(doc: DagDoc, dag_id: str, run_id: str, logical_date: datetime) -> Iterator[dict[str, Any]]:
    """The columns of every task instance of a run: tasks whose dates admit it, mapped ones unfolded."""
    user = getuser()
    for task in doc.task_docs.values():
        if _is_due(task, logical_date):
            common = {"dag_id": dag_id, "run_id": run_id, "unixname": user, **columns(doc, task)}
            for map_index in map_indexes(doc, task):
                yield {**common, "map_index": map_index}


def _is_due(task: TaskDoc, logical_date: datetime) -> bool:
    start, end = task.start_date, task.end_date
    return (start is None or start <= logical_date) and (end is None or logical_date <= end)


def columns(doc: DagDoc, task: TaskDoc) -> dict[str, Any]:
    """The columns of a new task instance that the task's definition decides."""
    given = task.arguments
    return {
        "task_id": task.task_id,
        "try_number": 0,
        "hostname": "",
        "queue": text(given.get("queue"), task.defaults.queue),
        "pool": text(given.get("pool"), "default_pool"),
        "pool_slots": _integer(given.get("pool_slots"), 1),
        "priority_weight": weight(doc, task),
        "max_tries": _integer(given.get("retries"), task.defaults.retries),
        "executor": text(given.get("executor")),
        "executor_config": _config(given.get("executor_config", {})),
        "operator": text(task.data.get("_task_type")),
        "custom_operator_name": None,
        "task_display_name": task.display_name,
    }


def map_indexes(doc: DagDoc, task: TaskDoc) -> range:
    """Indexes of the instances that a task has from the beginning.

    A task that is not mapped has one with the index -1, and so has one whose number of instances is not known yet or
    is zero: the scheduler needs one to decide on.
    """
    sources = [expand_input(group) for group in doc.places[task.task_id].groups] if task.task_id in doc.places else []
    if task.is_mapped:
        sources.append(expand_input(task.data))
    lengths = [map_length(source, {}) for source in sources]
    count = 0 if not lengths else math.prod(length or 0 for length in lengths)
    return range(count) if count else range(-1, 0)


def weight(doc: DagDoc, task: TaskDoc) -> int:
    """The priority weight of a task's instances, by its weight rule.

    A rule that a plugin brings is code that is not here; it counts as `downstream`, Airflow's default.
    """
    rule = text(task.arguments.get("weight_rule"), task.defaults.weight_rule)
    if rule == "absolute":
        related: set[str] = set()
    else:
        related = doc.all_upstream(task.task_id) if rule == "upstream" else doc.all_downstream(task.task_id)
    total = _own_weight(task) + sum(_own_weight(doc.task_docs[name]) for name in related)
    return max(-INT32 - 1, min(INT32, total))


def _own_weight(task: TaskDoc) -> int:
    return _integer(task.arguments.get("priority_weight"), 1)


def _integer(value: Any, default: int) -> int:
    found = number(value)
    return default if found is None else int(found)


def _config(value: Any, depth: int = 0) -> Any:
    """An encoded executor_config as the objects that Airflow pickles; a pod keeps the encoding, as it does there."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, list):
        return [_config(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    kind, inner = value.get("__type"), encoded.unwrap(value)
    if inner is value or (kind == "dict" and isinstance(inner, dict)):
        return {key: _config(item, depth + 1) for key, item in inner.items()}
    if kind in _CONTAINERS and isinstance(inner, list):
        return _CONTAINERS[kind](_config(item, depth + 1) for item in inner)
    return value
