"""How a schema is compiled: the SELECT columns it needs and one function from a row to a dict.

A schema stays an ordinary marshmallow schema: `schema.dump(entity)` and the plan give the same output (tested for all).
Members of related rows are joined (to-one) or read with one more statement for the whole page (to-many).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache, reduce
from typing import TYPE_CHECKING, Any

from marshmallow import fields, missing
from sqlalchemy import ColumnElement, Select, and_, bindparam, inspect, select
from sqlalchemy.orm import aliased

from windsock import access, db

if TYPE_CHECKING:
    from windsock.rows import RowSchema


def attribute(entity: Any, path: str) -> Any:
    """Follow a dotted path of attributes; None as soon as a related row is missing."""
    return reduce(lambda found, name: None if found is None else getattr(found, name), path.split("."), entity)


class Timestamp(fields.Field):
    """A datetime in ISO 8601; orjson writes the same text, so the plan passes it through."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return None if value is None else value.isoformat()


class Derived(fields.Field):
    """A member computed from the attributes at `paths`; filters and sorting use the first of them.

    `load` turns a value that a client sends into the attributes to set; without it the member is only shown.
    """

    _CHECK_ATTRIBUTE = False

    def __init__(
        self, function: Callable[..., Any], *paths: str, load: Callable[[Any], dict[str, Any]] | None = None
    ) -> None:
        super().__init__(dump_only=load is None)
        self.function, self.paths, self.load = function, paths, load

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return self.function(*(attribute(obj, path) for path in self.paths))


class Hidden(Derived):
    """A member that a client sends and never gets back; `load` turns its value into the attributes to set."""

    def __init__(self, load: Callable[[Any], dict[str, Any]]) -> None:
        super().__init__(lambda: None, load=load)
        self.load_only = True


#: Field classes whose output equals what orjson writes for the column's value.
_PASSED_THROUGH = (fields.String, fields.Integer, fields.Float, fields.Boolean, fields.Raw, Timestamp)


