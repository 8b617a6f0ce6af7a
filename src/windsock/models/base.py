"""What every model shares: the base class, the names of constraints and the key of a task instance."""

from __future__ import annotations

from datetime import datetime, timezone

from sqlalchemy import ForeignKeyConstraint, MetaData, String
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase

from windsock.columns import UtcDateTime

#: The id of a DAG, a run or a task. MySQL would else take capitals for small letters.
ID = String(250).with_variant(mysql.VARCHAR(250, collation="utf8mb3_bin"), "mysql")


class Base(DeclarativeBase):
    """The declarative base; its metadata is the schema of Airflow 2.10 and 2.11 (alembic revision 5f2621c13b39)."""

    metadata = MetaData(
        naming_convention={
            "uq": "%(table_name)s_%(column_0_N_name)s_uq",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        }
    )
    type_annotation_map = {datetime: UtcDateTime}


def utcnow() -> datetime:
    """The present moment as an aware datetime in UTC."""
    return datetime.now(timezone.utc)


TASK_INSTANCE_KEY = ("dag_id", "task_id", "run_id", "map_index")


def of_task_instance(name: str, *, onupdate: str | None = None) -> ForeignKeyConstraint:
    """A foreign key of this name on the four columns that identify a task instance; rows go when it goes."""
    return ForeignKeyConstraint(
        TASK_INSTANCE_KEY,
        [f"task_instance.{column}" for column in TASK_INSTANCE_KEY],
        name=name,
        ondelete="CASCADE",
        onupdate=onupdate,
    )
