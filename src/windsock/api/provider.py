"""Provider packages: what the metadata of the installed distributions tells of them."""

from __future__ import annotations

import re
from typing import Any

from windsock.distributions import canonical, declared, description_of
from windsock.rows import all_narrowed


def get_providers(fields: list[str] | None = None) -> dict[str, Any]:
    """List providers, one for each distribution."""
    found: dict[str, dict[str, str]] = {}
    for entry, distribution in declared("apache_airflow_provider"):
        name = canonical(distribution.name)
        if name not in found:
            description = _plain(description_of(entry, distribution))
            found[name] = {"package_name": name, "description": description, "version": distribution.version}
    providers = all_narrowed(list(found.values()), fields)
    return {"providers": providers, "total_entries": len(found)}


def _plain(text: str) -> str:
    """A description without the marks of reStructuredText that Airflow's server takes out of it."""
    return re.sub("[`_<>]", "", text.strip(" \n."))
