"""Lists of the document, and walking through one from the first page to the last."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from windsock import spec
from windsock.spec import Operation, properties
from worlds import World

#: Every list that takes a cursor: those with `GET`, and the batch forms.
LISTS = [o for o in spec.operations().values() if not o.audit and any(p["name"] == "Prefer" for p in o.parameters)]
#: Path values for which a list takes `~`, for any.
_ANY = {"get_dag_runs", "get_task_instances", "get_xcom_entries"}


def plural_of(operation: Operation) -> str:
    """The name of the collection in the answer."""
    schema = operation.raw["responses"]["200"]["content"]["application/json"]["schema"]
    return next(name for name, member in properties(schema).items() if member.get("type") == "array")


def url_of(operation: Operation, made: World) -> str:
    """The URL of a list in a world, over everything that the list can hold."""
    values = dict.fromkeys(operation.path_names, "~") if operation.id in _ANY else {}
    return made.url(operation, **values)


def ask(client: Any, operation: Operation, url: str, headers: Any = (), **query: Any) -> Any:
    """One page; `limit`, `offset` and the rest of `query` go where the operation takes them."""
    if operation.id == "get_dags":
        query = {"only_active": "false", **query}
    if operation.method == "get":
        return client.get(url, query_string=query, headers=dict(headers))
    form = {f"page_{name}" if name in ("limit", "offset") else name: value for name, value in query.items()}
    return client.post(url, json=form, headers=dict(headers))


def next_link(response: Any) -> str | None:
    """The Link header that leads to the next page, among those with another meaning."""
    return next((link for link in response.headers.getlist("Link") if 'rel="next"' in link), None)


def cursor_of(response: Any, operation: Operation) -> str | None:
    """The cursor in the Link header; None on the last page."""
    link = next_link(response)
    if link is None:
        return None
    if operation.method == "post":
        return link.partition('; cursor="')[2].rstrip('"')
    address = link.partition(">")[0].lstrip("<")
    return dict(parse_qsl(urlsplit(address).query, keep_blank_values=True))["cursor"]


def walk(client: Any, operation: Operation, url: str, **query: Any) -> list[Any]:
    """All answers of a walk by cursor."""
    pages, cursor = [], ""
    while cursor is not None:
        response = ask(client, operation, url, cursor=cursor, **query)
        assert response.status_code == 200, response.get_json()
        pages.append(response)
        assert len(pages) < 200, "the walk has no end"
        cursor = cursor_of(response, operation)
    return pages
