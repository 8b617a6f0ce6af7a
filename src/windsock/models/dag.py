"""DAGs and what the DAG processor found in their files."""

from __future__ import annotations

from datetime import datetime
from hashlib import md5
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column, relationship

from windsock.columns import Json, JsonText
from windsock.models.base import ID, Base, utcnow


class Dag(Base):
    """A DAG as the scheduler knows it, active or not."""

    __tablename__ = "dag"
    __table_args__ = (
        Index("idx_next_dagrun_create_after", "next_dagrun_create_after"),
        Index("idx_root_dag_id", "root_dag_id"),
    )

    dag_id: Mapped[str] = mapped_column(ID, primary_key=True)
    root_dag_id: Mapped[str | None] = mapped_column(ID)
    is_paused: Mapped[bool | None]
    is_subdag: Mapped[bool | None] = mapped_column(default=False)
    is_active: Mapped[bool | None] = mapped_column(default=False)
    last_parsed_time: Mapped[datetime | None]
    last_pickled: Mapped[datetime | None]
    last_expired: Mapped[datetime | None]
    scheduler_lock: Mapped[bool | None]
    pickle_id: Mapped[int | None]
    fileloc: Mapped[str | None] = mapped_column(String(2000))
    processor_subdir: Mapped[str | None] = mapped_column(String(2000))
    owners: Mapped[str | None] = mapped_column(String(2000))
    dag_display_name: Mapped[str | None] = mapped_column(String(2000))
    description: Mapped[str | None] = mapped_column(Text)
    default_view: Mapped[str | None] = mapped_column(String(25))
    schedule_interval: Mapped[Any | None] = mapped_column(JsonText)
    timetable_description: Mapped[str | None] = mapped_column(String(1000))
    dataset_expression: Mapped[Any | None] = mapped_column(Json)
    max_active_tasks: Mapped[int]
    max_active_runs: Mapped[int | None]
    max_consecutive_failed_dag_runs: Mapped[int]
    has_task_concurrency_limits: Mapped[bool]
    has_import_errors: Mapped[bool | None] = mapped_column(default=False, server_default="0")
    next_dagrun: Mapped[datetime | None]
    next_dagrun_data_interval_start: Mapped[datetime | None]
    next_dagrun_data_interval_end: Mapped[datetime | None]
    next_dagrun_create_after: Mapped[datetime | None]

    tags: Mapped[list[DagTag]] = relationship(lazy="raise", cascade="all, delete-orphan", passive_deletes=True)


class DagTag(Base):
    """A tag of a DAG."""

    __tablename__ = "dag_tag"
    __table_args__ = (Index("idx_dag_tag_dag_id", "dag_id"),)

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    dag_id: Mapped[str] = mapped_column(ID, ForeignKey("dag.dag_id", ondelete="CASCADE"), primary_key=True)


class DagOwnerAttributes(Base):
    """A link for an owner of a DAG."""

    __tablename__ = "dag_owner_attributes"

    dag_id: Mapped[str] = mapped_column(
        ID, ForeignKey("dag.dag_id", name="dag.dag_id", ondelete="CASCADE"), primary_key=True
    )
    owner: Mapped[str] = mapped_column(String(500), primary_key=True)
    link: Mapped[str] = mapped_column(String(500))


class DagWarning(Base):
    """A warning about a DAG, such as a pool that does not exist."""

    __tablename__ = "dag_warning"
    __table_args__ = (Index("idx_dag_warning_dag_id", "dag_id"),)

    dag_id: Mapped[str] = mapped_column(
        ID, ForeignKey("dag.dag_id", name="dcw_dag_id_fkey", ondelete="CASCADE"), primary_key=True
    )
    warning_type: Mapped[str] = mapped_column(String(50), primary_key=True)
    message: Mapped[str] = mapped_column(Text)
    timestamp: Mapped[datetime] = mapped_column(default=utcnow)


class SerializedDag(Base):
    """A DAG's definition as JSON, in `data` or, zlib-compressed, in `data_compressed`."""

    __tablename__ = "serialized_dag"
    __table_args__ = (Index("idx_fileloc_hash", "fileloc_hash"),)

    dag_id: Mapped[str] = mapped_column(String(250), primary_key=True)
    fileloc: Mapped[str] = mapped_column(String(2000))
    fileloc_hash: Mapped[int] = mapped_column(BigInteger)
    data: Mapped[Any | None] = mapped_column(Json)
    data_compressed: Mapped[bytes | None]
    last_updated: Mapped[datetime]
    dag_hash: Mapped[str] = mapped_column(String(32))
    processor_subdir: Mapped[str | None] = mapped_column(String(2000))


class DagCode(Base):
    """The source text of a DAG file."""

    __tablename__ = "dag_code"

    fileloc_hash: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    fileloc: Mapped[str] = mapped_column(String(2000))
    last_updated: Mapped[datetime]
    source_code: Mapped[str] = mapped_column(Text().with_variant(mysql.MEDIUMTEXT(), "mysql"))


class DagPickle(Base):
    """A DAG pickled for an executor. The bytes are a program: they stay bytes here."""

    __tablename__ = "dag_pickle"

    id: Mapped[int] = mapped_column(primary_key=True)
    pickle: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_dttm: Mapped[datetime | None] = mapped_column(default=utcnow)
    pickle_hash: Mapped[int | None] = mapped_column(BigInteger)


def _digest(context: Any) -> str:
    """MD5 of the path in hexadecimal, as Airflow computes it (airflow/models/dagbag.py)."""
    return md5(context.get_current_parameters()["fileloc"].encode(), usedforsecurity=False).hexdigest()


class DagPriorityParsingRequest(Base):
    """A DAG file that the processor shall parse next; the id is a hash of its path."""

    __tablename__ = "dag_priority_parsing_request"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=_digest)
    fileloc: Mapped[str] = mapped_column(String(2000))


class DagImportError(Base):
    """A DAG file that could not be imported."""

    __tablename__ = "import_error"

    id: Mapped[int] = mapped_column(primary_key=True)
    timestamp: Mapped[datetime | None]
    filename: Mapped[str | None] = mapped_column(String(1024))
    stacktrace: Mapped[str | None] = mapped_column(Text)
    processor_subdir: Mapped[str | None] = mapped_column(String(2000))
