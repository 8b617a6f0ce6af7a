"""The pages as somebody sees and uses them; what no page may do is watched by the fixture `visit`."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cookies import flask_cookie
from demoserver import BIN, DAG, Server

PREFIX = "/tools/windsock"
#: A page, and what is on it when it is complete.
PAGES = [
    ("/", "text=Scheduler:"),
    ("/docs", "text=Most requests follow one pattern"),
    ("/docs/try", "text=How tasks reach other systems"),
]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
GET_DAGS, GET_POOL, POST_POOL = "#operations-DAG-get_dags", "#operations-Pool-get_pool", "#operations-Pool-post_pool"


# ---------------------------------------------------------------- what is seen
@pytest.mark.parametrize(("path", "sign"), PAGES)
def test_a_page_is_complete_and_no_wider_than_the_screen(
    path: str, sign: str, scheme: str, size: str, visit: Any, sizes: Any, shoot: Callable[..., None]
) -> None:
    page = visit(path, color_scheme=scheme, **sizes[size])
    page.locator(sign).first.wait_for()
    name = path.strip("/").replace("/", "-") or "landing"
    image = name == "landing" and (size, scheme) == ("desktop", "light")
    shoot(page, f"{name}-{size}-{scheme}", name if image else "")
    assert _excess(page) <= 0
    assert _brightness(page) > 200 if scheme == "light" else _brightness(page) < 50


def _excess(page: Any) -> int:
    """By how many pixels the page is wider than the screen."""
    return page.evaluate("document.documentElement.scrollWidth - screen.width")


def _brightness(page: Any) -> int:
    return max(map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]))


def test_the_landing_page_shows_health_and_version_and_a_command_that_names_this_server(
    visit: Any, server: Server
) -> None:
    page = visit("/")
    version, health = server.ask("/version"), server.ask("/health")
    page.locator("#version", has_text=version["version"]).wait_for()
    assert version["git_version"].split()[1] in page.locator("#version").inner_text()
    for name, part in (("Database", "metadatabase"), ("Scheduler", "scheduler"), ("Triggerer", "triggerer")):
        assert f"{name}: {health[part]['status']}" in page.locator("#health").inner_text()
    assert f"'{server.url}/dags?limit=3'" in page.locator("#curl").inner_text()


@pytest.mark.parametrize(("path", "sign"), PAGES)
def test_a_page_has_no_known_barrier(path: str, sign: str, scheme: str, visit: Any) -> None:
    page = visit(path, color_scheme=scheme)
    page.locator(sign).first.wait_for()
    assert _barriers(page) == {}


def _barriers(page: Any) -> dict[str, list[str]]:
    """What axe-core finds against the rules of WCAG, levels A and AA."""
    from axe_playwright_python.sync_playwright import Axe

    options = {"runOnly": RULES, "preload": False}
    found = Axe().run(page, options=options).response["violations"]
    return {rule["id"]: [node["html"] for node in rule["nodes"]][:5] for rule in found}


def test_the_keyboard_leads_past_the_header(visit: Any) -> None:
    page = visit("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_pages_follow_the_browser_from_light_to_dark(visit: Any) -> None:
    for path, sign in PAGES:
        page = visit(path, color_scheme="light")
        page.emulate_media(color_scheme="dark")
        page.locator(sign).first.wait_for()
        page.wait_for_function("matchMedia('(prefers-color-scheme: dark)').matches")
        assert _brightness(page) < 50


# ---------------------------------------------------------------- the documentation
@pytest.mark.parametrize("path", [path for path, _ in PAGES])
def test_the_download_is_the_served_document(path: str, visit: Any, server: Server, tmp_path: Path) -> None:
    page = visit(path)
    for link, name, served in (("Download", "windsock-v1.json", "json"), ("YAML", "windsock-v1.yaml", "yaml")):
        with page.expect_download() as download:
            page.locator(".bar").get_by_role("link", name=link).click()
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
        with urllib.request.urlopen(f"{server.url}/openapi.{served}") as answer:
            assert (tmp_path / name).read_bytes() == answer.read()


def test_the_documentation_can_be_searched(visit: Any, scheme: str, shoot: Callable[..., None]) -> None:
    page = visit("/docs", color_scheme=scheme)
    page.locator("input[placeholder='Search...']").press_sequentially("queued events")
    page.locator("[data-role='search:results'] li").first.wait_for()
    shoot(page, f"search-{scheme}")


def test_an_operation_shows_parameters_answers_and_samples(
    scheme: str, size: str, visit: Any, sizes: Any, shoot: Callable[..., None]
) -> None:
    page = visit("/docs#operation/patch_pool", color_scheme=scheme, **sizes[size])
    operation = page.locator("[id='operation/patch_pool']")
    operation.get_by_role("heading", name="Update a pool").wait_for()
    shoot(page, f"operation-{size}-{scheme}", "docs" if (size, scheme) == ("desktop", "light") else "")
    assert not re.search(r'Default: (null|"warehouse")', operation.inner_text()), "defaults for importers"
    operation.get_by_role("button", name=re.compile("^200")).click()
    operation.get_by_role("button", name=re.compile("^404")).click()
    shoot(page, f"answers-{size}-{scheme}")
    assert _excess(page) <= 0


# ---------------------------------------------------------------- trying
def _sign_in(page: Any, scheme: str, *values: str) -> None:
    """Give the values to the form of a security scheme."""
    page.locator(".auth-wrapper .authorize").click()
    form = page.locator(".auth-container", has=page.locator(f"h4:has-text('{scheme}')"))
    for field, value in zip(form.locator("input").all(), values, strict=True):
        field.fill(value)
    form.locator("button.authorize").click()
    form.locator(".btn-done").click()


def _open(page: Any, operation: str, tag: str) -> Any:
    """Unfold an operation and choose to try it."""
    page.locator(f"#operations-tag-{tag}").click()
    shown = page.locator(operation)
    shown.locator(".opblock-summary-control").click()
    shown.locator(".try-out__btn").click()
    return shown


def _send(shown: Any) -> tuple[str, str]:
    """Status and body of the answer."""
    shown.locator(".execute").click()
    answer = shown.locator(".live-responses-table .response")
    answer.locator(".response-col_description pre").first.wait_for()
    return answer.locator(".response-col_status").inner_text().split()[0], answer.inner_text()


def test_a_request_after_signing_in_shows_rows(
    scheme: str, size: str, visit: Any, sizes: Any, server: Server, shoot: Callable[..., None]
) -> None:
    page = visit("/docs/try", color_scheme=scheme, **sizes[size])
    _sign_in(page, "Basic", *server.admin)
    shown = _open(page, GET_DAGS, "DAG")
    status, body = _send(shown)
    assert status == "200"
    assert '"dag_id"' in body
    assert _barriers(page) == {}
    assert _excess(page) <= 0
    shown.locator(".request-url").evaluate("element => element.scrollIntoView()")
    shoot(page, f"tried-{size}-{scheme}", "try" if (size, scheme) == ("desktop", "light") else "")


def test_a_change_can_be_tried_and_its_example_is_filled_in(visit: Any, server: Server, shoot: Any) -> None:
    page = visit("/docs/try")
    _sign_in(page, "Basic", *server.admin)
    shown = _open(page, POST_POOL, "Pool")
    text = shown.locator("textarea.body-param__text")
    text.fill(json.dumps({**json.loads(text.input_value()), "name": "from_the_browser"}))
    assert _send(shown)[0] == "201"
    assert server.ask("/pools/from_the_browser")["name"] == "from_the_browser"


def test_every_read_answers_as_it_is_filled_in(visit: Any, server: Server) -> None:
    page = visit("/docs/try")
    _sign_in(page, "Basic", *server.admin)
    for tag in page.locator(".opblock-tag").all():
        tag.click()
    found = {}
    for shown in page.locator(".opblock", has=page.locator(".opblock-summary-method", has_text="GET")).all():
        name = (shown.get_attribute("id") or "").rpartition("-")[2]
        shown.locator(".opblock-summary-control").click()
        shown.locator(".try-out__btn").click()
        found[name] = _send(shown)[0]
        shown.locator(".opblock-summary-control").click()
    paths = server.ask("/openapi.json")["paths"].values()
    assert found == {path["get"]["operationId"]: "200" for path in paths if "get" in path}


def test_a_token_signs_in(visit: Any, server: Server) -> None:
    command = [BIN / "windsock", "tokens", "create", "--user", "admin", "--expires", "1h", "--config"]
    made = subprocess.run([*command, server.home / "airflow.cfg"], check=True, capture_output=True, text=True)
    page = visit("/docs/try")
    _sign_in(page, "Bearer", made.stdout.strip())
    assert _send(_open(page, GET_DAGS, "DAG"))[0] == "200"


def test_the_cookie_of_airflows_web_server_signs_in(visit: Any, server: Server) -> None:
    config = configparser.ConfigParser()
    config.read(server.home / "airflow.cfg")
    cookie = flask_cookie({"_user_id": "1", "_fresh": True}, config["webserver"]["secret_key"])
    kept = {"name": "session", "value": cookie, "domain": "127.0.0.1", "path": "/"}
    page = visit("/docs/try", storage_state={"cookies": [kept], "origins": []})
    assert _send(_open(page, GET_DAGS, "DAG"))[0] == "200"


@pytest.mark.parametrize("given", [(), ("admin", "wrong")])
def test_a_refusal_is_shown_and_the_browser_asks_for_no_password(given: tuple[str, ...], visit: Any) -> None:
    visit.expected.append("401")
    page = visit("/docs/try")
    asked = _prompts(page)
    if given:
        _sign_in(page, "Basic", *given)
    status, body = _send(_open(page, GET_DAGS, "DAG"))
    assert status == "401"
    assert "Valid credentials are needed" in body
    assert asked == []


def _prompts(page: Any) -> list[Any]:
    """What the browser would ask a person for in a window of its own."""
    asked: list[Any] = []
    session = page.context.new_cdp_session(page)

    def answer(event: Any) -> None:
        asked.append(event["authChallenge"])
        given = {"requestId": event["requestId"], "authChallengeResponse": {"response": "CancelAuth"}}
        session.send("Fetch.continueWithAuth", given)

    session.on("Fetch.authRequired", answer)
    session.on(
        "Fetch.requestPaused", lambda event: session.send("Fetch.continueRequest", {"requestId": event["requestId"]})
    )
    session.send("Fetch.enable", {"handleAuthRequests": True})
    return asked


def test_credentials_are_nowhere_but_in_the_page(visit: Any, server: Server) -> None:
    visit.expected.append("401")
    page = visit("/docs/try")
    _sign_in(page, "Basic", *server.admin)
    assert _send(_open(page, GET_DAGS, "DAG"))[0] == "200"
    assert page.context.storage_state(indexed_db=True) == {"cookies": [], "origins": []}
    assert page.evaluate("sessionStorage.length") == 0
    assert server.admin[1] not in page.url
    page.reload()
    assert _send(_open(page, GET_DAGS, "DAG"))[0] == "401"


def test_all_works_behind_a_proxy_that_adds_a_prefix(visit: Any, behind_proxy: str, server: Server) -> None:
    landing = visit(f"{PREFIX}/", behind_proxy)
    landing.locator("text=Scheduler:").wait_for()
    assert f"'{behind_proxy}{PREFIX}/api/v1/dags?limit=3'" in landing.locator("#curl").inner_text()
    visit(f"{PREFIX}/docs", behind_proxy).locator("text=Most requests follow one pattern").first.wait_for()
    page = visit(f"{PREFIX}/docs/try", behind_proxy)
    _sign_in(page, "Basic", *server.admin)
    status, body = _send(_open(page, GET_DAGS, "DAG"))
    assert status == "200"
    assert DAG in body or '"dag_id"' in body
    assert not [url for url in visit.requests if PREFIX not in url and not url.startswith(("data:", "blob:"))]
