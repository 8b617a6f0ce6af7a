"""Nothing that a release has promised is taken away but by deprecation; clients are told what is to go."""

from __future__ import annotations

import re
from copy import deepcopy
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from clients import API
from promises import Breach, Promises, breaches, promises
from windsock import operations, published, spec

ROOT = Path(__file__).parents[1]
RELEASED = sorted((ROOT / "spec" / "released").glob("*.yaml"))
TODAY = date.today().isoformat()
NOW = promises(spec.written())
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
#: How long what is deprecated goes on working, at least.
NOTICE = timedelta(days=180)

#: Where the document says more than Airflow's, or otherwise, while both servers do the same or the README names the
#: difference: what, where, why. Of releases of Windsock there is no such list.
EXPECTED = [
    (r"may be null|is one of \[.*, None\]", r"answer", "Airflow sends null there"),
    (r"became required|may no longer be null", r"body", "Airflow refuses a request without it, or has nothing to do"),
    (r"default was 100, is 25", r"query limit", "pages are smaller"),
    (r"minimum was None, is 0", r"query limit|path map_index", "less is refused, or not found"),
    (r"minLength was None, is 1", r"body\.(name|key|password)", "Airflow refuses an empty one, or nothing reaches it"),
    (r"maxLength was None, is 1000", r"body\.note", "the column holds no more"),
    (r"allowed anything, allows \['success', ", r"query state\[\]", "other states do not exist"),
    (r"type was string, is None", r"clearTaskInstances body\.task_ids\[\]", "pairs with a map index are taken too"),
    (r"format is date-time", r"body", "Airflow's document has a format there that OpenAPI does not know"),
]  # fmt: skip


