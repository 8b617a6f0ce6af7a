"""Cookies as Airflow's own web server hands them out, and the rows of its sessions."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta, timezone
from typing import Any

from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from clients import SETTINGS
from windsock.models import WebSession

KEY = SETTINGS["webserver", "secret_key"]
SESSION_ID = "eefc6195-e73a-480c-b496-4aa31f9c06d8"


def signature(text: str, key: str = KEY, salt: str = "flask-session") -> str:
    derived = hmac.digest(key.encode(), salt.encode(), hashlib.sha1)
    return urlsafe_b64encode(hmac.digest(derived, text.encode(), hashlib.sha1)).decode().rstrip("=")


def signed(text: str = SESSION_ID, **how: str) -> str:
    """The cookie of a session in the database."""
    return f"{text}.{signature(text, **how)}"


def data(user_id: Any, **members: Any) -> bytes:
    return json.dumps({"_fresh": False, "_permanent": True, "_user_id": user_id, **members}).encode()


def in_minutes(minutes: float) -> datetime:
    """As the table stores it: UTC without offset."""
    return datetime.now(timezone.utc).replace(tzinfo=None) + timedelta(minutes=minutes)


def stored(user_id: Any = None, **columns: Any) -> WebSession:
    return WebSession(**{"session_id": SESSION_ID, "data": data(user_id), "expiry": in_minutes(5), **columns})


def flask_cookie(session: dict[str, Any], key: str = KEY) -> str:
    """What Flask itself writes."""
    airflow = Flask("airflow")
    airflow.secret_key = key
    serializer = SecureCookieSessionInterface().get_signing_serializer(airflow)
    assert serializer is not None
    return str(serializer.dumps(session))
