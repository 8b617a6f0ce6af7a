"""The audit log: filters, and secrets in old rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

import factories as f
from clients import API
from problems import assert_problem

NOW = "2026-03-01T02:00:00.123456+00:00"


def test_a_row_shows_what_is_stored(get, add):
    row = add(f.log())
    expected = {
        "event_log_id": row.id,
        "when": NOW,
        "dag_id": "etl",
        "task_id": "extract",
        "run_id": f.RUN_ID,
        "map_index": -1,
        "try_number": 1,
        "event": "running",
        "execution_date": NOW,
        "owner": "airflow",
        "extra": '{"host_name": "worker-1"}',
    }
    assert get(f"eventLogs/{row.id}") == expected
    assert get("eventLogs") == {"event_logs": [expected], "total_entries": 1}


@pytest.mark.parametrize("number", [0, 2**31 - 1])
def test_a_row_that_is_not_there_is_404(number, client, add):
    assert_problem(client.get(f"{API}/eventLogs/{number}"), 404, str(number))


# ---------------------------------------------------------------- which rows
@pytest.fixture
def rows(add: Any) -> None:
    """Five rows, an hour apart; the owner numbers them but for the last one."""
    add(
        f.log(owner="0", event="running", map_index=0, try_number=0),
        f.log(owner="1", event="failed", map_index=1, try_number=2, dttm=f.START + f.HOUR, dag_id="other"),
        f.log(owner="2", event="api.post_pool", dttm=f.START + 2 * f.HOUR, task_id="load", run_id="r"),
        f.log(owner="3", event="cli_scheduler", dttm=f.START + 3 * f.HOUR, map_index=None, try_number=None),
        f.log(owner="4", event="failed", dttm=f.START + 4 * f.HOUR, map_index=-1, extra="", task_id=None),
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "01234"),
        ({"map_index": 0}, "0"),
        ({"map_index": -1}, "24"),
        ({"try_number": 0}, "0"),
        ({"try_number": 2}, "1"),
        ({"dag_id": "other"}, "1"),
        ({"task_id": "load"}, "2"),
        ({"run_id": "r"}, "2"),
        ({"owner": "3"}, "3"),
        ({"event": "failed"}, "14"),
        ({"event": "fail"}, ""),
        ({"included_events": "failed,api.post_pool"}, "124"),
        ({"excluded_events": "failed,running"}, "23"),
        ({"included_events": "failed", "excluded_events": "failed"}, ""),
        ({"before": "2026-03-01T03:00:00.123456Z"}, "0"),
        ({"after": "2026-03-01T05:00:00.123456Z"}, "4"),
        ({"after": "2026-03-01T02:30:00Z", "before": "2026-03-01T05:30:00+01:00"}, "12"),
        ({"event": "failed", "dag_id": "other", "try_number": 2}, "1"),
        ({"order_by": "-when", "limit": 2}, "43"),
        ({"order_by": "-event_log_id"}, "43210"),
        ({"order_by": "event", "event": "failed"}, "14"),
    ],
)
def test_a_list_of_rows_holds_what_all_filters_leave(query, expected, get, rows):
    assert "".join(row["owner"] for row in get("eventLogs", **query)["event_logs"]) == expected


@pytest.mark.parametrize(
    "name", ["dag_id", "task_id", "run_id", "event", "owner", "included_events", "excluded_events"]
)
def test_an_empty_text_is_no_filter(name, get, rows):
    assert get("eventLogs", **{name: ""})["total_entries"] == 5
    assert get("eventLogs", **{name: ""}, map_index=0)["total_entries"] == 1


# ---------------------------------------------------------------- secrets
@pytest.mark.parametrize(
    "extra",
    [
        None,
        "",
        "plain words",
        '{"a":1,  "b": "\\u00e9"}',
        "[('host', 'worker-1')]",
        "{\"full_command\": \"['airflow', 'scheduler']\"}",
        '{"conf": {"tokenized": null}}',
    ],
)
def test_an_extra_without_secrets_is_shown_as_it_is_stored(extra, get, add):
    row = add(f.log(extra=extra))
    assert get(f"eventLogs/{row.id}")["extra"] == extra
    assert get("eventLogs")["event_logs"][0]["extra"] == extra


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ({"password": "hidden", "login": "ada"}, {"password": "***", "login": "ada"}),
        ({"conf": {"nested": [{"api_key": "hidden"}]}}, {"conf": {"nested": [{"api_key": "***"}]}}),
        ({"key": "my_password", "val": "hidden"}, {"key": "my_password", "val": "***"}),
        ({"uri": "postgres://ada:hidden@db/x"}, {"uri": "postgres://ada:***@db/x"}),
        ({"extra": '{"token": "hidden"}'}, {"extra": '{"token": "***"}'}),
        (
            {"full_command": "['airflow', 'users', 'create', '-p', 'hidden']"},
            {"full_command": "['airflow', 'users', 'create', '-p', '********']"},
        ),
        (
            {"full_command": "['airflow', 'connections', 'add', 'x', '--conn-password=hidden']"},
            {"full_command": "['airflow', 'connections', 'add', 'x', '--conn-password=********']"},
        ),
        (
            {"full_command": "['airflow', 'variables', 'set', 'my_secret', 'hidden']"},
            {"full_command": "['airflow', 'variables', 'set', 'my_secret', '********']"},
        ),
    ],
)
def test_secrets_in_old_rows_are_masked(stored, shown, get, add):
    row = add(f.log(extra=json.dumps(stored)))
    assert json.loads(get(f"eventLogs/{row.id}")["extra"]) == shown
    assert json.loads(get("eventLogs")["event_logs"][0]["extra"]) == shown


@pytest.mark.parametrize(
    "stored",
    ["[('password', 'hidden')]", "password=hidden", '{"password": "hidden"', "{'token': 'hidden'}", "token: hidden"],
)
def test_secrets_in_rows_of_no_known_form_are_masked(stored, get, add):
    row = add(f.log(extra=stored))
    assert "hidden" not in get(f"eventLogs/{row.id}")["extra"]
