"""Trigger rules: what the upstream tasks of a task instance have come to, and whether that lets it start.

The rules and how they count are those of Airflow 2.11 (its `ti_deps/deps/trigger_rule_dep.py` tells the facts).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from windsock import mapping
from windsock.dagdoc import DagDoc
from windsock.taskdoc import TaskDoc

NOWHERE = mapping.Place([], False)
FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class Instance(NamedTuple):
    """One task instance of a run; an instance that is not mapped, or not yet, has the index -1."""

    task_id: str
    map_index: int
    state: str | None


@dataclass(frozen=True)
class Upstream:
    """How many upstream instances there are, and how many have finished in which state."""

    total: int
    setups: int
    removed_may_be_missing: bool
    states: Counter[str]
    setup_states: Counter[str]

    def __getitem__(self, state: str) -> int:
        return self.states[state]

    @property
    def done(self) -> int:
        return sum(self.states.values())

    @property
    def expected(self) -> int:
        """The instances that must have come to something: a mapped instance does not miss what was removed."""
        return self.total - (self["removed"] if self.removed_may_be_missing else 0)

    def __str__(self) -> str:
        # Clients see these counts in each reason, so they are written as Airflow writes them.
        states = ("success", "skipped", "failed", "upstream_failed", "removed")
        counts = [*(f"{state}={self.states[state]}" for state in states), f"done={self.done}"]
        counts += [f"{state}_setup={self.setup_states[state]}" for state in ("success", "skipped")]
        return f"_UpstreamTIStates({', '.join(counts)})"


class Rule(NamedTuple):
    """What a trigger rule requires, the word for what is missing, and how much is missing (0 or less: nothing)."""

    requires: str
    lack: str
    missing: Callable[[Upstream], int]


RULES: dict[str, Rule] = {
    "all_success": Rule("all upstream tasks to have succeeded", "non-success(es)", lambda u: u.expected - u["success"]),
    "all_failed": Rule("a failure of each upstream task", "without one",
                       lambda u: u.expected - u["failed"] - u["upstream_failed"]),
    "all_done": Rule("each upstream task to be finished", "unfinished", lambda u: u.total - u.done),
    "all_done_setup_success": Rule("each upstream task to be finished and a setup among them to be a success",
                                   "that are not", lambda u: _setups_missing(u)),
    "all_skipped": Rule("each upstream task to be skipped", "that are not", lambda u: u.total - u["skipped"]),
    "none_failed": Rule("each upstream task to be a success or skipped", "that are neither",
                        lambda u: u.expected - u["success"] - u["skipped"]),
    "none_failed_min_one_success": Rule("each upstream task to be a success or skipped", "that are neither",
                                        lambda u: u.expected - u["success"] - u["skipped"]),
    "none_skipped": Rule("each upstream task to finish and none to be skipped", "that are skipped or unfinished",
                         lambda u: max(u.total - u.done, 0) + u["skipped"]),
    "one_done": Rule("a success or a failure upstream", "too few", lambda u: 1 - u["success"] - u["failed"]),
    "one_failed": Rule("a failure upstream", "too few", lambda u: 1 - u["failed"] - u["upstream_failed"]),
    "one_success": Rule("a success upstream", "too few", lambda u: 1 - u["success"]),
}  # fmt: skip


def unmet(
    doc: DagDoc, task: TaskDoc, map_index: int, instances: Sequence[Instance], lengths: Mapping[str, int]
) -> Iterator[str]:
    """Why the upstream tasks keep this instance from starting, in words; nothing when they do not.

    `instances` are all task instances of the run, `lengths` the rows of `task_map` (task id: length) of the run.
    """
    direct = doc.upstream_task_ids.get(task.task_id)
    rule = task.trigger_rule
    if not direct or rule in ("always", "dummy"):
        return
    setups = set() if task.is_teardown else _setups(doc, task)
    relevant = _Relevance(doc, task, map_index, {**lengths, **_mapped_lengths(doc, task, instances)})
    names = direct | setups
    instances = [item for item in instances if item.task_id in names and relevant(item)]
    indirect = _count(doc, setups - direct, instances, map_index)
    if indirect.expected > indirect["success"]:
        yield f"The setup tasks {', '.join(sorted(setups))} must be a success first. upstream_states={indirect}"
    upstream = _count(doc, direct, instances, map_index)
    requires, lack, missing = RULES.get(rule, Rule("something that is not known here", "of it", lambda _: 1))
    if (count := missing(upstream)) > 0:
        ids = "{" + ", ".join(repr(name) for name in sorted(direct)) + "}"
        yield (
            f"Task's trigger rule '{rule}' requires {requires}, but found {count} {lack}. "
            f"upstream_states={upstream}, upstream_task_ids={ids}"
        )


def _setups_missing(upstream: Upstream) -> int:
    unfinished = upstream.total - upstream.done
    if unfinished > 0 or upstream.setup_states["success"]:
        return unfinished
    return upstream.setups


def _setups(doc: DagDoc, task: TaskDoc) -> set[str]:
    """The setup tasks before this one that serve it: their teardown comes after it, or they have none."""
    later = {name for name in doc.all_downstream(task.task_id) if doc.task_docs[name].is_teardown}
    found = set()
    for name in doc.all_upstream(task.task_id):
        after = [doc.task_docs[other] for other in doc.task_docs[name].downstream_task_ids if other in doc.task_docs]
        teardowns = {other.task_id for other in after if other.is_teardown}
        if doc.task_docs[name].is_setup and (not teardowns or teardowns & later):
            found.add(name)
    return found


def _mapped_lengths(doc: DagDoc, task: TaskDoc, instances: Sequence[Instance]) -> dict[str, int]:
    """Lengths that no row of task_map tells: a mapped task gives as many values as it has succeeded instances."""
    sources = [mapping.expand_input(group) for group in doc.places.get(task.task_id, NOWHERE).groups]
    names = set().union(*(mapping.referenced_tasks(source) for source in sources))
    lengths = {}
    for name in names:
        states = [item.state for item in instances if item.task_id == name and item.map_index >= 0]
        source_task = doc.task_docs.get(name)
        if source_task and source_task.is_mapped and all(state in FINISHED for state in states):
            lengths[name] = states.count("success")
    return lengths


class _Relevance:
    """Whether an instance of a run is one that the instance in question waits for, as far as mapping decides that."""

    def __init__(self, doc: DagDoc, task: TaskDoc, map_index: int, lengths: Mapping[str, int]) -> None:
        self.doc, self.task, self.map_index, self.lengths = doc, task, map_index, lengths
        self.place = doc.places.get(task.task_id, NOWHERE)
        self.indexes: dict[str, range | None] = {}

    def __call__(self, instance: Instance) -> bool:
        if not self.place.groups or instance.map_index < 0:
            return True
        if instance.task_id not in self.indexes:
            self.indexes[instance.task_id] = self._indexes(instance.task_id)
        indexes = self.indexes[instance.task_id]
        return indexes is None or instance.map_index in indexes

    def _indexes(self, upstream_id: str) -> range | None:
        groups = self.place.groups
        if self.place.directly and self.task.trigger_rule in ("one_success", "one_failed", "one_done"):
            # Such a rule is met by any instance, except those that the groups themselves unfold from.
            sources = set().union(*(mapping.referenced_tasks(mapping.expand_input(group)) for group in groups))
            if upstream_id not in sources:
                return None
        upstream_groups = self.doc.places.get(upstream_id, NOWHERE).groups
        return mapping.relevant_indexes(groups, upstream_groups, self.map_index, self.lengths)


def _count(doc: DagDoc, task_ids: set[str], instances: Sequence[Instance], map_index: int) -> Upstream:
    mine = [instance for instance in instances if instance.task_id in task_ids]
    tasks = [doc.task_docs[task_id] for task_id in task_ids]
    # Without mapping each task counts once, also when its instance does not exist (yet).
    names = [instance.task_id for instance in mine] if any(task.needs_expansion for task in tasks) else list(task_ids)
    setups = {task.task_id for task in tasks if task.is_setup}
    finished = [instance for instance in mine if instance.state in FINISHED]
    return Upstream(
        total=len(names),
        setups=sum(name in setups for name in names),
        removed_may_be_missing=map_index > -1,
        states=Counter(str(instance.state) for instance in finished),
        setup_states=Counter(str(instance.state) for instance in finished if instance.task_id in setups),
    )
