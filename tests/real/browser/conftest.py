"""A browser, a demo server, and one behind a proxy that adds a prefix. Nothing a page does may go unnoticed.

Needs $WINDSOCK_BROWSER, the executable of Chromium, and the package playwright; `tox -e browser` has both.
"""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from demoserver import Server, demo

BROWSER = os.environ.get("WINDSOCK_BROWSER", "")
IMAGES = Path(__file__).parents[3] / "docs" / "images"
PREFIX = "/tools/windsock"
#: Without what Chromium does by itself; no host but this machine has an address.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-sync", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
}
SETTINGS = {
    "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth,token,airflow.api.auth.backend.session",
    "AIRFLOW__WEBSERVER__ENABLE_PROXY_FIX": "True",
    "AIRFLOW__WEBSERVER__SESSION_BACKEND": "securecookie",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--shots DIR` and `--images`."""
    parser.addoption("--shots", metavar="DIR", type=Path, help="where screenshots and the log of requests are kept")
    parser.addoption("--images", action="store_true", help="make those in docs/images anew")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser there is nothing to look at."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not BROWSER:
            item.add_marker(pytest.mark.skip(reason="$WINDSOCK_BROWSER names no browser"))


@pytest.fixture(params=("light", "dark"))
def scheme(request: pytest.FixtureRequest) -> str:
    """The colours that the browser asks for."""
    return request.param


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> str:
    """A name of SIZES."""
    return request.param


@pytest.fixture
def sizes() -> dict[str, dict[str, Any]]:
    """What a context of the browser has to be told for each size."""
    return SIZES


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server with demo data that takes passwords, tokens and cookies."""
    with demo(SETTINGS) as server:
        yield server


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window, with a profile of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shots(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory for screenshots and the log of requests."""
    folder = request.config.getoption("shots", None) or tmp_path_factory.mktemp("shots")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "requests.txt").unlink(missing_ok=True)
    return folder


@pytest.fixture
def shoot(shots: Path, request: pytest.FixtureRequest) -> Callable[..., None]:
    """`shoot(page, name, image="")` keeps what is in sight; with `--images` also as docs/images/IMAGE.png."""

    def shoot(page: Any, name: str, image: str = "") -> None:
        page.screenshot(path=shots / f"{name}.png")
        if image and request.config.getoption("images", False):
            page.screenshot(path=IMAGES / f"{image}.png")

    return shoot


class Visits:
    """Pages that a test has open, and all that they said and asked for."""

    def __init__(self, browser: Any, server: Server) -> None:
        self._browser, self._server = browser, server
        self.hosts: set[str] = set()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        #: Parts of complaints that a test means to cause.
        self.expected: list[str] = []

    def __call__(self, path: str, address: str = "", **context: Any) -> Any:
        """Open a page, of the server unless another address is given, in a new context with these options."""
        address = address or self._server.address
        self.hosts.add(address)
        page = self._browser.new_context(**(SIZES["desktop"] | context)).new_page()
        page.set_default_timeout(60_000)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(address + path)
        page.wait_for_load_state("networkidle")
        return page

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def foreign(self) -> list[str]:
        """The requests to other hosts."""
        own = ("data:", *(f"{how}{host}/" for host in self.hosts for how in ("", "blob:")))
        return [url for url in self.requests if not url.startswith(own)]


@pytest.fixture
def visit(browser: Any, server: Server, shots: Path) -> Iterator[Visits]:
    """Opens pages; when the test ends, fails if one complained in the console or asked another host for anything."""
    visits = Visits(browser, server)
    yield visits
    for context in browser.contexts:
        context.close()
    with open(shots / "requests.txt", "a", encoding="utf-8") as log:
        log.writelines(f"{url}\n" for url in visits.requests)
    assert visits.requests
    assert visits.foreign() == []
    assert [said for said in visits.complaints if not any(part in said for part in visits.expected)] == []


@pytest.fixture(scope="session")
def behind_proxy(server: Server) -> Iterator[str]:
    """The address of a proxy that takes PREFIX off and says so to the server."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path.startswith(PREFIX)
            own = {"X-Forwarded-Prefix": PREFIX, "X-Forwarded-Host": self.headers["Host"], "X-Forwarded-Proto": "http"}
            asked = urllib.request.Request(server.address + self.path.removeprefix(PREFIX), headers=own)
            for name in ("Accept", "Authorization"):
                if name in self.headers:
                    asked.add_header(name, self.headers[name])
            try:
                answer: Any = urllib.request.urlopen(asked, timeout=60)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                content = answer.read()
                self.send_response(answer.status)
                for name in ("Content-Type", "Content-Security-Policy"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{proxy.server_port}"
    proxy.shutdown()
