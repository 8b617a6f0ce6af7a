"""The data interval of a manual run, worked out from the timetable in a serialized DAG.

Behaviour: `infer_manual_data_interval` of Airflow 2.11's own timetables. A timetable that a plugin brings is code that
is not here: its runs get the logical date as both ends, as those of a DAG without schedule do.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter
from dateutil.relativedelta import relativedelta, weekday

from windsock import encoded

Interval = tuple[datetime, datetime]
_UNSCHEDULED = ("@once", "@continuous")
_QUARTERLY = "0 0 1 */3 *"  # the one preset of Airflow that croniter does not know


def manual_interval(dag: dict[str, Any], moment: datetime, cron_intervals: bool = True) -> Interval:
    """Start and end of the data interval of a run that is triggered for `moment` (aware).

    `dag` is the member `dag` of the serialized DAG; `cron_intervals` is [scheduler] create_cron_data_intervals. Raises
    ValueError when the schedule cannot be read or reaches beyond the years 1 to 9999.
    """
    try:
        return _of_timetable(dag.get("timetable") or _implied(dag, cron_intervals), moment)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"the schedule gives no data interval for {moment.isoformat()}: {error}") from error


def _of_timetable(timetable: Any, moment: datetime) -> Interval:
    if not isinstance(timetable, dict):
        return moment, moment
    infer = _INFERENCES.get(timetable.get("__type", ""))
    return infer(timetable["__var"], moment) if infer else (moment, moment)


def _implied(dag: dict[str, Any], cron_intervals: bool) -> Any:
    """The timetable that a plain `schedule_interval` stands for; None for those that give a point in time."""
    interval = dag.get("schedule_interval")
    if interval is None or interval in _UNSCHEDULED:
        return None
    if isinstance(interval, str):
        if not cron_intervals:
            return None
        members = {"expression": interval, "timezone": encoded.unwrap(dag.get("timezone", "UTC"))}
        return {"__type": "airflow.timetables.interval.CronDataIntervalTimetable", "__var": members}
    delta = encoded.unwrap(interval)
    return {"__type": "airflow.timetables.interval.DeltaDataIntervalTimetable", "__var": {"delta": delta}}


def _cron(members: dict[str, Any], moment: datetime) -> Interval:
    """The last complete period before the moment, or the one that ends with it."""
    cron = Cron(members["expression"], zone(members["timezone"]))
    end = cron.previous(moment)
    if cron.following(end) == moment:
        end = moment
    return cron.previous(end), end


def _delta(members: dict[str, Any], moment: datetime) -> Interval:
    return (moment - _duration(members["delta"])).astimezone(timezone.utc), moment


def _trigger(members: dict[str, Any], moment: datetime) -> Interval:
    return moment - _duration(members.get("interval", 0)), moment


def _dataset_or_time(members: dict[str, Any], moment: datetime) -> Interval:
    return _of_timetable(members["timetable"], moment)


def _events(members: dict[str, Any], moment: datetime) -> Interval:
    """The latest event up to the moment, or the first one of all."""
    events = sorted(datetime.fromisoformat(text) for text in members["event_dates"])
    if not members["restrict_to_events"] or not events:
        return moment, moment
    event = max((event for event in events if event <= moment), default=events[0])
    return event, event


_INFERENCES: dict[str, Callable[[dict[str, Any], datetime], Interval]] = {
    "airflow.timetables.interval.CronDataIntervalTimetable": _cron,
    "airflow.timetables.interval.DeltaDataIntervalTimetable": _delta,
    "airflow.timetables.trigger.CronTriggerTimetable": _trigger,
    "airflow.timetables.trigger.DeltaTriggerTimetable": _trigger,
    "airflow.timetables.datasets.DatasetOrTimeSchedule": _dataset_or_time,
    "airflow.timetables.events.EventsTimetable": _events,
}


def zone(name: str | int) -> tzinfo:
    """A time zone by its IANA name or by its offset in seconds. Raises ValueError for an unknown name."""
    if isinstance(name, int):
        return timezone(timedelta(seconds=name))
    return timezone.utc if name == "UTC" else ZoneInfo(name)


def _duration(value: Any) -> Any:
    """A timedelta from seconds, or a relativedelta from its members."""
    if not isinstance(value, dict):
        return timedelta(seconds=value)
    members = dict(value)
    if "weekday" in members:
        members["weekday"] = weekday(*members["weekday"])
    return relativedelta(**members)


class Cron:
    """A cron expression in a time zone. It is matched against the clock on the wall, as Airflow does.

    An hour that the clock skips or repeats counts once, unless the expression has something to do in every hour.
    """

    def __init__(self, expression: str, zone: tzinfo) -> None:
        self.expression = _QUARTERLY if expression == "@quarterly" else expression
        self.zone = zone

    def previous(self, moment: datetime) -> datetime:
        """The last moment of the schedule before this one, in UTC."""
        return self._step(moment, "get_prev")

    def following(self, moment: datetime) -> datetime:
        """The first moment of the schedule after this one, in UTC."""
        return self._step(moment, "get_next")

    def _step(self, moment: datetime, direction: str) -> datetime:
        wall = moment.astimezone(self.zone).replace(tzinfo=None, fold=0)
        cron = croniter(self.expression, start_time=wall)
        found: datetime = getattr(cron, direction)(datetime)
        if cron.expanded[1] == ["*"]:
            return moment.astimezone(timezone.utc) + (found - wall)
        return _on_the_wall(found, self.zone)


def _on_the_wall(wall: datetime, zone: tzinfo) -> datetime:
    """When a clock shows this time: at the second of two occasions, or as much later as the clock skips."""
    first, second = wall.replace(tzinfo=zone), wall.replace(tzinfo=zone, fold=1)
    before, after = first.utcoffset() or timedelta(), second.utcoffset() or timedelta()
    return (first if after > before else second).astimezone(timezone.utc)
