"""A serialized DAG, the JSON that Airflow keeps in its table `serialized_dag`, read as plain data.

Nothing that the document names is ever imported, and nothing in it raises: a member that is missing or of another
type reads as its default or as None. Layout of the document: Airflow 2.10 and 2.11, serialization version 1.
"""

from __future__ import annotations

import json
import logging
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from windsock import encoded
from windsock.encoded import flag, text
from windsock.mapping import Place, places
from windsock.taskdoc import SORT_KEYS, Defaults, TaskDoc

log = logging.getLogger(__name__)

# A compressed document that unpacks to more is not read: real ones are some kilobytes to a few megabytes.
MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class DagDoc:
    """A thin reading of one serialized DAG; `data` is the document's member `dag`."""

    data: dict[str, Any]
    defaults: Defaults = field(default_factory=Defaults)

    @cached_property
    def start_date(self) -> datetime | None:
        return encoded.moment(self.data.get("start_date"))

    @cached_property
    def end_date(self) -> datetime | None:
        return encoded.moment(self.data.get("end_date"))

    @property
    def catchup(self) -> bool:
        return flag(self.data.get("catchup"), self.defaults.catchup)

    @property
    def is_scheduled(self) -> bool:
        """Whether the DAG has any schedule; one without (`schedule=None`) runs only when it is triggered."""
        return bool(self.data.get("timetable") or self.data.get("schedule_interval"))

    @property
    def is_periodic(self) -> bool:
        """Whether the clock makes its runs again and again; datasets, `@once` and `@continuous` do not."""
        timetable = self.data.get("timetable")
        kind = text(timetable.get("__type")) if isinstance(timetable, dict) else None
        lone = ("simple.OnceTimetable", "simple.ContinuousTimetable", "simple.DatasetTriggeredTimetable")
        return self.is_scheduled and not (kind or "").endswith(lone)

    @cached_property
    def task_docs(self) -> dict[str, TaskDoc]:
        """The tasks by their ids, in the order of the document."""
        tasks = self.data.get("tasks")
        # Airflow before 2.10 wrote the operators bare, without their type.
        bodies = [encoded.unwrap(task) for task in tasks] if isinstance(tasks, list) else []
        return {
            body["task_id"]: TaskDoc(body, self.start_date, self.end_date, self.defaults)
            for body in bodies
            if isinstance(body, dict) and isinstance(body.get("task_id"), str)
        }

    @cached_property
    def places(self) -> dict[str, Place]:
        """The mapped task groups around each task; a task may be missing."""
        return places(self.data.get("_task_group"))

    @cached_property
    def upstream_task_ids(self) -> dict[str, set[str]]:
        """The direct upstream tasks of each task. The document keeps only the other direction."""
        upstream: dict[str, set[str]] = {task_id: set() for task_id in self.task_docs}
        for task_id, task in self.task_docs.items():
            for downstream_id in task.downstream_task_ids:
                if downstream_id in upstream:
                    upstream[downstream_id].add(task_id)
        return upstream

    def all_upstream(self, task_id: str) -> set[str]:
        """All tasks before this one, at any distance."""
        return _reachable(task_id, self.upstream_task_ids)

    def all_downstream(self, task_id: str) -> set[str]:
        """All tasks after this one, at any distance."""
        return _reachable(task_id, {name: set(task.downstream_task_ids) for name, task in self.task_docs.items()})

    def details(self) -> dict[str, Any]:
        """The members of the API's DAGDetail that Airflow takes from the serialized DAG; all others are the dag row's.

        `last_parsed` is not among them: it is the time at which the server read the document.
        """
        data = self.data
        paused = data.get("is_paused_upon_creation")
        return {
            "catchup": self.catchup,
            "dag_run_timeout": encoded.delta_answer(encoded.delta(data.get("dagrun_timeout"))),
            "doc_md": text(data.get("doc_md")),
            "end_date": encoded.isoformat(self.end_date),
            "is_paused_upon_creation": paused if isinstance(paused, bool) else None,
            "orientation": text(data.get("orientation"), self.defaults.orientation),
            "params": encoded.params(data.get("params")),
            "render_template_as_native_obj": flag(data.get("render_template_as_native_obj")),
            "start_date": encoded.isoformat(self.start_date),
            # Airflow does not serialize the search path, so its own server never knows it.
            "template_searchpath": None,
            "timezone": timezone_name(data.get("timezone")),
        }

    def tasks(self, order_by: str = "task_id") -> list[dict[str, Any]]:
        """All tasks as Task objects, sorted by one member (descending with a leading `-`), nulls first.

        Equal tasks stay in the order of the document. Raises ValueError when `order_by` names no member to sort by.
        """
        key = SORT_KEYS.get(order_by.lstrip("-"))
        if key is None:
            raise ValueError(f"Tasks cannot be ordered by '{order_by}'")
        keyed = [(key(task), task) for task in self.task_docs.values()]
        nulls = [task for value, task in keyed if value is None]
        found = sorted((pair for pair in keyed if pair[0] is not None), key=_first, reverse=order_by.startswith("-"))
        rest = [task for _, task in found]
        return [task.answer() for task in (rest + nulls if order_by.startswith("-") else nulls + rest)]

    def task(self, task_id: str) -> dict[str, Any] | None:
        """One task as a Task object, or None if the DAG has no such task."""
        task = self.task_docs.get(task_id)
        return None if task is None else task.answer()

    def subdag(self, dag_id: str) -> DagDoc | None:
        """The DAG inside one of the tasks (SubDagOperator), at any depth: such DAGs have no row of their own.

        Its id is the enclosing DAG's and the task's, joined by a dot; the row is that of `dag.root_dag_id`.
        """
        for task in self.task_docs.values():
            body = task.data.get("subdag")
            if not isinstance(body, dict) or not isinstance(inner_id := body.get("_dag_id"), str):
                continue
            if dag_id == inner_id:
                return DagDoc(body, self.defaults)
            if dag_id.startswith(f"{inner_id}.") and (found := DagDoc(body, self.defaults).subdag(dag_id)):
                return found
        return None


