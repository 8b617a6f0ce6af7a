"""Tokens in URLs: signed with the secret key of the web server, as Airflow signs them."""

from __future__ import annotations

from itsdangerous import URLSafeSerializer

from windsock.config import Config


def serializer(config: Config) -> URLSafeSerializer:
    """What signs and reads file tokens and the continuation tokens of task logs.

    The key is `[webserver] secret_key`, the other parameters are those of itsdangerous, so that tokens of Airflow 2.11
    are read here and tokens from here are read there. `loads` raises `itsdangerous.BadData`.
    """
    return URLSafeSerializer(config.secret_keys if config.get("webserver", "secret_key") else "")
