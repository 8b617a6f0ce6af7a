"""create_app: document, database, gate, errors, CORS and pages put together."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import orjson
from flask import Flask, Response, redirect, request
from flask_cors import CORS

from windsock import auth, db, errors, operations, pages, routing, spec
from windsock.config import Config
from windsock.context import KEY, Context
from windsock.crypto import Vault
from windsock.db import Database
from windsock.framework import FlaskApi, OpenAPISpecification
from windsock.jsontext import to_json

BASE_PATH = "/api/v1"
#: Bytes of request body that are read at most; a larger one is 413.
MAX_BODY = 16 * 1024 * 1024


def create_app(config: Config | None = None, database: Database | None = None) -> Flask:
    """Build the WSGI application.

    Raises ConfigError for a setting that cannot be used and DocumentError for an incomplete document.
    """
    config = config or Config.load()
    config.check()
    app = routing.SlashTolerantFlask("windsock", static_folder=None)
    app.url_map.merge_slashes = False
    app.url_map.converters["path"] = routing.Spanning  # Werkzeug's own takes no leading slash
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.extensions[KEY] = Context(
        config, database or Database.from_config(config), Vault.from_config(config), auth.load(config)
    )
    db.register(app)
    errors.register(app)
    _add_operations(app)
    _add_document(app, config)
    app.register_blueprint(pages.blueprint())
    app.after_request(_protect)
    _add_cors(app, config)
    return app


def _add_operations(app: Flask) -> None:
    OpenAPISpecification.operation_cls = operations.CompiledOperation
    OpenAPISpecification._validate_spec = classmethod(lambda cls, document: None)  # CI validates the document
    options = {"serve_spec": False, "swagger_ui": False}
    api = FlaskApi(spec.lean(), base_path=BASE_PATH, resolver=operations.resolver(), options=options)
    app.register_blueprint(api.blueprint)


def _add_document(app: Flask, config: Config) -> None:
    """Serve the document with an absolute server URL: `[webserver] base_url`, else the request's own."""

    def server() -> str:
        base = config.get("webserver", "base_url") or request.host_url
        return base.rstrip("/") + BASE_PATH

    @cache
    def whole() -> bytes:
        return to_json(spec.written())

    def as_json() -> Response:
        document = orjson.loads(whole())
        document["servers"][0]["url"] = server()
        return Response(to_json(document), content_type="application/json")

    def as_yaml() -> Response:
        url = re.compile(rf"^( *- url: ){BASE_PATH}$", re.MULTILINE)
        text = url.sub(lambda match: match[1] + server(), spec.PATH.read_text("utf-8"), count=1)
        return Response(text, content_type="application/yaml")

    app.add_url_rule(f"{BASE_PATH}/openapi.json", "openapi_json", as_json)
    app.add_url_rule(f"{BASE_PATH}/openapi.yaml", "openapi_yaml", as_yaml)
    app.add_url_rule(f"{BASE_PATH}/ui/", "ui", lambda: redirect("../../docs"))  # where Airflow has its page


def _protect(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("X-Robots-Tag", "noindex, nofollow")
    return response


def _add_cors(app: Flask, config: Config) -> None:
    origins = config.get_list("api", "access_control_allow_origins")
    if origins:
        methods = config.get_list("api", "access_control_allow_methods")
        headers = config.get_list("api", "access_control_allow_headers")
        options: dict[str, Any] = {"expose_headers": ["Link", "WWW-Authenticate", "Allow"]}
        options |= {"methods": methods} if methods else {}
        options |= {"allow_headers": headers} if headers else {}
        CORS(app, origins=origins, **options)
