"""The documentation page: Redoc over the served document, from this server alone."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, render_template, request

BUNDLE = Path(__file__).with_name("redoc.standalone.js.gz")

# Redoc writes its styles inline (styled-components) and searches in a worker made from a blob. Nothing else is let in.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "worker-src blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


def blueprint(document_url: str = "api/v1/openapi.json") -> Blueprint:
    """The routes `/docs` and `/docs/redoc.standalone.js`, open to everybody.

    `document_url` is where the page finds the OpenAPI document, relative to `/docs`, so that a path prefix set by a
    proxy needs no configuration.
    """
    pages = Blueprint("pages", __name__, template_folder=".")

    @pages.get("/docs")
    def docs() -> Response:
        page = render_template("docs.html", document_url=document_url, script_url="docs/redoc.standalone.js")
        response = Response(page, mimetype="text/html")
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers["Cache-Control"] = "no-cache"
        return _finish(response, hashlib.sha256(page.encode()).hexdigest()[:32])

    @pages.get("/docs/redoc.standalone.js")
    def redoc() -> Response:
        compressed, digest = _bundle()
        if request.accept_encodings["gzip"] > 0:
            response = Response(compressed, mimetype="text/javascript")
            response.headers["Content-Encoding"] = "gzip"
        else:
            # Another encoding is another representation: a strong tag must tell the two apart.
            response, digest = Response(gzip.decompress(compressed), mimetype="text/javascript"), f"{digest}-identity"
        response.headers["Cache-Control"] = "public, max-age=86400"
        response.vary.add("Accept-Encoding")
        return _finish(response, digest)

    return pages


@cache
def _bundle() -> tuple[bytes, str]:
    """The compressed script and a digest of it; read at the first request for it, not at start-up."""
    compressed = BUNDLE.read_bytes()
    return compressed, hashlib.sha256(compressed).hexdigest()[:32]


def _finish(response: Response, etag: str) -> Response:
    response.set_etag(etag)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.make_conditional(request)
    return response
