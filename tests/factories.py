"""Valid rows, one function for each kind; every column can be given. `full` and `full_of_nulls` go to the extremes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import JSON, Boolean, DateTime, Float, Integer, LargeBinary, inspect, null, select
from sqlalchemy.orm import Session

from windsock.columns import Json, JsonText, NaiveDateTime, Pickled
from windsock.models import (
    Action,
    Connection,
    Dag,
    DagCode,
    DagImportError,
    DagRun,
    DagRunNote,
    DagScheduleDatasetReference,
    DagTag,
    DagWarning,
    Dataset,
    DatasetAlias,
    DatasetDagRunQueue,
    DatasetEvent,
    Job,
    Log,
    Permission,
    Pool,
    RenderedFields,
    Resource,
    Role,
    SerializedDag,
    SlaMiss,
    TaskInstance,
    TaskInstanceHistory,
    TaskInstanceNote,
    TaskOutletDatasetReference,
    Trigger,
    User,
    Variable,
    XCom,
)

START = datetime(2026, 3, 1, 2, 0, 0, 123456, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
DAG_ID, RUN_ID, TASK_ID = "etl", "scheduled__2026-03-01T02:00:00+00:00", "extract"
FILE = "/opt/airflow/dags/etl.py"
_numbers = itertools.count(1)


def number() -> int:
    """A number that no row of this process has had yet."""
    return next(_numbers)


# ---------------------------------------------------------------- the extremes
_FULL_COLUMNS: tuple[tuple[Any, Any], ...] = (
    (Pickled, {"KubernetesExecutor": {"image": "busybox"}}),
    (Json, {"source": "test"}),
    (JSON, {"source": "test"}),
    (JsonText, "@daily"),
    (NaiveDateTime, START.replace(tzinfo=None)),
    (Boolean, True),
    (Integer, 7),
    (Float, 1.5),
    (LargeBinary, b'"some value"'),
    (DateTime, START),
)
#: Columns whose value means something elsewhere.
_REFERENCES = {
    "trigger_id",
    "triggerer_id",
    "user_id",
    "log_template_id",
    "created_by_fk",
    "changed_by_fk",
    "root_dag_id",
}


def _sample(column: Any) -> Any:
    for kind, value in _FULL_COLUMNS:
        if isinstance(column.type, kind) or isinstance(getattr(column.type, "impl", None), kind):
            return value
    return f"{column.name}"[: getattr(column.type, "length", None) or None]


def filled(row: Any) -> Any:
    """The row without a single null, but for references to other rows."""
    for attribute in inspect(type(row)).column_attrs:
        column = attribute.columns[0]
        if column.nullable and column.name not in _REFERENCES and getattr(row, attribute.key) is None:
            setattr(row, attribute.key, _sample(column))
    return row


def emptied(row: Any, keep: Iterable[str] = ()) -> Any:
    """The row with null in every column that can be null, but for those to keep."""
    for attribute in inspect(type(row)).column_attrs:
        if attribute.columns[0].nullable and attribute.key not in keep:
            setattr(row, attribute.key, null())
    return row


def full(model: type[Any], **columns: Any) -> Any:
    """`filled` for a new row."""
    return filled(model(**columns))


def full_of_nulls(model: type[Any], **columns: Any) -> Any:
    """`emptied` for a new row; what is given stays."""
    return emptied(model(**columns), columns)


# ---------------------------------------------------------------- DAGs
def dag(dag_id: str = DAG_ID, **columns: Any) -> Dag:
    """An active DAG; `tags=["a"]` takes names."""
    tags = [DagTag(name=name) for name in columns.pop("tags", ())]
    given: dict[str, Any] = {
        "is_paused": False,
        "is_active": True,
        "is_subdag": False,
        "fileloc": FILE,
        "owners": "airflow",
        "schedule_interval": "@daily",
        "timetable_description": "At 00:00",
        "max_active_tasks": 16,
        "max_active_runs": 16,
        "max_consecutive_failed_dag_runs": 0,
        "has_task_concurrency_limits": False,
        "has_import_errors": False,
        "last_parsed_time": START,
        "default_view": "grid",
    }
    return Dag(dag_id=dag_id, tags=tags, **given | columns)


def operator(task_id: str = TASK_ID, **members: Any) -> dict[str, Any]:
    """A task as a serialized DAG holds it; `_is_mapped=True, ...` makes a mapped one."""
    body = {
        "task_id": task_id,
        "_task_type": "EmptyOperator",
        "_task_module": "airflow.operators.empty",
        "downstream_task_ids": [],
        "pool": "default_pool",
        "template_fields": [],
        "ui_color": "#e8f7e4",
        "ui_fgcolor": "#000",
        "weight_rule": "downstream",
    }
    return {"__type": "operator", "__var": body | members}


def mapped_operator(task_id: str = "double", **members: Any) -> dict[str, Any]:
    """A mapped task over two literal values, as a serialized DAG holds it."""
    expand = {"type": "dict-of-lists", "value": {"__type": "dict", "__var": {"bash_command": ["echo 1", "echo 2"]}}}
    mapped = {"_is_mapped": True, "_needs_expansion": True, "_expand_input_attr": "expand_input"}
    return operator(task_id, **mapped, expand_input=expand, partial_kwargs={}, **members)


def serialized_dag(
    dag_id: str = DAG_ID, tasks: Sequence[dict[str, Any]] = (operator(),), members: Any = (), **columns: Any
) -> SerializedDag:
    """A DAG's definition; `tasks` come from `operator`, `members` are further ones of the JSON object `dag`."""
    children = {task["__var"]["task_id"]: ["operator", task["__var"]["task_id"]] for task in tasks}
    group = {
        "_group_id": None,
        "prefix_group_id": True,
        "tooltip": "",
        "ui_color": "CornflowerBlue",
        "ui_fgcolor": "#000",
        "children": children,
        "upstream_group_ids": [],
        "downstream_group_ids": [],
        "upstream_task_ids": [],
        "downstream_task_ids": [],
    }
    definition = {
        "_dag_id": dag_id,
        "fileloc": FILE,
        "timezone": "UTC",
        "catchup": False,
        "schedule_interval": "@daily",
        "start_date": START.timestamp(),
        "tasks": list(tasks),
        "_task_group": group,
        "edge_info": {},
        "dag_dependencies": [],
        "params": [],
    }
    given = {"fileloc": FILE, "fileloc_hash": 1, "dag_hash": "0" * 32, "last_updated": START}
    given["data"] = {"__version": 1, "dag": definition | dict(members)}
    return SerializedDag(dag_id=dag_id, **given | columns)


