"""What one request has cost, and who is told of it when it is answered: the log, the metrics, the traces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

from flask import Flask, Response, has_app_context, request, request_finished
from sqlalchemy import Dialect, event

from windsock import request_ids
from windsock.context import KEY, kept


class Answered(NamedTuple):
    """One request that was answered. Times are in seconds; of an answer in pieces, until its last one."""

    request_id: str
    operation: str  # the operationId, the name of another page, or `-` where no route was found
    method: str
    path: str  # as it was decoded, without the query, which may hold tokens
    status: int
    user: str | None
    address: str | None
    seconds: float
    statements: int
    database_seconds: float
    span: Any = None  # of OpenTelemetry, where requests are traced

    def members(self) -> dict[str, Any]:
        """The same as members of a JSON object, with times in milliseconds."""
        found = self._asdict()
        del found["span"]
        found["duration_ms"] = round(found.pop("seconds") * 1000, 3)
        found["database_ms"] = round(found.pop("database_seconds") * 1000, 3)
        return found


Observer = Callable[[Answered], None]


#: In the WSGI environment: when the request came, by `perf_counter`.
BEGAN = "windsock.began"


@dataclass(slots=True)
class _Cost:
    statements: int = 0
    database_seconds: float = 0.0
    statement_began: float | None = None


def register(app: Flask, observers: list[Observer]) -> None:
    """Measure the requests of `app`, and tell the observers of each."""
    for source in app.extensions[KEY].database.sources():
        _watch(source.dialect)
    if observers:  # by a signal, which comes after all hooks of answers
        request_finished.connect(lambda _, response: _end(response, observers), app, weak=False)


def _end(response: Response, observers: list[Observer]) -> None:
    # Each look at a proxy of Flask takes as long as all the rest of a line here.
    state, asked = kept(), request._get_current_object()  # type: ignore[attr-defined]
    cost, who, operation = state.get("cost") or _Cost(), state.get("caller"), state.get("operation")
    name = operation.id if operation else asked.endpoint or "-"
    user, began, span = who.username if who else None, asked.environ[BEGAN], state.get("span")
    number, address = asked.environ[request_ids.KEY], asked.remote_addr
    place = (number, name, asked.method, asked.path, response.status_code, user, address)

    def tell() -> None:
        spent = (perf_counter() - began, cost.statements, cost.database_seconds, span)
        told = Answered(*place, *spent)
        for observer in observers:
            observer(told)

    if response.is_streamed:
        response.call_on_close(tell)
    else:
        tell()


def timed(execute: Callable[..., None], *arguments: Any) -> bool:
    """Execute a statement, and count it and its time for the request, if there is one. True, as events want it."""
    cost = _cost()
    if cost is None:
        execute(*arguments)
        return True
    cost.statement_began = perf_counter()
    try:
        execute(*arguments)
    finally:
        cost.statements += 1
        cost.database_seconds += perf_counter() - cost.statement_began
    return True


def statement_began() -> float | None:
    """When the last statement of this request began, by `perf_counter`; None outside of one."""
    cost = _cost()
    return cost.statement_began if cost else None


def _watch(dialect: Dialect) -> None:
    """Time all statements of an engine, in the place of their execution.

    SQLAlchemy's more usual events, around a statement, would lead each of them a longer way.
    """
    for name in ("do_execute", "do_execute_no_params", "do_executemany"):
        event.listen(dialect, name, partial(timed, getattr(dialect, name)))


def _cost() -> _Cost | None:
    """That of this request; None for a statement outside of any."""
    if not has_app_context():
        return None
    state = kept()
    found: _Cost | None = state.get("cost")
    if found is None:
        found = state.cost = _Cost()
    return found
