"""What `bare.py` compares Windsock with: bare Flask views with SQL, rows to dicts and rights checked by hand.

The statements are those that Windsock sends, on the driver's own connection, one for each thread. There is no pool, no
validation, no masking, no conditional request, no audit log, and pickles are trusted. Not for use.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import pickle
import re
import secrets
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache, wraps
from typing import Any

import orjson
import psycopg
from cryptography.fernet import Fernet
from flask import Flask, Response, g, request
from itsdangerous import URLSafeSerializer
from werkzeug.security import check_password_hash

Row = tuple[Any, ...]

HELD = """
    SELECT pvr.role_id AS role_id, p.name AS action, vm.name AS resource
    FROM ab_permission_view_role pvr
    JOIN ab_permission_view pv ON pv.id = pvr.permission_view_id
    JOIN ab_permission p ON p.id = pv.permission_id
    JOIN ab_view_menu vm ON vm.id = pv.view_menu_id
    WHERE p.name = 'can_read' AND vm.name IN ({named}) {own}"""
OWN = """
    OR p.name = 'can_read' AND vm.name IN ('DAG:' || :dag, 'DAG:' || (SELECT root_dag_id FROM dag WHERE dag_id = :dag))
    OR p.name = 'can_read'
        AND vm.name IN ('DAG Run:' || :dag, 'DAG Run:' || (SELECT root_dag_id FROM dag WHERE dag_id = :dag))"""
CALLER = """
    SELECT u.id, u.username, u.password, u.active, u.first_name, u.last_name, u.last_login, held.action, held.resource
    FROM ab_user u LEFT JOIN ab_user_role ur ON ur.user_id = u.id LEFT JOIN ({held}) held ON held.role_id = ur.role_id
    WHERE lower(u.username) = lower(:name) OR lower(u.email) = lower(:name)"""
POOLS = """
    SELECT pool, slots, description, include_deferred, running, queued, "deferred", scheduled
    FROM slot_pool LEFT JOIN (
        SELECT pool AS used, sum(CASE WHEN state = 'running' THEN pool_slots ELSE 0 END) AS running,
            sum(CASE WHEN state = 'queued' THEN pool_slots ELSE 0 END) AS queued,
            sum(CASE WHEN state = 'scheduled' THEN pool_slots ELSE 0 END) AS scheduled,
            sum(CASE WHEN state = 'deferred' THEN pool_slots ELSE 0 END) AS "deferred"
        FROM task_instance WHERE state IN ('running', 'queued', 'scheduled', 'deferred') GROUP BY pool
    ) held ON pool = used"""
DAGS = """
    SELECT dag_id, dag_display_name, root_dag_id, is_paused, is_active, is_subdag, last_parsed_time, last_pickled,
        last_expired, scheduler_lock, pickle_id, default_view, fileloc, owners, description, schedule_interval,
        timetable_description, max_active_tasks, max_active_runs, max_consecutive_failed_dag_runs,
        has_task_concurrency_limits, has_import_errors, next_dagrun, next_dagrun_data_interval_start,
        next_dagrun_data_interval_end, next_dagrun_create_after
    FROM dag WHERE is_subdag IS NOT TRUE AND is_active IS TRUE ORDER BY dag_id LIMIT :limit OFFSET :offset"""
TAGS = """
    SELECT dag_tag.name, dag.dag_id FROM dag JOIN dag_tag ON dag.dag_id = dag_tag.dag_id
    WHERE dag.dag_id IN ({ids}) ORDER BY dag_tag.name, dag_tag.dag_id"""
RUNS = """
    SELECT run_id, dag_id, execution_date, start_date, end_date, data_interval_start, data_interval_end,
        last_scheduling_decision, run_type, state, external_trigger, conf, content
    FROM dag_run LEFT JOIN dag_run_note ON id = dag_run_id"""
INSTANCES = """
    SELECT ti.task_id, ti.task_display_name, ti.dag_id, ti.run_id, ti.start_date, ti.end_date, ti.duration, ti.state,
        ti.try_number, ti.map_index, ti.max_tries, ti.hostname, ti.unixname, ti.pool, ti.pool_slots, ti.queue,
        ti.priority_weight, ti.operator, ti.queued_dttm, ti.pid, ti.executor, ti.executor_config, r.execution_date,
        s.task_id, s.dag_id, s.execution_date, s.email_sent, s.timestamp, s.description, s.notification_sent,
        ti.rendered_map_index, f.rendered_fields, t.id, t.classpath, t.kwargs, t.created_date, t.triggerer_id,
        j.id, j.dag_id, j.state, j.job_type, j.start_date, j.end_date, j.latest_heartbeat, j.executor_class,
        j.hostname, j.unixname, n.content
    FROM task_instance ti
    LEFT JOIN dag_run r ON r.dag_id = ti.dag_id AND r.run_id = ti.run_id
    LEFT JOIN rendered_task_instance_fields f ON ti.dag_id = f.dag_id AND ti.task_id = f.task_id
        AND ti.run_id = f.run_id AND ti.map_index = f.map_index
    LEFT JOIN task_instance_note n ON ti.task_id = n.task_id AND ti.dag_id = n.dag_id AND ti.run_id = n.run_id
        AND ti.map_index = n.map_index
    LEFT JOIN sla_miss s ON ti.dag_id = s.dag_id AND ti.task_id = s.task_id AND s.execution_date =
        (SELECT execution_date FROM dag_run WHERE dag_run.dag_id = ti.dag_id AND dag_run.run_id = ti.run_id)
    LEFT JOIN "trigger" t ON t.id = ti.trigger_id LEFT JOIN job j ON t.triggerer_id = j.id
    ORDER BY ti.dag_id, ti.task_id, ti.run_id, ti.map_index LIMIT :limit OFFSET :offset"""
LOGS = """
    SELECT id, dttm, dag_id, task_id, run_id, map_index, try_number, event, execution_date, owner, extra
    FROM log ORDER BY id LIMIT :limit OFFSET :offset"""


class Database:
    """A connection of the driver for each thread, with what differs between SQLite and PostgreSQL."""

    def __init__(self, url: str) -> None:
        self._local, self._url = threading.local(), url
        self.is_sqlite = url.startswith("sqlite")
        self.boolean: Callable[[Any], Any] = _boolean if self.is_sqlite else _same
        self.moment: Callable[[Any], Any] = _moment if self.is_sqlite else _same
        self.json: Callable[[Any], Any] = orjson.loads if self.is_sqlite else _same

    def rows(self, sql: str, values: dict[str, Any]) -> list[Row]:
        """All rows; `:name` is a parameter."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        if self.is_sqlite:
            return list(connection.execute(sql, values))
        return list(connection.execute(_for_psycopg(sql), values).fetchall())

    def _connect(self) -> Any:
        if self.is_sqlite:
            return sqlite3.connect(self._url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
        psycopg.types.json.set_json_loads(orjson.loads)
        plain = self._url.replace("+psycopg", "")
        return psycopg.connect(plain, autocommit=True, options="-c timezone=UTC")


@lru_cache
def _for_psycopg(sql: str) -> str:
    return re.sub(r":(\w+)", r"%(\1)s", sql)


def _same(value: Any) -> Any:
    return value


def _boolean(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text + "+00:00")


def create() -> Flask:
    """The application, over the database, and with the keys, of Airflow's environment variables."""
    app = Flask(__name__, static_folder=None)
    database = Database(os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    fernet = Fernet(os.environ["AIRFLOW__CORE__FERNET_KEY"])
    signer = URLSafeSerializer(os.environ["AIRFLOW__WEBSERVER__SECRET_KEY"])
    boolean, moment, rows = database.boolean, database.moment, database.rows
    key, verified = secrets.token_bytes(32), set()

    @lru_cache(10_000)
    def token(path: str) -> str:
        return str(signer.dumps(path))

    def needs(*resources: str, per_dag: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Response]]:
        named = ", ".join(f"'{name}'" for name in {*resources, "DAGs"})
        caller = CALLER.format(held=HELD.format(named=named, own=OWN if per_dag else ""))

        def decorate(view: Callable[..., Any]) -> Callable[..., Response]:
            @wraps(view)
            def checked(**values: Any) -> Response:
                given = request.authorization
                if given is None or given.type != "basic":
                    return Response(status=401)
                known = rows(caller, {"name": given.username, "dag": values.get("dag_id", "~")})
                if not known or not known[0][3]:
                    return Response(status=401)
                text = "\0".join((given.username, given.password, known[0][2]))
                proof = hmac.digest(key, text.encode(), hashlib.sha256)
                if proof not in verified:
                    if not check_password_hash(known[0][2], given.password):
                        return Response(status=401)
                    verified.add(proof)
                g.rights = {row[8] for row in known}
                if not g.rights.issuperset(resources):
                    return Response(status=403)
                found = view(**values)
                if found is None:
                    return Response(status=404)
                return Response(orjson.dumps(found), content_type="application/json")

            return checked

        return decorate

    def page(sql: str, plural: str, build: Callable[[Row], dict[str, Any]], count: str) -> dict[str, Any]:
        limit, offset = request.args.get("limit", 25, int), request.args.get("offset", 0, int)
        found = rows(sql, {"limit": limit + 1, "offset": offset})
        items = [build(row) for row in found[:limit]]
        total = rows(f"SELECT count(*) FROM {count}", {})[0][0] if len(found) > limit else offset + len(items)
        return {plural: items, "total_entries": total}

    def pool(r: Row) -> dict[str, Any]:
        running, queued, deferred, scheduled = r[4] or 0, r[5] or 0, r[6] or 0, r[7] or 0
        held = running + queued + (deferred if r[3] else 0)
        return {
            "name": r[0], "slots": r[1], "description": r[2], "include_deferred": boolean(r[3]),
            "occupied_slots": held, "running_slots": running, "queued_slots": queued, "scheduled_slots": scheduled,
            "deferred_slots": deferred, "open_slots": None if r[1] == -1 else (r[1] or 0) - held,
        }  # fmt: skip

    def dag(r: Row) -> dict[str, Any]:
        return {
            "dag_id": r[0], "dag_display_name": r[1] or r[0], "root_dag_id": r[2], "is_paused": boolean(r[3]),
            "is_active": boolean(r[4]), "is_subdag": bool(r[5]), "last_parsed_time": moment(r[6]),
            "last_pickled": moment(r[7]), "last_expired": moment(r[8]), "scheduler_lock": boolean(r[9]),
            "pickle_id": None if r[10] is None else str(r[10]), "default_view": r[11], "fileloc": r[12],
            "file_token": token(r[12]), "owners": r[13].split(",") if r[13] else [], "description": r[14],
            "schedule_interval": schedule(r[15]), "timetable_description": r[16], "tags": [],
            "max_active_tasks": r[17], "max_active_runs": r[18], "max_consecutive_failed_dag_runs": r[19],
            "has_task_concurrency_limits": boolean(r[20]), "has_import_errors": boolean(r[21]),
            "next_dagrun": moment(r[22]), "next_dagrun_data_interval_start": moment(r[23]),
            "next_dagrun_data_interval_end": moment(r[24]), "next_dagrun_create_after": moment(r[25]),
        }  # fmt: skip

    def schedule(text: str | None) -> dict[str, Any] | None:
        stored = None if text is None else orjson.loads(text)
        if isinstance(stored, str):
            return {"__type": "CronExpression", "value": stored}
        return {"__type": "TimeDelta", **stored["attrs"]} if stored else None

    def run(r: Row) -> dict[str, Any]:
        at = moment(r[2])
        return {
            "dag_run_id": r[0], "dag_id": r[1], "logical_date": at, "execution_date": at, "start_date": moment(r[3]),
            "end_date": moment(r[4]), "data_interval_start": moment(r[5]), "data_interval_end": moment(r[6]),
            "last_scheduling_decision": moment(r[7]), "run_type": r[8], "state": r[9],
            "external_trigger": boolean(r[10]), "conf": {} if r[11] is None else pickle.loads(r[11]), "note": r[12],
        }  # fmt: skip

    def instance(r: Row) -> dict[str, Any]:
        missed = None if r[23] is None else {
            "task_id": r[23], "dag_id": r[24], "execution_date": moment(r[25]), "email_sent": boolean(r[26]),
            "timestamp": moment(r[27]), "description": r[28], "notification_sent": boolean(r[29]),
        }  # fmt: skip
        trigger = None if r[32] is None else {
            "id": r[32], "classpath": r[33], "kwargs": str(orjson.loads(r[34])), "created_date": moment(r[35]),
            "triggerer_id": r[36],
        }  # fmt: skip
        job = None if r[37] is None else {
            "id": r[37], "dag_id": r[38], "state": r[39], "job_type": r[40], "start_date": moment(r[41]),
            "end_date": moment(r[42]), "latest_heartbeat": moment(r[43]), "executor_class": r[44], "hostname": r[45],
            "unixname": r[46],
        }  # fmt: skip
        return {
            "task_id": r[0], "task_display_name": r[1] or r[0], "dag_id": r[2], "dag_run_id": r[3],
            "start_date": moment(r[4]), "end_date": moment(r[5]), "duration": r[6], "state": r[7], "try_number": r[8],
            "map_index": r[9], "max_tries": r[10], "hostname": r[11], "unixname": r[12], "pool": r[13],
            "pool_slots": r[14], "queue": r[15], "priority_weight": r[16], "operator": r[17],
            "queued_when": moment(r[18]), "pid": r[19], "executor": r[20],
            "executor_config": None if r[21] is None else str(pickle.loads(r[21])), "execution_date": moment(r[22]),
            "sla_miss": missed, "rendered_map_index": r[30],
            "rendered_fields": {} if r[31] is None else database.json(r[31]),
            "trigger": trigger, "triggerer_job": job, "note": r[47],
        }  # fmt: skip

    def event(r: Row) -> dict[str, Any]:
        return {
            "event_log_id": r[0], "when": moment(r[1]), "dag_id": r[2], "task_id": r[3], "run_id": r[4],
            "map_index": r[5], "try_number": r[6], "event": r[7], "execution_date": moment(r[8]), "owner": r[9],
            "extra": r[10],
        }  # fmt: skip

    @app.get("/api/v1/pools")
    @needs("Pools")
    def pools() -> Any:
        return page(f"{POOLS} ORDER BY id LIMIT :limit OFFSET :offset", "pools", pool, "slot_pool")

    @app.get("/api/v1/pools/<name>")
    @needs("Pools")
    def one_pool(name: str) -> Any:
        found = rows(f"{POOLS} WHERE pool = :pool LIMIT 1", {"pool": name})
        return pool(found[0]) if found else None

    @app.get("/api/v1/variables/<name>")
    @needs("Variables")
    def variable(name: str) -> Any:
        sql = "SELECT key, val, is_encrypted, description FROM variable WHERE key = :key LIMIT 1"
        for key, value, encrypted, description in rows(sql, {"key": name}):
            clear = fernet.decrypt(value).decode() if encrypted else value
            return {"key": key, "value": clear, "description": description}

    @app.get("/api/v1/dags")
    @needs("DAGs")
    def dags() -> Any:
        found = page(DAGS, "dags", dag, "dag WHERE is_subdag IS NOT TRUE AND is_active IS TRUE")
        ids = {f"i{number}": item["dag_id"] for number, item in enumerate(found["dags"])}
        tags = defaultdict(list)
        for name, dag_id in rows(TAGS.format(ids=", ".join(f":{i}" for i in ids)), ids) if ids else ():
            tags[dag_id].append({"name": name})
        for item in found["dags"]:
            item["tags"] = tags.get(item["dag_id"], [])
        return found

    @app.get("/api/v1/dags/~/dagRuns")
    @needs("DAGs", "DAG Runs", per_dag=True)
    def runs() -> Any:
        return page(f"{RUNS} ORDER BY id LIMIT :limit OFFSET :offset", "dag_runs", run, "dag_run")

    @app.get("/api/v1/dags/<dag_id>/dagRuns/<run_id>")
    @needs("DAGs", "DAG Runs", per_dag=True)
    def one_run(dag_id: str, run_id: str) -> Any:
        found = rows(f"{RUNS} WHERE dag_id = :dag AND run_id = :run LIMIT 1", {"dag": dag_id, "run": run_id})
        return run(found[0]) if found else None

    @app.get("/api/v1/dags/~/dagRuns/~/taskInstances")
    @needs("DAGs", "DAG Runs", "Task Instances", per_dag=True)
    def instances() -> Any:
        return page(INSTANCES, "task_instances", instance, "task_instance")

    @app.get("/api/v1/eventLogs")
    @needs("Audit Logs")
    def events() -> Any:
        return page(LOGS, "event_logs", event, "log")

    return app
