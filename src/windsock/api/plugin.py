"""Plugins: what the metadata of the installed distributions tells of them."""

from __future__ import annotations

from typing import Any

from windsock.distributions import declared
from windsock.listing import slice_of

#: What a plugin brings is known to its code only, which is never run.
_UNKNOWN = (
    "appbuilder_menu_items", "appbuilder_views", "executors", "flask_blueprints", "global_operator_extra_links",
    "hooks", "listeners", "macros", "operator_extra_links", "ti_deps", "timetables",
)  # fmt: skip


def get_plugins(**query: Any) -> dict[str, Any]:
    """List the plugins that installed distributions declare; files in the folder of plugins are not looked at."""
    found = [
        {"name": entry.name, "source": f"{distribution.name}=={distribution.version}: {entry}"}
        for entry, distribution in declared("airflow.plugins")
    ]
    return slice_of([{**plugin, **{name: [] for name in _UNKNOWN}} for plugin in found], "plugins", query)
