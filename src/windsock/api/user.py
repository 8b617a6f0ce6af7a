"""Users."""

from __future__ import annotations

from typing import Any

from marshmallow import fields
from sqlalchemy import func, select

from windsock.errors import not_yet_served
from windsock.listing import page
from windsock.models import Role, User
from windsock.rows import RowSchema, Timestamp, one


class UserRoleSchema(RowSchema):
    """A role by its name."""

    model = Role
    name = fields.String()


class UserSchema(RowSchema):
    """A user, without the password. Airflow's server says `fail_login_count` where its document says `failed_`."""

    model, plural = User, "users"
    first_name = fields.String()
    last_name = fields.String()
    username = fields.String()
    email = fields.String()
    active = fields.Boolean()
    last_login = Timestamp()
    login_count = fields.Integer()
    fail_login_count = fields.Integer()
    failed_login_count = fields.Integer(attribute="fail_login_count", dump_only=True)
    roles = fields.List(fields.Nested(UserRoleSchema))
    created_on = Timestamp()
    changed_on = Timestamp()


user_schema = UserSchema()


def get_users(**query: Any) -> dict[str, Any]:
    """List users."""
    return page(select(User), user_schema, query)


def get_user(username: str) -> dict[str, Any]:
    """Show a user; the name's case does not matter."""
    named = select(User).where(func.lower(User.username) == func.lower(username))
    return one(named, user_schema, username=username)


post_user = patch_user = delete_user = not_yet_served
