"""Plugins."""

from __future__ import annotations

from windsock.errors import not_yet_served

get_plugins = not_yet_served