def dag_code(**columns: Any) -> DagCode:
    return DagCode(**{"fileloc_hash": 1, "fileloc": FILE, "last_updated": START, "source_code": "# DAG"} | columns)


def dag_warning(dag_id: str = DAG_ID, **columns: Any) -> DagWarning:
    given = {"warning_type": "non-existent pool", "message": "There is no pool 'x'", "timestamp": START}
    return DagWarning(dag_id=dag_id, **given | columns)


def import_error(**columns: Any) -> DagImportError:
    given = {"timestamp": START, "filename": "/opt/airflow/dags/broken.py", "stacktrace": "SyntaxError: invalid syntax"}
    return DagImportError(**given | columns)


# ---------------------------------------------------------------- runs
def dag_run(dag_id: str = DAG_ID, run_id: str = RUN_ID, **columns: Any) -> DagRun:
    """A successful run; the execution date differs from that of every other run made here."""
    moment = columns.get("execution_date") or START + number() * timedelta(minutes=1)  # stays in the past
    given = {
        "execution_date": moment,
        "data_interval_start": moment,
        "data_interval_end": moment + HOUR,
        "queued_at": moment,
        "start_date": moment,
        "end_date": moment + HOUR,
        "state": "success",
        "run_type": "scheduled",
        "external_trigger": False,
        "conf": {},
    }
    return DagRun(dag_id=dag_id, run_id=run_id, **given | columns)


