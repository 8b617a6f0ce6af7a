"""Datasets, their events and the DAGs that produce and consume them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, Index, PrimaryKeyConstraint, String, Table, text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship, synonym

from windsock.columns import Json
from windsock.models.base import ID, Base, utcnow

if TYPE_CHECKING:
    from windsock.models.dag_run import DagRun


#: MySQL has indexes of 3072 bytes, so there it is in Latin-1.
_LONG_NAME = String(3000).with_variant(mysql.VARCHAR(3000, collation="latin1_general_cs"), "mysql")


def _alias_table(name: str, other: str, ref: str, prefix: str, *indexes: Index) -> Table:
    # Every real database has each of these keys twice, under two names.
    return Table(
        name,
        Base.metadata,
        Column("alias_id", ForeignKey("dataset_alias.id", ondelete="CASCADE"), primary_key=True),
        Column(other, ForeignKey(f"{ref}.id", ondelete="CASCADE"), primary_key=True),
        ForeignKeyConstraint(["alias_id"], ["dataset_alias.id"], name=f"{prefix}_alias_id", ondelete="CASCADE"),
        ForeignKeyConstraint([other], [f"{ref}.id"], name=f"{prefix}_{other}", ondelete="CASCADE"),
        *indexes,
    )


dataset_alias_dataset = _alias_table(
    "dataset_alias_dataset",
    "dataset_id",
    "dataset",
    "ds_dsa",
    Index("idx_dataset_alias_dataset_alias_id", "alias_id"),
    Index("idx_dataset_alias_dataset_alias_dataset_id", "dataset_id"),
)
dataset_alias_dataset_event = _alias_table(
    "dataset_alias_dataset_event",
    "event_id",
    "dataset_event",
    "dss_de",
    Index("idx_dataset_alias_dataset_event_alias_id", "alias_id"),
    Index("idx_dataset_alias_dataset_event_event_id", "event_id"),
)
dagrun_dataset_event = Table(
    "dagrun_dataset_event",
    Base.metadata,
    Column("dag_run_id", ForeignKey("dag_run.id", ondelete="CASCADE"), primary_key=True),
    Column("event_id", ForeignKey("dataset_event.id", ondelete="CASCADE"), primary_key=True),
    Index("idx_dagrun_dataset_events_dag_run_id", "dag_run_id"),
    Index("idx_dagrun_dataset_events_event_id", "event_id"),
)


class Dataset(Base):
    """A dataset, identified by its URI."""

    __tablename__ = "dataset"
    __table_args__ = (Index("idx_uri_unique", "uri", unique=True), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    uri: Mapped[str] = mapped_column(_LONG_NAME)
    extra: Mapped[Any] = mapped_column(Json, default=dict)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)
    is_orphaned: Mapped[bool] = mapped_column(default=False, server_default="0")

    consuming_dags: Mapped[list[DagScheduleDatasetReference]] = relationship(
        lazy="raise", cascade="all, delete-orphan", passive_deletes=True
    )
    producing_tasks: Mapped[list[TaskOutletDatasetReference]] = relationship(
        lazy="raise", cascade="all, delete-orphan", passive_deletes=True
    )
    aliases: Mapped[list[DatasetAlias]] = relationship(secondary="dataset_alias_dataset", lazy="raise", viewonly=True)


class DatasetAlias(Base):
    """A name that tasks resolve to datasets when they run."""

    __tablename__ = "dataset_alias"
    __table_args__ = (Index("idx_name_unique", "name", unique=True), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(_LONG_NAME)


class DatasetEvent(Base):
    """An update of a dataset; the `source_...` columns are null when no task made it."""

    __tablename__ = "dataset_event"
    __table_args__ = (
        Index("idx_dataset_id_timestamp", "dataset_id", "timestamp"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int]
    extra: Mapped[Any] = mapped_column(Json, default=dict)
    source_task_id: Mapped[str | None] = mapped_column(ID)
    source_dag_id: Mapped[str | None] = mapped_column(ID)
    source_run_id: Mapped[str | None] = mapped_column(ID)
    source_map_index: Mapped[int | None] = mapped_column(server_default=text("-1"))
    timestamp: Mapped[datetime] = mapped_column(default=utcnow)

    # The table has no foreign key: an event outlives its dataset.
    dataset: Mapped[Dataset | None] = relationship(
        primaryjoin=lambda: foreign(DatasetEvent.dataset_id) == Dataset.id, lazy="raise"
    )
    created_dagruns: Mapped[list[DagRun]] = relationship(
        secondary="dagrun_dataset_event", back_populates="consumed_events", lazy="raise", passive_deletes=True
    )


class DagScheduleDatasetReference(Base):
    """A DAG that is scheduled by a dataset."""

    __tablename__ = "dag_schedule_dataset_reference"
    __table_args__ = (
        PrimaryKeyConstraint("dataset_id", "dag_id", name="dsdr_pkey"),
        Index("idx_dag_schedule_dataset_reference_dag_id", "dag_id"),
    )

    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", name="dsdr_dataset_fkey", ondelete="CASCADE"))
    dag_id: Mapped[str] = mapped_column(ID, ForeignKey("dag.dag_id", name="dsdr_dag_id_fkey", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class DagScheduleDatasetAliasReference(Base):
    """A DAG that is scheduled by a dataset alias."""

    __tablename__ = "dag_schedule_dataset_alias_reference"
    __table_args__ = (
        PrimaryKeyConstraint("alias_id", "dag_id", name="dsdar_pkey"),
        Index("idx_dag_schedule_dataset_alias_reference_dag_id", "dag_id"),
    )

    alias_id: Mapped[int] = mapped_column(
        ForeignKey("dataset_alias.id", name="dsdar_dataset_alias_fkey", ondelete="CASCADE")
    )
    dag_id: Mapped[str] = mapped_column(ID, ForeignKey("dag.dag_id", name="dsdar_dag_id_fkey", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class TaskOutletDatasetReference(Base):
    """A task that updates a dataset when it succeeds."""

    __tablename__ = "task_outlet_dataset_reference"
    __table_args__ = (
        PrimaryKeyConstraint("dataset_id", "dag_id", "task_id", name="todr_pkey"),
        Index("idx_task_outlet_dataset_reference_dag_id", "dag_id"),
    )

    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", name="todr_dataset_fkey", ondelete="CASCADE"))
    dag_id: Mapped[str] = mapped_column(ID, ForeignKey("dag.dag_id", name="todr_dag_id_fkey", ondelete="CASCADE"))
    task_id: Mapped[str] = mapped_column(ID)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class DatasetDagRunQueue(Base):
    """A dataset that has been updated since the last run of a DAG which waits for it and others."""

    __tablename__ = "dataset_dag_run_queue"
    __table_args__ = (
        PrimaryKeyConstraint("dataset_id", "target_dag_id", name="datasetdagrunqueue_pkey"),
        Index("idx_dataset_dag_run_queue_target_dag_id", "target_dag_id"),
    )

    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", name="ddrq_dataset_fkey", ondelete="CASCADE"))
    target_dag_id: Mapped[str] = mapped_column(ID, ForeignKey("dag.dag_id", name="ddrq_dag_fkey", ondelete="CASCADE"))
    dag_id: Mapped[str] = synonym("target_dag_id")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    dataset: Mapped[Dataset] = relationship(lazy="raise")
