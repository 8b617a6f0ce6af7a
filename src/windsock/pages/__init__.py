"""The pages for people: what this server is, its document to read, its operations to try; from this server alone."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache, partial
from pathlib import Path

from flask import Blueprint, Response, render_template, request

from windsock import responses
from windsock.accepting import preferred
from windsock.context import context
from windsock.jsontext import to_json

HTML, JSON = "text/html", "application/json"
_HERE = Path(__file__).parent
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

#: What the landing page links to, for clients that prefer JSON.
LINKS = {
    "documentation": "docs",
    "try": "docs/try",
    "openapi_json": "api/v1/openapi.json",
    "openapi_yaml": "api/v1/openapi.yaml",
    "health": "api/v1/health",
    "version": "api/v1/version",
}
#: Older addresses, those of Airflow among them, and where they lead, relative so that a proxy may add a prefix.
MOVED = {"/api/v1/ui": "../../docs", "/api/v1/ui/": "../../../docs", "/docs/": "../docs", "/docs/try/": "../try"}

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
# Redoc adds two style elements, which these digests are of: one for scroll bars, and an empty one to fill by script. It
# searches in a worker that it makes from a blob.
_REDOC = {
    "style-src": "'self' 'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc=' "
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
    "worker-src": "blob:",
}

pages = Blueprint("pages", __name__, template_folder="templates")


@pages.get("/")
def landing() -> Response:
    """What this server is: a page, or the same links as JSON for who prefers that."""
    if preferred(HTML, JSON) == HTML:
        return _page("landing.html")
    links = {name: f"{request.root_path}/{path}" for name, path in LINKS.items()}
    return responses.static(to_json({"title": "Windsock", "links": links}), JSON)


@pages.get("/docs")
def docs() -> Response:
    """The document, shown by Redoc."""
    return _page("docs.html", _REDOC)


@pages.get("/docs/try")
def try_it() -> Response:
    """The operations, sent by Swagger UI."""
    return _page("try.html", credentials=_credentials())


def _credentials() -> str:
    """Whether requests from the page take along what a browser adds by itself, in the words of its `fetch`.

    Only if it has added something, or might have a ticket of Kerberos: else a 401 would make it ask for a password in
    a window of its own, and keep that.
    """
    tickets = any(backend.challenge == "Negotiate" for backend in context.backends)  # type: ignore[attr-defined]
    return "same-origin" if request.cookies or request.authorization or tickets else "omit"


def _page(template: str, policy: dict[str, str] | None = None, **values: str) -> Response:
    preferred(HTML)
    root = "../" * request.path.lstrip("/").count("/") or "./"
    text = render_template(template, root=root, page=request.path.lstrip("/"), **values)
    response = responses.static(text.encode(), f"{HTML}; charset=utf-8")
    policies = _POLICY | (policy or {})
    response.headers["Content-Security-Policy"] = "; ".join(f"{name} {value}" for name, value in policies.items())
    return response


def _own(file: Path) -> Response:
    return responses.static(_read(file)[0], _TYPES[file.suffix])


def _vendored(file: Path) -> Response:
    content, tag = _read(file)
    response = Response(content, content_type=_TYPES[file.with_suffix("").suffix])
    if request.accept_encodings["gzip"] > 0:
        response.content_encoding = "gzip"
    else:  # another encoding is another representation: a strong tag must tell the two apart
        response.data, tag = gzip.decompress(content), f"{tag}-identity"
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    response.vary.add("Accept-Encoding")
    response.set_etag(tag)
    response.make_conditional(request)
    return response


@cache
def _read(file: Path) -> tuple[bytes, str]:
    """The content and a digest of it; read when it is first asked for, not at start-up."""
    content = file.read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:32]


def _moved(target: str) -> Response:
    return Response(status=302, headers={"Location": target})


for _file in (_HERE / "static").iterdir():
    pages.add_url_rule(f"/docs/{_file.name}", _file.stem + _file.suffix[1:], partial(_own, _file))
for _file in (_HERE / "vendor").glob("*.gz"):
    pages.add_url_rule(f"/docs/{_file.stem}", _file.name.replace(".", "_"), partial(_vendored, _file))
for _number, (_address, _target) in enumerate(MOVED.items()):
    pages.add_url_rule(_address, f"moved{_number}", partial(_moved, _target))
