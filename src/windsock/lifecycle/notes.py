"""Notes on runs and task instances: one row each, with the user who wrote it last."""

from __future__ import annotations

from typing import Any

from windsock import db
from windsock.context import caller
from windsock.models import DagRun, DagRunNote, TaskInstance, TaskInstanceNote
from windsock.models.base import TASK_INSTANCE_KEY


def on_run(run: DagRun, content: str) -> None:
    """Write the note of a locked run; the run itself does not change."""
    _write(DagRunNote, {"dag_run_id": run.id}, content)


def on_task_instance(instance: TaskInstance, content: str) -> None:
    """Write the note of a locked task instance; the instance itself does not change."""
    _write(TaskInstanceNote, {name: getattr(instance, name) for name in TASK_INSTANCE_KEY}, content)


def _write(model: type[Any], key: dict[str, Any], content: str) -> None:
    session, who = db.session(), caller()
    note = session.get(model, key)
    if note is None:
        note = model(**key)
        session.add(note)
    note.content, note.user_id = content, who and who.id
    session.flush()
