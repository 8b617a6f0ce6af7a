"""The audit rows of bulk data: what tasks came to, and what people and programs did meanwhile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from windsock.demo.bulk_copy import stamp
from windsock.demo.bulk_source import Source

if TYPE_CHECKING:
    from windsock.demo.bulk_instances import Moment
    from windsock.demo.bulk_shapes import Step

_PEOPLE = (("ada", "Ada Lovelace"), ("grace", "Grace Hopper"), ("each", "Each Dags"), ("all", "All Dags"))
#: Events of people, with how often each comes beside the others.
_EVENTS = {"grid": 40, "graph": 20, "trigger": 4, "clear": 5, "confirm": 2, "paused": 1, "api.patch_dag": 6,
           "api.post_dag_run": 12, "api.post_clear_task_instances": 3, "api.variable.edit": 3, "variable.create": 1,
           "api.connection.edit": 1, "cli_scheduler": 1, "cli_task_clear": 1}  # fmt: skip


class Audit:
    """Adds rows to the table `log`; `room` says how many more there may be."""

    def __init__(self, source: Source) -> None:
        self.source, self.pick, self.room = source, source.pick, 0
        self._events = [event for event, often in _EVENTS.items() for _ in range(often)]

    def event(self, moment: Moment, step: Step, index: int, number: int, event: str, when: str) -> None:
        """A task instance has come to a state; `when` is text as the database wants it."""
        if self.room:
            dag = moment.plan.dag
            self._add(when, dag.id, step.task.id, index, event, moment.logical, moment.run_id, dag.owner, None, None,
                      number)  # fmt: skip

    def fill(self, moment: Moment, started: float, left: int) -> None:
        """Commands of workers and deeds of people, shortly before a run, until there is room for `left` rows."""
        while self.room > left:
            row = self._command(moment) if self.pick.getrandbits(2) else self._deed(moment)
            self._add(stamp(started - self.pick.random() * 60), *row)

    def _add(self, *row: Any) -> None:
        self.room -= 1
        self.source.rows["log"].append((self.source.next("log"), *row))

    def _command(self, moment: Moment) -> tuple[Any, ...]:
        dag, step = moment.plan.dag, self.pick.choice(moment.plan.shape.steps)
        words = f"['/usr/bin/airflow', 'tasks', 'run', '{dag.id}', '{step.task.id}', '{moment.run_id}', '--local']"
        extra = f'{{"host_name": "worker-{self.pick.getrandbits(4):02}", "full_command": "{words}"}}'
        return dag.id, step.task.id, None, "cli_task_run", moment.logical, moment.run_id, "airflow", None, extra, None

    def _deed(self, moment: Moment) -> tuple[Any, ...]:
        event, (owner, name) = self.pick.choice(self._events), self.pick.choice(_PEOPLE)
        about = None if "variable" in event or "connection" in event or event == "cli_scheduler" else moment.plan.dag.id
        extra = json.dumps({"dag_id": about} if about else {"key": f"setting_{self.pick.getrandbits(6)}"})
        return about, None, None, event, None, None, owner, name, extra, None
