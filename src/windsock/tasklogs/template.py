"""The path of a log, from `[logging] log_filename_template`: what it may contain is listed, all else is refused.

A template may come from the table log_template, so from whoever can write to the database. It is compiled only when
each of its parts is one of the few that paths need: no other name or attribute, no call but the formatting of dates,
no loop, no arithmetic. Names and their values are those of Airflow 2.11.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from windsock.tasklogs.attempts import Attempt

#: Characters of a template, and of what a filter may make.
LONGEST = 2000
_DATES = {"execution_date", "logical_date", "data_interval_start", "data_interval_end"}
_TEXTS = {"try_number", "run_id", "ts", "ts_nodash", "ds", "ds_nodash"}
_INSTANCE = {"dag_id", "run_id", "task_id", "map_index", "try_number", "execution_date"}
#: Names of a template with those attributes of each that it may use.
_NAMES: dict[str, set[str]] = {
    **{name: set() for name in _DATES | _TEXTS},
    "ti": _INSTANCE,
    "task_instance": _INSTANCE,
    "dag_run": _DATES | {"dag_id", "run_id", "run_type"},
    "dag": {"dag_id"},
    "task": {"dag_id", "task_id"},
}
_CALLS = {"isoformat", "strftime", "date"}
_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand,
    nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Concat, nodes.Const,
)  # fmt: skip


class TemplateRefused(ValueError):
    """The template contains more than the path of a log needs, or cannot be read; the message says what."""


class _Moment(datetime):
    """A date that prints in ISO format, as those that Airflow gives to templates."""

    def __str__(self) -> str:
        return self.isoformat()


def log_path(template: str, attempt: Attempt) -> str:
    """The path of the log of a try, relative to the log folder. Raises TemplateRefused."""
    return _compiled(template)(attempt)


@lru_cache(100)
def _compiled(template: str) -> Callable[[Attempt], str]:
    if len(template) > LONGEST:
        raise TemplateRefused(f"it has {len(template)} characters; it may have {LONGEST}")
    try:
        return _jinja(template) if "{{" in template else _format(template)  # Airflow tells them apart this way
    except (TemplateError, ValueError, RecursionError) as error:
        raise TemplateRefused(str(error)) from None


# ---------------------------------------------------------------- Jinja
def _replace(text: object, old: object, new: object) -> str:
    found = str(text)
    if len(found) * (len(str(new)) + 1) > LONGEST:
        raise TemplateRefused("replace makes a text that is too long")
    return found.replace(str(old), str(new))


_environment = ImmutableSandboxedEnvironment()
_environment.globals.clear()
_environment.filters = {
    "replace": _replace, "lower": lambda text: str(text).lower(), "upper": lambda text: str(text).upper(),
    "string": str, "int": int, "trim": lambda text: str(text).strip(),
}  # fmt: skip


def _jinja(template: str) -> Callable[[Attempt], str]:
    parsed = _environment.parse(template)
    for node in [parsed, *parsed.find_all(nodes.Node)]:
        _check(node)
    compiled = _environment.from_string(template)

    def path(attempt: Attempt) -> str:
        try:
            return compiled.render(_values(attempt))
        except (TemplateError, ValueError, TypeError, AttributeError) as error:
            raise TemplateRefused(str(error)) from None

    return path


def _check(node: nodes.Node) -> None:
    """Refuse a part of a template that is none of the few that are allowed."""
    if isinstance(node, nodes.Name):
        allowed = node.ctx == "load" and node.name in _NAMES
    elif isinstance(node, nodes.Getattr):
        allowed = _is_member(node) or (node.attr in _CALLS and not node.attr.startswith("_"))
    elif isinstance(node, nodes.Call):
        constant = all(isinstance(argument, nodes.Const) for argument in node.args)
        plain = constant and not node.kwargs and node.dyn_args is None and node.dyn_kwargs is None
        allowed = plain and isinstance(node.node, nodes.Getattr) and node.node.attr in _CALLS
    elif isinstance(node, nodes.Filter):
        allowed = node.name in _environment.filters
    else:
        allowed = type(node) in _NODES
    if not allowed:
        what = getattr(node, "attr", None) or getattr(node, "name", None) or type(node).__name__
        raise TemplateRefused(f"{what!r} in line {node.lineno} is not for the paths of logs")


def _is_member(node: nodes.Getattr) -> bool:
    return isinstance(node.node, nodes.Name) and node.attr in _NAMES.get(node.node.name, ())


def _values(attempt: Attempt) -> dict[str, Any]:
    when = _moment(attempt.execution_date)
    dates = {name: _moment(getattr(attempt, name, when)) for name in _DATES}  # the logical date is the execution date
    key = {name: getattr(attempt, name) for name in ("dag_id", "run_id", "task_id", "map_index", "try_number")}
    instance = SimpleNamespace(**key, execution_date=when)
    return {
        **dates,
        "ti": instance,
        "task_instance": instance,
        "dag_run": SimpleNamespace(**dates, dag_id=attempt.dag_id, run_id=attempt.run_id, run_type=attempt.run_type),
        "dag": SimpleNamespace(dag_id=attempt.dag_id),
        "task": SimpleNamespace(dag_id=attempt.dag_id, task_id=attempt.task_id),
        "try_number": attempt.try_number,
        "run_id": attempt.run_id,
        "ts": attempt.execution_date.isoformat(),
        "ts_nodash": f"{when:%Y%m%dT%H%M%S}",
        "ds": f"{when:%Y-%m-%d}",
        "ds_nodash": f"{when:%Y%m%d}",
    }


def _moment(found: datetime | None) -> _Moment | None:
    # On Python 3.10, marshmallow puts a `fromisoformat` in place that forgets the class.
    return None if found is None else _Moment.combine(found.date(), found.timetz())


# ---------------------------------------------------------------- str.format
def _format(template: str) -> Callable[[Attempt], str]:
    """A template of the old kind: names in single braces, without attributes, conversions and widths."""
    known = {"dag_id", "run_id", "task_id", "map_index", "try_number", "data_interval_start", "data_interval_end"}
    known.add("execution_date")
    for _, name, width, conversion in string.Formatter().parse(template):
        if name is not None and (name not in known or width or conversion):
            raise TemplateRefused(f"{{{name}}} is not for the paths of logs; known: {', '.join(sorted(known))}")

    def path(attempt: Attempt) -> str:
        found = {name: getattr(attempt, name) for name in known}
        return template.format(
            **{k: "" if v is None else v.isoformat() if isinstance(v, datetime) else v for k, v in found.items()}
        )

    return path
