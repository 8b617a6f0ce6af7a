"""What the document says is what the server does: generated from the document, over every operation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import orjson
import pytest
from sqlalchemy import inspect, select
from sqlalchemy.orm import joinedload, selectinload

import distributions
import factories as f
from clients import SETTINGS
from problems import assert_problem
from windsock import operations, rows, spec
from windsock import statements as kept_statements
from windsock.bodies import json_schema
from windsock.config import Config
from windsock.jsontext import to_json
from windsock.signing import serializer
from windsock.spec import Operation, properties
from worlds import World, nulls, world

OPERATIONS = spec.operations()
HANDLERS = operations.handlers()
#: What a setting has to allow first.
SWITCHED_OFF = {"get_config", "get_value", "test_connection"}
#: URLs without rows, for requests that end before any row is looked at.
NOTHING = World(None, f.filled)
#: Names that belong to every list; the server reads them for each.
PAGING = {"limit", "offset", "order_by", "fields", "cursor"}
#: The reads; what changes something has tests of its own for each room.
SERVED = [o for o in OPERATIONS.values() if o.id not in SWITCHED_OFF and not o.audit]
#: In a world of nulls no DAG is active, and no run ends.
EXTRA = {"get_dags": "only_active=false", "wait_dag_run": "timeout=0"}


def named(wanted: Any) -> Any:
    """Parametrise over operations, with their ids as the names of the tests."""
    return pytest.mark.parametrize("operation", wanted, ids=lambda operation: operation.id)


def plural_of(operation: Operation) -> str | None:
    """The name of the collection when the operation returns a list."""
    members = properties(answer_schema(operation))
    arrays = [n for n, schema in members.items() if schema.get("type") == "array" and not schema.get("deprecated")]
    return arrays[-1] if "total_entries" in members else None


def answer_schema(operation: Operation) -> dict[str, Any]:
    code, produced = operation.success
    return operation.raw["responses"][str(code)]["content"][produced[0]]["schema"]


LISTS = [operation for operation in SERVED if plural_of(operation)]
PAGED = [operation for operation in LISTS if any(p["name"] == "limit" for p in operation.parameters)]
BATCHES = [operation for operation in SERVED if operation.method == "post"]


def ask(client: Any, operation: Operation, url: str) -> Any:
    extra = EXTRA.get(operation.id)
    url += ("&" if "?" in url else "?") + extra if extra else ""
    if operation.method == "get":
        return client.get(url, headers={"Accept": operation.success[1][0]})
    return client.post(url, json={})


@pytest.fixture(autouse=True, scope="module")
def _a_provider_with_a_plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("installed")
    lines = {"airflow.plugins": "a_plugin = contract_trap:Plugin", "apache_airflow_provider": "info = contract_trap:f"}
    distributions.write(folder, "a-provider", lines, summary="A provider")
    with distributions.installed(folder):
        yield


# ---------------------------------------------------------------- start-up
@pytest.mark.parametrize("word", ["operationId", "tags", "x-permission"])
def test_start_up_refuses_an_operation_that_lacks(word, broken_document):
    del broken_document["paths"]["/pools"]["get"][word]
    with pytest.raises(spec.DocumentError, match=rf"GET /pools lacks {word}"):
        operations.handlers()


def test_start_up_refuses_an_operation_without_handler(broken_document):
    broken_document["paths"]["/pools"]["get"]["operationId"] = "get_puddles"
    with pytest.raises(spec.DocumentError, match=r"get_puddles: windsock\.api\.pool has no function"):
        operations.handlers()


def test_start_up_refuses_a_tag_without_room(broken_document):
    broken_document["paths"]["/pools"]["get"]["tags"] = ["Puddle"]
    with pytest.raises(spec.DocumentError, match=r"get_pools: there is no room windsock\.api\.puddle"):
        operations.handlers()


def test_start_up_refuses_a_handler_without_operation(broken_document):
    del broken_document["paths"]["/pools"]["get"]
    with pytest.raises(spec.DocumentError, match=r"windsock\.api\.pool\.get_pools serves no operation"):
        operations.handlers()


def test_start_up_refuses_a_filter_that_compares_by_an_unknown_word(broken_document):
    operation = broken_document["paths"]["/eventLogs"]["get"]
    operation["parameters"].append(
        {"name": "x", "in": "query", "schema": {"type": "string"}, "x-filter": "owner resembles"}
    )
    with pytest.raises(spec.DocumentError, match="resembles"):
        _ = spec.operations()["get_event_logs"].filters


# ---------------------------------------------------------------- answers
@pytest.mark.parametrize("dress", [f.filled, nulls], ids=["rows full of data", "rows full of nulls"])
def test_every_answer_is_valid_against_the_document_and_shows_all_that_it_declares(client, session, dress):
    made = world(session, range(3), dress)
    wrong = {}
    for operation in SERVED:
        response = ask(client, operation, made.url(operation))
        faults = _faults(operation, response)
        if faults:
            wrong[operation.id] = faults
    assert not wrong, "\n".join(f"{name}: {fault}" for name, faults in wrong.items() for fault in faults)


def _faults(operation: Operation, response: Any) -> list[str]:
    if response.status_code != operation.success[0]:
        return [f"{response.status_code}: {response.get_data(as_text=True)}"]
    if response.mimetype not in operation.success[1]:
        return [f"the document knows no {response.mimetype}"]
    value, schema = orjson.loads(response.data.partition(b"\n")[0]), answer_schema(operation)  # of a stream the first
    if plural_of(operation) and not value.get(plural_of(operation)):
        return ["the list is empty, so this test shows nothing"]
    validator = jsonschema_rs.Draft4Validator(json_schema(schema), validate_formats=True)
    faults = [f"{'.'.join(map(str, e.instance_path))}: {e.message}" for e in validator.iter_errors(value)]
    return sorted(set(faults) | set(_strangers(value, schema)))


def _strangers(value: Any, schema: dict[str, Any], where: str = "") -> Iterator[str]:
    """Members that the document does not declare, and declared ones that are not there."""
    if isinstance(value, list) and "items" in schema:
        for item in value[:3]:
            yield from _strangers(item, schema["items"], where + "[]")
    declared = properties(schema)
    if not isinstance(value, dict) or not declared or schema.get("additionalProperties"):
        return
    for name in value.keys() - declared.keys():
        yield f"{where}.{name} is not declared"
    for name, member in declared.items():
        if name in value:
            yield from _strangers(value[name], member, f"{where}.{name}")
        elif not member.get("deprecated") and not member.get("writeOnly"):
            yield f"{where}.{name} is declared and missing"


# ---------------------------------------------------------------- schemas
def _schemas(parent: Any = rows.RowSchema) -> list[Any]:
    return [c for child in parent.__subclasses__() for c in (child, *_schemas(child))]


SCHEMAS = sorted({c for c in _schemas() if c.__module__.startswith("windsock.")}, key=lambda c: c.__qualname__)


def _loading(schema: Any, model: Any) -> list[Any]:
    """Loader options for every relationship that the schema follows."""
    found = []
    for name, field in schema.fields.items():
        nested = getattr(getattr(field, "inner", field), "schema", None)
        paths = getattr(field, "paths", None) or (field.attribute or name,)
        for path in paths:
            parts = path.split(".") + ([None] if nested else [])
            found += _option(model, parts[:-1], nested)
    return found


def _option(model: Any, relationships: list[str], nested: Any) -> list[Any]:
    option, here = None, model
    for name in relationships:
        relationship = getattr(here, name)
        loader = selectinload if relationship.property.uselist else joinedload
        option = getattr(option, loader.__name__)(relationship) if option else loader(relationship)
        here = relationship.property.mapper.class_
    if option is None:
        return []
    return [option.options(*_loading(nested, here))] if nested else [option]


def _comparable(value: Any) -> Any:
    """What a client receives; children in any order."""
    if isinstance(value, dict):
        return {name: _comparable(member) for name, member in value.items()}
    if isinstance(value, list):
        return sorted((_comparable(item) for item in value), key=repr)
    return value


@pytest.mark.parametrize("dress", [f.filled, nulls], ids=["rows full of data", "rows full of nulls"])
@pytest.mark.parametrize("kind_of", SCHEMAS, ids=lambda c: c.__qualname__)
def test_the_compiled_plan_gives_what_marshmallow_gives(kind_of, dress, app, session):
    world(session, range(2), dress)
    session.expunge_all()
    schema, model = kind_of(), kind_of.model
    order = [getattr(model, column.key) for column in inspect(model).primary_key]
    entities = session.scalars(select(model).options(*_loading(schema, model)).order_by(*order)).unique().all()
    with app.test_request_context():
        plan = rows.plan_of(schema)
        planned = plan.fetch(plan.join(select(model)).order_by(*order))
        dumped = [schema.dump(entity) for entity in entities]
    assert planned, "the world has no such row"
    seen, expected = (orjson.loads(to_json(found)) for found in (planned, dumped))
    assert _comparable(seen) == _comparable(expected)


@pytest.mark.parametrize("kind_of", [c for c in SCHEMAS if c.plural], ids=lambda c: c.__qualname__)
def test_members_that_are_only_shown_are_read_only_in_the_document(kind_of):
    for operation in LISTS:
        if plural_of(operation) != kind_of.plural:
            continue
        declared = properties(properties(answer_schema(operation))[kind_of.plural]["items"])
        shown = {n for n, field in kind_of().fields.items() if field.dump_only and not isinstance(field, rows.Derived)}
        # a deprecated member is another name for one that can be written
        writable = {n for n, member in declared.items() if not member.get("readOnly") and not member.get("deprecated")}
        assert shown & writable == set()


# ---------------------------------------------------------------- query parameters
def _value(parameter: dict[str, Any], operation: Operation) -> str:
    schema = parameter["schema"]
    if parameter["name"] == "order_by":
        return operation.sortable[0]
    if parameter["name"] == "cursor":
        return ""
    if parameter["name"] == "fields":
        return _first_member(operation)
    if parameter["name"] == "token":
        return str(serializer(Config(SETTINGS)).dumps({"end_of_log": True, "log_pos": 0}))
    if schema.get("type") == "array":
        schema = schema["items"]
    if schema.get("enum"):
        return str(next(word for word in schema["enum"] if word is not None))
    if schema.get("format") == "date-time":
        return "2026-03-01T02:00:00Z"
    kinds = {"integer": str(max(1, schema.get("minimum", 1))), "number": "1.5", "boolean": "true"}
    return kinds.get(schema.get("type"), "x")


def _first_member(operation: Operation) -> str:
    members = properties(answer_schema(operation))
    plural = plural_of(operation)
    return next(iter(properties(members[plural]["items"]) if plural else members))


def _query_parameters() -> list[Any]:
    return [
        pytest.param(operation, parameter, id=f"{operation.id}-{parameter['name']}")
        for operation in SERVED
        for parameter in operation.parameters
        if parameter["in"] == "query"
    ]


@pytest.mark.parametrize(("operation", "parameter"), _query_parameters())
def test_no_declared_query_parameter_is_ignored(operation, parameter):
    code = HANDLERS[operation.id].__code__
    taken = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    paged = PAGING if code.co_flags & 0x08 else set()  # **query goes to the page
    assert parameter["name"] in {*taken, *operation.filters, *paged}


def test_every_declared_query_parameter_is_accepted(client, session):
    made = world(session)
    refused = {}
    for operation, parameter in (case.values for case in _query_parameters()):
        url = made.url(operation)
        given = f"{parameter['name']}={quote(_value(parameter, operation))}"
        if given.startswith("deserialize"):
            given = "deserialize=false"  # true needs a setting
        status = ask(client, operation, url + ("&" if "?" in url else "?") + given).status_code
        if status not in (200, 404):
            refused[f"{operation.id} {given}"] = status
    assert refused == {}


@named([o for o in SERVED if any(p["in"] == "query" for p in o.parameters)])
def test_an_empty_value_of_an_optional_parameter_is_none(operation, client, session):
    optional = [p["name"] for p in operation.parameters if p["in"] == "query" and not p.get("required")]
    url = world(session).url(operation)
    empty = url + ("&" if "?" in url else "?") + "&".join(f"{name}=" for name in optional if name != "cursor")
    expected, found = ask(client, operation, url), ask(client, operation, empty)
    assert (found.status_code, found.data) == (expected.status_code, expected.data) and found.status_code == 200


@named([o for o in SERVED if o.method == "get" and any(p["name"] != "fields" for p in o.parameters)])
def test_an_unknown_query_parameter_is_refused_by_name(operation, client):
    url = NOTHING.url(operation)
    response = client.get(url + ("&" if "?" in url else "?") + "no_such_thing=1")
    assert_problem(response, 400, "no_such_thing")


@named(BATCHES)
def test_every_member_of_a_batch_form_is_accepted_and_used(operation, client):
    url = NOTHING.url(operation)
    handled = {"page_limit", "page_offset", "order_by", "cursor", "fields", *operation.filters}
    assert properties(operation.body).keys() == handled
    for name, schema in properties(operation.body).items():
        values = [_value({"name": name, "schema": schema}, operation)]
        kind = schema.get("type")
        value: Any = values if kind == "array" else values[0]
        if kind in ("integer", "number"):
            value = orjson.loads(value)
        response = client.post(url, json={name: value})
        assert response.status_code == 200, (name, response.get_json())


@named(BATCHES)
def test_a_batch_form_refuses_an_unknown_member_and_a_wrong_type(operation, client):
    url = NOTHING.url(operation)
    assert_problem(client.post(url, json={"no_such_thing": 1}), 400, "no_such_thing")
    for name, schema in properties(operation.body).items():
        wrong = 1 if schema.get("type") in ("array", "string") else "x"
        assert_problem(client.post(url, json={name: wrong}), 400, name)


# ---------------------------------------------------------------- order
def test_ordering_by_every_sortable_field_answers_both_ways(client, session):
    made = world(session, range(3))
    wrong = {}
    for operation in SERVED:
        for field in operation.sortable:
            for wanted in (field, f"-{field}"):
                status = _ordered(client, operation, made.url(operation), wanted).status_code
                if status != 200:
                    wrong[f"{operation.id} {wanted}"] = status
    assert wrong == {}


def test_an_unknown_order_is_refused(client, session):
    made = world(session)
    accepted = {}
    for operation in SERVED:
        for wanted in ("no_such_field", "-no_such_field", "", "-", "__class__", "--no_such_field"):
            if operation.sortable and (wanted or operation.method == "post"):
                response = _ordered(client, operation, made.url(operation), wanted)
                if response.status_code != 400 or "order_by" not in assert_problem(response, 400)["detail"]:
                    accepted[f"{operation.id} {wanted!r}"] = response.status_code
    assert accepted == {}


def _ordered(client: Any, operation: Operation, url: str, wanted: str) -> Any:
    if operation.method == "get":
        return client.get(url, query_string={"order_by": wanted})
    return client.post(url, json={"order_by": wanted})


# ---------------------------------------------------------------- statements
@pytest.mark.parametrize(
    "rights",
    [["DAGs.can_read", "DAG Runs.can_read"], ["DAG:etl.can_read", "DAG Run:etl.can_read", "DAG Runs.can_read"]],
    ids=["rights on all DAGs", "rights on one DAG"],
)
def test_a_list_of_many_rows_takes_as_many_statements_as_a_list_of_one(rights, as_user, session, statements):
    others = {str(p) for o in SERVED for p in o.permissions if p.resource not in ("DAGs", "DAG Runs")}
    client = as_user(permissions=[*others, *rights])
    made = world(session)

    def count() -> dict[str, int]:
        found = {}
        for operation in LISTS:
            url = made.url(operation)
            if operation in PAGED:
                url += "?limit=100"
            ask(client, operation, url)  # compiles what is compiled once
            with statements() as seen:
                response = ask(client, operation, url)
            assert response.status_code == 200, (operation.id, response.get_json())
            found[operation.id] = len(seen)
        return found

    single = count()
    for number in range(1, 20):
        made.add_number(number)
    session.commit()
    assert count() == single


@pytest.mark.parametrize(
    "rights",
    [["DAGs.can_read", "DAG Runs.can_read"], ["DAG:etl.can_read", "DAG Run:etl.can_read", "DAG Runs.can_read"]],
    ids=["rights on all DAGs", "rights on one DAG"],
)
def test_what_is_asked_again_by_somebody_else_compiles_no_statement(rights, as_user, session):
    others = {str(p) for o in SERVED for p in o.permissions if p.resource not in ("DAGs", "DAG Runs")}
    first, second = (as_user(permissions=[*others, *rights]) for _ in range(2))
    made = world(session)
    for operation in SERVED:
        ask(first, operation, made.url(operation))
        before = kept_statements.compiled()
        ask(second, operation, made.url(operation))
        assert kept_statements.compiled() == before, operation.id