def load(data: Any, data_compressed: bytes | None = None, defaults: Defaults | None = None) -> DagDoc:
    """The document of one row: column `data` (parsed or as text) or else `data_compressed` (zlib of that text).

    Never raises: what cannot be read gives a document without members and a line in the log.
    """
    try:
        document = _parse(data, data_compressed)
    except (TypeError, ValueError, RecursionError, zlib.error) as error:
        log.warning("A serialized DAG cannot be read: %s", error)
        document = None
    dag = document.get("dag") if isinstance(document, dict) else None
    return DagDoc(dag if isinstance(dag, dict) else {}, defaults or Defaults())


def timezone_name(value: Any) -> str | None:
    """The name of a time zone, or for an offset in seconds the words that Airflow prints for it."""
    value = encoded.unwrap(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return text(value)
    hours, minutes = divmod(abs(value) // 60, 60)
    return f'FixedTimezone({value}, name="{"-" if value < 0 else "+"}{hours:02d}:{minutes:02d}")'


def _parse(data: Any, data_compressed: bytes | None) -> Any:
    if data is None and data_compressed is not None:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(bytes(data_compressed), MAX_BYTES)
        if unpacker.unconsumed_tail:
            raise ValueError("it unpacks to too many bytes")
    return json.loads(data) if isinstance(data, (str, bytes, bytearray)) else data


def _reachable(task_id: str, edges: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = set(edges.get(task_id, ()))
    while waiting:
        name = waiting.pop()
        if name in edges and name not in found:
            found.add(name)
            waiting |= edges[name]
    return found


def _first(pair: tuple[Any, TaskDoc]) -> Any:
    return pair[0]
