"""The links that operators add to task instances, found without a class of Airflow."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import distributions
import factories as f
from clients import API, signed_in
from problems import assert_problem

TRIGGER = "airflow.operators.trigger_dagrun.TriggerDagRunLink"
EXTERNAL = "airflow.sensors.external_task.ExternalDagLink"
STANDARD = "airflow.providers.standard."
DATABRICKS = "airflow.providers.databricks.operators.databricks.DatabricksJobRunLink"
DBT = "airflow.providers.dbt.cloud.operators.dbt.DbtCloudRunJobOperatorLink"
TARGET = "nightly"
URL = f"{API}/dags/{f.DAG_ID}/dagRuns/{quote(f.RUN_ID)}/taskInstances/{f.TASK_ID}/links"


@pytest.fixture
def offer(add: Any) -> Any:
    """`offer(TRIGGER, {"key": value}, trigger_dag_id="x")`: a task with that link, its XComs and arguments."""

    def offer(path: str, xcoms: Any = (), rendered: Any = None, arguments: Any = None, **members: Any) -> None:
        links = [{path: arguments or {}}]
        add(f.dag(), f.serialized_dag(tasks=[f.operator(_operator_extra_links=links, **members)]))
        run = add(f.dag_run(execution_date=f.START))
        task = add(f.task_instance())
        add(*(f.xcom(run, task, key, value=json.dumps(value).encode()) for key, value in dict(xcoms).items()))
        if rendered is not None:
            add(f.rendered_fields(task, rendered_fields=rendered))

    return offer


def links(client: Any, url: str = URL) -> Any:
    response = client.get(url)
    assert response.status_code == 200, response.get_json()
    return response.get_json()


# ---------------------------------------------------------------- links of Airflow itself
@pytest.mark.parametrize(
    "path",
    [
        TRIGGER,
        "airflow.operators.dagrun_operator.TriggerDagRunLink",
        f"{STANDARD}operators.trigger_dagrun.TriggerDagRunLink",
    ],
)
def test_a_task_that_triggers_a_dag_leads_to_the_run(path, offer, client):
    offer(path, {"trigger_run_id": "manual__2026-11-22T06:46:44.270324+00:00"}, trigger_dag_id=TARGET)
    address = f"/dags/{TARGET}/grid?dag_run_id=manual__2026-11-22T06:46:44.270324%2B00:00"
    assert links(client) == {"Triggered DAG": address}


@pytest.mark.parametrize("stored", [None, 7, ["a"], {"a": 1}])
def test_without_the_id_of_a_run_it_leads_to_the_dag(stored, offer, client):
    offer(TRIGGER, {"trigger_run_id": stored}, trigger_dag_id=TARGET)
    assert links(client) == {"Triggered DAG": f"/dags/{TARGET}/grid"}


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (EXTERNAL, "execution_date=2026-03-01T02:00:00.123456%2B00:00"),
        ("airflow.sensors.external_task.ExternalTaskSensorLink", "execution_date=2026-03-01T02:00:00.123456%2B00:00"),
        (f"{STANDARD}sensors.external_task.ExternalDagLink", "run_id=scheduled__2026-03-01T02:00:00%2B00:00"),
    ],
)
def test_a_task_that_waits_for_a_dag_leads_there(path, query, offer, client):
    offer(path, external_dag_id=TARGET)
    assert links(client) == {"External DAG": f"/dags/{TARGET}/grid?{query}"}


def test_what_was_rendered_goes_before_its_template(offer, client):
    offer(TRIGGER, rendered={"trigger_dag_id": TARGET}, trigger_dag_id="{{ var.value.target }}")
    assert links(client) == {"Triggered DAG": f"/dags/{TARGET}/grid"}


@pytest.mark.parametrize("dag_id", ["{{ var.value.target }}", "", None, 7, ["a"]])
def test_a_dag_that_is_not_known_yet_is_null(dag_id, offer, client):
    offer(TRIGGER, trigger_dag_id=dag_id)
    assert links(client) == {"Triggered DAG": None}


def test_names_in_a_link_are_quoted(offer, client):
    offer(TRIGGER, {"trigger_run_id": "a b&c=d#é"}, trigger_dag_id="x y?z#Ž")
    assert links(client) == {"Triggered DAG": "/dags/x%20y%3Fz%23%C5%BD/grid?dag_run_id=a+b%26c%3Dd%23%C3%A9"}


def test_a_link_leads_to_the_view_and_below_the_folder_of_airflows_web_server(offer, make_app, make_user):
    settings = {("webserver", "base_url"): "https://a.example.com/airflow/", ("webserver", "dag_default_view"): "Graph"}
    offer(TRIGGER, trigger_dag_id=TARGET)
    client = signed_in(make_app(settings), make_user("Admin").username)
    assert links(client) == {"Triggered DAG": f"/airflow/dags/{TARGET}/graph"}


def test_a_link_to_a_dag_that_the_caller_may_not_read_is_null(offer, add, as_user):
    offer(TRIGGER, trigger_dag_id=TARGET)
    add(f.dag(TARGET))
    rights = [f"DAG:{f.DAG_ID}.can_read", "Task Instances.can_read"]
    assert links(as_user(permissions=rights)) == {"Triggered DAG": None}
    assert links(as_user(permissions=[*rights, f"DAG:{TARGET}.can_read"])) == {"Triggered DAG": f"/dags/{TARGET}/grid"}


# ---------------------------------------------------------------- links in XComs
@pytest.mark.parametrize(
    ("path", "key", "name"),
    [
        (DATABRICKS, "run_page_url", "See Databricks Job Run"),
        (DBT, "job_run_url", "Monitor Job Run"),
        ("any.package.ConsoleLink", "_link_ConsoleLink", "ConsoleLink"),
    ],
)
def test_a_link_that_the_task_stored_is_shown(path, key, name, offer, client):
    offer(path, {key: "https://example.com/run/1?a=b#c"})
    assert links(client) == {name: "https://example.com/run/1?a=b#c"}


def test_a_link_that_the_task_did_not_store_is_null(offer, client):
    offer(DATABRICKS)
    assert links(client) == {"See Databricks Job Run": None}


@pytest.mark.parametrize("url", ["http://x", "HTTPS://example.com/a b", "/dags/x/grid?y=1", "/"])
def test_an_address_of_the_web_is_shown_as_it_is(url, offer, client):
    offer(DATABRICKS, {"run_page_url": url})
    assert links(client) == {"See Databricks Job Run": url}


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "JavaScript:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)",
        "\x01javascript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "ftp://example.com",
        "http:x", "https:///x", "//example.com", "///example.com", "/\\example.com", "\\\\example.com", "relative", "", "http://[",
        None, 7, True, ["https://example.com"], {"url": "https://example.com"}, "https://example.com/\ud800",
    ],
)  # fmt: skip
def test_any_other_address_is_null(url, offer, client):
    offer(DATABRICKS, {"run_page_url": url})
    assert links(client) == {"See Databricks Job Run": None}


def test_secrets_in_an_address_are_masked(offer, client):
    offer(DATABRICKS, {"run_page_url": "https://ann:hunter2@example.com/run?access_token=hunter3&page=4"})
    assert links(client) == {"See Databricks Job Run": "https://ann:***@example.com/run?access_token=***&page=4"}


# ---------------------------------------------------------------- links of other packages
PACKAGE = """
def console(source):
    if "error" in source.arguments:
        raise RuntimeError("no console")
    table = source.field("table") or source.xcom("table")
    return f"https://example.com/{table}/{source.key['map_index']}/{source.arguments.get('index')}"

