"""Bulk data: the demo, with as many more DAGs, runs, task instances and audit rows as a large installation has."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from windsock import demo
from windsock.crypto import Vault
from windsock.demo import bulk_copy, bulk_people, store
from windsock.demo.bulk_plan import OTHER_POOLS, SIZES, Plan, Size, dataset_count, plans, uri
from windsock.demo.bulk_runs import Generator
from windsock.demo.bulk_source import Source
from windsock.demo.definitions import FOLDER, START
from windsock.demo.world import World
from windsock.models import (
    Base,
    DagImportError,
    DagRun,
    DagScheduleDatasetReference,
    DagWarning,
    Dataset,
    DatasetDagRunQueue,
    Log,
    Pool,
    TaskInstance,
    TaskOutletDatasetReference,
    Variable,
)
from windsock.models import Connection as ConnectionRow
from windsock.models import Dag as DagRow

_NUMBERED = ("dag_run", "task_instance_history", "task_fail", "task_reschedule", "dataset", "dataset_event", "log")
_SORT_MEMORY = "256MB"  # while PostgreSQL builds indexes


class LoadError(Exception):
    """Nothing can be loaded; the text says why and what to do."""


@dataclass(frozen=True)
class Wish:
    """What to load: a name of SIZES, the moment at which the data ends, a seed, the password of `each` and `all`."""

    size: str
    now: datetime
    seed: int
    password: str


def check(connection: Connection) -> None:
    """Raise LoadError when the database holds DAGs, or is of a kind that rows cannot be loaded into fast."""
    if connection.dialect.name == "mysql":
        raise LoadError("Demo data can be loaded into PostgreSQL and SQLite only.")
    if connection.scalar(select(DagRow.dag_id).limit(1)) is not None:
        raise LoadError(
            "The database holds DAGs already. Load into a database of its own: name an empty one in "
            "[database] sql_alchemy_conn and run `windsock db init`."
        )


def load(connection: Connection, vault: Vault, wish: Wish, advance: Callable[[int], None]) -> None:
    """Fill a database that `windsock db init` made, in the caller's transaction; task logs are not written.

    `advance` is called with the number of runs that were written, until all are; then the indexes are built.
    The rows are the same for the same size, seed and `now`, except what is encrypted, hashed, or users' dates.
    Raises LoadError for a database with DAGs, and when `now` lies before the first runs of the demo.
    """
    check(connection)
    if (wish.now - START).days < 90:
        raise LoadError(f"The runs begin on {START:%Y-%m-%d}; give a later moment, as in --now {START:%Y}-06-01")
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL TIME ZONE 'UTC'")
        connection.exec_driver_sql(f"SET LOCAL maintenance_work_mem = '{_SORT_MEMORY}'")
    want = _remaining(SIZES[wish.size], demo.fill(connection, vault, wish.now))
    bulk_copy.advance_sequences(connection)
    ids = {name: _highest(connection, name) for name in _NUMBERED}
    pick = random.Random(wish.seed)  # noqa: S311  # nosec B311 - the same data for everybody, no secret
    made = list(plans(want, pick, wish.now, ids["dataset"] + 1))
    _add_datasets(connection, World(vault, wish.now), ids["dataset"] + 1, dataset_count(want.dags))
    left = iter(made)
    while part := list(islice(left, 100)):
        _add_dags(connection, World(vault, wish.now), part)
    _add_store(connection, World(vault, wish.now), want.dags)
    advance(SIZES[wish.size].runs - want.runs)
    generator = Generator(made, wish.now.timestamp(), Source(pick, ids, bulk_copy.blob(connection)))
    with bulk_copy.without_indexes(connection):
        for rows in _ahead(generator.batches(want.audit)):
            bulk_copy.write(connection, rows)
            advance(len(rows["dag_run"]))
    bulk_people.add_users(connection, wish.password)
    bulk_copy.advance_sequences(connection)


def finish(engine: Engine) -> None:
    """Let the database count what it holds, outside of a transaction, so that it plans queries well from the start."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("ANALYZE")
        else:
            names = ", ".join(table.name for table in Base.metadata.sorted_tables)
            connection.exec_driver_sql(f"VACUUM (ANALYZE) {names}")


def _remaining(size: Size, world: World) -> Size:
    """What the demo leaves to do."""
    found = {model: len(world.rows(model)) for model in (DagRow, DagRun, TaskInstance, Log)}
    return Size(size.dags - found[DagRow], size.runs - found[DagRun], size.instances - found[TaskInstance],
                size.audit - found[Log])  # fmt: skip


def _highest(connection: Connection, name: str) -> int:
    return connection.scalar(select(func.max(Base.metadata.tables[name].c.id))) or 0


def _ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """The batches; while one is used, a thread makes the next, for the database's process takes most of the time."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


def _add_datasets(connection: Connection, world: World, first: int, count: int) -> None:
    for number in range(first, first + count):
        world.add(Dataset, id=number, uri=uri(number), extra={}, created_at=START, updated_at=START, is_orphaned=False)
    world.save(connection)


def _add_dags(connection: Connection, world: World, part: list[Plan]) -> None:
    """Add DAGs with definition, source, datasets and, for a few, a warning or an import error."""
    store.add_dags(world, [plan.dag for plan in part])
    for plan in part:
        plan.dag_hash = world.hashes[plan.dag.id]
        times = {"dag_id": plan.dag.id, "created_at": START, "updated_at": START}
        for dataset in plan.inlets:
            world.add(DagScheduleDatasetReference, dataset_id=dataset, **times)
        if len(plan.inlets) > 1:
            world.add(DatasetDagRunQueue, dataset_id=plan.inlets[0], target_dag_id=plan.dag.id,
                      created_at=world.ago(minutes=plan.number % 600))  # fmt: skip
        if plan.outlet is not None:
            world.add(TaskOutletDatasetReference, dataset_id=plan.outlet, task_id=plan.dag.tasks[-1].id, **times)
        if plan.number % 50 == 7:
            text = f"Dag '{plan.dag.id}' references non-existent pools: ['gpu']"
            world.add(DagWarning, dag_id=plan.dag.id, warning_type="non-existent pool", message=text,
                      timestamp=world.ago(seconds=40))  # fmt: skip
        if plan.dag.broken:
            trace = f'Traceback (most recent call last):\n  File "{plan.dag.fileloc}", line 3\n    def\nSyntaxError\n'
            world.add(DagImportError, id=1000 + plan.number, filename=plan.dag.fileloc, stacktrace=trace,
                      timestamp=world.ago(seconds=50), processor_subdir=FOLDER)  # fmt: skip
    world.save(connection)


def _add_store(connection: Connection, world: World, dags: int) -> None:
    """Add pools, variables and connections, some for every hundred DAGs."""
    for name in (*OTHER_POOLS[2:], *(f"pool_{number:04}" for number in range(dags // 20))):
        world.add(Pool, pool=name, slots=16, description=None, include_deferred=False)
    for number in range(dags // 2):
        stored, encrypted = world.vault.encrypt(json.dumps({"days": number % 30, "target": f"table_{number}"}))
        world.add(Variable, key=f"setting_{number:05}", val=stored, description=None, is_encrypted=encrypted)
    for number in range(dags // 5):
        stored, encrypted = world.vault.encrypt("demo-password-of-nobody")
        world.add(ConnectionRow, conn_id=f"db_{number:05}", conn_type="postgres", host=f"db-{number}.example.com",
                  login="airflow", schema="data", port=5432, password=stored, is_encrypted=encrypted,
                  is_extra_encrypted=False)  # fmt: skip
    world.save(connection)
