"""Import errors: who may see which file, and how much of it."""

from __future__ import annotations

from typing import Any

import pytest

import factories as f
from clients import API
from problems import assert_problem

RIGHT = "ImportError.can_read"


def test_an_error_shows_what_is_stored(get, add):
    row = add(f.import_error(stacktrace="Traceback:\n  Ž"))
    expected = {
        "import_error_id": row.id,
        "timestamp": "2026-03-01T02:00:00.123456+00:00",
        "filename": "/opt/airflow/dags/broken.py",
        "stack_trace": "Traceback:\n  Ž",
    }
    assert get(f"importErrors/{row.id}") == expected
    assert get("importErrors") == {"import_errors": [expected], "total_entries": 1}


@pytest.fixture
def errors(add: Any) -> dict[str, int]:
    """The numbers of the errors of files with DAGs of one reader, of two, of another one, and of nobody."""
    add(
        f.dag("mine", fileloc="/dags/mine.py"),
        f.dag("mine.section", fileloc="/dags/mine.py", is_subdag=True, root_dag_id="mine"),
        f.dag("gone", fileloc="/dags/gone.py", is_active=False),
        f.dag("mine_too", fileloc="/dags/mixed.py"),
        f.dag("theirs", fileloc="/dags/mixed.py"),
        f.dag("foreign", fileloc="/dags/foreign.py"),
    )
    rows = {name: f.import_error(filename=f"/dags/{name}.py", stacktrace=name) for name in NAMES}
    add(*rows.values())
    return {name: row.id for name, row in rows.items()}


NAMES = ("mine", "gone", "mixed", "foreign", "nobody")


@pytest.mark.parametrize(
    ("rights", "shown", "redacted"),
    [
        (["DAGs.can_read"], set(NAMES), set()),
        (["DAG:mine.can_read", "DAG:gone.can_read"], {"mine", "gone"}, set()),
        (["DAG:mine_too.can_read"], set(), {"mixed"}),
        (["DAG:mine_too.can_read", "DAG:theirs.can_read"], {"mixed"}, set()),
        (["DAG:mine.can_read", "DAG:theirs.can_read"], {"mine"}, {"mixed"}),
        (["DAG:mine.section.can_read"], set(), {"mine"}),
        (["DAG:mine_too.can_edit"], set(), set()),
        ([], set(), set()),
    ],
)
def test_a_reader_sees_errors_of_files_with_readable_dags_and_no_foreign_code(
    rights, shown, redacted, errors, get, as_user
):
    reader = as_user(permissions=[RIGHT, *rights])
    found = get("importErrors", by=reader)
    assert found["total_entries"] == len(shown | redacted)
    traces = {error["import_error_id"]: error["stack_trace"] for error in found["import_errors"]}
    assert traces.keys() == {errors[name] for name in shown | redacted}
    for name, number in errors.items():
        if name in shown | redacted:
            assert get(f"importErrors/{number}", by=reader)["stack_trace"] == traces[number]
            assert (traces[number] == name) == (name in shown)
            assert traces[number].startswith("Redacted") == (name in redacted)
        else:
            assert_problem(reader.get(f"{API}/importErrors/{number}"), 404)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"order_by": "-filename"}, ["nobody", "mixed", "mine", "gone", "foreign"]),
        ({"order_by": "import_error_id", "limit": 2}, ["mine", "gone"]),
    ],
)
def test_errors_are_ordered_by(query, expected, get, errors):
    assert [error["stack_trace"] for error in get("importErrors", **query)["import_errors"]] == expected
