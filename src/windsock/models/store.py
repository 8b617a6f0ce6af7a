"""What users keep in Airflow (pools, variables, connections) and what its processes leave (jobs, the revision)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import Index, PrimaryKeyConstraint, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from windsock.columns import Json
from windsock.models.base import Base, utcnow


class Pool(Base):
    """A pool of slots, which limits how many tasks run at once; -1 slots are unlimited."""

    __tablename__ = "slot_pool"
    DEFAULT: ClassVar[str] = "default_pool"

    id: Mapped[int] = mapped_column(primary_key=True)
    pool: Mapped[str | None] = mapped_column(String(256), unique=True)
    slots: Mapped[int | None] = mapped_column(default=0)
    description: Mapped[str | None] = mapped_column(Text)
    include_deferred: Mapped[bool]


class Variable(Base):
    """A variable; `val` is a Fernet token when `is_encrypted`."""

    __tablename__ = "variable"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str | None] = mapped_column(String(250), unique=True)
    val: Mapped[str | None] = mapped_column(Text().with_variant(mysql.MEDIUMTEXT(), "mysql"))
    description: Mapped[str | None] = mapped_column(Text)
    is_encrypted: Mapped[bool | None] = mapped_column(default=False)


class Connection(Base):
    """A connection; `password` and `extra` are Fernet tokens when the flag of each says so."""

    __tablename__ = "connection"

    id: Mapped[int] = mapped_column(primary_key=True)
    conn_id: Mapped[str] = mapped_column(String(250), unique=True)
    conn_type: Mapped[str] = mapped_column(String(500))
    description: Mapped[str | None] = mapped_column(Text().with_variant(String(5000), "sqlite"))
    host: Mapped[str | None] = mapped_column(String(500))
    schema: Mapped[str | None] = mapped_column(String(500))
    login: Mapped[str | None] = mapped_column(Text)
    password: Mapped[str | None] = mapped_column(Text)
    port: Mapped[int | None]
    is_encrypted: Mapped[bool | None] = mapped_column(default=False)
    is_extra_encrypted: Mapped[bool | None] = mapped_column(default=False)
    extra: Mapped[str | None] = mapped_column(Text)


class Job(Base):
    """A process of Airflow (scheduler, triggerer, task) and its last sign of life."""

    __tablename__ = "job"
    __table_args__ = (
        Index("idx_job_dag_id", "dag_id"),
        Index("idx_job_state_heartbeat", "state", "latest_heartbeat"),
        Index("job_type_heart", "job_type", "latest_heartbeat"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    dag_id: Mapped[str | None] = mapped_column(String(250))
    state: Mapped[str | None] = mapped_column(String(20))
    job_type: Mapped[str | None] = mapped_column(String(30))
    start_date: Mapped[datetime | None]
    end_date: Mapped[datetime | None]
    latest_heartbeat: Mapped[datetime | None]
    executor_class: Mapped[str | None] = mapped_column(String(500))
    hostname: Mapped[str | None] = mapped_column(String(500))
    unixname: Mapped[str | None] = mapped_column(String(1000))


class CallbackRequest(Base):
    """A callback that the DAG processor shall run."""

    __tablename__ = "callback_request"

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    priority_weight: Mapped[int]
    callback_data: Mapped[Any] = mapped_column(Json)
    callback_type: Mapped[str] = mapped_column(String(20))
    processor_subdir: Mapped[str | None] = mapped_column(String(2000))


class AlembicVersion(Base):
    """The revision of the schema, one row."""

    __tablename__ = "alembic_version"
    __table_args__ = (PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),)

    version_num: Mapped[str] = mapped_column(String(32))
