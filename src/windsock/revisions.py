"""The schemas of Airflow 2.5 to 2.11: their revisions, and what each release added to the one before.

Facts, from airflow/migrations/versions of the releases; compared with the databases that they make.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

Columns = dict[str, dict[str, Any]]


class Release(NamedTuple):
    """A minor release of Airflow, with the revisions at which one of its versions leaves a database.

    `columns` are new ones, by table, with what Airflow's own migration writes into rows that are there already.
    """

    version: str
    revisions: tuple[str, ...]
    columns: Columns = {}
    tables: tuple[str, ...] = ()


#: Oldest first. Between 2.10 and 2.11 nothing differs.
RELEASES = (
    Release("2.5", ("290244fb8b83",)),
    Release("2.6", ("98ae134e6fff", "c804e5c76e3e")),
    Release(
        "2.7",
        ("405de8318b3a",),
        {"slot_pool": {"include_deferred": False}, "task_instance": {"custom_operator_name": None}},
    ),
    Release(
        "2.8",
        ("10b52ebd31f7", "88344c1d9134"),
        {
            "dag_run": {"clear_number": 0},
            "import_error": {"processor_subdir": None},
            "log": {"owner_display_name": None},
        },
    ),
    Release(
        "2.9",
        ("1949afb29106", "686269002441"),
        {
            "dag": {"dag_display_name": None, "dataset_expression": None, "max_consecutive_failed_dag_runs": 0},
            "log": {"run_id": None},
            "task_instance": {"rendered_map_index": None, "task_display_name": None},
        },
    ),
    Release(
        "2.10",
        ("22ed7efa9da2", "5f2621c13b39"),
        {"log": {"try_number": None}, "task_instance": {"executor": None}},
        (
            "dag_priority_parsing_request",
            "dag_schedule_dataset_alias_reference",
            "dataset_alias",
            "dataset_alias_dataset",
            "dataset_alias_dataset_event",
            "task_instance_history",
        ),
    ),
)
LATEST = RELEASES[-1].revisions[-1]


class Found(NamedTuple):
    """The release whose schema a database has, and what it lacks of the latest one."""

    version: str
    columns: Columns
    tables: frozenset[str]

    @property
    def number(self) -> tuple[int, ...]:
        """The version, to be compared."""
        return tuple(map(int, self.version.split(".")))

    @property
    def longest_event(self) -> int:
        """How many characters `log.event` takes."""
        return 60 if self.number >= (2, 9) else 30

    @property
    def state_of_the_undone(self) -> str:
        """The state of tasks that a failed run leaves undone.

        Before 2.10, a task that is stopped puts its run back to `running`, and the scheduler decides by the last
        tasks again: to it a skipped one is a success.
        """
        return "skipped" if self.number >= (2, 10) else "upstream_failed"

    @property
    def uncounted(self) -> tuple[str, ...]:
        """The states in which the try of a task that has begun is not counted, until it goes on or ends."""
        return () if self.number >= (2, 10) else ("deferred", "up_for_reschedule")


@lru_cache
def find(revision: str) -> Found | None:
    """The schema that a known revision stands for."""
    for place, release in enumerate(RELEASES):
        if revision in release.revisions:
            return _without(release.version, RELEASES[place + 1 :])
    return None


def _without(version: str, later: tuple[Release, ...]) -> Found:
    columns: Columns = {}
    for release in later:
        for table, added in release.columns.items():
            columns[table] = columns.get(table, {}) | added
    return Found(version, columns, frozenset(name for release in later for name in release.tables))