console.label = "Console"

def plain(source):
    return "javascript:alert(1)"
"""


@pytest.fixture
def package(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A distribution with links for `some.operators.ConsoleLink` and others."""
    for number, (path, target) in enumerate(
        {"ConsoleLink": "console", "PlainLink": "plain", "LostLink": "no_such_function"}.items()
    ):
        line = f"some.operators.{path} = console_links_{number}:{target}"
        distributions.write(tmp_path, f"console-{number}", {"windsock.extra_links": line}, source=PACKAGE)
    with distributions.installed(tmp_path):
        yield
    for number in range(3):
        sys.modules.pop(f"console_links_{number}", None)


def test_a_package_can_bring_a_link(package, offer, client):
    offer("some.operators.ConsoleLink", arguments={"index": 3}, table="sales")
    assert links(client) == {"Console": "https://example.com/sales/-1/3"}


def test_the_link_of_a_package_can_read_xcoms(package, offer, client):
    offer("some.operators.ConsoleLink", {"table": "stock"})
    assert links(client) == {"Console": "https://example.com/stock/-1/None"}


def test_the_example_of_the_documentation_works(offer, client, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "extensions.md").read_text("utf-8")
    blocks = re.findall(r"(?:^(?: {4}.*)?\n)+", page, re.MULTILINE)
    example = textwrap.dedent(next(block for block in blocks if "def console(" in block))
    code, _, declaration = example.partition("[project.entry-points.")
    group, path, target = re.fullmatch(r'"(.+)"\]\n"(.+)" = "(.+)"\s*', declaration).groups()
    distributions.write(tmp_path, "my-package", {group: f"{path} = {target}"}, source=code)
    offer(path, {"loaded_table": "sales"})
    with distributions.installed(tmp_path):
        assert links(client) == {"Warehouse table": "https://warehouse.example.com/tables/sales"}
    del sys.modules[target.partition(":")[0]]


