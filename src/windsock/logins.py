"""The login statistics in `ab_user`, as Airflow keeps them.

A success counts at most once a minute, by the time that is stored with the user, so that all workers and servers agree.
A failure counts every time. A database that refuses never fails the request: it is left alone for a minute.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, func, or_, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from windsock import db
from windsock.callers import Caller
from windsock.context import context
from windsock.models import User

log = logging.getLogger(__name__)

_PAUSE = timedelta(minutes=1)
#: Local times without offset: summer time ends, and another server may be in another zone.
_AHEAD = timedelta(days=1)
_refused: WeakKeyDictionary[db.Database, float] = WeakKeyDictionary()
_COUNT = func.coalesce(User.login_count, 0)
_FAILED = func.coalesce(User.fail_login_count, 0)


def count_success(known: Caller) -> None:
    """Note that a user signed in, unless the stored `last_login` is within the last minute."""
    now, last_login = datetime.now(), known.last_login
    if last_login is not None and now - _PAUSE <= last_login <= now + _AHEAD:
        return
    due = or_(User.last_login.is_(None), User.last_login < now - _PAUSE, User.last_login > now + _AHEAD)
    _store(known, due, login_count=_COUNT + 1, last_login=now, fail_login_count=0)


def count_failure(known: Caller) -> None:
    """Note a wrong password for a known, active user."""
    _store(known, login_count=_COUNT, fail_login_count=_FAILED + 1)


def _store(known: Caller, *conditions: ColumnElement[bool], **values: object) -> None:
    database = context.database
    if time.monotonic() < _refused.get(database, 0):
        return
    try:
        db.execute_alone(update(User).where(User.id == known.id, *conditions).values(values))
    except SQLAlchemyError as error:
        _refused[database] = time.monotonic() + _PAUSE.total_seconds()
        cause = error.orig if isinstance(error, DBAPIError) else type(error).__name__
        log.warning("Logins are not counted for a minute: the database refused with %.200r", str(cause))
