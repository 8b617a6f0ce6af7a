"""`/metrics` for Prometheus, where `[windsock] metrics_token` says so: counts and times by operation, of all workers.

Why a token and no user may read it: docs/decisions/0012.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request
from sqlalchemy import Engine, event

from windsock.config import Config, ConfigError
from windsock.context import KEY
from windsock.errors import Unauthenticated
from windsock.observing import Answered, Observer

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

TOKEN = ("windsock", "metrics_token")
#: Names the folder in which the counts of all workers meet; `windsock serve` chooses one, and removes it at the end.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
#: Seconds, from a cached answer to what a client gives up on.
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


def register(app: Flask, config: Config) -> Observer | None:
    """Serve `/metrics`, and return what counts the answers of `app`; None where there is no token.

    Raises ConfigError without the package, and OSError if the folder cannot be made.
    """
    token = config.get(*TOKEN).strip()
    if not token:
        return None
    try:
        from prometheus_client import CollectorRegistry
    except ImportError:
        raise ConfigError("[windsock] metrics_token needs a package: pip install 'windsock[metrics]'") from None
    if folder := os.environ.get(FOLDER):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    registry = CollectorRegistry()
    _count_connections(app, registry)
    app.add_url_rule("/metrics", "metrics", lambda: _answer(token, registry))
    return _counter(app, registry)


def _counter(app: Flask, registry: CollectorRegistry) -> Observer:
    from prometheus_client import Counter, Gauge, Histogram

    by = ("operation",)
    requests = Counter("windsock_requests", "Answers", (*by, "status"), registry=registry)
    seconds = Histogram("windsock_request_seconds", "Time to answer", by, registry=registry, buckets=_BUCKETS)
    statements = Counter("windsock_statements", "SQL statements", by, registry=registry)
    spent = Counter("windsock_statement_seconds", "Time of SQL statements", by, registry=registry)
    told = "Requests that are being answered"
    flying = Gauge("windsock_requests_in_flight", told, registry=registry, multiprocess_mode="livesum")
    built = "The version of Windsock"
    info = Gauge("windsock_build_info", built, ("version",), registry=registry, multiprocess_mode="max")
    info.labels(version("windsock")).set(1)
    app.before_request(flying.inc)

    def count(answered: Answered) -> None:
        name = answered.operation
        requests.labels(name, str(answered.status)).inc()
        seconds.labels(name).observe(answered.seconds)
        statements.labels(name).inc(answered.statements)
        spent.labels(name).inc(answered.database_seconds)
        flying.dec()

    return count


def _count_connections(app: Flask, registry: CollectorRegistry) -> None:
    """Gauges of the connections of each pool; a test's one connection has none."""
    from prometheus_client import Gauge

    options: dict[str, Any] = {"labelnames": ("pool",), "registry": registry, "multiprocess_mode": "livesum"}
    opened = Gauge("windsock_database_connections_open", "Connections to the database", **options)
    used = Gauge("windsock_database_connections_in_use", "Those of them that answer a request", **options)
    database = app.extensions[KEY].database
    replica = database.replica.engine if database.replica else None
    for name, source in (("reading", database.reading), ("writing", database.writing), ("replica", replica)):
        if isinstance(source, Engine):
            steps: dict[str, Callable[[], None]] = {
                "connect": opened.labels(name).inc, "close": opened.labels(name).dec,
                "checkout": used.labels(name).inc, "checkin": used.labels(name).dec,
            }  # fmt: skip
            for what, step in steps.items():
                event.listen(source, what, _ignoring_arguments(step))
            if source in database.spares:
                database.spares[source].moved = used.labels(name).inc


def _ignoring_arguments(step: Callable[[], None]) -> Callable[..., None]:
    return lambda *_: step()


def _answer(token: str, registry: CollectorRegistry) -> Response:
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    given = request.headers.get("Authorization", "").encode("utf-8", "replace")
    if not hmac.compare_digest(given, f"Bearer {token}".encode()):
        detail = "The metrics are for who knows [windsock] metrics_token, and sends it as a bearer token"
        raise Unauthenticated(detail, {"WWW-Authenticate": "Bearer"})
    return Response(generate_latest(_all_workers() or registry), content_type=CONTENT_TYPE_LATEST)


def _all_workers() -> Any:
    """What the workers have counted together; None where each server has one process only."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return None
    from prometheus_client import CollectorRegistry, multiprocess

    for file in Path(folder).glob("gauge_live*.db"):  # a worker that was killed did not say goodbye
        process = int(file.stem.rpartition("_")[2])
        with suppress(PermissionError):
            try:
                os.kill(process, 0)
            except ProcessLookupError:
                multiprocess.mark_process_dead(process, folder)
    found = CollectorRegistry()
    multiprocess.MultiProcessCollector(found, folder)
    return found
