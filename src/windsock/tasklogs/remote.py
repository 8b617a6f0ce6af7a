"""Logs in the folder of `[logging] remote_base_log_folder`: S3, GCS and Azure through fsspec, or plain files."""

from __future__ import annotations

import json
import logging
import re
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple, cast

from sqlalchemy import select

from windsock import db
from windsock.config import Config
from windsock.crypto import Vault
from windsock.models import Connection
from windsock.tasklogs.local import MOST_FILES, Source, belongs, find_local, path_parts

log = logging.getLogger(__name__)

#: Bytes that are asked for at a time.
BLOCK = 4 * 1024 * 1024
#: Start of the folder's URL -> fsspec's protocol, the extra that installs it, and what Airflow's handler says.
_KINDS = {
    "s3://": ("s3", "s3", "Found logs in s3:"),
    "gs://": ("gs", "gcs", "Found remote logs:"),
    "wasb": ("abfs", "azure", "Found remote logs:"),
}


class _Place(NamedTuple):
    protocol: str
    extra: str
    title: str
    folder: str  # as fsspec names it, without protocol


def find_remote(path: str, config: Config, vault: Vault) -> tuple[list[str], list[Source]]:
    """What to say about the remote folder, and the files of the log at this path, opened.

    Raises OutsideError for a path that goes up. Every other failure is told, not raised.
    """
    base = config.get("logging", "remote_base_log_folder")
    if base.startswith(("/", "file://")):
        return _told("Found remote logs:", find_local(base.removeprefix("file://"), path))
    parts = path_parts(path)
    place = _place(base, config)
    if place is None:
        scheme = base.partition(":")[0]
        return [f"Could not read remote logs: {scheme!r} is none of s3, gs, wasb and file"], []
    try:
        return _told(place.title, _found(place, parts, _options(place.protocol, config, vault)))
    except ImportError:
        return [f"Could not read remote logs: install windsock[{place.extra}]"], []
    except Exception as error:  # whatever the storage's library raises; its text may hold what is secret
        log.exception("Cannot read remote logs in %s", place.folder)
        return [f"Could not read remote logs in {base}: {type(error).__name__}"], []


def _told(title: str, found: list[Source]) -> tuple[list[str], list[Source]]:
    return [title, *(f"  * {source.name}" for source in found)] if found else [], found


def _place(base: str, config: Config) -> _Place | None:
    for start, (protocol, extra, title) in _KINDS.items():
        if base.startswith(start):
            container = config.get("azure_remote_logging", "remote_wasb_log_container")
            folder = f"{container}/{base}" if start == "wasb" else base.removeprefix(start)  # as Airflow names blobs
            return _Place(protocol, extra, title, folder.rstrip("/"))
    return None


def _found(place: _Place, parts: list[str], options: dict[str, Any]) -> list[Source]:
    storage = _storage(place.protocol, json.dumps(options, sort_keys=True))
    *folders, name = parts
    try:
        listed = storage.ls("/".join([place.folder, *folders]), detail=True, refresh=True)
    except FileNotFoundError:
        return []
    files = sorted(
        entry["name"] for entry in listed if entry["type"] == "file" and belongs(name, entry["name"].rpartition("/")[2])
    )
    return [_opened(storage, file, f"{place.protocol}://{file}") for file in files[:MOST_FILES]]


def _opened(storage: Any, file: str, name: str) -> Source:
    opened = storage.open(file, "rb", block_size=BLOCK, cache_type="readahead")
    return Source(name, cast(BinaryIO, opened), opened.size)


@lru_cache(4)
def _storage(protocol: str, options: str) -> Any:
    import fsspec

    return fsspec.filesystem(protocol, use_listings_cache=False, **json.loads(options))


# ---------------------------------------------------------------- credentials
def _options(protocol: str, config: Config, vault: Vault) -> dict[str, Any]:
    """Options of fsspec: those of the connection `[logging] remote_log_conn_id`, then `[windsock] remote_log_options`.

    Without either, the storage's own library looks for credentials in the environment.
    """
    given = json.loads(config.get("windsock", "remote_log_options") or "{}")
    name = config.get("logging", "remote_log_conn_id")
    row = db.execute(select(Connection.__table__).where(Connection.conn_id == name)).first() if name else None
    known = {} if row is None else _OF_CONNECTION[protocol](row.login, *_secrets(row, vault))
    if protocol == "gs" and (key_path := config.get("logging", "google_key_path")):
        known.setdefault("token", key_path)
    return {key: value for key, value in known.items() if value} | given


def _secrets(row: Any, vault: Vault) -> tuple[str | None, dict[str, Any]]:
    """Password and extra of a connection, decrypted."""
    what = f"connection {row.conn_id!r}"
    password = vault.decrypt(row.password, what) if row.password and row.is_encrypted else row.password
    text = vault.decrypt(row.extra, what) if row.extra and row.is_extra_encrypted else row.extra
    try:
        extra = json.loads(text or "{}")
    except ValueError:
        extra = {}
    return password, extra if isinstance(extra, dict) else {}


def _s3(login: str | None, password: str | None, extra: dict[str, Any]) -> dict[str, Any]:
    region = extra.get("region_name")
    return {
        "key": login or extra.get("aws_access_key_id"),
        "secret": password or extra.get("aws_secret_access_key"),
        "token": extra.get("aws_session_token"),
        "endpoint_url": extra.get("endpoint_url"),
        "client_kwargs": {"region_name": region} if region else None,
    }


def _gs(login: str | None, password: str | None, extra: dict[str, Any]) -> dict[str, Any]:
    known = {re.sub(r"^extra__google_cloud_platform__", "", key): value for key, value in extra.items()}
    keys = known.get("keyfile_dict")
    return {
        "token": json.loads(keys) if isinstance(keys, str) and keys else keys or known.get("key_path"),
        "project": known.get("project"),
    }


def _azure(login: str | None, password: str | None, extra: dict[str, Any]) -> dict[str, Any]:
    return {
        "account_name": login,
        "account_key": password,
        "connection_string": extra.get("connection_string"),
        "sas_token": extra.get("sas_token"),
    }


_OF_CONNECTION = {"s3": _s3, "gs": _gs, "abfs": _azure}
