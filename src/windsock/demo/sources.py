"""The text of the demo's DAG files, for `dag_code`."""

from __future__ import annotations

from datetime import timedelta

from windsock.demo.definitions import START, Dag, Task
from windsock.demo.serialized import OPERATORS


def source(dag: Dag) -> str:
    """A DAG file that declares this DAG."""
    kinds = {task.kind for task in dag.tasks}
    lines = [f'"""{dag.description or dag.id}."""', "", "import datetime", "", "from airflow import DAG, Dataset"]
    lines += sorted({_import(kind) for kind in kinds})
    lines += ["", "with DAG("]
    lines += [f"    {argument}," for argument in _arguments(dag)]
    lines += [") as dag:"]
    for task in dag.tasks:
        lines += _declare(dag, task)
    lines += [f"    {_name(up)} >> {_name(task.id)}" for task in dag.tasks for up in task.after if not task.mapped]
    return "\n".join(lines) + "\n"


def _import(kind: str) -> str:
    operator = OPERATORS[kind]
    if operator.decorator:
        return "from airflow.decorators import task"
    return f"from {operator.module} import {operator.name}"


def _arguments(dag: Dag) -> list[str]:
    schedule = repr(dag.schedule)
    if dag.condition:
        kind, uris = dag.condition
        schedule = f" {'|' if kind == 'any' else '&'} ".join(f"Dataset({uri!r})" for uri in uris)
    elif isinstance(dag.schedule, timedelta):
        schedule = f"datetime.timedelta(seconds={dag.schedule.total_seconds():.0f})"
    found = [
        repr(dag.id),
        f"schedule={schedule}",
        f"start_date=datetime.datetime({START.year}, {START.month}, {START.day}, tzinfo=datetime.timezone.utc)",
        "catchup=False",
        f"default_args={{'owner': {dag.owner!r}, 'retries': {dag.retries}}}",
    ]
    return found + ([f"tags={list(dag.tags)!r}"] if dag.tags else [])


def _declare(dag: Dag, task: Task) -> list[str]:
    operator, name = OPERATORS[task.kind], _name(task.id)
    settings = "" if task.pool == "default_pool" else f", pool={task.pool!r}"
    if operator.decorator:
        head = f"{operator.decorator}(task_id={task.id!r}{settings})"
        parameter, call, value = "", "()", "[]"
        if task.mapped:
            upstream = dag.task(task.after[0])
            output = _name(upstream.id) + ("" if OPERATORS[upstream.kind].decorator else ".output")
            parameter, call, value = task.argument, f".expand({task.argument}={output})", f"len({task.argument})"
        function = [f"    def run_{name}({parameter}):", f"        return {value}"]
        return ["", f"    {head}", *function, "", f"    {name} = run_{name}{call}"]
    arguments = [f"task_id={task.id!r}"]
    if operator.argument:
        arguments.append(f"{operator.argument}={task.argument!r}")
    elif task.kind in ("python", "poke"):
        arguments.append(f"python_callable=lambda: {task.argument!r}")
    if task.outlets:
        arguments.append(f"outlets=[{', '.join(f'Dataset({uri!r})' for uri in task.outlets)}]")
    return [f"    {name} = {operator.name}({', '.join(arguments)}{settings})"]


def _name(task_id: str) -> str:
    return task_id.replace(".", "_")
