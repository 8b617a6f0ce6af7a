"""The tests that ship with Windsock, one function for each type of connection."""

from __future__ import annotations

import http.client
import sqlite3
import ssl
from base64 import b64encode
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from windsock.probes import Failed, Target
from windsock.probes.guard import Guard

Test = Callable[[Target, Guard], "str | None"]

#: Members of `extra` that are options of Airflow's HttpHook; all others are headers.
_HTTP_OPTIONS = {"allow_redirects", "cert", "check_response", "max_redirects", "proxies", "proxy", "stream", "timeout",
                 "trust_env", "verify"}  # fmt: skip
#: Members of `extra` that libpq gets. Others name files, services or further hosts.
_POSTGRES_OPTIONS = {"application_name", "channel_binding", "client_encoding", "options", "sslmode", "sslsni",
                     "target_session_attrs"}  # fmt: skip


# ---------------------------------------------------------------- HTTP
def http_answer(target: Target, guard: Guard) -> str | None:
    """GET the base URL; a status below 400 is a success. A redirect is not followed."""
    url = _base_url(target)
    connection = _http_connection(url, target)
    try:
        connection.request("GET", (url.path or "/") + (f"?{url.query}" if url.query else ""), headers=_headers(target))
        status = connection.getresponse().status
    except OSError:
        raise
    except (ValueError, http.client.HTTPException) as error:  # the text may repeat a header
        raise Failed(f"The request or its answer is not valid HTTP ({type(error).__name__})") from None
    finally:
        connection.close()
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "unknown status"
    if status >= 400:
        raise Failed(f"{status} {phrase}")
    return f"{status} {phrase}; the redirect was not followed" if status >= 300 else None


def _base_url(target: Target) -> SplitResult:
    """Where Airflow's HttpHook would send it: `host` may be a whole URL, and `schema` is the protocol."""
    host = target.host or ""
    url = urlsplit(host if "://" in host else f"{target.schema or target.conn_type}://{host}")
    if url.scheme not in ("http", "https") or not url.hostname:
        raise Failed("host must be a name, an address, or a URL that begins with http:// or https://")
    return url


def _http_connection(url: SplitResult, target: Target) -> http.client.HTTPConnection:
    host, port = str(url.hostname), target.port or url.port or (443 if url.scheme == "https" else 80)
    if url.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=target.timeout)
    checks = ssl.create_default_context()
    if target.extra.get("verify") in (False, "false", "False"):
        checks.check_hostname, checks.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=target.timeout, context=checks)


def _headers(target: Target) -> dict[str, str]:
    headers = {name: str(value) for name, value in target.extra.items() if name not in _HTTP_OPTIONS}
    if target.login:
        pair = f"{target.login}:{target.password or ''}".encode()
        headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
    return headers


# ---------------------------------------------------------------- SQL
def postgres_answer(target: Target, guard: Guard) -> None:
    """Sign in and select something; the address is looked up once and handed to libpq beside the name."""
    host, port = target.host or "localhost", target.port or 5432
    if "," in host or host.startswith(("/", "@")):
        raise Failed("host must be one name or address")
    addresses = guard.resolve(host, port)
    options = {name: value for name, value in target.extra.items() if name in _POSTGRES_OPTIONS}
    options |= {"sslrootcert": "system"} if options.get("sslmode") == "verify-full" else {}
    account = {"user": target.login, "password": target.password, "dbname": target.schema}
    _select(
        "postgresql+psycopg://",
        connect_args={
            **options,
            **{name: value for name, value in account.items() if value},
            "host": ",".join([host] * len(addresses)),
            "hostaddr": ",".join(addresses),
            "port": ",".join([str(port)] * len(addresses)),
            "connect_timeout": max(2, int(target.timeout)),
            "gssencmode": "disable",
        },
    )


def sqlite_answer(target: Target, guard: Guard) -> None:
    """Read the catalogue of a database file, which is opened for reading only."""
    path = _permitted(target.host, target.folders, "host")
    if not path.is_file():
        raise Failed(f"There is no file {target.host}")
    _select("sqlite://", creator=lambda: sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True))


def _select(url: str, **options: Any) -> None:
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    catalogue = "SELECT count(*) FROM sqlite_master" if url.startswith("sqlite") else "SELECT 1"
    try:
        with create_engine(url, poolclass=NullPool, hide_parameters=True, **options).connect() as connection:
            connection.execute(text(catalogue))
    except DBAPIError as error:
        raise Failed(str(error.orig).strip()) from None


# ---------------------------------------------------------------- files
def file_answer(target: Target, guard: Guard) -> str:
    """Whether the path of `extra` exists."""
    path = _permitted(target.extra.get("path"), target.folders, "extra.path")
    if not path.exists():
        raise Failed(f"There is no {target.extra['path']}")
    return f"{target.extra['path']} exists"


def _permitted(wanted: Any, folders: tuple[str, ...], member: str) -> Path:
    """The real path, with symbolic links followed; the same refusal whether or not there is something outside."""
    if not isinstance(wanted, str) or not wanted.startswith("/"):
        raise Failed(f"{member} must be an absolute path")
    path = Path(wanted).resolve()
    if not any(path.is_relative_to(Path(folder).resolve()) for folder in folders):
        raise Failed("Only files below the folders of [windsock] test_connection_folders are looked at")
    return path


# ---------------------------------------------------------------- S3
def s3_answer(target: Target, guard: Guard) -> None:
    """List the bucket of `extra`, or else the buckets, with the credentials of the connection only."""
    try:
        import s3fs
    except ImportError:
        raise Failed("A test of S3 needs the package s3fs where Windsock runs") from None
    if not target.login or not target.password:
        raise Failed("login and password must be an access key and its secret: the server's own are not used")
    extra, service = target.extra, target.extra.get("service_config")
    s3 = service.get("s3", {}) if isinstance(service, dict) else {}
    system = s3fs.S3FileSystem(
        key=target.login,
        secret=target.password,
        token=extra.get("aws_session_token"),
        endpoint_url=s3.get("endpoint_url") or extra.get("endpoint_url") or extra.get("host"),
        client_kwargs={"region_name": extra.get("region_name") or "us-east-1"},
        config_kwargs={"connect_timeout": target.timeout, "retries": {"max_attempts": 0}},
        skip_instance_cache=True,
    )
    try:
        system.ls(s3.get("bucket_name") or "")
    except OSError as error:
        raise Failed(str(error) or type(error).__name__) from None


SHIPPED: dict[str, Test] = {
    "aws": s3_answer,
    "fs": file_answer,
    "http": http_answer,
    "https": http_answer,
    "postgres": postgres_answer,
    "postgresql": postgres_answer,
    "s3": s3_answer,
    "sqlite": sqlite_answer,
}
