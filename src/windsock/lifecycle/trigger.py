"""Trigger a DAG: a queued run with its task instances, from which the scheduler goes on."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import func, insert, or_, select
from sqlalchemy.exc import IntegrityError

from windsock import access, db
from windsock.context import caller, context
from windsock.dagdoc import DagDoc
from windsock.definitions import definition
from windsock.errors import AlreadyExists, BadRequest
from windsock.lifecycle import expansion, params, timetables
from windsock.lifecycle.timetables import Interval
from windsock.lifecycle.wanted import Wanted, check_run_id, read
from windsock.models import Dag, DagRun, DagRunNote, LogTemplate, TaskInstance
from windsock.rows import missing

_TRIES = 20


def trigger(dag_id: str, body: dict[str, Any]) -> DagRun:
    """Create a run of a DAG; its dates are in the offset that the client sent.

    Raises NotFound, BadRequest and AlreadyExists; each detail names the member that is at fault.
    """
    _require_triggerable(dag_id)
    wanted = read(dag_id, body)
    _refuse_clash(wanted)
    check_run_id(wanted.run_id)
    doc, dag_hash, _ = definition(dag_id)
    params.check(doc.data.get("params"), wanted.conf)
    run = _insert(wanted, doc, dag_hash)
    if rows := list(expansion.instances(doc, dag_id, run.run_id, run.execution_date)):
        db.session().connection().execute(insert(TaskInstance), rows)
    if wanted.note:
        who = caller()
        db.session().add(DagRunNote(dag_run_id=run.id, content=wanted.note, user_id=who and who.id))
    return run


def _require_triggerable(dag_id: str) -> None:
    """The DAG stays until the run is stored: one that is being deleted would leave the run behind."""
    known = access.scope(select(Dag.has_import_errors).filter_by(dag_id=dag_id, is_active=True), Dag)
    found = db.execute(known.with_for_update(read=True, key_share=True)).first()
    if found is None:
        raise missing(Dag, {"dag_id": dag_id})
    if found.has_import_errors:
        raise BadRequest(f"DAG {dag_id!r} cannot be triggered: its file has import errors, see GET /importErrors")


def _refuse_clash(wanted: Wanted) -> None:
    """Raise AlreadyExists if a run has the logical date or the id that the client gives."""
    run_id = wanted.run_id or (wanted.logical_date and _manual_id(wanted.logical_date))
    same = or_(DagRun.run_id == run_id, DagRun.execution_date == wanted.logical_date)
    for found in db.execute(select(DagRun.run_id, DagRun.execution_date).where(DagRun.dag_id == wanted.dag_id, same)):
        if found.execution_date == wanted.logical_date:
            raise AlreadyExists(
                f"logical_date: DAG {wanted.dag_id!r} has a run for {wanted.logical_date} already, {found.run_id!r}"
            )
        raise AlreadyExists(f"dag_run_id: DAG {wanted.dag_id!r} has a run {run_id!r} already")


# ---------------------------------------------------------------- the run
def _insert(wanted: Wanted, doc: DagDoc, dag_hash: str | None) -> DagRun:
    """Store the run. When we choose the logical date and another run is as fast, take the next microsecond."""
    for attempt in range(_TRIES):
        now = datetime.now(timezone.utc)
        moment = wanted.logical_date or now + timedelta(microseconds=attempt)
        start, end = wanted.interval or _inferred(doc, moment)
        run = DagRun(
            dag_id=wanted.dag_id,
            run_id=wanted.run_id or _manual_id(moment),
            execution_date=moment,
            data_interval_start=start,
            data_interval_end=end,
            run_type="manual",
            state="queued",
            queued_at=now,
            external_trigger=True,
            conf=wanted.conf,
            dag_hash=dag_hash,
            log_template_id=db.execute(select(func.max(LogTemplate.id))).scalar(),
        )
        try:
            with db.session().begin_nested():
                db.session().add(run)
            return run
        except IntegrityError:
            _refuse_clash(wanted)
    raise AlreadyExists(f"logical_date: DAG {wanted.dag_id!r} has runs for the present moment already; give another")


def _manual_id(logical_date: datetime) -> str:
    return f"manual__{logical_date.isoformat()}"


def _inferred(doc: DagDoc, moment: datetime) -> Interval:
    try:
        as_intervals = context.config.get_bool("scheduler", "create_cron_data_intervals")
        return timetables.manual_interval(doc.data, moment, as_intervals)
    except ValueError as error:
        raise BadRequest(f"Give data_interval_start and data_interval_end: {error}") from None