def dag_run_note(run: DagRun, **columns: Any) -> DagRunNote:
    return DagRunNote(dag_run_id=run.id, **{"content": "a note"} | columns)


# ---------------------------------------------------------------- task instances
def _try(columns: dict[str, Any]) -> dict[str, Any]:
    given = {
        "start_date": START,
        "end_date": START + HOUR,
        "duration": 3600.0,
        "state": "success",
        "try_number": 1,
        "max_tries": 0,
        "hostname": "worker-1",
        "unixname": "airflow",
        "pool": "default_pool",
        "pool_slots": 1,
        "queue": "default",
        "priority_weight": 1,
        "operator": "EmptyOperator",
        "queued_dttm": START,
        "pid": 4711,
        "executor_config": {},
    }
    return given | columns


def task_instance(
    dag_id: str = DAG_ID, run_id: str = RUN_ID, task_id: str = TASK_ID, map_index: int = -1, **columns: Any
) -> TaskInstance:
    """The present try of a task; its run must exist."""
    return TaskInstance(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index, **_try(columns))


def task_try(
    dag_id: str = DAG_ID, run_id: str = RUN_ID, task_id: str = TASK_ID, map_index: int = -1, **columns: Any
) -> TaskInstanceHistory:
    """An earlier try of a task; the present one must exist."""
    return TaskInstanceHistory(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index, **_try(columns))


def key_of(ti: TaskInstance) -> dict[str, Any]:
    """The four columns that identify a task instance."""
    return {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id, "map_index": ti.map_index}


def task_instance_note(ti: TaskInstance, **columns: Any) -> TaskInstanceNote:
    return TaskInstanceNote(**key_of(ti) | {"content": "a note"} | columns)


def rendered_fields(ti: TaskInstance, **columns: Any) -> RenderedFields:
    return RenderedFields(**key_of(ti) | {"rendered_fields": {"bash_command": "echo 1"}} | columns)


def sla_miss(run: DagRun, task_id: str = TASK_ID, **columns: Any) -> SlaMiss:
    given = {"email_sent": True, "notification_sent": True, "timestamp": START, "description": "late"}
    return SlaMiss(dag_id=run.dag_id, task_id=task_id, execution_date=run.execution_date, **given | columns)


def trigger(**columns: Any) -> Trigger:
    """A trigger; give `triggerer_id` of a job for one that runs."""
    kwargs = '{"__type": "dict", "__var": {"delta": 5}}'
    given = {"classpath": "airflow.triggers.temporal.TimeDeltaTrigger", "kwargs": kwargs, "created_date": START}
    return Trigger(**given | columns)


def job(job_type: str = "TriggererJob", **columns: Any) -> Job:
    given = {
        "state": "running",
        "start_date": START,
        "latest_heartbeat": datetime.now(timezone.utc),
        "hostname": "host-1",
        "unixname": "airflow",
    }
    return Job(job_type=job_type, **given | columns)


def xcom(run: DagRun, ti: TaskInstance, key: str = "return_value", **columns: Any) -> XCom:
    given = {"value": b'"a value"', "timestamp": START}
    return XCom(dag_run_id=run.id, key=key, **key_of(ti) | given | columns)


# ---------------------------------------------------------------- datasets
def dataset(uri: str = "s3://bucket/key", **columns: Any) -> Dataset:
    return Dataset(uri=uri, **{"extra": {}, "created_at": START, "updated_at": START} | columns)


def dataset_alias(name: str = "an alias", **columns: Any) -> DatasetAlias:
    return DatasetAlias(name=name, **columns)


def dataset_event(dataset: Dataset, **columns: Any) -> DatasetEvent:
    """An event that a task made; `created_dagruns=[run]` names what it started."""
    given = {
        "extra": {},
        "source_dag_id": DAG_ID,
        "source_task_id": TASK_ID,
        "source_run_id": RUN_ID,
        "source_map_index": -1,
        "timestamp": START,
    }
    return DatasetEvent(dataset_id=dataset.id, **given | columns)


