"""Users, roles and permissions as Flask-AppBuilder keeps them, and web sessions. Timestamps here have no time zone."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column, relationship, synonym

from windsock.columns import NaiveDateTime
from windsock.models.base import Base


def _user_name() -> String:
    # User names are compared without regard to case: by the collation on SQLite, by an index on lower() elsewhere.
    return String(512).with_variant(String(512, collation="NOCASE"), "sqlite")


user_role = Table(
    "ab_user_role",
    Base.metadata,
    Column("id", Integer, primary_key=True),
    Column("user_id", ForeignKey("ab_user.id")),
    Column("role_id", ForeignKey("ab_role.id")),
    UniqueConstraint("user_id", "role_id"),
)
role_permission = Table(
    "ab_permission_view_role",
    Base.metadata,
    Column("id", Integer, primary_key=True),
    Column("permission_view_id", ForeignKey("ab_permission_view.id")),
    Column("role_id", ForeignKey("ab_role.id")),
    UniqueConstraint("permission_view_id", "role_id"),
)


class User(Base):
    """Someone who may sign in."""

    __tablename__ = "ab_user"

    id: Mapped[int] = mapped_column(primary_key=True)
    first_name: Mapped[str] = mapped_column(String(256))
    last_name: Mapped[str] = mapped_column(String(256))
    username: Mapped[str] = mapped_column(_user_name(), unique=True)
    password: Mapped[str | None] = mapped_column(String(256))
    active: Mapped[bool | None]
    email: Mapped[str] = mapped_column(String(512), unique=True)
    last_login: Mapped[datetime | None] = mapped_column(NaiveDateTime)
    login_count: Mapped[int | None]
    fail_login_count: Mapped[int | None]
    created_on: Mapped[datetime | None] = mapped_column(NaiveDateTime, default=datetime.now)
    changed_on: Mapped[datetime | None] = mapped_column(NaiveDateTime, default=datetime.now)
    created_by_fk: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    changed_by_fk: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))

    roles: Mapped[list[Role]] = relationship(secondary=user_role, lazy="raise")


class RegisterUser(Base):
    """A registration that waits for its confirmation."""

    __tablename__ = "ab_register_user"

    id: Mapped[int] = mapped_column(primary_key=True)
    first_name: Mapped[str] = mapped_column(String(256))
    last_name: Mapped[str] = mapped_column(String(256))
    username: Mapped[str] = mapped_column(_user_name(), unique=True)
    password: Mapped[str | None] = mapped_column(String(256))
    email: Mapped[str] = mapped_column(String(512))
    registration_date: Mapped[datetime | None] = mapped_column(NaiveDateTime, default=datetime.now)
    registration_hash: Mapped[str | None] = mapped_column(String(256))


for _model in (User, RegisterUser):
    Index(f"idx_{_model.__tablename__}_username", func.lower(_model.__table__.c.username), unique=True).ddl_if(
        dialect="postgresql"
    )


class Role(Base):
    """A named set of permissions."""

    __tablename__ = "ab_role"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)

    role_id: Mapped[int] = synonym("id")
    permissions: Mapped[list[Permission]] = relationship(secondary=role_permission, lazy="raise")


class Action(Base):
    """Something that can be done to a resource, such as can_read."""

    __tablename__ = "ab_permission"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)


class Resource(Base):
    """Something that is protected: a kind of row, a menu entry or one DAG (`DAG:name`)."""

    __tablename__ = "ab_view_menu"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(250), unique=True)


class Permission(Base):
    """An action on a resource."""

    __tablename__ = "ab_permission_view"
    __table_args__ = (UniqueConstraint("permission_id", "view_menu_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    permission_id: Mapped[int | None] = mapped_column(ForeignKey("ab_permission.id"))
    view_menu_id: Mapped[int | None] = mapped_column(ForeignKey("ab_view_menu.id"))

    action: Mapped[Action] = relationship(lazy="raise")
    resource: Mapped[Resource] = relationship(lazy="raise")


class WebSession(Base):
    """A session of Airflow's web interface; `data` is opaque here."""

    __tablename__ = "session"
    __table_args__ = (UniqueConstraint("session_id", name="session_session_id_key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    session_id: Mapped[str | None] = mapped_column(String(255))
    data: Mapped[bytes | None]
    expiry: Mapped[datetime | None] = mapped_column(NaiveDateTime)
