"""OpenTelemetry spans, where `[windsock] traces_endpoint` says so: one for each request, and one for each statement.

Nothing of this is loaded otherwise. What the endpoint alone does not say, such as headers, the name of the service and
how many requests are traced, is for the variables of OpenTelemetry itself (`OTEL_...`).
"""

from __future__ import annotations

import os
from functools import cache
from multiprocessing.util import Finalize
from time import time_ns
from typing import TYPE_CHECKING

from flask import Flask, Response, g, has_app_context, request
from sqlalchemy import Dialect, event

from windsock.config import Config, ConfigError
from windsock.context import KEY
from windsock.observing import Answered, Observer

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer
    from sqlalchemy.engine import ExceptionContext

ENDPOINT = ("windsock", "traces_endpoint")
_SYSTEMS = {"postgresql": "postgresql", "sqlite": "sqlite", "mysql": "mysql", "mariadb": "mariadb"}


def register(app: Flask, config: Config) -> Observer | None:
    """Trace the requests of `app`, and return what ends their spans; None where there is no endpoint.

    Raises ConfigError without the packages.
    """
    endpoint = config.get(*ENDPOINT).strip()
    if not endpoint:
        return None
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError:
        raise ConfigError("[windsock] traces_endpoint needs packages: pip install 'windsock[otel]'") from None

    @cache
    def tracer() -> Tracer:  # at the first request, since the thread that sends spans has to be one of the worker
        return _provider(endpoint).get_tracer("windsock")

    app.before_request(lambda: _begin(tracer()))
    app.after_request(_name_route)
    for source in app.extensions[KEY].database.sources():
        event.listen(source, "before_cursor_execute", lambda *_: _begin_statement())
        event.listen(source, "after_cursor_execute", lambda *sent: _end_statement(tracer, sent[0].dialect, sent[2]))
        event.listen(source.dialect, "handle_error", lambda failed: _fail_statement(tracer, failed))
    return _end


def _provider(endpoint: str) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "windsock"}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    Finalize(None, provider.shutdown, exitpriority=1)  # sends the rest; `atexit` does nothing in a forked worker
    return provider


# ---------------------------------------------------------------- requests
def _begin(tracer: Tracer) -> None:
    """Begin a span, in the trace that the header `traceparent` names, if it is there."""
    from opentelemetry.trace import SpanKind, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    sent = {name: request.headers[name] for name in ("traceparent", "tracestate") if name in request.headers}
    parent = TraceContextTextMapPropagator().extract(sent)
    g.span = tracer.start_span(request.method, parent, SpanKind.SERVER)
    g.span_context = set_span_in_context(g.span)


def _name_route(response: Response) -> Response:
    if request.url_rule:
        g.span.set_attribute("http.route", request.url_rule.rule)
    return response


def _end(told: Answered) -> None:
    from opentelemetry.trace import StatusCode

    span = told.span
    span.update_name(told.operation if told.operation != "-" else told.method)
    span.set_attributes({
        "http.request.method": told.method, "http.response.status_code": told.status, "url.path": told.path,
        "windsock.request_id": told.request_id, "windsock.statements": told.statements,
    })  # fmt: skip
    span.set_attributes({n: v for n, v in (("user.name", told.user), ("client.address", told.address)) if v})
    if told.status >= 500:
        span.set_status(StatusCode.ERROR)
    span.end()


# ---------------------------------------------------------------- statements
def _begin_statement() -> None:
    if has_app_context():
        g.statement_began = time_ns()


def _end_statement(tracer: Callable[[], Tracer], dialect: Dialect, statement: str, failed: str | None = None) -> None:
    """Make the span of a statement; its text has places for values, and no values."""
    from opentelemetry.trace import SpanKind, Status, StatusCode

    if not (has_app_context() and "span_context" in g and "statement_began" in g):
        return
    began, verb = g.pop("statement_began"), statement.split(None, 1)[0].upper()
    attributes = {"db.system.name": _SYSTEMS.get(dialect.name, "other_sql"), "db.query.text": statement}
    span = tracer().start_span(verb, g.span_context, SpanKind.CLIENT, attributes, start_time=began)
    if failed:
        span.set_status(Status(StatusCode.ERROR, failed))
    span.end()


def _fail_statement(tracer: Callable[[], Tracer], failed: ExceptionContext) -> None:
    if failed.statement:
        _end_statement(tracer, failed.dialect, failed.statement, type(failed.original_exception).__name__)
