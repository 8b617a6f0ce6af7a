"""What the tasks of the demo leave behind: rendered fields, XComs and log texts."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from typing import Any

from windsock.demo.definitions import Task
from windsock.demo.serialized import OPERATORS
from windsock.demo.world import Run


def encode(value: Any) -> bytes:
    """A value as the column `xcom.value` holds it."""
    return json.dumps(value).encode()


def rendered(task: Task, run: Run, label: str | None) -> dict[str, Any]:
    """The template fields of a task instance after rendering."""
    fields: dict[str, Any] = dict.fromkeys(OPERATORS[task.kind].template_fields)
    if "op_args" in fields:
        fields |= {"op_args": [], "op_kwargs": {task.argument: label} if label else {}}
    if name := OPERATORS[task.kind].argument:
        fields[name] = _render(task.argument, run)
    if task.kind == "trigger":
        fields |= {"conf": {"from": run.dag.id}, "wait_for_completion": False, "skip_when_already_exists": False}
    return fields


def values(
    task: Task, run: Run, label: str | None, chosen: str | None, end: datetime, pick: random.Random
) -> dict[str, Any]:
    """The XComs of an instance that succeeded, by key, as they are written in JSON."""
    rows = pick.randrange(20_000, 60_000)
    if task.kind == "branch":
        return {"return_value": chosen, "skipmixin_key": {"followed": [chosen]}}
    if task.kind == "trigger":
        triggered = end.isoformat()
        return {"trigger_logical_date_iso": triggered, "trigger_run_id": f"manual__{triggered}"}
    if task.kind == "bash":
        return {"return_value": f"{rows} rows"}
    if task.kind == "task":
        if label is None:
            return {"return_value": _labels(task, run)}
        return {"return_value": {"rows": rows, "countries": ["SE", "NO"]} if run.dag.id == "nightly_sales" else rows}
    if task.kind == "python":
        return {"return_value": {"rows": rows, "seconds": task.seconds}, **_further(task.id, end, rows)}
    return {}


def _further(task_id: str, end: datetime, rows: int) -> dict[str, Any]:
    """XComs of further kinds: numbers, texts, null and the typed values of Airflow's serializer."""
    name = task_id.rpartition(".")[2]
    utc = _typed("builtins.tuple", 1, ["UTC", "pendulum.tz.timezone.FixedTimezone", 1, True])
    loaded = _typed("datetime.datetime", 2, {"timestamp": end.timestamp(), "tz": utc})
    found: dict[str, dict[str, Any]] = {
        "load": {"loaded_at": loaded, "table": "sales.daily", "warnings": None},
        "evaluate": {"mape": 0.137, "epochs": 20, "better_than_before": True},
        "compare": {"cheapest": _typed("decimal.Decimal", 1, 19.9), "undercut": ["beta", "délta"]},
        "parse": {"range": _typed("builtins.tuple", 1, [1, rows]), "lag": _typed("datetime.timedelta", 2, 5400.0)},
    }
    return found.get(name, {})


def _typed(name: str, version: int, data: Any) -> dict[str, Any]:
    return {"__classname__": name, "__version__": version, "__data__": data}


def _labels(task: Task, run: Run) -> list[str]:
    """What the mapped tasks behind a task unfold from."""
    behind = [run.dag.task(name) for name in run.dag.downstream(task.id)]
    return [label for other in behind for label in other.mapped]


def _render(text: str, run: Run) -> str:
    begin, end = run.interval
    meanings = {
        "{{ ds }}": run.logical.date().isoformat(),
        "{{ data_interval_start }}": begin.isoformat(),
        "{{ data_interval_end.add(minutes=6) }}": (end + timedelta(minutes=6)).isoformat(),
    }
    for template, meaning in meanings.items():
        text = text.replace(template, meaning)
    return text


def log_text(task: Task, run: Run, label: str | None, state: str, begin: datetime, end: datetime | None) -> str:
    """The log of one try, in the line format of Airflow's task logs."""
    what = f"{run.dag.id}.{task.id}" + (f" [{label}]" if label else "")
    lines = [(begin, "INFO", f"Begin {what} for {run.run_id}")]
    if command := rendered(task, run, label).get("bash_command"):
        lines.append((begin, "INFO", f"$ {command}"))
    last = end or begin
    for part in range(1, 6):
        share = (last - begin) * part / 6
        lines.append((begin + share, "INFO", f"{part * 20} % done"))
        if part == 3 and state == "failed":
            lines.append((begin + share, "ERROR", f"{what} stops: a row has no currency\n{_traceback(run)}"))
            break
    lines.append((last, "INFO", f"{what} is now {state}"))
    return "".join(f"[{_stamp(when)}] {{{run.dag.id}.py:21}} {level} - {text}\n" for when, level, text in lines)


def _stamp(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}+0000"


def _traceback(run: Run) -> str:
    return (
        "Traceback (most recent call last):\n"
        f'  File "{run.dag.fileloc}", line 21, in rows_of_day\n'
        '    raise ValueError("currency is empty in row 4711")\n'
        "ValueError: currency is empty in row 4711"
    )
