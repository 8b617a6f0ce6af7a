"""The data interval of a manual run; the expected values are those of Airflow 2.11.2."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from windsock.lifecycle.timetables import manual_interval

MOMENT = "2026-07-15T13:22:11.123456+05:30"

CRON = [
    ("0 0 * * *", "UTC", "2026-05-01T00:00:00+00:00", "2026-04-30T00:00:00+00:00", "2026-05-01T00:00:00+00:00"),
    ("0 0 * * *", "UTC", "2026-05-01T13:22:11.123456+05:30", "2026-04-30T00:00:00+00:00", "2026-05-01T00:00:00+00:00"),
    ("@daily", "UTC", "2026-05-01T02:00:00+02:00", "2026-04-30T00:00:00+00:00", "2026-05-01T02:00:00+02:00"),
    ("@quarterly", "UTC", "2026-05-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00", "2026-04-01T00:00:00+00:00"),
    ("@hourly", "UTC", "2026-05-01T00:59:59.999999+00:00", "2026-04-30T23:00:00+00:00", "2026-05-01T00:00:00+00:00"),
    ("0 0 29 2 *", "UTC", "2026-05-01T00:00:00+00:00", "2020-02-29T00:00:00+00:00", "2024-02-29T00:00:00+00:00"),
    ("0 0 L * *", "UTC", "2026-05-01T00:00:00+00:00", "2026-03-31T00:00:00+00:00", "2026-04-30T00:00:00+00:00"),
    ("0 0 * * 5#2", "UTC", "2026-05-01T00:00:00+00:00", "2026-03-13T00:00:00+00:00", "2026-04-10T00:00:00+00:00"),
    ("*/10 * * * * *", "UTC", "2026-05-01T00:00:05+00:00", "2026-05-01T00:00:04+00:00", "2026-05-01T00:00:05+00:00"),
    (
        "30 2 * * *",
        "Europe/Prague",
        "2026-03-29T12:00:00+00:00",
        "2026-03-29T01:30:00+00:00",
        "2026-03-29T01:30:00+00:00",
    ),
    (
        "30 2 * * *",
        "Europe/Prague",
        "2026-03-30T12:00:00+00:00",
        "2026-03-29T01:30:00+00:00",
        "2026-03-30T00:30:00+00:00",
    ),
    (
        "30 2 * * *",
        "Europe/Prague",
        "2026-10-25T00:45:00+00:00",
        "2026-10-24T00:30:00+00:00",
        "2026-10-25T01:30:00+00:00",
    ),
    (
        "30 2 * * *",
        "Europe/Prague",
        "2026-10-25T01:45:00+00:00",
        "2026-10-24T00:30:00+00:00",
        "2026-10-25T01:30:00+00:00",
    ),
    (
        "30 * * * *",
        "Europe/Prague",
        "2026-10-25T01:00:00+00:00",
        "2026-10-24T23:30:00+00:00",
        "2026-10-25T00:30:00+00:00",
    ),
    (
        "30 * * * *",
        "Europe/Prague",
        "2026-03-29T01:15:00+00:00",
        "2026-03-28T23:30:00+00:00",
        "2026-03-29T00:30:00+00:00",
    ),
    (
        "*/15 * * * *",
        "America/New_York",
        "2026-11-01T06:10:00+00:00",
        "2026-11-01T05:45:00+00:00",
        "2026-11-01T06:00:00+00:00",
    ),
    (
        "0 */2 * * *",
        "America/New_York",
        "2026-11-01T06:10:00+00:00",
        "2026-11-01T02:00:00+00:00",
        "2026-11-01T04:00:00+00:00",
    ),
    (
        "0 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-03T16:00:00+00:00",
        "2026-10-03T15:30:00+00:00",
        "2026-10-03T15:30:00+00:00",
    ),
    (
        "0 0 * * *",
        "Pacific/Apia",
        "2011-12-30T12:00:00+00:00",
        "2011-12-30T10:00:00+00:00",
        "2011-12-30T10:00:00+00:00",
    ),
    (
        "0 9 * * 1-5",
        "Asia/Kathmandu",
        "2026-05-04T03:15:00+00:00",
        "2026-05-01T03:15:00+00:00",
        "2026-05-04T03:15:00+00:00",
    ),
    ("0 9 * * 1-5", 19800, "2026-05-04T03:30:00+00:00", "2026-05-01T03:30:00+00:00", "2026-05-04T03:30:00+00:00"),
]


def timetable(name: str, **members: Any) -> dict[str, Any]:
    return {"__type": f"airflow.timetables.{name}", "__var": members}


def interval(dag: dict[str, Any], moment: str = MOMENT, **options: Any) -> list[str]:
    return [date.isoformat() for date in manual_interval(dag, datetime.fromisoformat(moment), **options)]


@pytest.mark.parametrize(("expression", "zone", "moment", "start", "end"), CRON)
def test_a_cron_schedule_gives_the_last_complete_period(expression, zone, moment, start, end):
    members = {"expression": expression, "timezone": zone}
    assert interval({"timetable": timetable("interval.CronDataIntervalTimetable", **members)}, moment) == [start, end]
    assert interval({"schedule_interval": expression, "timezone": zone}, moment) == [start, end]


POINT = [MOMENT, MOMENT]
WEDNESDAYS = {"expression": "0 1 * * 3", "timezone": "Europe/Prague"}
EVENTS = ["2026-01-05T00:00:00-05:00", "2026-06-05T03:04:05.000006+00:00"]
DELTA = "interval.DeltaDataIntervalTimetable"


@pytest.mark.parametrize(
    "dag",
    [
        {},
        {"schedule_interval": None},
        {"schedule_interval": "@once"},
        {"timetable": timetable("simple.NullTimetable")},
        {"timetable": timetable("simple.OnceTimetable")},
        {"timetable": timetable("simple.ContinuousTimetable")},
        {"timetable": timetable("simple.DatasetTriggeredTimetable", dataset_condition={})},
        {"timetable": timetable("trigger.CronTriggerTimetable", **WEDNESDAYS, interval=0.0)},
        {"timetable": timetable("events.EventsTimetable", event_dates=EVENTS, restrict_to_events=False)},
        {"timetable": timetable("events.EventsTimetable", event_dates=[], restrict_to_events=True)},
        {"timetable": {"__type": "my_plugin.AfterWorkdayTimetable", "__var": {"anything": 1}}},
        {"timetable": "not a timetable"},
    ],
)
def test_other_schedules_give_the_logical_date_as_both_ends(dag):
    assert interval(dag) == POINT


@pytest.mark.parametrize(
    ("dag", "start", "end"),
    [
        ({"schedule_interval": {"__type": "timedelta", "__var": 18000.0}}, "2026-07-15T02:52:11.123456+00:00", MOMENT),
        ({"timetable": timetable(DELTA, delta=1.5)}, "2026-07-15T07:52:09.623456+00:00", MOMENT),
        ({"timetable": timetable(DELTA, delta={"months": 1})}, "2026-06-15T07:52:11.123456+00:00", MOMENT),
        (
            {"schedule_interval": {"__type": "relativedelta", "__var": {"days": 1, "weekday": [1, -1]}}},
            "2026-07-14T07:52:11.123456+00:00",
            MOMENT,
        ),
        (
            {"timetable": timetable("trigger.CronTriggerTimetable", **WEDNESDAYS, interval=129600.0)},
            "2026-07-14T01:22:11.123456+05:30",
            MOMENT,
        ),
        (
            {"timetable": timetable("trigger.DeltaTriggerTimetable", delta=86400, interval={"hours": 2})},
            "2026-07-15T11:22:11.123456+05:30",
            MOMENT,
        ),
        (
            {"timetable": timetable("events.EventsTimetable", event_dates=EVENTS, restrict_to_events=True)},
            EVENTS[1],
            EVENTS[1],
        ),
        (
            {
                "timetable": timetable(
                    "datasets.DatasetOrTimeSchedule",
                    dataset_condition={},
                    timetable=timetable("interval.CronDataIntervalTimetable", **WEDNESDAYS),
                )
            },
            "2026-07-07T23:00:00+00:00",
            "2026-07-14T23:00:00+00:00",
        ),
    ],
)
def test_durations_and_events_decide_where_they_are_given(dag, start, end):
    assert interval(dag) == [start, end]


def test_events_that_all_lie_ahead_give_the_first():
    dag = {"timetable": timetable("events.EventsTimetable", event_dates=EVENTS, restrict_to_events=True)}
    assert interval(dag, "2025-01-01T00:00:00+00:00") == [EVENTS[0], EVENTS[0]]


def test_cron_schedules_give_a_point_where_the_configuration_says_so():
    assert interval({"schedule_interval": "@daily", "timezone": "UTC"}, cron_intervals=False) == POINT


@pytest.mark.parametrize(
    ("dag", "moment"),
    [
        ({"schedule_interval": "* * *"}, MOMENT),
        ({"schedule_interval": "0 0 30 2 *"}, MOMENT),
        ({"schedule_interval": "@daily", "timezone": "Nowhere/Atlantis"}, MOMENT),
        ({"schedule_interval": "@daily"}, "0001-01-01T00:00:00+00:00"),
        ({"schedule_interval": {"__type": "timedelta", "__var": 5.0}}, "0001-01-01T00:00:00+00:00"),
        ({"timetable": timetable(DELTA)}, MOMENT),
        ({"timetable": timetable(DELTA, delta="x")}, MOMENT),
        ({"timetable": timetable("interval.CronDataIntervalTimetable", expression=None, timezone="UTC")}, MOMENT),
    ],
)
def test_a_schedule_that_cannot_be_read_says_so(dag, moment):
    with pytest.raises(ValueError, match="the schedule gives no data interval"):
        interval(dag, moment)
