"""Providers."""

from __future__ import annotations

from windsock.errors import not_yet_served

get_providers = not_yet_served
