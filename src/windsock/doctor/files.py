"""Files and folders: whether logs can be read, and secrets cannot."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import make_url

from windsock.doctor import Finding, Patient, error, ok, warning


def check(patient: Patient) -> Iterator[Finding]:
    """Look at the log folder, the configuration file, the database file and the keytab."""
    config = patient.config
    yield _log_folder(Path(config.get("logging", "base_log_folder")))
    url = make_url(config.database_url)
    database = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    for what, path in (("configuration file", config.source), ("database file", database)):
        if path and path.exists():
            yield _mode(what, path)
    if database and database.exists() and not os.access(database.parent, os.W_OK):
        fix = f"Give this user the right to write into {database.parent}, or accept that nothing can be changed."
        yield warning("SQLite needs to write files beside its own, and may not", fix)
    if "kerberos" in config.get("api", "auth_backends"):
        keytab = Path(os.environ.get("KRB5_KTNAME", "").removeprefix("FILE:") or config.get("kerberos", "keytab"))
        yield _mode("keytab", keytab) if keytab.exists() else error(f"The keytab {keytab} does not exist", "Export it.")


def _log_folder(folder: Path) -> Finding:
    fix = "Mount the log folder of Airflow's workers there, or correct [logging] base_log_folder."
    if not folder.is_dir():
        return warning(f"The log folder {folder} does not exist: logs of local files are not found", fix)
    if not os.access(folder, os.R_OK | os.X_OK):
        return error(f"The log folder {folder} may not be read by this user", f"Give it the right: chmod o+rx {folder}")
    return ok(f"The log folder {folder} can be read")


def _mode(what: str, path: Path) -> Finding:
    found = path.stat().st_mode
    told = f"The {what} {path} has the mode {stat.S_IMODE(found):03o}"
    if found & stat.S_IWOTH:
        return error(f"{told}: everybody may change it", f"chmod 600 {path}")
    if found & stat.S_IROTH:
        return warning(f"{told}: everybody may read the secrets in it", f"chmod 600 {path}")
    return ok(told)
