"""Permissions: whether the default roles are complete, and somebody can administer."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine, func, select

from windsock import roles
from windsock.doctor import Finding, Patient, error, ok, warning
from windsock.models import Role, User
from windsock.security_defaults import DEFAULT_ROLES


def check(patient: Patient) -> Iterator[Finding]:
    """Look at roles and users."""
    if patient.engine is None:
        return
    yield from _roles(patient.engine)
    active = select(func.count()).select_from(User).where(User.active.is_(True))
    with patient.engine.connect() as connection:
        users = connection.execute(active).scalar_one()
        admins = connection.execute(active.where(User.roles.any(Role.name == "Admin"))).scalar_one()
        named = set(connection.execute(select(Role.name)).scalars())
    if admins or patient.config.get("windsock", "oidc_roles"):
        yield ok(f"{users} active users, of which {admins} have the role Admin")
    else:
        yield error("No active user has the role Admin", "windsock users create --role Admin ...")
    anonymous = patient.config.get("windsock", "anonymous_role")
    if anonymous and anonymous not in named:
        yield error(
            f"[windsock] anonymous_role: there is no role {anonymous!r}", f"Name one of {', '.join(sorted(named))}."
        )


def _roles(engine: Engine) -> Iterator[Finding]:
    """Bring the default roles up to date, see what that added, and take it back."""
    with engine.connect() as connection, connection.begin() as change:
        missing = roles.sync(connection)
        change.rollback()
    lacking = {name: missing[name] for name in DEFAULT_ROLES if name in missing}
    for name, rights in lacking.items():
        shown = ", ".join(rights[:3]) + (f" and {len(rights) - 3} more" if len(rights) > 3 else "")
        yield warning(f"The role {name} lacks {shown or 'nothing, but is not there'}", "windsock roles sync")
    if not lacking:
        yield ok("The default roles have all that Airflow gives them")
