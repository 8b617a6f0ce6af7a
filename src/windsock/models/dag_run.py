"""Runs of DAGs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, relationship

from windsock.columns import Pickled
from windsock.models.base import ID, Base, utcnow

if TYPE_CHECKING:
    from windsock.models.dataset import DatasetEvent


def _state_index(state: str) -> Index:
    where = text(f"state='{state}'")
    return Index(f"idx_dag_run_{state}_dags", "state", "dag_id", postgresql_where=where, sqlite_where=where)


class DagRun(Base):
    """One run of a DAG."""

    __tablename__ = "dag_run"
    __table_args__ = (
        UniqueConstraint("dag_id", "execution_date", name="dag_run_dag_id_execution_date_key"),
        UniqueConstraint("dag_id", "run_id", name="dag_run_dag_id_run_id_key"),
        Index("idx_dag_run_dag_id", "dag_id"),
        Index("dag_id_state", "dag_id", "state"),
        _state_index("queued"),
        _state_index("running"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    dag_id: Mapped[str] = mapped_column(ID)
    queued_at: Mapped[datetime | None]
    execution_date: Mapped[datetime] = mapped_column(default=utcnow)
    start_date: Mapped[datetime | None]
    end_date: Mapped[datetime | None]
    state: Mapped[str | None] = mapped_column(String(50), default="queued")
    run_id: Mapped[str] = mapped_column(ID)
    creating_job_id: Mapped[int | None]
    external_trigger: Mapped[bool | None] = mapped_column(default=True)
    run_type: Mapped[str] = mapped_column(String(50))
    conf: Mapped[Any | None] = mapped_column(Pickled)
    data_interval_start: Mapped[datetime | None]
    data_interval_end: Mapped[datetime | None]
    last_scheduling_decision: Mapped[datetime | None]
    dag_hash: Mapped[str | None] = mapped_column(String(32))
    log_template_id: Mapped[int | None] = mapped_column(
        ForeignKey("log_template.id", name="task_instance_log_template_id_fkey", ondelete="NO ACTION")
    )
    updated_at: Mapped[datetime | None] = mapped_column(default=utcnow, onupdate=utcnow)
    clear_number: Mapped[int] = mapped_column(default=0, server_default="0")

    note_row: Mapped[DagRunNote | None] = relationship(
        lazy="raise", uselist=False, cascade="all, delete-orphan", passive_deletes=True
    )
    consumed_events: Mapped[list[DatasetEvent]] = relationship(
        secondary="dagrun_dataset_event", back_populates="created_dagruns", lazy="raise", passive_deletes=True
    )

    @hybrid_property
    def has_conf(self) -> bool:
        """Whether a conf is stored; in SQL this tells one that cannot be read, which loads as None, from none."""
        return self.conf is not None

    @has_conf.inplace.expression
    @classmethod
    def _has_conf(cls) -> ColumnElement[bool]:
        return cls.conf.is_not(None)


class DagRunNote(Base):
    """A user's note on a run."""

    __tablename__ = "dag_run_note"

    user_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id", name="dag_run_note_user_fkey"))
    dag_run_id: Mapped[int] = mapped_column(
        ForeignKey("dag_run.id", name="dag_run_note_dr_fkey", ondelete="CASCADE"), primary_key=True
    )
    content: Mapped[str | None] = mapped_column(String(1000).with_variant(Text(1000), "mysql"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)
