"""Users of a metadata database, created and listed as Flask-AppBuilder (FAB) keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, or_, select, update
from werkzeug.security import generate_password_hash

from windsock import sessions
from windsock.models import Role, User, user_role

#: The kind of hash that the werkzeug of every Airflow 2 can check. Before 2.11 scrypt, werkzeug's own choice, makes a
#: login to Airflow's web server a 500. As many rounds as OWASP asks for.
HASH = "pbkdf2:sha256:600000"


class AccountError(Exception):
    """A user, or a token of theirs, cannot be created or changed; the text says why and what to do."""


@dataclass(frozen=True)
class NewUser:
    """What a new user needs: all texts as they are stored, the password in clear."""

    username: str
    password: str
    email: str
    first_name: str
    last_name: str
    role: str


@dataclass(frozen=True)
class Account:
    """One user with the names of the roles, sorted."""

    username: str
    email: str
    first_name: str
    last_name: str
    active: bool
    roles: tuple[str, ...]


def hash_password(password: str) -> str:
    """A password as `ab_user` keeps it."""
    return generate_password_hash(password, HASH)


def create_user(connection: Connection, user: NewUser) -> int:
    """Insert an active user with one role, in the caller's transaction, and return the id.

    Raises AccountError for an empty name or password, an unknown role, and a name or e-mail that is taken.
    """
    for what in ("username", "password", "email"):
        if not getattr(user, what).strip():
            raise AccountError(f"The {what} must not be empty.")
    role_id = _role_id(connection, user.role)
    _refuse_taken(connection, user)
    now = datetime.now()  # naive local time, as FAB writes it
    row = {
        "username": user.username,
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "password": hash_password(user.password),
        "active": True,
        "created_on": now,
        "changed_on": now,
    }
    key: Any = connection.execute(insert(User).values(row)).inserted_primary_key  # MySQL has no RETURNING
    connection.execute(insert(user_role).values(user_id=key[0], role_id=role_id))
    return int(key[0])


def set_password(connection: Connection, username: str, password: str) -> None:
    """Replace a user's password and end their sessions, in the caller's transaction.

    Raises AccountError when there is no such user.
    """
    if not password.strip():
        raise AccountError("The password must not be empty.")
    values = {"password": hash_password(password), "changed_on": datetime.now()}
    same = func.lower(User.username) == username.lower()
    user_id = connection.scalar(select(User.id).where(same))
    if user_id is None:
        raise AccountError(f"There is no user {username!r}. `windsock users list` shows all.")
    connection.execute(update(User).where(User.id == user_id).values(values))
    sessions.end_all(connection, user_id)


def list_users(connection: Connection) -> list[Account]:
    """All users, sorted by name."""
    roles: dict[int, list[str]] = {}
    held = select(user_role.c.user_id, Role.name).join(Role, Role.id == user_role.c.role_id).order_by(Role.name)
    for user_id, name in connection.execute(held):
        roles.setdefault(user_id, []).append(name)
    users = connection.execute(select(User.__table__).order_by(User.username))
    return [
        Account(u.username, u.email, u.first_name, u.last_name, bool(u.active), tuple(roles.get(u.id, ())))
        for u in users
    ]


def _role_id(connection: Connection, name: str) -> int:
    known = {row.name: row.id for row in connection.execute(select(Role.id, Role.name))}
    if name not in known:
        raise AccountError(f"There is no role {name!r}. Known roles: {', '.join(sorted(known)) or 'none'}.")
    return known[name]


def _refuse_taken(connection: Connection, user: NewUser) -> None:
    # FAB looks users up without regard to case.
    same_name = func.lower(User.username) == user.username.lower()
    same_email = func.lower(User.email) == user.email.lower()
    taken = connection.execute(select(User.username).where(or_(same_name, same_email))).scalars().first()
    if taken is None:
        return
    what = f"user {taken!r}" if taken.lower() == user.username.lower() else f"user {taken!r} with this e-mail"
    raise AccountError(f"There is already a {what}.")