def consumer(dataset: Dataset, dag_id: str = DAG_ID, **columns: Any) -> DagScheduleDatasetReference:
    """The dataset schedules the DAG."""
    return DagScheduleDatasetReference(dataset_id=dataset.id, dag_id=dag_id, **columns)


def producer(
    dataset: Dataset, dag_id: str = DAG_ID, task_id: str = TASK_ID, **columns: Any
) -> TaskOutletDatasetReference:
    """The task updates the dataset."""
    return TaskOutletDatasetReference(dataset_id=dataset.id, dag_id=dag_id, task_id=task_id, **columns)


def queued_event(dataset: Dataset, dag_id: str = DAG_ID, **columns: Any) -> DatasetDagRunQueue:
    return DatasetDagRunQueue(dataset_id=dataset.id, target_dag_id=dag_id, **{"created_at": START} | columns)


# ---------------------------------------------------------------- what users keep
def pool(pool: str = "a pool", **columns: Any) -> Pool:
    return Pool(pool=pool, **{"slots": 4, "description": "A pool", "include_deferred": False} | columns)


def variable(key: str = "a variable", val: str | None = "value", **columns: Any) -> Variable:
    return Variable(key=key, val=val, **{"description": "A variable", "is_encrypted": False} | columns)


def connection(conn_id: str = "a connection", **columns: Any) -> Connection:
    given = {
        "conn_type": "postgres",
        "description": "A connection",
        "host": "db.example.com",
        "schema": "sales",
        "login": "reader",
        "password": "never shown",
        "port": 5432,
        "extra": '{"sslmode": "require"}',
        "is_encrypted": False,
        "is_extra_encrypted": False,
    }
    return Connection(conn_id=conn_id, **given | columns)


def log(**columns: Any) -> Log:
    given = {
        "dttm": START,
        "dag_id": DAG_ID,
        "task_id": TASK_ID,
        "run_id": RUN_ID,
        "map_index": -1,
        "try_number": 1,
        "event": "running",
        "execution_date": START,
        "owner": "airflow",
        "extra": '{"host_name": "worker-1"}',
    }
    return Log(**given | columns)


# ---------------------------------------------------------------- users
def user(username: str | None = None, **columns: Any) -> User:
    """An active user without roles and without password."""
    name = username or f"user-{number()}"
    given = {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": f"{name}@example.com",
        "active": True,
        "login_count": 3,
        "fail_login_count": 0,
    }
    return User(username=name, **given | columns)


def counted() -> datetime:
    """A last login after which none is counted while the tests run, so that a request costs no further statement."""
    return datetime.now() + timedelta(hours=1)


def role(name: str | None = None, permissions: Iterable[Permission] = (), **columns: Any) -> Role:
    return Role(name=name or f"role-{number()}", permissions=list(permissions), **columns)


def existing_roles(session: Session, names: Iterable[str]) -> list[Role]:
    """The default roles of these names: Admin, Op, User, Viewer, Public."""
    return list(session.scalars(select(Role).where(Role.name.in_(names)))) if names else []


def permissions(session: Session, rights: Iterable[str]) -> list[Permission]:
    """Permissions written `Resource.action`, such as `DAG:mine.can_read`; what does not exist is created."""
    return [_permission(session, *right.rpartition(".")[::2]) for right in dict.fromkeys(rights)]


def _permission(session: Session, resource: str, action: str) -> Permission:
    thing, deed = _named(session, Resource, resource), _named(session, Action, action)
    pair = select(Permission).where(Permission.permission_id == deed.id, Permission.view_menu_id == thing.id)
    found = session.scalar(pair)
    if found is None:
        found = Permission(permission_id=deed.id, view_menu_id=thing.id)
        session.add(found)
        session.flush()
    return found


def _named(session: Session, model: Any, name: str) -> Any:
    found = session.scalar(select(model).where(model.name == name))
    if found is None:
        found = model(name=name)
        session.add(found)
        session.flush()
    return found
