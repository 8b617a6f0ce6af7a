"""The pages as a browser receives them; what needs a browser to be seen is in tests/real/browser."""

from __future__ import annotations

import gzip
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from problems import assert_problem

PAGES = ("/", "/docs", "/docs/try")
OURS = (
    "/docs/windsock.css",
    "/docs/try.css",
    "/docs/landing.js",
    "/docs/document.js",
    "/docs/docs.js",
    "/docs/try.js",
    "/docs/logo.svg",
)
VENDORED = ("/docs/redoc-2.5.4.js", "/docs/swagger-ui-5.35.0.js", "/docs/swagger-ui-5.35.0.css")
PREFIX = "/tools/windsock"
PROXY = ("webserver", "enable_proxy_fix")
SWITCH = ("webserver", "enable_swagger_ui")


class Page(HTMLParser):
    """What an HTML text refers to, and what of it a strict policy would block."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inline: list[str] = []
        self.open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open = tag
        for name, value in attrs:
            if name in ("href", "src", "data-document", "data-docs"):
                self.links.append(value or "")
            if name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        if self.open in ("script", "style") and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.open = ""


@pytest.mark.parametrize(
    ("path", "title"), [("/", "Windsock - "), ("/docs", "Documentation - "), ("/docs/try", "Try it - ")]
)
def test_a_page_is_html_in_english_with_a_title_of_its_own(path: str, title: str, stranger: FlaskClient) -> None:
    answer = stranger.get(path)
    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8")
    assert '<html lang="en">' in answer.text
    assert f"<title>{title}" in answer.text
    assert 'name="viewport"' in answer.text


def _reached(client: FlaskClient, prefix: str) -> dict[str, int]:
    """The status of everything that the pages refer to, as a proxy that takes `prefix` off asks for it."""
    found: dict[str, int] = {}
    for page in PAGES:
        for link in Page(client.get(page, headers={"X-Forwarded-Prefix": prefix}).text).links:
            target = urlsplit(urljoin(f"http://localhost{prefix}{page}", link)).path
            assert target.startswith(prefix), f"{page} leads out of the prefix: {link}"
            found[target] = client.get(target.removeprefix(prefix)).status_code
    return found


@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_all_that_the_pages_refer_to_is_there_whatever_prefix_a_proxy_adds(
    prefix: str, make_app: Callable[..., Any]
) -> None:
    reached = _reached(make_app({PROXY: "True"}).test_client(), prefix)
    wanted = {prefix + path for path in (*PAGES, *OURS, "/api/v1/openapi.json", "/api/v1/openapi.yaml")}
    assert wanted <= reached.keys()
    assert {path: code for path, code in reached.items() if code != 200} == {}


def test_the_styles_of_swagger_ui_are_imported_from_this_server(stranger: FlaskClient) -> None:
    (imported,) = re.findall(r'@import url\("([^"]+)"\)', stranger.get("/docs/try.css").text)
    assert stranger.get(urljoin("/docs/try.css", imported)).mimetype == "text/css"


def test_the_download_is_the_document_with_the_address_that_the_client_used(make_app: Callable[..., Any]) -> None:
    client = make_app({PROXY: "True"}).test_client()
    assert '<a class="button" href="./api/v1/openapi.json" download="windsock-v1.json">' in client.get("/docs").text
    forwarded = {"X-Forwarded-Prefix": PREFIX, "X-Forwarded-Host": "airflow.example.com", "X-Forwarded-Proto": "https"}
    (server,) = client.get("/api/v1/openapi.json", headers=forwarded).get_json()["servers"]
    assert server["url"] == f"https://airflow.example.com{PREFIX}/api/v1"


@pytest.mark.parametrize(
    ("old", "new"),
    [("/api/v1/ui", "/docs"), ("/api/v1/ui/", "/docs"), ("/docs/", "/docs"), ("/docs/try/", "/docs/try")],
)
@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_other_addresses_lead_to_the_pages(prefix: str, old: str, new: str, stranger: FlaskClient) -> None:
    answer = stranger.get(old, base_url=f"http://localhost{prefix}")
    assert answer.status_code == 302
    assert urljoin(f"{prefix}{old}", answer.headers["Location"]) == prefix + new
    assert answer.data == b""


# ---------------------------------------------------------------- what a client asks for
def test_the_landing_page_gives_its_links_to_a_client_that_prefers_json(stranger: FlaskClient) -> None:
    for accepted in ("application/json", "application/*", "text/html;q=0.5, application/json"):
        answer = stranger.get("/", headers={"Accept": accepted}, base_url=f"http://localhost{PREFIX}")
        assert answer.mimetype == "application/json"
        assert "Accept" in answer.vary
    links = answer.get_json()["links"]
    assert links["openapi_json"] == f"{PREFIX}/api/v1/openapi.json"
    assert {stranger.get(path.removeprefix(PREFIX)).status_code for path in links.values()} == {200}


@pytest.mark.parametrize(
    "accepted", [None, "*/*", "text/*", "text/html, application/json;q=0.9", "text/html;q=0.9, */*;q=0.8"]
)
def test_the_landing_page_is_html_for_all_others(accepted: str | None, stranger: FlaskClient) -> None:
    assert stranger.get("/", headers={"Accept": accepted} if accepted else {}).mimetype == "text/html"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_not_given_to_who_takes_no_html(path: str, stranger: FlaskClient) -> None:
    assert_problem(stranger.get(path, headers={"Accept": "image/png"}), 406, "'image/png'", "text/html")


@pytest.mark.parametrize("path", [*PAGES, *OURS, *VENDORED])
def test_head_tells_what_get_would(path: str, stranger: FlaskClient) -> None:
    whole, head = stranger.get(path), stranger.head(path)
    assert (head.status_code, head.data) == (200, b"")
    for name in ("Content-Type", "ETag", "Cache-Control", "Content-Security-Policy", "X-Content-Type-Options"):
        assert head.headers.get(name) == whole.headers.get(name)


@pytest.mark.parametrize(
    "path", ["/docs/nothing", "/docs/../app.py", "/docs/vendor/swagger-ui.NOTICE.txt", "/docs/try/x", "/x"]
)
def test_any_other_address_is_a_404_like_all(path: str, stranger: FlaskClient) -> None:
    assert_problem(stranger.get(path, headers={"Accept": "text/html"}), 404)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_only_read(path: str, stranger: FlaskClient) -> None:
    answer = stranger.post(path)
    assert_problem(answer, 405)
    assert set(answer.allow) == {"GET", "HEAD", "OPTIONS"}


def test_the_pages_can_be_switched_off_and_the_document_stays(make_app: Callable[..., Any]) -> None:
    client = make_app({SWITCH: "False"}).test_client()
    for path in (*PAGES, *OURS, *VENDORED, "/api/v1/ui", "/api/v1/ui/"):
        assert_problem(client.get(path), 404)
    assert client.get("/api/v1/openapi.json").status_code == 200


# ---------------------------------------------------------------- what a browser may do
@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_and_runs_nothing_but_the_servers_own(path: str, stranger: FlaskClient) -> None:
    answer = stranger.get(path)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "http" not in answer.headers["Content-Security-Policy"]
    assert Page(answer.text).inline == []


@pytest.mark.parametrize("path", [*PAGES, *OURS])
def test_nothing_of_ours_names_another_host(path: str, stranger: FlaskClient) -> None:
    text = stranger.get(path).text.replace("http://www.w3.org/2000/svg", "")  # the name of a language
    assert not re.search(r"""https?://(?!HOST/)|["'(]//""", text)


