"""create_app: document, database, gate, errors, CORS and pages put together."""

from __future__ import annotations

from typing import Any

from flask import Flask, request
from flask_cors import CORS
from werkzeug.middleware.proxy_fix import ProxyFix

from windsock import (
    auth,
    db,
    deprecations,
    errors,
    finish,
    intake,
    limits,
    logs,
    metrics,
    observing,
    operations,
    pages,
    published,
    request_ids,
    routing,
    spec,
    traces,
)
from windsock.config import Config
from windsock.context import KEY, Context
from windsock.crypto import Vault
from windsock.db import Database
from windsock.framework import FlaskApi, OpenAPISpecification
from windsock.idempotency import REPLAYED
from windsock.spec import BASE_PATH
from windsock.waiting import stream

PROXY_FIX = ("for", "proto", "host", "port", "prefix")


def create_app(config: Config | None = None, database: Database | None = None) -> Flask:
    """Build the WSGI application.

    Raises ConfigError for a setting that cannot be used and DocumentError for an incomplete document.
    """
    config = config or Config.load()
    config.check()
    app = routing.SlashTolerantFlask("windsock", static_folder=None)
    app.url_map.merge_slashes = False
    app.url_map.converters["path"] = routing.Spanning  # Werkzeug's own takes no leading slash
    app.extensions[KEY] = Context(
        config, database or Database.from_config(config), Vault.from_config(config), auth.load(config)
    )
    _observe(app, config)
    intake.register(app, config)
    finish.register(app)
    limits.register(app, config)
    db.register(app)
    errors.register(app)
    stream.register(app, config)
    _add_operations(app)
    published.register(app, config)
    if config.get_bool("webserver", "enable_swagger_ui"):
        app.register_blueprint(pages.pages)
    _add_cors(app, config)
    _trust_proxies(app, config)
    return app


def _observe(app: Flask, config: Config) -> None:
    """Before all other hooks of requests, so that refusals are seen, too."""
    logs.setup(config)
    observers = (traces.register(app, config), metrics.register(app, config), logs.observer(config))
    observing.register(app, list(filter(None, observers)))


def _add_operations(app: Flask) -> None:
    OpenAPISpecification.operation_cls = operations.CompiledOperation
    OpenAPISpecification._validate_spec = classmethod(lambda cls, document: None)  # CI validates the document
    options = {"serve_spec": False, "swagger_ui": False}
    api = FlaskApi(spec.routes(), base_path=BASE_PATH, resolver=operations.resolver(), options=options)
    app.register_blueprint(api.blueprint)


def _add_cors(app: Flask, config: Config) -> None:
    origins = config.get_list("api", "access_control_allow_origins")
    if origins:
        methods = config.get_list("api", "access_control_allow_methods")
        headers = config.get_list("api", "access_control_allow_headers")
        exposed = ["ETag", "Link", "WWW-Authenticate", "Allow", "Retry-After", "Preference-Applied",
                   REPLAYED, request_ids.HEADER, *deprecations.HEADERS]  # fmt: skip
        options: dict[str, Any] = {"expose_headers": exposed}
        options |= {"methods": methods} if methods else {}
        options |= {"allow_headers": headers} if headers else {}
        app.before_request(_refuse_odd_origins)
        CORS(app, origins=origins, **options)


def _refuse_odd_origins() -> None:
    """Take what no browser sends for an unknown origin, since flask-cors repeats these headers in its answers."""
    for name in ("HTTP_ORIGIN", "HTTP_ACCESS_CONTROL_REQUEST_HEADERS"):
        value = request.environ.get(name, "")
        if not (value.isascii() and value.isprintable()):
            request.environ[name] = "null"


def _trust_proxies(app: Flask, config: Config) -> None:
    """Take address, scheme, host and prefix from as many proxies as `[webserver] proxy_fix_x_*` say, if any."""
    if config.get_bool("webserver", "enable_proxy_fix"):
        trusted = {f"x_{what}": config.get_int("webserver", f"proxy_fix_x_{what}") for what in PROXY_FIX}
        app.wsgi_app = ProxyFix(app.wsgi_app, **trusted)  # type: ignore[method-assign]
