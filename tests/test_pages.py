"""The documentation page as a browser receives it."""

from __future__ import annotations

import gzip
import re

import flask
import pytest
from flask.testing import FlaskClient

from windsock.pages import blueprint

SCRIPT = "/docs/redoc.standalone.js"


@pytest.fixture
def browser() -> FlaskClient:
    app = flask.Flask(__name__)
    app.register_blueprint(blueprint())
    return app.test_client()


def test_the_page_is_html_that_names_the_document_and_the_script_relative_to_itself(browser: FlaskClient) -> None:
    answer = browser.get("/docs")
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    assert "<title>Windsock</title>" in answer.text
    assert 'spec-url="api/v1/openapi.json"' in answer.text
    assert '<script src="docs/redoc.standalone.js">' in answer.text


def test_the_document_may_be_elsewhere() -> None:
    app = flask.Flask(__name__)
    app.register_blueprint(blueprint("openapi.json?a&b"), url_prefix="/api/v1")
    assert 'spec-url="openapi.json?a&amp;b"' in app.test_client().get("/api/v1/docs").text


def test_the_page_asks_no_other_host_for_anything(browser: FlaskClient) -> None:
    assert not re.search(r"""(src|href|url)=["']?(https?:)?//""", browser.get("/docs").text)
    assert "cdn.redoc.ly" not in browser.get(SCRIPT).text


def test_the_page_runs_no_script_but_the_servers_own(browser: FlaskClient) -> None:
    answer = browser.get("/docs")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert not re.search(r"<script[^>]*>[^<]", answer.text), "an inline script would be blocked"


@pytest.mark.parametrize("accepted", ["gzip", "br, gzip;q=0.5", "*"])
def test_a_client_that_takes_gzip_gets_the_script_compressed(browser: FlaskClient, accepted: str) -> None:
    answer = browser.get(SCRIPT, headers={"Accept-Encoding": accepted})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.mimetype == "text/javascript"
    assert b"ReDoc" in gzip.decompress(answer.data)


@pytest.mark.parametrize("accepted", [None, "identity", "gzip;q=0", "br"])
def test_any_other_client_gets_the_same_script_plain(browser: FlaskClient, accepted: str | None) -> None:
    compressed = browser.get(SCRIPT, headers={"Accept-Encoding": "gzip"}).data
    answer = browser.get(SCRIPT, headers={"Accept-Encoding": accepted} if accepted else {})
    assert "Content-Encoding" not in answer.headers
    assert answer.data == gzip.decompress(compressed)


def test_the_script_is_kept_for_a_day_and_revalidated_by_a_strong_tag(browser: FlaskClient) -> None:
    plain, compressed = browser.get(SCRIPT), browser.get(SCRIPT, headers={"Accept-Encoding": "gzip"})
    assert plain.headers["ETag"] != compressed.headers["ETag"], "two encodings are two representations"
    for answer, encoding in ((plain, "identity"), (compressed, "gzip")):
        assert answer.headers["Cache-Control"] == "public, max-age=86400"
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert answer.headers["ETag"].startswith('"')
        again = browser.get(SCRIPT, headers={"Accept-Encoding": encoding, "If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("path", ["/docs", SCRIPT])
def test_a_browser_does_not_guess_the_type_of_a_page(browser: FlaskClient, path: str) -> None:
    assert browser.get(path).headers["X-Content-Type-Options"] == "nosniff"
