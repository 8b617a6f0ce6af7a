"""The database: whether it is there, quick, of a known schema, and of one time with this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median
from time import perf_counter

from sqlalchemy import Connection as Opened
from sqlalchemy import func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from windsock import migrate
from windsock.config import Config
from windsock.doctor import Finding, Patient, error, ok, warning
from windsock.engines import plain_engine, replica_engine
from windsock.models import Job

_SLOW_MS, _CLOCK = 20, timedelta(seconds=2)
_OLDEST = {"postgresql": (13,), "mysql": (8, 0), "mariadb": (10, 6)}
_LIMIT = {"postgresql": "SHOW max_connections", "mysql": "SELECT @@max_connections"}
_NOW = {"postgresql": "SELECT clock_timestamp()", "mysql": "SELECT sysdate(6)"}


def check(patient: Patient) -> Iterator[Finding]:
    """Reach it, time it, know it."""
    url = make_url(patient.config.database_url)
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        yield error(
            f"The file {url.database} does not exist", "Check [database] sql_alchemy_conn, or: windsock db init"
        )
        return
    engine = plain_engine(patient.config)
    try:
        with engine.connect() as connection:
            yield _latency(connection, shown)
            yield from _server(connection)
        revision = migrate.check(engine)
    except SQLAlchemyError as failed:
        yield error(
            f"{shown} cannot be used: {_said(failed)}", "Start the database, or correct [database] sql_alchemy_conn."
        )
        return
    except migrate.SchemaError as failed:
        yield error("Its schema is not one that Windsock serves", str(failed))
        return
    known, reservation = f"Revision {revision} is known", migrate.reservation(revision)
    yield warning(known, reservation) if reservation else ok(known)
    patient.engine = engine
    if patient.config.replica_url:
        yield _replica(patient.config)


def _replica(config: Config) -> Finding:
    place, engine = "[windsock] sql_alchemy_conn_read", replica_engine(config)
    try:
        with engine.connect() as connection:
            standby = connection.execute(text("SELECT pg_catalog.pg_is_in_recovery()")).scalar_one()
    except SQLAlchemyError as failed:
        return error(f"{place} cannot be used: {_said(failed)}", "Start it, or correct or remove the setting.")
    finally:
        engine.dispose()
    if standby:
        return ok(f"{place} is a standby, which can be read")
    return warning(f"{place} takes writes, so it is not read", "Name a standby of the database, or remove the setting.")


def _said(failed: SQLAlchemyError) -> str:
    """What the driver says, in one line; no driver repeats a password."""
    return " ".join(str(getattr(failed, "orig", None) or failed).split())[:300]


def _latency(connection: Opened, shown: str) -> Finding:
    taken = []
    for _ in range(7):
        begun = perf_counter()
        connection.execute(text("SELECT 1")).all()
        taken.append((perf_counter() - begun) * 1000)
    told = f"{shown} answers within {median(taken):.1f} ms"
    fix = "Each request asks two to five times: bring the server closer to the database."
    return ok(told) if median(taken) < _SLOW_MS else warning(told, fix)


def _server(connection: Opened) -> Iterator[Finding]:
    kind, version = connection.dialect.name, connection.dialect.server_version_info or ()
    name = "mariadb" if getattr(connection.dialect, "is_mariadb", False) else kind
    told, oldest = f"{name} {'.'.join(map(str, version))}", _OLDEST.get(name, ())
    if version < oldest:
        fix = f"Upgrade to {'.'.join(map(str, oldest))} or later."
        yield warning(f"{told} is older than what Windsock is made for", fix)
        return
    yield ok(told)
    if kind in _LIMIT:
        limit = int(connection.execute(text(_LIMIT[kind])).scalar_one())
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        needed = cores * 4 * 2
        if needed > limit / 2:
            fix = "Raise max_connections, use fewer workers or threads, or put PgBouncer in between."
            told = (
                f"Of {limit} connections, `windsock serve` would use up to {needed} with its defaults on this machine"
            )
            yield warning(told, fix)


def check_clock(patient: Patient) -> Iterator[Finding]:
    """Compare the clocks of this machine, of the database and of the processes of Airflow."""
    if patient.engine is None:
        return
    with patient.engine.connect() as connection:
        if patient.engine.dialect.name in _NOW:
            told = connection.execute(text(_NOW[patient.engine.dialect.name])).scalar_one()
            told = told if told.tzinfo else told.replace(tzinfo=timezone.utc)  # the zone of the session
            yield _compare(told - datetime.now(timezone.utc), "The clock of the database")
        newest = connection.execute(select(func.max(Job.latest_heartbeat))).scalar()
    ahead = newest - datetime.now(timezone.utc) if newest else timedelta()
    if ahead > _CLOCK:
        yield _compare(ahead, "The clock of a process of Airflow")
    else:
        told = f"was at {newest:%Y-%m-%d %H:%M:%S} UTC, in the past" if newest else "is not there yet"
        yield ok(f"The last heartbeat of Airflow's processes {told}")


def _compare(difference: timedelta, whose: str) -> Finding:
    seconds = abs(difference.total_seconds())
    way = "ahead of" if difference > timedelta() else "behind"
    fix = "Let NTP keep both: sessions, tokens and schedules depend on it."
    if abs(difference) > _CLOCK:
        return warning(f"{whose} is {seconds:.1f} s {way} that of this machine", fix)
    return ok(f"{whose} differs by {seconds * 1000:.0f} ms")
