"""The roles of a fresh Airflow 2.11.2 with the FAB provider 1.5.4, read off a database that they made."""

from __future__ import annotations

DEFAULT_ROLES = ("Admin", "Public", "Viewer", "User", "Op")  # in the order of their ids; Public has no permission
ACTIONS = ("can_edit", "can_read", "can_create", "can_delete", "menu_access")

# Action and resources by the least role that has them; each role has all that the roles above it have.
_GRANTS = {
    "Viewer": {
        "can_read": (
            "Cluster Activity, DAG Code, DAG Dependencies, DAG Runs, DAG Warnings, DAGs, Datasets, ImportError, Jobs, "
            "My Password, My Profile, Pools, SLA Misses, Task Instances, Task Logs, Website, XComs"
        ),
        "can_edit": "My Password, My Profile",
        "menu_access": (
            "Browse, Cluster Activity, DAG Dependencies, DAG Runs, DAGs, Datasets, Docs, Documentation, Jobs, "
            "SLA Misses, Task Instances"
        ),
    },
    "User": {
        "can_create": "DAG Runs, Datasets, Task Instances",
        "can_edit": "DAG Runs, DAGs, Task Instances",
        "can_delete": "DAG Runs, DAGs, Task Instances",
    },
    "Op": {
        "can_read": "Configurations, Connections, Plugins, Providers, Variables",
        "can_create": "Connections, Pools, Variables",
        "can_edit": "Connections, Pools, Variables",
        "can_delete": "Connections, Datasets, Pools, Variables, XComs",
        "menu_access": "Admin, Configurations, Connections, Plugins, Pools, Providers, Variables, XComs",
    },
    "Admin": {
        "can_read": (
            "Audit Logs, Passwords, Permission Views, Permissions, Roles, Task Reschedules, Triggers, "
            "User Stats Chart, Users, View Menus"
        ),
        "can_create": "Roles, Users",
        "can_edit": "Passwords, Roles, SLA Misses, Users",
        "can_delete": "Roles, SLA Misses, Users",
        "menu_access": (
            "Actions, Audit Logs, List Roles, List Users, Permission Pairs, Resources, Security, Task Reschedules, "
            "Triggers, User's Statistics"
        ),
    },
}

# Views that Airflow registers without any permission on them.
_BARE_RESOURCES = (
    "Airflow, AuthDBView, AutocompleteView, DagDependenciesView, DevView, DocsView, IndexView, LocaleView, RedocView, "
    "UtilView"
)


def default_permissions() -> dict[str, set[tuple[str, str]]]:
    """The permissions of each default role as pairs of action and resource."""
    permissions: dict[str, set[tuple[str, str]]] = {"Public": set()}
    held: set[tuple[str, str]] = set()
    for role, grants in _GRANTS.items():
        held |= {(action, resource) for action, names in grants.items() for resource in names.split(", ")}
        permissions[role] = set(held)
    return permissions


def default_resources() -> list[str]:
    """Everything that can be protected in a fresh installation, sorted; Admin may touch all but a few bare views."""
    return sorted({resource for _, resource in default_permissions()["Admin"]} | set(_BARE_RESOURCES.split(", ")))
