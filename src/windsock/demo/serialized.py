"""A DAG of the demo as Airflow 2.10 and 2.11 serialize it: the JSON of `serialized_dag.data`."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any, NamedTuple

from windsock.demo.definitions import FOLDER, START, Dag, Task


class Operator(NamedTuple):
    """What the serialized form says about every task of a kind."""

    name: str
    module: str
    color: str
    template_fields: tuple[str, ...] = ()
    template_ext: tuple[str, ...] = ()
    renderers: dict[str, str] = {}
    decorator: str | None = None
    links: tuple[str, ...] = ()
    argument: str = ""  # the attribute that holds Task.argument


_PYTHON = ("templates_dict", "op_args", "op_kwargs")
_PYTHON_RENDERERS = {"templates_dict": "json", "op_args": "py", "op_kwargs": "py"}
_TRIGGER = (
    "trigger_dag_id", "trigger_run_id", "logical_date", "conf", "wait_for_completion", "skip_when_already_exists",
)  # fmt: skip

# Read off DAGs that Airflow 2.11.2 serialized.
OPERATORS = {
    "bash": Operator("BashOperator", "airflow.operators.bash", "#f0ede4", ("bash_command", "env", "cwd"),
                     (".sh", ".bash"), {"bash_command": "bash", "env": "json"}, argument="bash_command"),
    "python": Operator("PythonOperator", "airflow.operators.python", "#ffefeb", _PYTHON, (), _PYTHON_RENDERERS),
    "task": Operator("_PythonDecoratedOperator", "airflow.decorators.python", "#ffefeb", _PYTHON, (),
                     _PYTHON_RENDERERS, "@task"),
    "branch": Operator("_BranchPythonDecoratedOperator", "airflow.decorators.branch_python", "#ffefeb", _PYTHON, (),
                       _PYTHON_RENDERERS, "@task.branch"),
    "poke": Operator("PythonSensor", "airflow.sensors.python", "#e6f1f2", _PYTHON),
    "wait": Operator("DateTimeSensorAsync", "airflow.sensors.date_time", "#e6f1f2", ("target_time",),
                     argument="target_time"),
    "trigger": Operator("TriggerDagRunOperator", "airflow.operators.trigger_dagrun", "#ffefeb", _TRIGGER, (),
                        {"conf": "py"}, links=("airflow.operators.trigger_dagrun.TriggerDagRunLink",),
                        argument="trigger_dag_id"),
    "empty": Operator("EmptyOperator", "airflow.operators.empty", "#e8f7e4"),
}  # fmt: skip
_SENSORS = ("poke", "wait")


def document(dag: Dag) -> dict[str, Any]:
    """The whole document."""
    body: dict[str, Any] = {
        **_schedule(dag),
        "edge_info": {},
        "timezone": dag.timezone,
        "default_args": _typed({"owner": dag.owner, "retries": dag.retries}),
        "_task_group": _groups(dag),
        "catchup": False,
        "_dag_id": dag.id,
        "fileloc": dag.fileloc,
        "start_date": START.timestamp(),
        "tags": list(dag.tags),
        "_processor_dags_folder": FOLDER,
        "tasks": [{"__var": _task(dag, task), "__type": "operator"} for task in dag.tasks],
        "dag_dependencies": _dependencies(dag),
        "params": [[name, _param(**param)] for name, param in dag.params.items()],
    }
    optional = {
        "_description": dag.description,
        "_dag_display_property_value": dag.display_name,
        "doc_md": dag.doc_md,
        "dagrun_timeout": dag.run_timeout and float(dag.run_timeout),
        "max_active_runs": dag.max_active_runs if dag.max_active_runs != 16 else None,
        "max_consecutive_failed_dag_runs": dag.max_failed_runs or None,
        "is_paused_upon_creation": True if dag.id == "nightly_sales" else None,
        "owner_links": owner_links(dag) or None,
    }
    return {"__version": 1, "dag": body | {key: value for key, value in optional.items() if value is not None}}


def digest(data: dict[str, Any]) -> str:
    """`serialized_dag.dag_hash`: a hash of the document, members sorted."""
    return hashlib.md5(json.dumps(data, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def owner_links(dag: Dag) -> dict[str, str]:
    """The links of the DAG's owner."""
    return {"data-platform": "https://wiki.example.com/data-platform"} if dag.owner == "data-platform" else {}


def _schedule(dag: Dag) -> dict[str, Any]:
    if dag.condition:
        kind, uris = dag.condition
        objects = [{"__type": "dataset", "uri": uri, "extra": None} for uri in uris]
        condition = {"__type": f"dataset_{kind}", "objects": objects}
        return {"timetable": _timetable("simple.DatasetTriggeredTimetable", dataset_condition=condition)}
    if dag.schedule is None or dag.schedule == "@once":
        return {"schedule_interval": dag.schedule}
    if isinstance(dag.schedule, timedelta):
        return {"schedule_interval": {"__var": dag.schedule.total_seconds(), "__type": "timedelta"}}
    if dag.schedule.startswith("@"):
        return {"schedule_interval": dag.schedule}
    timetable = _timetable("interval.CronDataIntervalTimetable", expression=dag.schedule, timezone=dag.timezone)
    return {"timetable": timetable}


def _timetable(name: str, **members: Any) -> dict[str, Any]:
    return {"__type": f"airflow.timetables.{name}", "__var": members}