@cache
def released(file: Path) -> Promises:
    return yaml.load(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def expected(breach: Breach) -> bool:
    where = f"{breach.operation} {breach.place}"
    return any(re.search(what, breach.what) and re.search(place, where) for what, place, _ in EXPECTED)


# ---------------------------------------------------------------- promises
@pytest.mark.parametrize("file", RELEASED, ids=lambda file: file.stem)
def test_no_promise_of_a_release_is_broken(file):
    found = list(breaches(released(file), NOW, TODAY))
    assert not [str(breach) for breach in found if not (file.stem.startswith("airflow") and expected(breach))]


@pytest.mark.parametrize(("what", "place", "why"), EXPECTED, ids=[what for what, _, _ in EXPECTED])
def test_every_difference_to_the_document_of_airflow_that_is_expected_is_there(what, place, why):
    found = breaches(released(ROOT / "spec" / "released" / "airflow-2.11.2.yaml"), NOW, TODAY)
    assert any(re.search(what, one.what) and re.search(place, f"{one.operation} {one.place}") for one in found), why


def at(document: Any, *path: str) -> Any:
    for part in path:
        document = document[part]
    return document


TOTAL = ("components", "schemas", "CollectionInfo", "properties", "total_entries")
POOLS, POOL = ("paths", "/pools"), ("components", "schemas", "Pool")
BODY = (*POOLS, "post", "requestBody", "content", "application/json")


def _requiring(members: list[str]) -> Any:
    return lambda d: at(d, *BODY).update(schema={"allOf": [at(d, *BODY)["schema"], {"required": members}]})


DAMAGES = {
    "a path": (lambda d: d["paths"].pop("/pools"), "removed"),
    "an operation": (lambda d: at(d, *POOLS).pop("post"), "removed"),
    "the name of an operation": (lambda d: at(d, *POOLS, "get").update(operationId="list_pools"), "id was get_pools"),
    "a parameter": (lambda d: at(d, *POOLS, "get", "parameters").pop(0), "removed"),
    "a status": (lambda d: at(d, *POOLS, "post", "responses").pop("409"), "removed"),
    "a member": (lambda d: at(d, *POOL, "properties").pop("slots"), "removed"),
    "a type": (lambda d: at(d, *POOL, "properties", "slots").update(type="number"), "type was integer"),
    "a default": (lambda d: at(d, "components", "parameters", "PageLimit", "schema").update(default=50), "default was"),
    "a lower bound": (lambda d: at(d, "components", "parameters", "PageLimit", "schema").update(minimum=1), "minimum"),
    "an upper bound": (lambda d: at(d, "components", "parameters", "PageLimit", "schema").update(maximum=9), "maximum"),
    "a length": (lambda d: at(d, *POOL, "properties", "name").update(maxLength=9), "maxLength was"),
    "a pattern": (lambda d: at(d, *POOL, "properties", "name").update(pattern="x"), "pattern was"),
    "an optional member": (_requiring(["description"]), "became required"),
    "a null in an answer": (lambda d: at(d, *TOTAL).update(nullable=True), "may be null"),
    "no null in a request": (lambda d: at(d, *POOL, "properties", "description").pop("nullable"), "no longer be null"),
    "an allowed value": (
        lambda d: at(d, "components", "parameters", "FilterTaskState", "schema", "items", "enum").remove("none"),
        "allows ['success'",
    ),
    "a new parameter that is required": (
        lambda d: at(d, *POOLS, "get", "parameters").append(
            {"name": "new", "in": "query", "required": True, "schema": {"type": "string"}}
        ),
        "new and required",
    ),
    "a new member that is required": (
        lambda d: (at(d, *POOL, "properties").update(colour={"type": "string"}), _requiring(["colour"])(d)),
        "new and required",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_promise_is_found(damage):
    document = deepcopy(spec.written())
    change, said = DAMAGES[damage]
    change(document)
    assert any(said in breach.what for breach in breaches(NOW, promises(document), TODAY))


def test_what_is_new_and_optional_breaks_nothing():
    document = deepcopy(spec.written())
    document["paths"]["/puddles"] = document["paths"]["/pools"]
    new = {"name": "new", "in": "query", "schema": {"type": "string", "enum": ["a"]}}
    at(document, *POOLS, "get", "parameters").append(new)
    at(document, *POOL, "properties")["colour"] = {"type": "string"}
    assert not list(breaches(NOW, promises(document), TODAY))


@pytest.mark.parametrize(("sunset", "gone"), [("2026-01-01", True), ("2999-01-01", False), (None, False)])
def test_what_was_deprecated_may_go_when_its_sunset_is_past(sunset, gone):
    old, new = deepcopy(NOW), deepcopy(NOW)
    marked = {"deprecated": True} | ({"x-sunset": sunset} if sunset else {})
    old["GET /pools"]["query limit"] |= marked
    old["POST /pools"]["operation"] |= marked
    del new["GET /pools"]["query limit"], new["POST /pools"]
    assert (not list(breaches(old, new, "2026-06-01"))) is gone


def test_a_sunset_is_not_brought_forward():
    old, new = deepcopy(NOW), deepcopy(NOW)
    old["GET /pools"]["query limit"] |= {"deprecated": True, "x-sunset": "2027-06-30"}
    new["GET /pools"]["query limit"] |= {"deprecated": True, "x-sunset": "2027-06-29"}
    assert [breach.what for breach in breaches(old, new, TODAY)] == ["x-sunset was 2027-06-30, is 2027-06-29"]


# ---------------------------------------------------------------- deprecation
DEPRECATED = [(operation, place) for operation, places in NOW.items() for place in places
              if places[place].get("deprecated")]  # fmt: skip


def test_everything_deprecated_has_an_entry_in_the_changelog():
    entries = " ".join(re.findall(r"^### Deprecated$(.*?)(?=^##|\Z)", CHANGELOG, re.MULTILINE | re.DOTALL))
    names = {NOW[one]["operation"]["id"] if place == "operation" else re.split(r"[ .]", place)[-1]
             for one, place in DEPRECATED}  # fmt: skip
    assert {name for name in names if f"`{name}`" not in entries} == set()


def test_what_airflow_deprecates_is_deprecated_here():
    old = released(ROOT / "spec" / "released" / "airflow-2.11.2.yaml")
    theirs = {(one, place) for one, places in old.items() for place in places if places[place].get("deprecated")}
    assert theirs
    assert theirs - set(DEPRECATED) == set()


def test_a_sunset_leaves_time_to_change():
    for operation, place in DEPRECATED:
        promise = NOW[operation][place]
        if "x-sunset" in promise:
            since, sunset = (date.fromisoformat(promise[word]) for word in ("x-deprecated-since", "x-sunset"))
            assert sunset - since >= NOTICE, (operation, place)


# ---------------------------------------------------------------- headers
def test_every_answer_of_a_deprecated_operation_says_so_and_no_other(client, as_user, stranger):
    deprecated = {one.id for one in spec.operations().values() if one.raw.get("deprecated")}
    lists = [one for one in spec.operations().values() if one.method == "get" and not one.path_names]
    assert {one.id for one in lists} & deprecated
    for operation in lists:
        for caller in (client, as_user(), stranger):
            answer = caller.get(API + operation.path)
            said = answer.headers.get("Deprecation")
            assert said == ("@1702857600" if operation.id in deprecated else None), (operation.id, answer.status_code)
            assert "Sunset" not in answer.headers
            links = [link for link in answer.headers.getlist("Link") if 'rel="deprecation"' in link]
            page = f'</docs#operation/{operation.id}>; rel="deprecation"; type="text/html"'
            assert links == ([page] if said else [])


def test_a_deprecated_parameter_is_announced_when_it_is_sent(broken_document, make_app, as_user):
    order = {"name": "limit", "in": "query", "schema": {"type": "integer"}, "deprecated": True,
             "x-deprecated-since": "2026-11-01", "x-sunset": "2027-06-30"}  # fmt: skip
    parameters = broken_document["paths"]["/pools"]["get"]["parameters"]
    parameters[:] = [one for one in parameters if "PageLimit" not in one.get("$ref", "")] + [order]
    client = as_user("Admin", of=make_app())
    used, unused = client.get(f"{API}/pools?limit=3").headers, client.get(f"{API}/pools").headers
    assert (used["Deprecation"], used["Sunset"]) == ("@1793491200", "Wed, 30 Jun 2027 00:00:00 GMT")
    assert "Deprecation" not in unused and "Sunset" not in unused


def test_a_link_to_documentation_needs_documentation(make_app, as_user):
    client = as_user("Admin", of=make_app({("webserver", "enable_swagger_ui"): "False"}))
    answer = client.get(f"{API}/permissions")
    assert "Deprecation" in answer.headers and "deprecation" not in answer.headers.get("Link", "")


def test_a_browser_may_read_the_announcement(make_app, as_user):
    client = as_user("Admin", of=make_app({("api", "access_control_allow_origins"): "https://a.example.org"}))
    answer = client.get(f"{API}/roles", headers={"Origin": "https://a.example.org"})
    assert {"Deprecation", "Sunset"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))


@pytest.mark.parametrize("wrong", [{}, {"x-deprecated-since": "soon"}, {"x-deprecated-since": 2026}])
def test_start_up_refuses_what_is_deprecated_without_a_date(wrong, broken_document):
    entry = broken_document["paths"]["/pools"]["get"]
    entry.update({"deprecated": True, **wrong})
    with pytest.raises(spec.DocumentError, match="get_pools: deprecated needs x-deprecated-since"):
        operations.handlers()


def test_the_document_that_is_served_promises_what_is_written():
    served = promises(published.document())
    kept = {one: [place for place in places if place not in served[one]] for one, places in NOW.items()}
    assert not any(kept.values())
