"""How tests sign in: settings, the password of every test user, clients that send it."""

from __future__ import annotations

import base64
import hashlib

from flask import Flask
from flask.testing import FlaskClient

API = "/api/v1"
FERNET_KEY = base64.urlsafe_b64encode(b"a key that only the tests know..").decode()
SETTINGS = {
    ("api", "auth_backends"): "airflow.api.auth.backend.basic_auth",
    ("core", "fernet_key"): FERNET_KEY,
    ("webserver", "secret_key"): "the key of the tests",
}
PASSWORD = "correct horse"
#: One round only: a real hash is slow on purpose.
PASSWORD_HASH = "pbkdf2:sha256:1$salt$" + hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), b"salt", 1).hex()


def credentials(username: str, password: str = PASSWORD) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def signed_in(app: Flask, username: str, password: str = PASSWORD) -> FlaskClient:
    """A client of `app` that sends the credentials with every request."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = credentials(username, password)
    return client
