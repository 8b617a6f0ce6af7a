"""The shapes of bulk DAGs: graphs of tasks that many DAGs share, with what each task instance has in common."""

from __future__ import annotations

import random
from dataclasses import dataclass

from windsock.demo.definitions import Dag, Task
from windsock.demo.serialized import OPERATORS

_SHAPES = 48
_STAGES = ("extract", "clean", "join", "enrich", "check", "aggregate", "load", "index", "compare", "upload")
_POOLS = ("default_pool",) * 6 + ("warehouse", "web", "team_a", "team_b")


@dataclass(frozen=True)
class Step:
    """A task as the generator of runs wants it; `before` are the indexes of the tasks directly before it."""

    task: Task
    before: tuple[int, ...]
    tolerant: bool  # runs although something before it was skipped
    width: int  # of a mapped task, else 0
    feeds: int  # the width of the mapped task behind it, else 0
    settings: tuple[object, ...]  # pool, pool_slots, queue, priority_weight, operator, custom_operator_name


@dataclass(frozen=True)
class Shape:
    """The tasks of a DAG, and how many instances a run of it has."""

    tasks: tuple[Task, ...]
    steps: tuple[Step, ...]

    @property
    def instances(self) -> int:
        """How many task instances a run has."""
        return sum(step.width or 1 for step in self.steps)


def shapes(pick: random.Random, mean: float) -> list[Shape]:
    """Shapes of which a run has about `mean` instances, from less than half of it to nearly the double, by size."""
    made = [_shape(_draw(pick, round(mean * (0.4 + 1.3 * number / _SHAPES)))) for number in range(_SHAPES)]
    return sorted(made, key=lambda shape: shape.instances)


def fan_out(width: int) -> Shape:
    """Three tasks, of which the middle one is mapped over so many partitions."""
    partitions = tuple(f"partition-{number:05}" for number in range(width))
    return _shape([
        Task("list_partitions", "task", argument="partitions", seconds=5),
        Task("load_partition", "task", ("list_partitions",), "partition", 40, "warehouse", mapped=partitions),
        Task("vacuum", "python", ("load_partition",), "vacuum", 120, trigger_rule="none_failed"),
    ])  # fmt: skip


def _shape(tasks: list[Task]) -> Shape:
    graph = Dag("shape", "airflow", tuple(tasks))
    places = {task.id: place for place, task in enumerate(tasks)}
    fed = {up: len(task.mapped) for task in tasks for up in task.after if task.mapped}
    steps = []
    for task in tasks:
        operator = OPERATORS[task.kind]
        settings = (task.pool, 1, task.queue, graph.weight(task.id), operator.name, operator.decorator)
        before = tuple(places[up] for up in task.after)
        tolerant = task.trigger_rule != "all_success"
        steps.append(Step(task, before, tolerant, len(task.mapped), fed.get(task.id, 0), settings))
    return Shape(graph.tasks, tuple(steps))


def _draw(pick: random.Random, instances: int) -> list[Task]:
    """Some tasks with so many instances: a beginning, stages behind each other or side by side, and an end."""
    first = pick.choice((Task("start", "bash", argument="prepare --day {{ ds }}", seconds=8),
                         Task("wait_for_input", "poke", argument="input_is_there", seconds=240)))  # fmt: skip
    tasks = [first]
    if instances >= 7 and pick.random() < 0.4:
        width = pick.randrange(2, instances // 2)
        labels = tuple(f"part-{number}" for number in range(width))
        tasks.append(Task("parts.list", "task", (first.id,), "parts", 4))
        tasks.append(Task("parts.load", "task", ("parts.list",), "part", 60, pick.choice(_POOLS), mapped=labels))
    if instances - _width(tasks) >= 6 and pick.random() < 0.3:
        tasks += [
            Task("full_or_delta", "branch", (first.id,), "full", 2),
            Task("full", "bash", ("full_or_delta",), "load --full", 300),
            Task("delta", "bash", ("full_or_delta",), "load --since {{ data_interval_start }}", 40),
            Task("merged", "empty", ("full", "delta"), seconds=0, trigger_rule="none_failed_min_one_success"),
        ]
    while _width(tasks) < instances - 1:
        tasks.append(_stage(pick, tasks))
    followed = {up for task in tasks for up in task.after}
    ends = tuple(task.id for task in tasks if task.id not in followed)
    return [*tasks, Task("publish", "python", ends, "publish", 15)]


def _stage(pick: random.Random, tasks: list[Task]) -> Task:
    name = f"{pick.choice(_STAGES)}_{len(tasks)}"
    before = pick.choice([task.id for task in tasks if task.kind != "branch" and task.id not in ("full", "delta")][-3:])
    seconds = min(round(pick.lognormvariate(3.2, 1.1), 1), 3600)
    kind, argument = pick.choice((("bash", f"{name} --day {{{{ ds }}}}"), ("python", name), ("python", name)))
    queue = "heavy" if seconds > 200 else "default"
    return Task(name, kind, (before,), argument, seconds, pick.choice(_POOLS), queue)


def _width(tasks: list[Task]) -> int:
    return sum(len(task.mapped) or 1 for task in tasks)
