"""The audit log and the templates of task log paths."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from windsock.models.base import ID, Base, utcnow


class Log(Base):
    """A row of the audit log."""

    __tablename__ = "log"
    __table_args__ = (
        Index("idx_log_dag", "dag_id"),
        Index("idx_log_dttm", "dttm"),
        Index("idx_log_event", "event"),
        Index("idx_log_task_instance", "dag_id", "task_id", "run_id", "map_index", "try_number"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    dttm: Mapped[datetime | None]
    dag_id: Mapped[str | None] = mapped_column(ID)
    task_id: Mapped[str | None] = mapped_column(ID)
    map_index: Mapped[int | None]
    event: Mapped[str | None] = mapped_column(String(60))
    execution_date: Mapped[datetime | None]
    run_id: Mapped[str | None] = mapped_column(ID)
    owner: Mapped[str | None] = mapped_column(String(500))
    owner_display_name: Mapped[str | None] = mapped_column(String(500))
    extra: Mapped[str | None] = mapped_column(Text)
    try_number: Mapped[int | None]


class LogTemplate(Base):
    """How task logs were named when a run was created."""

    __tablename__ = "log_template"

    id: Mapped[int] = mapped_column(primary_key=True)
    filename: Mapped[str] = mapped_column(Text)
    elasticsearch_id: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