def _task(dag: Dag, task: Task) -> dict[str, Any]:
    operator = OPERATORS[task.kind]
    body: dict[str, Any] = {
        "task_id": task.id,
        "_task_type": operator.name,
        "_task_module": operator.module,
        "_is_empty": task.kind == "empty",
        "ui_color": operator.color,
        "ui_fgcolor": "#000",
        "template_fields": list(operator.template_fields),
        "template_ext": list(operator.template_ext),
        "template_fields_renderers": operator.renderers,
        "downstream_task_ids": dag.downstream(task.id),
        "start_from_trigger": False,
        "start_trigger_args": None,
        "_needs_expansion": bool(task.mapped),
    }
    if operator.decorator:
        body["_operator_name"] = operator.decorator
    return body | (_mapped(dag, task) if task.mapped else _plain(dag, task, operator))


def _plain(dag: Dag, task: Task, operator: Operator) -> dict[str, Any]:
    body = {
        **_settings(dag, task),
        "weight_rule": "downstream",
        "is_setup": task.rank == "setup",
        "is_teardown": task.rank == "teardown",
        "on_failure_fail_dagrun": False,
        "_log_config_logger_name": "airflow.task.operators",
        "pool": task.pool,
        **({"op_args": [], "op_kwargs": {}} if "op_args" in operator.template_fields else {}),
        **({operator.argument: task.argument} if operator.argument else {}),
        **({"reschedule": task.kind == "poke"} if task.kind in _SENSORS else {}),
    }
    if operator.links:
        body["_operator_extra_links"] = [{link: {}} for link in operator.links]
    if task.outlets:
        body["outlets"] = [{"__var": {"uri": uri, "extra": None}, "__type": "dataset"} for uri in task.outlets]
    return body


def _mapped(dag: Dag, task: Task) -> dict[str, Any]:
    reference = {"__var": {"task_id": task.after[0], "key": "return_value"}, "__type": "xcomref"}
    partial = {
        **_settings(dag, task),
        "pool": task.pool,
        "map_index_template": f"{{{{ {task.argument} }}}}",
        "is_setup": False,
        "is_teardown": False,
        "on_failure_fail_dagrun": False,
        "op_args": [],
        "op_kwargs": _typed({}),
    }
    return {
        "_is_mapped": True,
        "partial_kwargs": partial,
        "_expand_input_attr": "op_kwargs_expand_input",
        "op_kwargs_expand_input": {"type": "dict-of-lists", "value": _typed({task.argument: reference})},
        "_disallow_kwargs_override": False,
        "operator_extra_links": [],
    }


def _settings(dag: Dag, task: Task) -> dict[str, Any]:
    """What a plain task has itself and a mapped one in its partial arguments; defaults are left out."""
    found = {
        "owner": dag.owner,
        "retries": dag.retries or None,
        "queue": task.queue if task.queue != "default" else None,
        "trigger_rule": task.trigger_rule if task.trigger_rule != "all_success" else None,
        "execution_timeout": task.timeout and float(task.timeout),
        "sla": task.sla and float(task.sla),
        "doc_md": task.doc_md,
    }
    return {key: value for key, value in found.items() if value is not None}


def _groups(dag: Dag) -> dict[str, Any]:
    root = _group(None)
    for task in dag.tasks:
        home = root
        if task.group:
            home = root["children"].setdefault(task.group, ["taskgroup", _group(task.group)])[1]
        home["children"][task.id] = ["operator", task.id]
    for name, child in root["children"].items():
        if child[0] == "taskgroup":
            _link(dag, name, child[1])
    return root


def _group(name: str | None) -> dict[str, Any]:
    edges: dict[str, Any] = {
        f"{side}_{kind}_ids": [] for kind in ("group", "task") for side in ("upstream", "downstream")
    }
    look = {"tooltip": "", "ui_color": "CornflowerBlue", "ui_fgcolor": "#000"}
    return {"_group_id": name, "prefix_group_id": True, **look, "children": {}, **edges}


def _link(dag: Dag, name: str, group: dict[str, Any]) -> None:
    inside = [task for task in dag.tasks if task.group == name]
    group["upstream_task_ids"] = sorted({up for task in inside for up in task.after if dag.task(up).group != name})
    group["downstream_task_ids"] = sorted(
        {down for task in inside for down in dag.downstream(task.id) if dag.task(down).group != name}
    )


def _dependencies(dag: Dag) -> list[dict[str, str]]:
    uris = dag.condition[1] if dag.condition else ()
    edges = [("dataset", dag.id, "dataset", uri) for uri in sorted(uris)]
    edges += [(dag.id, "dataset", "dataset", uri) for task in dag.tasks for uri in task.outlets]
    edges += [(dag.id, task.argument, "trigger", task.id) for task in dag.tasks if task.kind == "trigger"]
    names = ("source", "target", "dependency_type", "dependency_id")
    return [dict(zip(names, edge, strict=True)) for edge in edges]


def _param(default: Any, description: str | None, schema: dict[str, Any]) -> dict[str, Any]:
    param = {"__class": "airflow.models.param.Param", "default": default, "description": description}
    return {**param, "schema": _typed(schema)}


def _typed(value: dict[str, Any]) -> dict[str, Any]:
    return {"__var": value, "__type": "dict"}
