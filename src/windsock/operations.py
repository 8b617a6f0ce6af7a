"""Find the handler of each operation by tag and operationId; compile the path of its requests once, at start-up."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from importlib import import_module
from inspect import isfunction
from types import ModuleType
from typing import Any

from flask import Request, Response, request
from sqlalchemy.exc import DBAPIError

from windsock import (
    access,
    audit,
    bodies,
    db,
    deprecations,
    etags,
    idempotency,
    outages,
    outdated,
    parameters,
    responses,
    spec,
)
from windsock.context import context
from windsock.framework import OpenAPIOperation, Resolver
from windsock.spec import DocumentError, Operation

Handler = Callable[..., Any]
_RETRIES = 3


def handlers() -> dict[str, Handler]:
    """Every operationId with the function that serves it.

    Raises DocumentError for an operation without handler, or a public function in a room that is no operation.
    """
    found, rooms = {}, {}
    for operation in spec.operations().values():
        room = rooms[operation.room] = _room(operation)
        if not hasattr(room, operation.id):
            raise DocumentError(f"{operation.id}: {operation.room} has no function of this name")
        etags.check(operation)
        deprecations.check(operation)
        found[operation.id] = getattr(room, operation.id)
    for name, room in rooms.items():
        for function in vars(room).values():
            if isfunction(function) and function.__module__ == name and not function.__name__.startswith("_"):
                _refuse_stranger(function)
    return found


def _room(operation: Operation) -> ModuleType:
    try:
        return import_module(operation.room)
    except ModuleNotFoundError as error:
        if error.name != operation.room:
            raise
        raise DocumentError(f"{operation.id}: there is no room {operation.room} for its tag") from error


def _refuse_stranger(function: Handler) -> None:
    operation = spec.operations().get(function.__name__)
    if operation is None or operation.room != function.__module__:
        raise DocumentError(f"{function.__module__}.{function.__name__} serves no operation; begin its name with '_'")


def envelope(operation: Operation, handler: Handler) -> Handler:
    """A handler that changes something, inside one transaction with its audit row: return commits, raise rolls back.

    A transaction that the database ended in favour of another one (a deadlock, say) is tried again from its start.
    """
    condition, memory = etags.compile_condition(operation), idempotency.compile_memory(operation)

    def once(given: dict[str, Any]) -> Any:
        with db.transaction():
            outdated.refuse(operation.since)
            if condition is not None:
                condition(given)
            if memory is not None and (earlier := memory.recall(given)) is not None:
                return earlier
            result = handler(**deepcopy(given))
            audit.record(operation, {name: given[name] for name in operation.path_names}, given.get("body"))
            if memory is not None:
                memory.keep(given, result)
        return result

    def inside(**given: Any) -> Any:
        for _ in range(_RETRIES):
            try:
                return once(given)
            except DBAPIError as error:
                if not outages.lost_to_another(error):
                    raise
        return once(given)

    return inside


def compile_view(operation: Operation, handler: Handler) -> Callable[..., Response]:
    """The Flask view of an operation: gate, validation, handler, answer."""
    arguments = parameters.compile_parameters(operation)
    body = bodies.compile_body(operation) if operation.body is not None else None
    status, _ = operation.success
    creates = operation.method == "post" and status == 201
    answer = responses.compile_answer(operation)
    deprecated = bool(deprecations.deprecated(operation))
    if operation.audit:
        handler = envelope(operation, handler)

    def view(**values: Any) -> Response:
        asked: Request = request._get_current_object()  # type: ignore[attr-defined]  # looked up once, not each time
        if deprecated:
            deprecations.announce(operation)
        access.gate(operation, asked)
        given = arguments(values, asked)
        if body is not None:
            given["body"] = body(asked)
        result = handler(**given)
        if isinstance(result, Response):
            return result
        if result is None:
            return Response(status=status)
        answered = context.config.get_int("windsock", "created_status") if creates else status
        return answer(result, answered)

    return view


class CompiledOperation(OpenAPIOperation):
    """Connexion's operation with our compiled view in the place of its chain of decorators."""

    @property
    def function(self) -> Callable[..., Response]:
        """The Flask view."""
        return compile_view(spec.operations()[self.operation_id], self._resolution.function)


def resolver() -> Resolver:
    """Connexion's resolver over our handlers."""
    return Resolver(handlers().__getitem__)
