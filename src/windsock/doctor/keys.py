"""The Fernet keys: whether they fit what is stored."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from windsock.crypto import Vault
from windsock.doctor import Finding, Patient, error, ok
from windsock.models import Connection, Variable

#: Encrypted values of each kind that are tried.
_SAMPLE = 20


def check(patient: Patient) -> Iterator[Finding]:
    """Decrypt some stored values, and forget them."""
    if patient.engine is None:
        return
    encrypted = {
        "variables": select(Variable.val).where(Variable.is_encrypted.is_(True)),
        "passwords of connections": select(Connection.password).where(Connection.is_encrypted.is_(True)),
        "extras of connections": select(Connection.extra).where(Connection.is_extra_encrypted.is_(True)),
    }
    vault = Vault(patient.config.get("core", "fernet_key"))
    with patient.engine.connect() as connection:
        for what, statement in encrypted.items():
            values = [value for value in connection.execute(statement.limit(_SAMPLE)).scalars() if value]
            if values:
                yield _readable(vault, values, what)
            else:
                yield ok(f"No {what} are encrypted")


def _readable(vault: Vault, values: list[Any], what: str) -> Finding:
    logging.disable(logging.WARNING)  # it would tell of each value
    try:
        good = sum(vault.decrypt(value) is not None for value in values)
    finally:
        logging.disable(logging.NOTSET)
    told = f"{good} of {len(values)} encrypted {what} that were tried can be decrypted"
    fix = "Add the key that encrypted the others to [core] fernet_key, behind a comma."
    return ok(told) if good == len(values) else error(told, fix)
