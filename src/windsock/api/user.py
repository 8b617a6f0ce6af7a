"""Users."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from marshmallow import fields
from sqlalchemy import Select, func, select
from sqlalchemy import update as sql_update

from windsock import db, sessions
from windsock.accounts import hash_password
from windsock.changing import accepted, create, lock, remove, update
from windsock.context import caller
from windsock.errors import AlreadyExists, BadRequest
from windsock.listing import page
from windsock.lockout import way_in_kept
from windsock.models import Base, Role, User, user_role
from windsock.rows import Hidden, RowSchema, Timestamp, one

#: What a new user gets without `roles`, as Flask-AppBuilder does.
NEWCOMER = "Public"


class UserRoleSchema(RowSchema):
    """A role by its name."""

    model = Role
    name = fields.String()


def _hashed(password: str) -> dict[str, Any]:
    return {"password": hash_password(password)}


def _roles(named: list[dict[str, str]]) -> dict[str, Any]:
    known = {
        role.name: role for role in db.session().scalars(select(Role).order_by(Role.id).with_for_update(read=True))
    }
    wanted = list(dict.fromkeys(role["name"] for role in named))
    for name in wanted:
        if name not in known:
            raise BadRequest(f"Member 'roles': there is no role {name!r}; known: {', '.join(sorted(known))}")
    return {"roles": [known[name] for name in wanted]}


class UserSchema(RowSchema):
    """A user, without the password."""

    model, plural = User, "users"
    first_name = fields.String()
    last_name = fields.String()
    username = fields.String()
    email = fields.String()
    active = fields.Boolean(dump_only=True)
    last_login = Timestamp(dump_only=True)
    login_count = fields.Integer(dump_only=True)
    fail_login_count = fields.Integer(dump_only=True)
    roles = fields.List(fields.Nested(UserRoleSchema), metadata={"load": _roles})
    created_on = Timestamp(dump_only=True)
    changed_on = Timestamp(dump_only=True)
    password = Hidden(_hashed)


user_schema = UserSchema()


def get_users(**query: Any) -> dict[str, Any]:
    """List users."""
    return page(user_schema, query)


def get_user(username: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Show a user; the name's case does not matter."""
    return one(_named(username), user_schema, fields, username=username)


def _named(username: str) -> Select[Any]:
    return select(User).where(func.lower(User.username) == func.lower(username))


def post_user(body: dict[str, Any]) -> dict[str, Any]:
    """Create a user."""
    _refuse_taken(body)
    roles = body.get("roles") or [{"name": NEWCOMER}]
    return create(user_schema, {**body, "roles": roles}, active=True, created_by_fk=_me(), changed_by_fk=_me())


def patch_user(username: str, body: dict[str, Any], update_mask: list[str] | None = None) -> dict[str, Any]:
    """Change a user."""
    with way_in_kept():
        user = lock(_named(username), User, username=username)
        wanted = accepted(user, user_schema, body, update_mask)
        _refuse_taken(wanted, user.id)
        user.changed_on, user.changed_by_fk = datetime.now(), _me()  # naive local time, as FAB writes it
        if "password" in wanted:
            sessions.end_all(db.session(), user.id)
        return update(user, user_schema, wanted)


def delete_user(username: str) -> None:
    """Delete a user; what they made or wrote stays."""
    with way_in_kept():
        user = lock(_named(username), User, username=username)
        sessions.end_all(db.session(), user.id)  # SQLite may give the next user the same id
        _disown(user.id)
        remove(user)


def _me() -> int | None:
    who = caller()
    return None if who is None else who.id


def _refuse_taken(wanted: dict[str, Any], user_id: int | None = None) -> None:
    for name in sorted({"username", "email"} & wanted.keys()):
        same = func.lower(getattr(User, name)) == func.lower(wanted[name])
        if db.session().scalar(select(User.id).where(same, User.id.is_distinct_from(user_id))) is not None:
            raise AlreadyExists(f"Another user has the {name} {wanted[name]!r}; its case does not matter")


def _disown(user_id: int) -> None:
    """Let nothing refer to a user: notes, and users that this one created or changed."""
    for table in Base.metadata.tables.values():
        for column in table.columns:
            if table is not user_role and any(key.column is User.__table__.c.id for key in column.foreign_keys):
                db.session().execute(sql_update(table).where(column == user_id).values({column: None}))
