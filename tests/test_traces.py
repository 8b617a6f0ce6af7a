"""Spans of OpenTelemetry, as a collector receives them over HTTP from a running server."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from changes import USERNAME, filled
from databases import KINDS
from servers import Server, serving

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


class Collector(ThreadingHTTPServer):
    """Keeps the spans that are sent to it, with the attributes of their resource."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[tuple[dict[str, Any], Span]] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/traces"

    def of_request(self, request_id: str) -> tuple[Span, list[Span]] | None:
        """The span of a request, and those of its statements, if they are there."""
        for _, root in self.spans:
            if attributes(root).get("windsock.request_id") == request_id:
                return root, [span for _, span in self.spans if span.parent_span_id == root.span_id]
        return None


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        sent = gzip.decompress(sent) if self.headers["Content-Encoding"] == "gzip" else sent
        for found in ExportTraceServiceRequest.FromString(sent).resource_spans:
            resource = {entry.key: entry.value.string_value for entry in found.resource.attributes}
            self.server.spans += [(resource, span) for scope in found.scope_spans for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


def attributes(span: Span) -> dict[str, Any]:
    return {entry.key: getattr(entry.value, entry.value.WhichOneof("value")) for entry in span.attributes}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        yield collector
        collector.shutdown()


@pytest.fixture(scope="module", params=KINDS)
def served(
    request: pytest.FixtureRequest, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    settings = {("windsock", "traces_endpoint"): collector.endpoint}
    home = tmp_path_factory.mktemp("server")
    with pytest.MonkeyPatch.context() as patch, filled(request.param, home) as engine:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with serving(home, engine, "--workers", "1", settings=settings) as served:
            yield served


def traced(served: Server, collector: Collector, request_id: str) -> tuple[Span, list[Span]]:
    return served.until(lambda: collector.of_request(request_id))


def test_a_request_is_a_span_named_after_the_operation_in_the_trace_of_the_client(served, collector, request):
    name = request.node.name
    served.ask("/pools/kept", **{"X-Request-Id": "r1", "traceparent": TRACEPARENT})
    span, _ = traced(served, collector, "r1")
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.name) == (TRACE, PARENT, "get_pool"), name
    told = attributes(span)
    assert told.pop("windsock.statements") >= 2
    assert told == {
        "http.request.method": "GET", "http.response.status_code": 200, "http.route": "/api/v1/pools/<pool_name>",
        "url.path": "/api/v1/pools/kept", "user.name": USERNAME, "client.address": "127.0.0.1",
        "windsock.request_id": "r1",
    }  # fmt: skip
    assert {resource["service.name"] for resource, _ in collector.spans} == {"windsock"}
    collector.spans.clear()


def test_each_statement_is_a_child_with_places_for_values_and_no_values(served, collector):
    served.ask("/variables", "POST", {"key": "hunter1", "value": "hunter2"}, **{"X-Request-Id": "r2"})
    span, statements = traced(served, collector, "r2")
    assert span.name == "post_variables" and attributes(span)["http.response.status_code"] == 201
    assert 3 <= len(statements) <= attributes(span)["windsock.statements"]  # a new connection has further ones
    assert {one.name for one in statements} >= {"SELECT", "INSERT"}
    assert all(one.trace_id == span.trace_id and one.kind == Span.SPAN_KIND_CLIENT for one in statements)
    assert all(span.start_time_unix_nano <= one.start_time_unix_nano <= one.end_time_unix_nano for one in statements)
    assert any("INSERT INTO variable" in attributes(one)["db.query.text"] for one in statements)
    assert not any("hunter" in str(sent) for _, sent in collector.spans)
    collector.spans.clear()


def test_a_statement_that_fails_is_marked(served, collector):
    for status in (201, 409):
        sent = {"X-Request-Id": f"r3-{status}"}
        assert served.ask("/pools", "POST", {"name": "twice", "slots": 1}, **sent).status == status
    _, statements = traced(served, collector, "r3-409")
    failed = [one for one in statements if one.status.code == one.status.STATUS_CODE_ERROR]
    assert [one.name for one in failed] == ["INSERT"]
    collector.spans.clear()


def test_what_is_left_is_sent_when_the_server_stops(served, collector):
    served.ask("/pools", **{"X-Request-Id": "last"})
    served.process.terminate()
    assert served.process.wait(timeout=30) == 0
    assert collector.of_request("last")


def test_nothing_of_it_is_loaded_by_default(tmp_path):

    script = (
        "import sys, windsock.app; windsock.app.create_app(); sys.exit(any('opentelemetry' in m for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], env={"AIRFLOW_HOME": str(tmp_path)}, capture_output=True)
    assert done.returncode == 0, done.stderr
