"""Pools."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from windsock.changing import create, fetch, remove, update
from windsock.errors import BadRequest
from windsock.listing import page
from windsock.models import Pool
from windsock.models.usage import occupied
from windsock.rows import Derived, RowSchema, read


def _open(slots: int | None, *held: Any) -> int | None:
    """Free slots; None for a pool without a limit, which has -1 slots (`airflow/models/pool.py`)."""
    return None if slots == -1 else (slots or 0) - occupied(*held)


_HELD = ("usage.running", "usage.queued", "usage.deferred", "include_deferred")


class PoolSchema(RowSchema):
    """A pool and what its slots are used for."""

    model, plural = Pool, "pools"
    name = fields.String(attribute="pool")
    slots = fields.Integer()
    description = fields.String()
    include_deferred = fields.Boolean()
    occupied_slots = Derived(occupied, *_HELD)
    running_slots = fields.Integer(attribute="usage.running", dump_default=0)
    queued_slots = fields.Integer(attribute="usage.queued", dump_default=0)
    scheduled_slots = fields.Integer(attribute="usage.scheduled", dump_default=0)
    deferred_slots = fields.Integer(attribute="usage.deferred", dump_default=0)
    open_slots = Derived(_open, "slots", *_HELD)


pool_schema = PoolSchema()


def get_pools(**query: Any) -> dict[str, Any]:
    """List pools."""
    return page(pool_schema, query)


def get_pool(pool_name: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Show a pool."""
    return read(pool_schema, fields, pool=pool_name)


def post_pool(body: dict[str, Any]) -> dict[str, Any]:
    """Create a pool."""
    return create(pool_schema, {"include_deferred": False, **body})


def patch_pool(pool_name: str, body: dict[str, Any], update_mask: list[str] | None = None) -> dict[str, Any]:
    """Change a pool; the default pool keeps its name and description."""
    pool = fetch(Pool, pool=pool_name)
    before = (pool.pool, pool.description)
    changed = update(pool, pool_schema, body, update_mask)
    if pool_name == Pool.DEFAULT and (changed["name"], changed["description"]) != before:
        raise BadRequest(f"Of {pool_name!r} only slots and include_deferred can change, not name and description")
    return changed


def delete_pool(pool_name: str) -> None:
    """Delete a pool, but not the default one."""
    if pool_name == Pool.DEFAULT:
        raise BadRequest(f"The pool {pool_name!r} cannot be deleted: tasks without a pool of their own use it")
    remove(fetch(Pool, pool=pool_name))
