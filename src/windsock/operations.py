"""Find the handler of each operation by tag and operationId; compile the path of its requests once, at start-up."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from inspect import isfunction
from types import ModuleType
from typing import Any

import orjson
from flask import Response, request

from windsock import access, bodies, parameters, spec
from windsock.framework import OpenAPIOperation, Resolver
from windsock.spec import DocumentError, Operation

Handler = Callable[..., Any]


def handlers() -> dict[str, Handler]:
    """Every operationId with the function that serves it.

    Raises DocumentError for an operation without handler, or a public function in a room that is no operation.
    """
    found, rooms = {}, {}
    for operation in spec.operations().values():
        room = rooms[operation.room] = _room(operation)
        if not hasattr(room, operation.id):
            raise DocumentError(f"{operation.id}: {operation.room} has no function of this name")
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
        raise DocumentError(f"{operation.id}: there is no room {operation.room} for its tag") from error


def _refuse_stranger(function: Handler) -> None:
    operation = spec.operations().get(function.__name__)
    if operation is None or operation.room != function.__module__:
        raise DocumentError(f"{function.__module__}.{function.__name__} serves no operation; begin its name with '_'")


def to_json(value: Any) -> bytes:
    """JSON text of plain data and datetimes; integers beyond 64 bits included, NaN as null."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, default=lambda moment: moment.isoformat()).encode()


def compile_view(operation: Operation, handler: Handler) -> Callable[..., Response]:
    """The Flask view of an operation: gate, validation, handler, answer."""
    arguments = parameters.compile_parameters(operation)
    body = bodies.compile_body(operation) if operation.body is not None else None
    status, _ = operation.success

    def view(**values: Any) -> Response:
        access.gate(operation)
        given = arguments(values, request)
        if body is not None:
            given["body"] = body(request)
        result = handler(**given)
        if isinstance(result, Response):
            return result
        if result is None:
            return Response(status=status)
        return Response(to_json(result), status, content_type="application/json")

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
