"""What a task saw, one JSON line each, in the file $WITNESS: the test counts the lines."""

from __future__ import annotations

import json
import os
from typing import Any

from airflow.operators.python import get_current_context


def saw(value: Any = None) -> None:
    """Note that the task which calls this was executed, and a value that it has seen."""
    context = get_current_context()
    task = context["ti"]
    line = json.dumps([task.dag_id, task.run_id, task.task_id, task.map_index, task.try_number, value])
    with open(os.environ["WITNESS"], "a") as file:  # a short line is appended in one piece
        file.write(line + "\n")
