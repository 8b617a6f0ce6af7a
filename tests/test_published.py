"""The document as importers take it: requests that are sent as they were imported work on the demo data."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import create_engine

from clients import API, PASSWORD_HASH, SETTINGS, signed_in
from windsock import demo, migrate, postman, published, spec
from windsock.accounts import NewUser, create_user
from windsock.app import create_app
from windsock.cli import main
from windsock.config import Config
from windsock.crypto import Vault

#: What a setting forbids; and what finds nothing any more when it is sent again.
REFUSED = {"test_connection", "delete_dag", "delete_dag_dataset_queued_event", "delete_dag_dataset_queued_events",
           "delete_dataset_queued_events"}  # fmt: skip
#: What importers send in an optional header; nothing in all others.
EMPTY = {"If-Match": "*"}
DOCUMENT = published.document()


def entries() -> list[dict[str, Any]]:
    return [entry for _, _, entry in published.operations(DOCUMENT)]


# ---------------------------------------------------------------- what is added
def test_what_is_required_has_its_example_as_default():
    for entry in entries():
        for parameter in (published.resolved(DOCUMENT, one) for one in entry.get("parameters", ())):
            if parameter.get("required"):
                assert parameter["schema"]["default"] == parameter["example"], (entry["operationId"], parameter["name"])
        for media in entry.get("requestBody", {}).get("content", {}).values():
            assert media["schema"]["default"] == published.example(DOCUMENT, media), entry["operationId"]


def test_what_is_optional_says_what_the_server_takes_when_it_is_left_out_or_that_it_may_be_null():
    for entry in entries():
        for parameter in (published.resolved(DOCUMENT, one) for one in entry.get("parameters", ())):
            schema = parameter["schema"]
            if not parameter.get("required"):
                assert schema["default"] is not None or schema["nullable"], (entry["operationId"], parameter["name"])


def test_nothing_else_differs_from_the_document_as_it_is_written():
    added = {"default", "nullable"}

    def without(node: Any) -> Any:
        if isinstance(node, dict):
            kept = {key: without(value) for key, value in node.items() if key not in added}
            return kept["allOf"][0] if kept.keys() == {"allOf"} and len(kept["allOf"]) == 1 else kept
        return [without(one) for one in node] if isinstance(node, list) else node

    assert without(DOCUMENT) == without(spec.written())


# ---------------------------------------------------------------- on the demo data
@pytest.fixture(scope="module")
def demo_client(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """An administrator of a server with the demo data."""
    home = tmp_path_factory.mktemp("demo")
    places = {("database", "sql_alchemy_conn"): f"sqlite:///{home}/airflow.db",
              ("logging", "base_log_folder"): f"{home}/logs",
              ("webserver", "expose_config"): "non-sensitive-only"}  # fmt: skip
    config = Config({**SETTINGS, **places})
    engine = create_engine(places["database", "sql_alchemy_conn"])
    migrate.init(engine)
    with engine.begin() as connection:
        create_user(connection, NewUser("admin", "x", "admin@example.com", "A", "Admin", "Admin"))
        demo.load(connection, Vault.from_config(config), home / "logs", datetime.now(timezone.utc))
        connection.exec_driver_sql(f"UPDATE ab_user SET password = '{PASSWORD_HASH}' WHERE username = 'admin'")
    return signed_in(create_app(config), "admin")


def sent(client: FlaskClient, item: dict[str, Any], switched_on: bool) -> Any:
    """The answer to one request of a collection; `switched_on` sends optional parameters too, as importers do."""
    request = item["request"]
    values = {":" + one["key"]: quote(one["value"], safe="") for one in request["url"]["variable"]}
    path = "/".join(values.get(part, part) for part in request["url"]["path"])
    query = {one["key"]: "" if one["disabled"] else one["value"] for one in request["url"]["query"]}
    if not switched_on:
        query = {key: value for key, value in query.items() if value}
    headers = {one["key"]: one["value"] for one in request["header"] if not one.get("disabled")}
    if switched_on:
        headers |= {one["key"]: EMPTY.get(one["key"], "") for one in request["header"] if one.get("disabled")}
    raw = request.get("body", {}).get("raw")
    kind = {} if raw is None else {"content_type": "application/json"}
    return client.open(f"{API}/{path}", method=request["method"], query_string=query, headers=headers, data=raw, **kind)


@pytest.mark.parametrize("switched_on", [False, True], ids=["without options", "with empty options"])
def test_every_request_of_the_collection_works_as_it_is(demo_client, switched_on):
    """One after the other, twice: what a request deletes is none of what another needs."""
    ids = {entry["summary"]: entry["operationId"] for entry in entries()}
    documented = {entry["operationId"]: {int(code) for code in entry["responses"]} for entry in entries()}
    folders = postman.collection(DOCUMENT)["item"]
    items = [item for folder in folders for item in folder["item"]]
    assert len(items) == len(documented) == len(ids)
    wrong = {}
    for item in items * 2:
        answer = sent(demo_client, item, switched_on)
        name = ids[item["name"]]
        good = answer.status_code < 300 or name in REFUSED
        if answer.status_code not in documented[name] or not good:
            wrong[name] = answer.get_data(as_text=True)
    assert not wrong


# ---------------------------------------------------------------- the command
def test_the_document_can_be_exported_without_a_server(tmp_path):
    server = "https://airflow.example.com/api/v1"
    texts = {}
    for form in ("yaml", "json", "postman"):
        file = tmp_path / form
        result = CliRunner().invoke(main, ["spec", "export", "--format", form, "--server", server, "--output", file])
        assert result.exit_code == 0, result.output
        texts[form] = file.read_text("utf-8")
    exported = json.loads(texts["json"])
    assert exported["servers"][0]["url"] == server
    assert yaml.safe_load(texts["yaml"]) == exported
    assert {"key": "baseUrl", "value": server} in json.loads(texts["postman"])["variable"]


def test_the_document_is_exported_to_the_terminal_as_yaml():
    result = CliRunner().invoke(main, ["spec", "export"])
    assert result.exit_code == 0
    assert yaml.safe_load(result.output)["servers"][0]["url"] == "http://localhost:8080/api/v1"