def test_redoc_asks_no_content_delivery_network_for_its_logo(stranger: FlaskClient) -> None:
    assert "cdn.redoc.ly" not in stranger.get(VENDORED[0]).text


@pytest.mark.parametrize(
    ("headers", "credentials"),
    [({}, "omit"), ({"Cookie": "session=x"}, "same-origin"), ({"Authorization": "Basic eDp4"}, "same-origin")],
)
def test_trying_takes_along_what_the_browser_adds_where_it_has_something_to_add(
    headers: dict[str, str], credentials: str, app: Flask
) -> None:
    answer = app.test_client(use_cookies=False).get("/docs/try", headers=headers)
    assert f'data-credentials="{credentials}"' in answer.text
    assert {"Cookie", "Authorization"} <= set(answer.vary)


def test_trying_takes_tickets_along_where_they_are_taken(
    make_app: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticate = SimpleNamespace(challenge="Negotiate")
    monkeypatch.setitem(sys.modules, "tickets", SimpleNamespace(authenticate=authenticate))
    client = make_app({("api", "auth_backends"): "tickets"}).test_client()
    assert 'data-credentials="same-origin"' in client.get("/docs/try").text


# ---------------------------------------------------------------- what a browser keeps
@pytest.mark.parametrize("path", VENDORED)
@pytest.mark.parametrize("accepted", ["gzip", "br, gzip;q=0.5", "*"])
def test_a_client_that_takes_gzip_gets_a_large_file_compressed(path: str, accepted: str, stranger: FlaskClient) -> None:
    plain = stranger.get(path, headers={"Accept-Encoding": "identity"}).data
    answer = stranger.get(path, headers={"Accept-Encoding": accepted})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.data) == plain
    assert len(answer.data) < len(plain) / 3


@pytest.mark.parametrize("accepted", [None, "identity", "gzip;q=0", "br"])
def test_any_other_client_gets_it_plain(accepted: str | None, stranger: FlaskClient) -> None:
    for path in VENDORED:
        answer = stranger.get(path, headers={"Accept-Encoding": accepted} if accepted else {})
        assert "Content-Encoding" not in answer.headers
        assert answer.data == gzip.decompress(stranger.get(path, headers={"Accept-Encoding": "gzip"}).data)


@pytest.mark.parametrize("path", [*PAGES, *OURS, *VENDORED])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_what_a_browser_has_kept_is_revalidated_by_a_strong_tag(
    path: str, encoding: str, stranger: FlaskClient
) -> None:
    asked = {"Accept-Encoding": encoding}
    answer = stranger.get(path, headers=asked)
    kept = "public, max-age=31536000, immutable" if path in VENDORED else "private, no-cache"
    assert answer.headers["Cache-Control"] == kept
    assert answer.headers["ETag"].startswith('"')
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Accept-Encoding" in answer.vary
    again = stranger.get(path, headers={**asked, "If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("path", VENDORED)
def test_two_encodings_are_two_representations(path: str, stranger: FlaskClient) -> None:
    tags = {stranger.get(path, headers={"Accept-Encoding": e}).headers["ETag"] for e in ("identity", "gzip")}
    assert len(tags) == 2
