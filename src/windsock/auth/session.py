"""Airflow's browser session. This release knows the name, so that an Airflow configuration starts, and no cookie."""

from __future__ import annotations

import logging

from flask import Request

from windsock.access import Caller

log = logging.getLogger(__name__)


def authenticate(request: Request) -> Caller | None:
    """Know nobody yet; a request that only carries a session cookie is refused and the log says why."""
    if "session" in request.cookies and "Authorization" not in request.headers:
        log.warning("A session cookie was sent; this release of Windsock does not take it")
    return None


authenticate.challenge = 'Session realm="Windsock"'  # type: ignore[attr-defined]