@pytest.mark.parametrize(
    ("path", "arguments", "name"),
    [("ConsoleLink", {"error": True}, "Console"), ("PlainLink", {}, "PlainLink"), ("LostLink", {}, "LostLink")],
)
def test_a_link_that_fails_or_leads_astray_is_null(path, arguments, name, package, offer, client):
    offer(f"some.operators.{path}", arguments=arguments)
    assert links(client) == {name: None}


# ---------------------------------------------------------------- which task instance
def test_an_operator_without_links_has_an_empty_object(add, client):
    add(f.dag(), f.serialized_dag(), f.dag_run())
    add(f.task_instance())
    assert links(client) == {}


def test_several_links_are_sorted_by_name(add, client):
    paths = [{"z.Last": {}}, {TRIGGER: {}}, {"a.First": {}}]
    add(f.dag(), f.serialized_dag(tasks=[f.operator(_operator_extra_links=paths)]), f.dag_run())
    add(f.task_instance())
    assert list(links(client)) == ["First", "Last", "Triggered DAG"]


def test_a_mapped_instance_is_named_by_its_index(add, client):
    add(f.dag(), f.serialized_dag(tasks=[f.mapped_operator(f.TASK_ID, _operator_extra_links=[{DATABRICKS: {}}])]))
    run = add(f.dag_run())
    for index in (0, 1):
        task = add(f.task_instance(map_index=index))
        add(f.xcom(run, task, "run_page_url", value=b'"https://example.com/%d"' % index))
    assert links(client, f"{URL}?map_index=1") == {"See Databricks Job Run": "https://example.com/1"}
    assert_problem(client.get(URL), 404, "map_index -1")
    assert_problem(client.get(f"{URL}?map_index=2"), 404, "map_index 2")


def test_an_unknown_dag_task_or_run_is_named(add, client):
    add(f.dag(), f.serialized_dag())
    assert_problem(client.get(URL.replace(f.DAG_ID, "nope")), 404, "nope")
    assert_problem(client.get(URL.replace(f.TASK_ID, "nope")), 404, "nope")
    assert_problem(client.get(URL), 404, f.RUN_ID)


@pytest.mark.parametrize("stored", [7, "x", {}, [7], [[]], [{}], [{"": {}}], [{"a.B": None}], [{"\ud800.\ud800": {}}]])
def test_a_damaged_definition_breaks_nothing(stored, add, client):
    add(f.dag(), f.serialized_dag(tasks=[f.operator(_operator_extra_links=stored)]), f.dag_run())
    add(f.task_instance())
    assert set(links(client).values()) <= {None}


def test_both_rights_are_needed(offer, as_user):
    offer(DATABRICKS)
    own = f"DAG:{f.DAG_ID}.can_read"
    assert as_user(permissions=[own, "Task Instances.can_read"]).get(URL).status_code == 200
    assert_problem(as_user(permissions=[own]).get(URL), 403, "Task Instances.can_read")
    assert_problem(as_user(permissions=["Task Instances.can_read"]).get(URL), 403, "DAGs.can_read")
