"""The run that a client asks for, read out of the body of its request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from windsock.context import context
from windsock.errors import BadRequest
from windsock.lifecycle.timetables import Interval
from windsock.parameters import date_time

#: Prefixes of run ids that only Airflow itself gives.
_RESERVED = ("backfill", "scheduled", "dataset_triggered")
_ALWAYS_ALLOWED = re.compile(r"manual__\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")
_LONGEST_ID, _LONGEST_NOTE = 250, 1000
#: Seconds that a pattern may take.
_MATCHING = 0.1


@dataclass(frozen=True)
class Wanted:
    """The run that a client asks for; `logical_date` and `interval` are None where it leaves the choice to us."""

    dag_id: str
    run_id: str
    logical_date: datetime | None
    interval: Interval | None
    conf: dict[str, Any]
    note: str | None


def read(dag_id: str, body: dict[str, Any]) -> Wanted:
    """What a body asks for. Raises BadRequest that names the member that is at fault."""
    conf, note = body.get("conf", {}), body.get("note")
    if note and len(note) > _LONGEST_NOTE:
        raise BadRequest(f"Member 'note' has {len(note)} characters; it may have {_LONGEST_NOTE}")
    return Wanted(dag_id, body.get("dag_run_id", ""), _logical_date(body), _interval(body), conf, note)


def _logical_date(body: dict[str, Any]) -> datetime | None:
    new, old = _moment("logical_date", body), _moment("execution_date", body)
    if new and old and new != old:
        raise BadRequest("Members 'logical_date' and 'execution_date' mean the same but differ; give one of them")
    return new or old


def _interval(body: dict[str, Any]) -> Interval | None:
    start, end = _moment("data_interval_start", body), _moment("data_interval_end", body)
    if (start is None) != (end is None):
        raise BadRequest("Members 'data_interval_start' and 'data_interval_end' must be given together or not at all")
    return (start, end) if start and end else None


def _moment(name: str, body: dict[str, Any]) -> datetime | None:
    """A date-time in the offset that it was written in."""
    text = body.get(name)
    if text is None:
        return None
    try:
        moment = date_time(text)
    except ValueError as error:
        raise BadRequest(f"Member {name!r} {error}") from None
    offset = re.search(r"([+-])(\d\d):(\d\d)$", text)
    if not offset:
        return moment
    ahead = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
    return moment.astimezone(timezone(-ahead if offset[1] == "-" else ahead))


def check_run_id(run_id: str) -> None:
    """Refuse an id that the client may not choose. The empty one stands for one that we make."""
    prefix = run_id.partition("__")[0]
    if prefix in _RESERVED and prefix != run_id:
        raise BadRequest(f"Member 'dag_run_id': ids that begin with {prefix + '__'!r} are for runs that Airflow makes")
    if len(run_id) > _LONGEST_ID:
        raise BadRequest(f"Member 'dag_run_id' has {len(run_id)} characters; it may have {_LONGEST_ID}")
    pattern = context.config.get("scheduler", "allowed_run_id_pattern").strip()
    allowed = pattern and _matches(pattern, run_id)
    if run_id and not allowed and not _ALWAYS_ALLOWED.fullmatch(run_id):
        raise BadRequest(f"Member 'dag_run_id' does not match [scheduler] allowed_run_id_pattern, which is {pattern!r}")


def _matches(pattern: str, run_id: str) -> bool:
    """Whether an operator's pattern matches; `regex` gives up where the standard library might go on for centuries."""
    import regex  # here, since most servers never need it

    try:  # in Airflow's regular expressions a dollar sign does not overlook a newline
        return bool(regex.match(pattern, run_id, timeout=_MATCHING)) and not run_id.endswith("\n")
    except TimeoutError:
        raise BadRequest(
            f"Member 'dag_run_id' cannot be compared in time with [scheduler] allowed_run_id_pattern, {pattern!r};"
            " a shorter one may do"
        ) from None
