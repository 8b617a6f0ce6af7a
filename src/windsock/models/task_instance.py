"""Task instances and the tables that hang on them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
    and_,
    select,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship

from windsock.columns import Json, NaiveDateTime, PickledConfig
from windsock.models.base import ID, TASK_INSTANCE_KEY, Base, of_task_instance, utcnow
from windsock.models.dag_run import DagRun
from windsock.models.store import Job


class Trigger(Base):
    """What a deferred task waits for; `kwargs` is encrypted, or JSON in databases that come from Airflow < 2.10."""

    __tablename__ = "trigger"

    id: Mapped[int] = mapped_column(primary_key=True)
    classpath: Mapped[str] = mapped_column(String(1000))
    kwargs: Mapped[str] = mapped_column(Text)
    created_date: Mapped[datetime] = mapped_column(default=utcnow)
    triggerer_id: Mapped[int | None]

    triggerer_job: Mapped[Job | None] = relationship(
        primaryjoin=lambda: foreign(Trigger.triggerer_id) == Job.id, lazy="raise", viewonly=True
    )


class _Try:
    """The columns that a task instance shares with the history of its earlier tries."""

    task_id: Mapped[str] = mapped_column(ID)
    dag_id: Mapped[str] = mapped_column(ID)
    run_id: Mapped[str] = mapped_column(ID)
    map_index: Mapped[int] = mapped_column(server_default=text("-1"))
    start_date: Mapped[datetime | None]
    end_date: Mapped[datetime | None]
    duration: Mapped[float | None] = mapped_column(Float)
    state: Mapped[str | None] = mapped_column(String(20))
    max_tries: Mapped[int | None] = mapped_column(server_default=text("-1"))
    hostname: Mapped[str | None] = mapped_column(String(1000))
    unixname: Mapped[str | None] = mapped_column(String(1000))
    job_id: Mapped[int | None]
    pool: Mapped[str] = mapped_column(String(256))
    pool_slots: Mapped[int] = mapped_column(default=1)
    queue: Mapped[str | None] = mapped_column(String(256))
    priority_weight: Mapped[int | None]
    operator: Mapped[str | None] = mapped_column(String(1000))
    custom_operator_name: Mapped[str | None] = mapped_column(String(1000))
    queued_dttm: Mapped[datetime | None]
    queued_by_job_id: Mapped[int | None]
    pid: Mapped[int | None]
    executor: Mapped[str | None] = mapped_column(String(1000))
    executor_config: Mapped[Any | None] = mapped_column(PickledConfig)
    updated_at: Mapped[datetime | None] = mapped_column(default=utcnow, onupdate=utcnow)
    rendered_map_index: Mapped[str | None] = mapped_column(String(250))
    external_executor_id: Mapped[str | None] = mapped_column(ID)
    trigger_id: Mapped[int | None]
    trigger_timeout: Mapped[datetime | None] = mapped_column(NaiveDateTime)
    next_method: Mapped[str | None] = mapped_column(String(1000))
    next_kwargs: Mapped[Any | None] = mapped_column(Json(none_as_null=True))
    task_display_name: Mapped[str | None] = mapped_column(String(2000))


class TaskInstance(_Try, Base):
    """The present try of a task in a run; `map_index` is -1 unless the task is mapped."""

    __tablename__ = "task_instance"
    __table_args__ = (
        PrimaryKeyConstraint(*TASK_INSTANCE_KEY),
        ForeignKeyConstraint(
            ["dag_id", "run_id"],
            ["dag_run.dag_id", "dag_run.run_id"],
            name="task_instance_dag_run_fkey",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(["trigger_id"], ["trigger.id"], ondelete="CASCADE"),
        Index("ti_dag_state", "dag_id", "state"),
        Index("ti_dag_run", "dag_id", "run_id"),
        Index("ti_state", "state"),
        Index("ti_state_lkp", "dag_id", "task_id", "run_id", "state"),
        Index("ti_pool", "pool", "state", "priority_weight"),
        Index("ti_job_id", "job_id"),
        Index("ti_trigger_id", "trigger_id"),
    )

    try_number: Mapped[int | None] = mapped_column(default=0)

    dag_run: Mapped[DagRun] = relationship(lazy="raise")
    trigger: Mapped[Trigger | None] = relationship(lazy="raise")
    note_row: Mapped[TaskInstanceNote | None] = relationship(
        lazy="raise", uselist=False, cascade="all, delete-orphan", passive_deletes=True
    )
    rendered: Mapped[RenderedFields | None] = relationship(
        lazy="raise", uselist=False, cascade="all, delete-orphan", passive_deletes=True
    )
    # sla_miss knows the execution date of the run and a task instance its run id: the run stands between the two.
    sla_miss: Mapped[SlaMiss | None] = relationship(
        primaryjoin=lambda: and_(
            TaskInstance.dag_id == foreign(SlaMiss.dag_id),
            TaskInstance.task_id == foreign(SlaMiss.task_id),
            foreign(SlaMiss.execution_date)
            == select(DagRun.execution_date)
            .where(DagRun.dag_id == TaskInstance.dag_id, DagRun.run_id == TaskInstance.run_id)
            .correlate_except(DagRun)
            .scalar_subquery(),
        ),
        lazy="raise",
        uselist=False,
        viewonly=True,
    )


class TaskInstanceHistory(_Try, Base):
    """An earlier try of a task instance, kept when it was retried or cleared."""

    __tablename__ = "task_instance_history"
    __table_args__ = (
        of_task_instance("task_instance_history_ti_fkey", onupdate="CASCADE"),
        UniqueConstraint(*TASK_INSTANCE_KEY, "try_number", name="task_instance_history_dtrt_uq"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, sort_order=-1)
    try_number: Mapped[int]


class TaskInstanceNote(Base):
    """A user's note on a task instance."""

    __tablename__ = "task_instance_note"
    __table_args__ = (of_task_instance("task_instance_note_ti_fkey"),)

    user_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id", name="task_instance_note_user_fkey"))
    task_id: Mapped[str] = mapped_column(ID, primary_key=True)
    dag_id: Mapped[str] = mapped_column(ID, primary_key=True)
    run_id: Mapped[str] = mapped_column(ID, primary_key=True)
    map_index: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[str | None] = mapped_column(String(1000).with_variant(Text(1000), "mysql"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class TaskReschedule(Base):
    """A sensor's poke that ended with a wish to be called again at `reschedule_date`."""

    __tablename__ = "task_reschedule"
    __table_args__ = (
        of_task_instance("task_reschedule_ti_fkey"),
        ForeignKeyConstraint(
            ["dag_id", "run_id"],
            ["dag_run.dag_id", "dag_run.run_id"],
            name="task_reschedule_dr_fkey",
            ondelete="CASCADE",
        ),
        Index("idx_task_reschedule_dag_run", "dag_id", "run_id"),
        Index("idx_task_reschedule_dag_task_run", *TASK_INSTANCE_KEY),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(ID)
    dag_id: Mapped[str] = mapped_column(ID)
    run_id: Mapped[str] = mapped_column(ID)
    map_index: Mapped[int] = mapped_column(server_default=text("-1"))
    try_number: Mapped[int]
    start_date: Mapped[datetime]
    end_date: Mapped[datetime]
    duration: Mapped[int]
    reschedule_date: Mapped[datetime]


class TaskMap(Base):
    """How many mapped instances the output of a task makes downstream."""

    __tablename__ = "task_map"
    __table_args__ = (
        PrimaryKeyConstraint(*TASK_INSTANCE_KEY),
        of_task_instance("task_map_task_instance_fkey", onupdate="CASCADE"),
        CheckConstraint("length >= 0", name="task_map_length_not_negative"),
    )

    dag_id: Mapped[str] = mapped_column(ID)
    task_id: Mapped[str] = mapped_column(ID)
    run_id: Mapped[str] = mapped_column(ID)
    map_index: Mapped[int]
    length: Mapped[int]
    keys: Mapped[Any | None] = mapped_column(Json)


class TaskFail(Base):
    """A failed try, for the duration chart; `duration` is in seconds."""

    __tablename__ = "task_fail"
    __table_args__ = (of_task_instance("task_fail_ti_fkey"), Index("idx_task_fail_task_instance", *TASK_INSTANCE_KEY))

    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[str] = mapped_column(ID)
    dag_id: Mapped[str] = mapped_column(ID)
    run_id: Mapped[str] = mapped_column(ID)
    map_index: Mapped[int] = mapped_column(server_default=text("-1"))
    start_date: Mapped[datetime | None]
    end_date: Mapped[datetime | None]
    duration: Mapped[int | None]


class RenderedFields(Base):
    """The template fields of a task instance after rendering."""

    __tablename__ = "rendered_task_instance_fields"
    __table_args__ = (of_task_instance("rtif_ti_fkey"),)

    dag_id: Mapped[str] = mapped_column(ID, primary_key=True)
    task_id: Mapped[str] = mapped_column(ID, primary_key=True)
    run_id: Mapped[str] = mapped_column(ID, primary_key=True)
    map_index: Mapped[int] = mapped_column(primary_key=True, server_default=text("-1"))
    rendered_fields: Mapped[Any] = mapped_column(Json)
    k8s_pod_yaml: Mapped[Any | None] = mapped_column(Json)


class XCom(Base):
    """A value that a task instance left for others; UTF-8 JSON unless pickling was enabled."""

    __tablename__ = "xcom"
    __table_args__ = (
        of_task_instance("xcom_task_instance_fkey"),
        Index("idx_xcom_key", "key"),
        Index("idx_xcom_task_instance", *TASK_INSTANCE_KEY),
    )

    dag_run_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    task_id: Mapped[str] = mapped_column(ID, primary_key=True)
    map_index: Mapped[int] = mapped_column(primary_key=True, server_default=text("-1"))
    key: Mapped[str] = mapped_column(
        String(512).with_variant(mysql.VARCHAR(512, collation="utf8mb3_bin"), "mysql"), primary_key=True
    )
    dag_id: Mapped[str] = mapped_column(ID)
    run_id: Mapped[str] = mapped_column(ID)
    value: Mapped[bytes | None] = mapped_column(LargeBinary().with_variant(mysql.LONGBLOB(), "mysql"))
    timestamp: Mapped[datetime] = mapped_column(default=utcnow)

    dag_run: Mapped[DagRun] = relationship(
        primaryjoin=lambda: foreign(XCom.dag_run_id) == DagRun.id, lazy="raise", viewonly=True
    )


class SlaMiss(Base):
    """A task that did not finish within its SLA in the run of that execution date."""

    __tablename__ = "sla_miss"
    __table_args__ = (Index("sm_dag", "dag_id"),)

    task_id: Mapped[str] = mapped_column(ID, primary_key=True)
    dag_id: Mapped[str] = mapped_column(ID, primary_key=True)
    execution_date: Mapped[datetime] = mapped_column(primary_key=True)
    email_sent: Mapped[bool | None] = mapped_column(default=False)
    timestamp: Mapped[datetime | None]
    description: Mapped[str | None] = mapped_column(Text)
    notification_sent: Mapped[bool | None] = mapped_column(default=False)
