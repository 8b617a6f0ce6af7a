"""The rest of the demo: DAG rows, datasets, pools, variables, connections, users, jobs, errors and audit rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import Connection, select

from windsock.demo import serialized, sources
from windsock.demo.definitions import DAGS, FOLDER, MODEL, PROFILES, SALES, STOCK, Dag
from windsock.demo.runs import ADA, latest
from windsock.demo.world import World
from windsock.models import (
    Action,
    DagCode,
    DagImportError,
    DagOwnerAttributes,
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
    Resource,
    Role,
    SerializedDag,
    TaskOutletDatasetReference,
    User,
    Variable,
    dataset_alias_dataset,
    dataset_alias_dataset_event,
    role_permission,
    user_role,
)
from windsock.models import Connection as ConnectionRow
from windsock.models import Dag as DagRow
from windsock.sources import location_hash

_BEGINNING = datetime(2026, 1, 12, 8, 15, 20, 364118, timezone.utc)


def add_dags(world: World, dags: Iterable[Dag] = DAGS) -> None:
    """Add the rows of these DAGs and their definitions."""
    for dag in dags:
        world.add(DagRow, **_dag(world, dag))
        for tag in dag.tags:
            world.add(DagTag, dag_id=dag.id, name=tag)
        for owner, link in serialized.owner_links(dag).items():
            world.add(DagOwnerAttributes, dag_id=dag.id, owner=owner, link=link)
        data = serialized.document(dag)
        world.hashes[dag.id] = serialized.digest(data)
        if not dag.active:
            continue
        place = {"fileloc": dag.fileloc, "fileloc_hash": location_hash(dag.fileloc)}
        world.add(SerializedDag, **place, dag_id=dag.id, data=data, dag_hash=world.hashes[dag.id],
                  last_updated=world.ago(days=3), processor_subdir=FOLDER)  # fmt: skip
        world.add(DagCode, **place, source_code=sources.source(dag), last_updated=world.ago(days=3))


def _dag(world: World, dag: Dag) -> dict[str, Any]:
    schedule = dag.schedule
    if isinstance(schedule, timedelta):
        attributes = {"days": schedule.days, "seconds": schedule.seconds, "microseconds": 0}
        schedule = {"type": "timedelta", "attrs": attributes}
    step = dag.every or timedelta()
    following = latest(dag, world.now) + step if dag.every and not dag.paused else None
    return {
        "dag_id": dag.id,
        "is_paused": dag.paused,
        "is_subdag": False,
        "is_active": dag.active,
        "last_parsed_time": world.ago(seconds=25 if dag.active else 40 * 86400),
        "fileloc": dag.fileloc,
        "processor_subdir": FOLDER,
        "owners": dag.owner,
        "dag_display_name": dag.display_name,
        "description": dag.description,
        "default_view": "grid",
        "schedule_interval": schedule,
        "timetable_description": dag.schedule_text,
        "dataset_expression": {dag.condition[0]: list(dag.condition[1])} if dag.condition else None,
        "max_active_tasks": 16,
        "max_active_runs": dag.max_active_runs,
        "max_consecutive_failed_dag_runs": dag.max_failed_runs,
        "has_task_concurrency_limits": False,
        "has_import_errors": dag.broken,
        "next_dagrun": following,
        "next_dagrun_data_interval_start": following,
        "next_dagrun_data_interval_end": following and following + step,
        "next_dagrun_create_after": following and following + step,
    }


def add_datasets(world: World) -> None:
    """Add datasets with producers and consumers, an alias and what is queued."""
    for number, uri in enumerate((PROFILES, STOCK, SALES, MODEL), start=1):
        extra = {"team": "data-platform"} if uri == SALES else {}
        world.add(Dataset, id=number, uri=uri, extra=extra, created_at=_BEGINNING, updated_at=_BEGINNING,
                  is_orphaned=False)  # fmt: skip
        times = {"created_at": _BEGINNING, "updated_at": _BEGINNING, "dataset_id": number}
        for dag in DAGS:
            if dag.condition and uri in dag.condition[1]:
                world.add(DagScheduleDatasetReference, dag_id=dag.id, **times)
            for task in dag.tasks:
                if uri in task.outlets:
                    world.add(TaskOutletDatasetReference, dag_id=dag.id, task_id=task.id, **times)
    world.add(DatasetAlias, id=1, name="latest-model")
    world.add(dataset_alias_dataset, alias_id=1, dataset_id=4)
    march = datetime(2026, 3, 2, 2, 14, 28, 983102, timezone.utc)  # as in the document
    world.add(DatasetDagRunQueue, dataset_id=3, target_dag_id="refresh_features", created_at=march)
    for number, dag_id in ((2, "publish_dashboard"), (3, "publish_dashboard"), (1, "archive_raw_files")):
        world.add(DatasetDagRunQueue, dataset_id=number, target_dag_id=dag_id, created_at=world.ago(seconds=20))


def add_alias_events(world: World) -> None:
    """Tie the updates of the model to the alias; the updates come with the runs."""
    for event in world.rows(DatasetEvent):
        if event["dataset_id"] == 4:
            world.add(dataset_alias_dataset_event, alias_id=1, event_id=event["id"])


def add_store(world: World) -> None:
    """Add pools, variables, connections, jobs, import errors and warnings."""
    for name, slots, text, deferred in (
        ("warehouse", 8, "Sessions that the warehouse grants us", False),
        ("web", 3, "Polite to other people's servers", True),
    ):
        world.add(Pool, pool=name, slots=slots, description=text, include_deferred=deferred)
    _add_variables(world)
    _add_connections(world)
    for number, kind, host, minutes in ((1, "SchedulerJob", "scheduler-1", 0), (3, "TriggererJob", "triggerer-1", 0),
                                        (2, "SchedulerJob", "scheduler-1", 4000)):  # fmt: skip
        state, ended = ("failed", world.ago(minutes=minutes)) if minutes else ("running", None)
        world.add(Job, id=number, state=state, job_type=kind, start_date=world.ago(days=8), end_date=ended,
                  latest_heartbeat=world.ago(minutes=minutes), hostname=host, unixname="airflow")  # fmt: skip
    for number, name, module in ((3, "returns_report", "reporting"), (12, "weather_feed", "weather")):
        file = f"{FOLDER}/{name}.py"
        trace = (f'Traceback (most recent call last):\n  File "{file}", line 4, in <module>\n    import {module}\n'
                 f"ModuleNotFoundError: No module named '{module}'\n")  # fmt: skip
        world.add(DagImportError, id=number, timestamp=world.ago(seconds=30), filename=file, stacktrace=trace,
                  processor_subdir=FOLDER)  # fmt: skip
    missing = "Dag 'refresh_features' references non-existent pools: ['features']"
    world.add(DagWarning, dag_id="refresh_features", warning_type="non-existent pool", message=missing,
              timestamp=world.ago(seconds=28))  # fmt: skip


def _add_variables(world: World) -> None:
    for key, value, text in (
        ("report_recipients", '["ada@example.com", "grace@example.com"]', "Who gets the sales report"),
        ("feature_window_days", "28", None),
        ("countries", '{"SE": "Sweden", "NO": "Norway", "DK": "Denmark"}', "Where the shop sells"),
        ("shop_api_token", "demo-token-of-nobody", "Made up"),
        ("greeting", "Välkommen!", None),
    ):
        stored, encrypted = world.vault.encrypt(value)
        world.add(Variable, key=key, val=stored, description=text, is_encrypted=encrypted)


def _add_connections(world: World) -> None:
    extra = {"sslmode": "require", "token": "demo-token-of-nobody"}
    nested = {"region_name": "eu-north-1", "config": {"aws_secret_access_key": "demo-secret-of-nobody"}}
    for name, kind, text, host, login, schema, port, password, more in (
        ("warehouse_db", "postgres", "Warehouse of the sales department", "warehouse.example.com", "airflow", "sales",
         5432, "demo-password-of-nobody", extra),
        ("lake_files", "aws", None, None, None, None, None, None, nested),
        ("shop_api", "http", "Orders of the web shop", "shop.example.com", "windsock", "https", 443,
         "demo-password-of-nobody", None),
        ("mail", "smtp", None, "mail.example.com", None, None, 25, None, None),
    ):  # fmt: skip
        secret, is_encrypted = world.vault.encrypt(password) if password else (None, False)
        stored, is_extra_encrypted = world.vault.encrypt(json.dumps(more)) if more else (None, False)
        world.add(ConnectionRow, conn_id=name, conn_type=kind, description=text, host=host, login=login, schema=schema,
                  port=port, password=secret, extra=stored, is_encrypted=is_encrypted,
                  is_extra_encrypted=is_extra_encrypted)  # fmt: skip


def add_people(world: World, connection: Connection) -> None:
    """Add two users who cannot sign in, as they have no password, and a role of their own making."""
    roles = {row.name: row.id for row in connection.execute(select(Role.id, Role.name))}
    keeper = max(roles.values()) + 1
    world.add(Role, id=keeper, name="Pool keeper")
    held = (
        select(Permission.id)
        .join(Action, Action.id == Permission.permission_id)
        .join(Resource, Resource.id == Permission.view_menu_id)
        .where(Resource.name == "Pools", Action.name.in_(["can_read", "can_edit"]))
    )
    for permission_id in connection.scalars(held):
        world.add(role_permission, permission_view_id=permission_id, role_id=keeper)
    created = datetime(2026, 1, 12, 10, 2, 33, 904418)
    for number, first, last, names in ((ADA, "Ada", "Lovelace", ("Admin",)),
                                       (ADA + 1, "Grace", "Hopper", ("Viewer", "Pool keeper"))):  # fmt: skip
        world.add(User, id=number, username=first.lower(), first_name=first, last_name=last, active=True,
                  email=f"{first.lower()}@example.com", login_count=12, fail_login_count=1, created_on=created,
                  changed_on=created, last_login=datetime(2026, 2, 27, 16, 40, 5, 731190))  # fmt: skip
        for name in names:
            world.add(user_role, user_id=number, role_id={**roles, "Pool keeper": keeper}[name])


def finish_audit(world: World) -> None:
    """Add what users and programs did, and number all audit rows by their time; 4711 is among them."""
    who = {"owner": "ada", "owner_display_name": "Ada Lovelace"}
    secret = json.dumps({"key": "shop_api_token", "value": "***"})
    for days, dag_id, event, extra in (
        (9, "archive_raw_files", "api.patch_dag", '{"is_paused": true}'),
        (4, "nightly_sales", "api.patch_dag", '{"is_paused": false}'),
        (6, None, "api.variable.create", secret),
        (7, None, "api.connection.edit", '{"connection_id": "warehouse_db", "port": 5432}'),
        (2, "erase_customer", "api.set_dag_run_note", '{"note": "Asked for by letter"}'),
    ):
        world.add(Log, dttm=world.ago(days=days), dag_id=dag_id, event=event, extra=extra, **who)
    command = json.dumps({"host_name": "scheduler-1", "full_command": "['/usr/bin/airflow', 'scheduler']"})
    world.add(Log, dttm=world.ago(days=8), event="cli_scheduler", owner="airflow", extra=command)
    rows = world.rows(Log)
    rows.sort(key=lambda row: (row["dttm"], row["event"], row.get("dag_id") or "", row.get("task_id") or ""))
    first = max(1, 4711 - len(rows) // 2)
    for number, row in enumerate(rows, start=first):
        row["id"] = number
