"""What the task instances of each pool hold at present: a SELECT over task_instance, not a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, case, cast, func, literal_column, select, text
from sqlalchemy.orm import Mapped, foreign, relationship

from windsock.models.base import Base
from windsock.models.store import Pool
from windsock.models.task_instance import TaskInstance

_STATES = ("running", "queued", "scheduled", "deferred")


def _held(state: str) -> Any:
    held = func.sum(case((TaskInstance.state == _word(state), TaskInstance.pool_slots), else_=text("0")))
    return cast(held, Integer).label(state)  # MySQL makes a decimal of it


def _word(state: str) -> Any:
    """A state as part of the text, since each parameter of a statement takes a microsecond."""
    return literal_column(f"'{state}'", TaskInstance.state.type)


def occupied(running: int | None, queued: int | None, deferred: int | None, include_deferred: bool | None) -> int:
    """Slots that are taken; deferred task instances take some only where the pool says so."""
    return (running or 0) + (queued or 0) + ((deferred or 0) if include_deferred else 0)


class PoolUsage(Base):
    """Slots held in each of the states that count, for pools in which any are held."""

    __table__ = (
        select(TaskInstance.pool, *(_held(state) for state in _STATES))
        .where(TaskInstance.state.in_([_word(state) for state in _STATES]))
        .group_by(TaskInstance.pool)
        .subquery("pool_usage")
    )
    __mapper_args__ = {"primary_key": [__table__.c.pool]}

    if TYPE_CHECKING:
        pool: Mapped[str]
        running: Mapped[int]
        queued: Mapped[int]
        scheduled: Mapped[int]
        deferred: Mapped[int]


Pool.usage = relationship(
    PoolUsage,
    primaryjoin=lambda: Pool.pool == foreign(PoolUsage.pool),
    uselist=False,
    viewonly=True,
    lazy="raise",
)
