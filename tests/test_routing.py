"""An id may hold any character: written into a URL as RFC 3986 asks, it reaches its row."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import factories as f
from clients import API

STRANGE = {
    "slash": "a/b",
    "double slash": "a//b",
    "leading slash": "/a",
    "two leading slashes": "//a",
    "trailing slash": "a/",
    "only a slash": "/",
    "plus": "a+b",
    "space": " a b ",
    "percent": "100%",
    "escaped slash": "a%2Fb",
    "unicode": "Příliš 🐴",
    "latin": "Façade",
    "newline": "a\nb",
    "reserved": "a:?#[]@!$&'()*,;=b",
    "quotes": "\"a\" 'b' \\ `c`",
    "dots": "a.b..c",
    "two dots": "../a",
    "one dot": "./a",
    "tilde": "a~b",
    "angle brackets": "<a>",
    "a word of a path": "a/list",
}
ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
anything = pytest.mark.parametrize("name", STRANGE.values(), ids=STRANGE.keys())


def at(*parts: str) -> str:
    return "/".join([API, *(quote(part, safe="") for part in parts)])


@anything
def test_any_name_of_a_thing_that_users_keep_reaches_its_row(name, client, session, add):
    role, user = f.role(name), f.user(name, email="strange@example.com")
    add(f.pool(name), f.variable(name), f.connection(name), f.dataset(name), role, user)
    for path, member in (
        ("pools", "name"),
        ("variables", "key"),
        ("connections", "connection_id"),
        ("datasets", "uri"),
        ("roles", "name"),
        ("users", "username"),
    ):
        response = client.get(at(path, name))
        assert response.status_code == 200, (path, response.get_json())
        assert response.get_json()[member] == name


@pytest.fixture
def strange_dag(add: Any) -> Any:
    def strange_dag(name: str) -> None:
        add(f.dag(name), f.serialized_dag(name, tasks=[f.operator(name)]))
        run, ti = add(f.dag_run(name, name)), add(f.task_instance(name, name, name))
        add(f.xcom(run, ti, name))
        add(f.queued_event(add(f.dataset(name)), name))

    return strange_dag


def paths_of(name: str) -> dict[str, tuple[str, Any]]:
    """Path -> the member that proves the row was found, and its value."""
    run = at("dags", name, "dagRuns", name)
    ti = f"{run}/taskInstances/{quote(name, safe='')}"
    return {
        at("dags", name): ("dag_id", name),
        at("dags", name) + "/details": ("dag_id", name),
        at("dags", name) + "/tasks": ("total_entries", 1),
        at("dags", name, "tasks", name): ("task_id", name),
        at("dags", name) + "/dagRuns": ("total_entries", 1),
        run: ("dag_run_id", name),
        f"{run}/upstreamDatasetEvents": ("total_entries", 0),
        f"{run}/taskInstances": ("total_entries", 1),
        ti: ("task_id", name),
        f"{ti}/tries": ("total_entries", 1),
        f"{ti}/tries/1": ("task_id", name),
        f"{ti}/xcomEntries": ("total_entries", 1),
        f"{ti}/xcomEntries/{quote(name, safe='')}": ("key", name),
        at("dags", name, "datasets", "queuedEvent", name): ("uri", name),
        at("datasets", "queuedEvent", name): ("total_entries", 1),
    }


@anything
def test_any_name_of_a_dag_run_task_or_key_reaches_its_row(name, client, strange_dag):
    strange_dag(name)
    wrong = {}
    for url, (member, value) in paths_of(name).items():
        found = client.get(url)
        if found.status_code != 200 or found.get_json()[member] != value:
            wrong[url] = found.get_json()
    assert not wrong, "\n".join(f"{url}: {answer}" for url, answer in wrong.items())


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(start=ANY_TEXT, end=ANY_TEXT)
def test_every_text_reaches_its_row(client, add, start, end):
    name = f"{start} number {f.number()} {end}"  # else a database may take two names for the same
    add(f.variable(name))
    response = client.get(at("variables", name))
    assert response.status_code == 200, response.get_json()
    assert response.get_json()["key"] == name


def test_a_path_that_matches_as_it_stands_never_changes_its_meaning(client, add):
    add(f.dag("a"), f.dag("a/dagRuns"), f.dag_run("a", "x"))
    assert client.get(f"{API}/dags/a/dagRuns").get_json()["total_entries"] == 1
    assert client.get(f"{API}/dags/a/dagRuns/x").get_json()["dag_run_id"] == "x"


def test_words_of_the_api_are_no_datasets(client, add):
    add(f.dataset("events"))
    assert "dataset_events" in client.get(f"{API}/datasets/events").get_json()
