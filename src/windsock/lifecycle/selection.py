"""Which task instances a change is about: by their tasks, up and down the graph, by their runs and by their states."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, exists, false, or_, select, tuple_

from windsock import access, db
from windsock.dagdoc import DagDoc
from windsock.models import DagRun, TaskInstance, TaskInstanceHistory
from windsock.models.base import TASK_INSTANCE_KEY
from windsock.rows import missing

Instance = Row[Any]
Condition = ColumnElement[bool]
FINISHED = ("success", "failed", "skipped", "upstream_failed", "removed")
#: Keys in one statement: four parameters each stay far below what any database takes.
CHUNK = 500


# ---------------------------------------------------------------- rows
def find(*conditions: Condition, lock: bool = False) -> list[Instance]:
    """The task instances that meet all conditions and that the caller may change, in a fixed order.

    `recorded` tells whether the history has their present try already. With `lock`, first their runs and then they are
    locked until the end of the transaction: the scheduler locks in this order, too.
    """
    found = list(db.execute(_statement(*conditions)))
    if lock and found:
        runs(found)
        found = list(db.execute(_statement(*conditions).with_for_update(of=TaskInstance)))
    return found


def only(**columns: Any) -> Instance:
    """The one task instance with these columns. Raises NotFound without it."""
    found = find(*(getattr(TaskInstance, name) == value for name, value in columns.items()))
    if not found:
        raise missing(TaskInstance, columns)
    return found[0]


def _statement(*conditions: Condition) -> Select[Any]:
    ti, past, run = TaskInstance, TaskInstanceHistory, DagRun
    same_try = [getattr(past, name) == getattr(ti, name) for name in (*TASK_INSTANCE_KEY, "try_number")]
    statement = (
        select(ti.dag_id, ti.task_id, ti.run_id, ti.map_index, ti.state, ti.try_number, ti.job_id)
        .add_columns(ti.start_date, ti.end_date, run.execution_date, run.id.label("number_of_run"))
        .add_columns(exists().where(*same_try).label("recorded"))
        .join(run, (run.dag_id == ti.dag_id) & (run.run_id == ti.run_id))
        .where(*conditions)
        .order_by(run.execution_date, ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
    )
    return access.scope(statement, ti)


def runs(instances: Iterable[Instance]) -> list[DagRun]:
    """The runs of task instances, as entities of this transaction, locked until its end."""
    locked: list[DagRun] = []
    for chunk in chunks(sorted({found.number_of_run for found in instances})):
        statement = select(DagRun).where(DagRun.id.in_(chunk)).order_by(DagRun.id)
        fresh = statement.with_for_update().execution_options(populate_existing=True)
        locked += db.session().scalars(fresh)
    return locked


def chunks(items: Sequence[Any]) -> Iterator[list[Any]]:
    """The items in lists that are short enough for one statement."""
    waiting = iter(items)
    while chunk := list(islice(waiting, CHUNK)):
        yield chunk


def key(found: Instance) -> tuple[str, str, str, int]:
    """The four columns that identify a task instance, in the order of TASK_INSTANCE_KEY."""
    return found.dag_id, found.task_id, found.run_id, found.map_index


def reference(found: Instance) -> dict[str, Any]:
    """A task instance as the answers of clearing and setting states name it."""
    return {
        "task_id": found.task_id,
        "dag_id": found.dag_id,
        "dag_run_id": found.run_id,
        "execution_date": found.execution_date,
    }


# ---------------------------------------------------------------- tasks
def named(names: Iterable[str | list[Any]]) -> Condition:
    """Task instances of tasks, given by id, or by id and map index for a single instance."""
    pairs = [tuple(name) for name in names if not isinstance(name, str)]
    whole = [name for name in names if isinstance(name, str)]
    conditions = [TaskInstance.task_id.in_(whole)] if whole else []
    if pairs:
        conditions.append(tuple_(TaskInstance.task_id, TaskInstance.map_index).in_(pairs))
    return or_(false(), *conditions)


def relatives(doc: DagDoc, task_id: str, upstream: bool, downstream: bool) -> set[str]:
    """All tasks before and after a task, as asked for."""
    return (doc.all_upstream(task_id) if upstream else set()) | (doc.all_downstream(task_id) if downstream else set())


def companions(doc: DagDoc, names: Collection[str], upstream: bool = False, downstream: bool = False) -> set[str]:
    """What is cleared together with tasks: their relatives as asked for, and the setups and teardowns that they need.

    Each setup before a task comes with its teardowns, unless these belong to other work only.
    """
    found: set[str] = set()
    for name in names:
        if name not in doc.task_docs:
            continue
        after = doc.all_downstream(name)
        if downstream:
            found |= after
            for other in after - set(names):
                found |= _brackets(doc, other)
        if upstream:
            before = doc.all_upstream(name)
            found |= before | {end for start in before for end in _teardowns(doc, start) if end != name}
        else:
            found |= _brackets(doc, name)
        if doc.task_docs[name].is_setup and not downstream:
            found |= _direct_teardowns(doc, name)
    return found


def _brackets(doc: DagDoc, name: str) -> set[str]:
    """The setups before a task that are torn down after it or never, with their teardowns; none for such a task."""
    task = doc.task_docs[name]
    if task.is_setup or task.is_teardown:
        return set()
    found: set[str] = set()
    after = doc.all_downstream(name)
    for other in doc.all_upstream(name):
        ends = _teardowns(doc, other)
        if doc.task_docs[other].is_setup and (not ends or ends & after):
            found |= {other} | (ends - {name})
    return found


def _teardowns(doc: DagDoc, name: str) -> set[str]:
    return _direct_teardowns(doc, name) if doc.task_docs[name].is_setup else set()


def _direct_teardowns(doc: DagDoc, name: str) -> set[str]:
    after = doc.task_docs[name].downstream_task_ids
    return {other for other in after if other in doc.task_docs and doc.task_docs[other].is_teardown}


def subdags(doc: DagDoc, names: Collection[str] | None = None) -> dict[str, DagDoc]:
    """The DAGs inside tasks (SubDagOperator), at any depth, by their ids; `names` narrows to some tasks."""
    found: dict[str, DagDoc] = {}
    for task_id, task in doc.task_docs.items():
        body = task.data.get("subdag")
        if isinstance(body, dict) and isinstance(body.get("_dag_id"), str) and (names is None or task_id in names):
            inner = DagDoc(body, doc.defaults)
            found |= {body["_dag_id"]: inner, **subdags(inner)}
    return found


def subset(doc: DagDoc, names: Collection[str]) -> DagDoc:
    """The definition with no more than these tasks."""
    tasks = [task.data for name, task in doc.task_docs.items() if name in names]
    return DagDoc({**doc.data, "tasks": tasks}, doc.defaults)


def within(dag_id: str, doc: DagDoc) -> Condition:
    """Task instances of a DAG and of the DAGs inside it, as far as the definition still knows their tasks."""
    return or_(*(tasks_of(name, one.task_docs) for name, one in {dag_id: doc, **subdags(doc)}.items()))


def tasks_of(dag_id: str, names: Collection[str]) -> Condition:
    """Task instances of some tasks of a DAG."""
    return and_(TaskInstance.dag_id == dag_id, TaskInstance.task_id.in_(names))