class Plan:
    """A schema compiled: the columns to select, the joins they need, and a function from a row to a dict."""

    def __init__(self, schema: RowSchema, only: frozenset[str] | None = None) -> None:
        self.schema, self.model = schema, schema.model
        self._index: dict[str, int] = {}
        self._entities: dict[tuple[str, ...], Any] = {(): schema.model}
        self._joins: dict[tuple[str, ...], Any] = {}
        self._froms: dict[frozenset[tuple[str, ...]], Any] = {}
        self._functions: dict[str, Callable[..., Any]] = {}
        self.collections: list[tuple[str, Any, Plan]] = []
        for name, field in schema.dump_fields.items():  # filters and sorting reach members that `only` leaves out
            if not isinstance(field, fields.List | fields.Nested):
                self._resolve(_path(name, field))
        source = self._source(schema, "", only)
        if self.collections:
            self._key = self._column(inspect(self.model).primary_key[0].name)
        apart = {path for path in self._index if self._alone(path)}
        self.columns = [self._apart(path) if path in apart else self._resolve(path) for path in self._index]
        self._used = self._needed(self._index.keys() - apart)
        # The source is made of the names in our own schemas, when the server starts
        build = eval(f"lambda r: {source}", self._functions)  # noqa: S307  # nosec B307
        self.build: Callable[[Any], dict[str, Any]] = build

    def column(self, name: str) -> ColumnElement[Any]:
        """The column behind a member of the schema, or behind an attribute of its model that no member shows."""
        return self._resolve(self._path(name))

    def related(self, name: str) -> tuple[Any, ColumnElement[Any]] | None:
        """For a to-many member: the relationship and the first column of the related row."""
        field = self.schema.fields.get(name)
        if not isinstance(field, fields.List):
            return None
        nested = field.inner.schema  # type: ignore[attr-defined]
        return getattr(self.model, field.attribute or name), plan_of(nested).columns[0]

    def always_related(self, name: str) -> bool:
        """Whether a member is a value that a related row always has, and every row has a related one."""
        related, _, own = self._path(name).rpartition(".")
        if not related.isidentifier():
            return False
        there = getattr(self.model, related).property
        local = all(column.foreign_keys and not column.nullable for column in there.local_columns)
        return local and not there.mapper.columns[own].nullable

    def join(self, statement: Select[Any], names: Iterable[str] = ()) -> Select[Any]:
        """Add the to-one joins that the plan's columns and the columns behind these members need."""
        return self._from(statement, self._used | self._needed(map(self._path, names)))

    def join_for(self, statement: Select[Any], names: Iterable[str]) -> Select[Any]:
        """Add the to-one joins that the columns behind these members need, and no other."""
        return self._from(statement, self._needed(map(self._path, names)))

    def join_late(
        self, statement: Select[Any], names: Iterable[str], further: ColumnElement[Any] | None = None
    ) -> tuple[Select[Any], Any]:
        """The rows that a `select(model)...` with a limit finds by their keys; what else is needed is joined to those.

        For the search itself, only what these members need is joined. The order is lost. Its columns, the keys and a
        further one, come second.
        """
        keys = [getattr(self.model, column.name) for column in inspect(self.model).primary_key]
        searched = [*keys] if further is None else [*keys, further]
        found = self.join_for(statement, names).with_only_columns(*searched, maintain_column_froms=True).subquery()
        same = (key == found.c[key.key] for key in keys)
        needed = self._used | self._needed(map(self._path, names))
        return self._outer(select(self.model).join(found, and_(*same)), needed), found.c

    def _from(self, statement: Select[Any], needed: frozenset[tuple[str, ...]]) -> Select[Any]:
        if needed not in self._froms:  # the conditions of the joins are worked out once for all
            self._froms[needed] = self._outer(select(self.model), needed).get_final_froms()[0]
        return statement.select_from(self._froms[needed])

    def _outer(self, statement: Select[Any], needed: frozenset[tuple[str, ...]]) -> Select[Any]:
        joins = (target for path, target in self._joins.items() if path in needed)  # parents come first
        return reduce(lambda joined, target: joined.outerjoin(target), joins, statement)

    def _alone(self, path: str) -> bool:
        """Whether this is the only column that is shown of a related row, and of those that hang on it."""
        related, _, _ = path.rpartition(".")
        inside = [one for one in self._index if one.startswith(f"{related}.")]
        return related.isidentifier() and len(inside) == 1

    def _apart(self, path: str) -> ColumnElement[Any]:
        """One column of a related row, without a join: a planner's time grows fast with the number of those."""
        related, name = path.split(".")
        relationship = getattr(self.model, related)
        other = aliased(relationship.property.mapper.class_)
        return select(getattr(other, name)).where(relationship.of_type(other)).correlate(self.model).scalar_subquery()

    def _needed(self, paths: Iterable[str]) -> frozenset[tuple[str, ...]]:
        """The relationships that these paths of attributes follow, each as a path of its own."""
        found = (tuple(path.split(".")[:-1]) for path in paths)
        return frozenset(path[:end] for path in found for end in range(1, len(path) + 1))

    def _path(self, name: str) -> str:
        field = self.schema.fields.get(name)
        return _path(name, field) if field else name

    def fetch(self, statement: Select[Any]) -> list[dict[str, Any]]:
        """Run a joined `select(model)...` for this plan's columns; one more statement for each to-many member."""
        return self.items(db.execute(self.selected(statement)).all())

    def selected(self, statement: Select[Any], also: Iterable[Any] = ()) -> Select[Any]:
        """A joined `select(model)...` for this plan's columns, and behind them for further ones."""
        return statement.with_only_columns(*self.columns, *also, maintain_column_froms=True)

    def items(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """What rows look like to a client; one statement for each to-many member."""
        items = [self.build(row) for row in rows]
        for name, relationship, plan in self.collections if rows else ():
            keys = [row[self._key] for row in rows]
            children = plan.children(relationship, keys)
            for key, item in zip(keys, items, strict=True):
                item[name] = children.get(key, [])
        return items

    def children(self, relationship: Any, keys: Sequence[Any]) -> dict[Any, list[dict[str, Any]]]:
        """Dumped rows at the other end of a to-many relationship, by the parent's primary key."""
        found: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        reach = access.reach(self.model)
        for row in db.rows(Plan._below, self, relationship, reach, values={"parents": list(keys)}):
            found[row[-1]].append(self.build(row))
        return found

    def _below(self, relationship: Any, reach: access.Reach) -> Select[Any]:
        parent = relationship.class_
        key = getattr(parent, inspect(parent).primary_key[0].name)
        order = [getattr(self.model, c.name) for c in inspect(self.model).primary_key]
        statement = self._outer(select(*self.columns, key).select_from(parent).join(relationship), self._used)
        of = key.in_(bindparam("parents", expanding=True))
        return access.narrow(statement, self.model, reach).where(of).order_by(*order)

    def _source(self, schema: RowSchema, prefix: str, only: Iterable[str] | None = None) -> str:
        """The text of a dict display over the row `r`; only schema keys, as literals, and indexes go into it."""
        shown = schema.dump_fields
        members = shown if only is None else {n: f for n, f in shown.items() if n in only}
        parts = (f"{name!r}: {self._value(name, field, prefix)}" for name, field in members.items())
        return "{" + ", ".join(parts) + "}"

    def _value(self, name: str, field: fields.Field, prefix: str) -> str:
        path = prefix + _path(name, field)
        if isinstance(field, Derived):
            function = f"f{len(self._functions)}"
            self._functions[function] = field.function
            return f"{function}({', '.join(f'r[{self._column(prefix + p)}]' for p in field.paths)})"
        if isinstance(field, fields.Nested):
            nested: Any = field.schema
            found = self._column(f"{path}.{inspect(nested.model).primary_key[0].name}")
            return f"None if r[{found}] is None else {self._source(nested, path + '.')}"
        if isinstance(field, fields.List):
            inner: Any = field.inner
            nested = inner.schema
            self.collections.append((name, getattr(self.model, path), plan_of(nested)))
            return "None"
        if type(field) not in _PASSED_THROUGH:
            raise TypeError(f"{type(self.schema).__name__}.{name}: {type(field).__name__} has no plan; use Derived")
        cell, default = f"r[{self._column(path)}]", field.dump_default
        return cell if default in (missing, None) else f"({default!r} if {cell} is None else {cell})"

    def _column(self, path: str) -> int:
        if path not in self._index:
            self._index[path] = len(self._index)
        return self._index[path]

    def _resolve(self, path: str) -> ColumnElement[Any]:
        *relationships, name = path.split(".")
        return getattr(self._entity(tuple(relationships)), name)

    def _entity(self, path: tuple[str, ...]) -> Any:
        if path not in self._entities:
            relationship = getattr(self._entity(path[:-1]), path[-1])
            self._entities[path] = aliased(relationship.property.mapper.class_)
            self._joins[path] = relationship.of_type(self._entities[path])
        return self._entities[path]


def _path(name: str, field: fields.Field) -> str:
    return field.paths[0] if isinstance(field, Derived) and field.paths else field.attribute or name


def plan_of(schema: RowSchema, only: frozenset[str] | None = None) -> Plan:
    """The plan of a schema instance, compiled once; `only` narrows it to some members."""
    return _whole(schema) if only is None else _narrowed(schema, only)


@cache
def _whole(schema: RowSchema) -> Plan:
    return Plan(schema)


@lru_cache(256)  # which members there are together is for clients to say
def _narrowed(schema: RowSchema, only: frozenset[str]) -> Plan:
    return Plan(schema, only)
