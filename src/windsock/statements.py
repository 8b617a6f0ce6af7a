"""Statements that are made and compiled once for all values, and sent on the driver's own cursor.

A statement is named by the function that makes it and by what that function is given: its shape. Values are no part of
the shape, they are bound at each execution; so what is kept is nobody's, whatever clients send (docs/decisions/0013).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Connection, Dialect, Select

from windsock import observing

Row = Sequence[Any]
#: What makes a statement from a shape, and from nothing else but its arguments.
Make = Callable[..., Select[Any]]
#: Shapes that are kept; which filters, orders and `fields` there are together is for clients to say.
_KEPT = 256
#: Members of an IN up to which its statement is kept, since each adds to its text.
_LONGEST = 256


def rows(connection: Connection, make: Make, shape: tuple[Hashable, ...], values: Mapping[str, Any]) -> list[Row]:
    """All rows of the statement `make(*shape)`; `values` are those of its parameters that have none of their own.

    Raises what `connection.execute` raises.
    """
    lists = tuple([(name, len(value)) for name, value in values.items() if type(value) is list])
    if lists:
        if any(length > _LONGEST for _, length in lists):
            return list(connection.execute(make(*shape), values).all())
        values = {**values, **{name: _filled(values[name]) for name, _ in lists}}
        lists = tuple((name, len(values[name])) for name, _ in lists)
    kept = _kept(connection.dialect, make, shape, lists)
    return _fetch(connection, kept, kept.parameters(values))


def _filled(members: list[Any]) -> list[Any]:
    """The members of an IN, the last one repeated until they are 1, 2, 4, 8...: so few lengths have few statements."""
    return members + members[-1:] * ((1 << (len(members) - 1).bit_length()) - len(members) if members else 0)


def _fetch(connection: Connection, kept: _Kept, parameters: Any) -> list[Row]:
    """Send a statement. The driver's errors become SQLAlchemy's, and who listens to the engine hears of it."""
    cursor: Any = None
    text, heard = kept.text, connection._has_events or connection.engine._has_events
    try:
        cursor = connection.connection.cursor()
        if heard:
            for before in connection.dispatch.before_cursor_execute:
                text, parameters = before(connection, cursor, text, parameters, None, False)
        observing.timed(cursor.execute, text, parameters)
        if heard:
            for after in connection.dispatch.after_cursor_execute:
                after(connection, cursor, text, parameters, None, False)
        convert = kept.convert or kept.describe(cursor.description)
        found: list[Row] = cursor.fetchall()
        cursor.close()
    except BaseException as error:
        connection._handle_dbapi_exception(error, text, parameters, cursor, None)  # no public function does all of it
    return convert(found)


class _Kept:
    """SQL text, a function from values to the driver's parameters, and one from the driver's rows to ours."""

    def __init__(self, dialect: Dialect, statement: Select[Any], lists: Mapping[str, int]) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        if compiled.literal_execute_params:
            raise TypeError("a value would become part of the text of a statement that is kept")
        given: dict[str, Any] = {name: None for name, bind in compiled.binds.items() if bind.required or bind.callable}
        given |= {name: [None] * length for name, length in lists.items()}
        state = compiled.construct_expanded_state(given)
        self.text: str = state.statement
        self.parameters = _binder(dialect, compiled.binds, state)
        self._dialect = dialect
        self._types = [column.type.dialect_impl(dialect) for column in statement.selected_columns]
        self.convert: Callable[[list[Row]], list[Row]] | None = None

    def describe(self, columns: Sequence[Any]) -> Callable[[list[Row]], list[Row]]:
        """Take from the driver, once, what it says of the columns of the result: a type may depend on that."""
        said = zip(self._types, columns, strict=True)
        self.convert = _converter([kind.result_processor(self._dialect, column[1]) for kind, column in said])
        return self.convert


@lru_cache(_KEPT)
def _kept(dialect: Dialect, make: Make, shape: tuple[Hashable, ...], lists: tuple[tuple[str, int], ...]) -> _Kept:
    return _Kept(dialect, make(*shape), dict(lists))


def compiled() -> int:
    """How many statements this process has compiled in order to keep them."""
    return _kept.cache_info().misses


def _binder(dialect: Dialect, binds: Mapping[str, Any], state: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Takes each parameter from the values `v`, asks for it where the statement says how, or has it as a constant."""
    members = {name: (of, f"[{at}]") for of, each in state.parameter_expansion.items() for at, name in enumerate(each)}
    names: dict[str, Any] = {}

    def source(number: int, name: str) -> str:
        of, at = members.get(name, (name, ""))
        bind = names[f"b{number}"] = binds[of]
        process = names[f"p{number}"] = bind.type.dialect_impl(dialect).bind_processor(dialect)
        value = f"v[{of!r}]{at}" if bind.required else f"b{number}.effective_value{at}"
        value = f"p{number}({value})" if process else value
        if bind.required or bind.callable:
            return value
        names[f"c{number}"] = eval(value, names)  # noqa: S307  # nosec B307
        return f"c{number}"

    if state.positiontup is None:
        made = ", ".join(f"{name!r}: {source(number, name)}" for number, name in enumerate(state.parameters))
        return eval(f"lambda v: {{{made}}}", names)  # noqa: S307  # nosec B307
    made = "".join(f"{source(number, name)}, " for number, name in enumerate(state.positiontup))
    return eval(f"lambda v: ({made})", names)  # noqa: S307  # nosec B307


def _converter(processes: Sequence[Callable[[Any], Any] | None]) -> Callable[[list[Row]], list[Row]]:
    """A function that converts the cells of rows; those that are null, or as the driver has them, cost nothing."""
    if not any(processes):
        return lambda rows: rows
    names: dict[str, Any] = {f"p{number}": process for number, process in enumerate(processes)}
    converted = [number for number, process in enumerate(processes) if process]
    cells = "".join(f"        if r[{n}] is not None: r[{n}] = p{n}(r[{n}])\n" for n in converted)
    source = f"def convert(rows):\n    rows = [[*r] for r in rows]\n    for r in rows:\n{cells}    return rows\n"
    exec(source, names)  # noqa: S102  # nosec B102
    return cast("Callable[[list[Row]], list[Row]]", names["convert"])
