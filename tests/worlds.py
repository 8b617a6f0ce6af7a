"""A database in which every operation of the document finds something: for tests that walk over all operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from itsdangerous import URLSafeSerializer
from sqlalchemy import insert
from sqlalchemy.orm import Session

import factories as f
from clients import API, SETTINGS
from windsock.models import Action, DagTag, DatasetAlias, dataset_alias_dataset
from windsock.sources import location_hash
from windsock.spec import Operation

MAPPED = "double"
Dress = Callable[[Any], Any]


def nulls(row: Any) -> Any:
    """Null wherever a row of the world can do without a value."""
    return f.emptied(row, keep=("key", "pool"))


def world(session: Session, numbers: Iterable[int] = (0,), dress: Dress = f.filled, dag_id: str = f.DAG_ID) -> World:
    """Store one row of everything for each of `numbers`; number 0 also makes what the others hang on."""
    made = World(session, dress, dag_id)
    for number in numbers:
        made.add_number(number)
    session.commit()
    return made


class World:
    """What was stored, and how to ask for it."""

    def __init__(self, session: Session | None, dress: Dress, dag_id: str = f.DAG_ID) -> None:
        self.session, self.dress, self.dag_id = session, dress, dag_id
        self.paths: dict[str, Any] = {
            "dag_id": dag_id,
            "dag_run_id": f.RUN_ID,
            "map_index": 0,
            "task_try_number": 1,
            "xcom_key": "return_value",
            "connection_id": "connection 0",
            "pool_name": "pool 0",
            "variable_key": "variable 0",
            "role_name": "Viewer",
            "username": f"{dag_id}-user-0",
            "uri": "s3://bucket/0",
            "file_token": URLSafeSerializer(SETTINGS["webserver", "secret_key"]).dumps(f.FILE),
            "section": "core",
            "option": "dags_folder",
        }

    def url(self, operation: Operation, **values: Any) -> str:
        """The URL of the operation for the row number 0; `values` replace values in its path."""
        mapped = "{map_index}" in operation.path or "listMapped" in operation.path
        found = {**self.paths, "task_id": MAPPED if mapped else f.TASK_ID, **values}
        path = operation.path
        for name in operation.path_names:
            path = path.replace("{" + name + "}", quote(str(found.get(name, 1)), safe="~"))
        required = [p["name"] for p in operation.parameters if p["in"] == "query" and p.get("required")]
        query = "&".join(f"{name}={quote(self.query(name))}" for name in required)
        return API + path + ("?" + query if query else "")

    def query(self, name: str) -> str:
        """A good value of a required query parameter."""
        return {"dag_ids": ",".join(f"{self.dag_id}-{n}" for n in range(50)), "dag_id_pattern": self.dag_id}[name]

    def store(self, *rows: Any) -> Any:
        """Dress and store rows; return the first."""
        for row in rows:
            self.session.add(self.dress(row))
        self.session.flush()
        return rows[0]

    def add_number(self, number: int) -> None:
        if number == 0:
            self._add_foundation()
        self._add_dag_parts(number)
        if self.dag_id == f.DAG_ID:
            self._add_house_parts(number)
            self._add_dataset(number)

    def _add_foundation(self) -> None:
        self.store(f.dag(self.dag_id)).fileloc = f.FILE  # so that its source is found
        tasks = [f.operator(), f.mapped_operator(MAPPED)]
        self.session.add(f.serialized_dag(self.dag_id, tasks=tasks))
        run = self.run = self.store(f.dag_run(self.dag_id))
        self.ti = self.store(f.task_instance(self.dag_id, try_number=99))
        self.store(f.dag_run_note(run), f.sla_miss(run), f.sla_miss(run, MAPPED), f.job())

    def _add_dag_parts(self, number: int) -> None:
        dag_id, run_id = self.dag_id, f"run-{number}"
        self.session.add(DagTag(name=f"tag {number}", dag_id=dag_id))
        other = self.store(f.dag(f"{dag_id}-{number}"), f.dag_warning(dag_id, warning_type=f"warning {number}"))
        self.session.add(f.serialized_dag(other.dag_id))
        self.store(f.dag_run(other.dag_id), run := f.dag_run(dag_id, run_id))
        mapped = f.task_instance(dag_id, task_id=MAPPED, map_index=number, try_number=99)
        trigger = self.store(f.trigger(triggerer_id=self.store(f.job()).id))
        self.store(f.dag_run_note(run), mapped, f.task_instance(dag_id, run_id))
        if self.dress is f.filled:
            mapped.trigger_id = trigger.id
        self.store(f.task_instance_note(mapped), f.rendered_fields(mapped), f.log(dag_id=dag_id))
        self.store(f.task_try(dag_id, try_number=number + 1))
        self.store(f.task_try(dag_id, task_id=MAPPED, map_index=0, try_number=number + 1))
        foundation = self._foundation()
        self.store(f.xcom(*foundation, key=f"key {number}" if number else "return_value"))

    def _foundation(self) -> tuple[Any, Any]:
        return self.run, self.ti

    def _add_house_parts(self, number: int) -> None:
        self.store(f.pool(f"pool {number}"), f.variable(f"variable {number}"), f.connection(f"connection {number}"))
        log = self.store(f.log(dag_id=None))
        if number == 0:
            self.store(f.dag_code(fileloc_hash=location_hash(f.FILE)))
        error = self.store(f.import_error(filename=f"/dags/{number}.py"))
        role = f.role(permissions=f.permissions(self.session, [f"Thing {number}.can_read"]))
        user = f.user(f"{self.dag_id}-user-{number}", roles=[role])
        self.store(user)
        self.session.add(Action(name=f"can_{number}"))
        if number == 0:
            self.paths |= {"event_log_id": log.id, "import_error_id": error.id}

    def _add_dataset(self, number: int) -> None:
        dataset = self.store(f.dataset(f"s3://bucket/{number}"))
        alias = DatasetAlias(name=f"alias {number}")
        self.session.add(alias)
        self.session.flush()
        link = {"alias_id": alias.id, "dataset_id": dataset.id}
        self.session.execute(insert(dataset_alias_dataset), link)
        run, _ = self._foundation()
        self.store(f.dataset_event(dataset, created_dagruns=[run]))
        self.store(f.consumer(dataset), f.producer(dataset), f.queued_event(dataset))
        if number == 0:
            self.dataset = dataset
        else:  # so that the dataset number 0 has many of each, too
            first, dag_id = self.dataset, f"{self.dag_id}-{number}"
            self.session.execute(insert(dataset_alias_dataset), {"alias_id": alias.id, "dataset_id": first.id})
            self.store(f.consumer(first, dag_id), f.producer(first, dag_id), f.queued_event(first, dag_id))
