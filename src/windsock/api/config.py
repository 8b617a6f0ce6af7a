"""The configuration."""

from __future__ import annotations

from windsock.errors import not_yet_served

get_config = get_value = not_yet_served
