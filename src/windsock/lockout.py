"""Nobody can remove the last way in: a change to users and roles must leave somebody who can undo it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, select

from windsock import db
from windsock.errors import AlreadyExists
from windsock.models import Action, Permission, Resource, Role, User

ADMIN = "Admin"
_EDITS_USERS = Role.permissions.any(
    Permission.action.has(Action.name == "can_edit") & Permission.resource.has(Resource.name == "Users")
)
#: What has to remain, if it was there before, and how it is found.
_WAYS: dict[str, ColumnElement[bool]] = {
    f"active user with the role {ADMIN}": User.roles.any(Role.name == ADMIN),
    "active user who may edit users (Users.can_edit)": User.roles.any(_EDITS_USERS),
}


@contextmanager
def way_in_kept() -> Iterator[None]:
    """Make what happens inside one change of users and roles.

    Raises AlreadyExists (409) when it takes away the last active user with the role Admin, or who may edit users.
    """
    # One such change at a time: of two administrators who delete each other, the second has to see the first.
    db.session().execute(select(Role.id).order_by(Role.id).with_for_update())
    before = _ways()
    yield
    db.session().flush()
    lost = sorted(before - _ways())
    if lost:
        raise AlreadyExists(
            f"This would remove the last {' and the last '.join(lost)}; give another user that role first"
        )


def _ways() -> set[str]:
    active = select(User.id).where(User.active.is_(True)).limit(1)
    return {what for what, held in _WAYS.items() if db.session().scalar(active.where(held)) is not None}
