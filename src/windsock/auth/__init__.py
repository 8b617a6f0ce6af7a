"""Authentication back ends. A back end is one function: request -> Caller or None; its `challenge` goes into a 401."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from windsock.config import Config, ConfigError
from windsock.context import Backend

#: Airflow's names, and their provider paths, for back ends of Windsock.
_AIRFLOW = ("airflow.api.auth.backend.", "airflow.providers.fab.auth_manager.api.auth.backend.")
_OWN = {
    "basic_auth": "windsock.auth.basic",
    "deny_all": "windsock.auth.deny_all",
    "kerberos_auth": "windsock.auth.kerberos",
    "session": "windsock.auth.session",
}
#: Short names of back ends that Airflow has none of.
_SHORT = {"oidc": "windsock.auth.oidc", "token": "windsock.auth.token"}


def load(config: Config) -> list[Backend]:
    """The back ends of `[api] auth_backends`, in order. Raises ConfigError for an unknown name, or what one misses."""
    backends = [_load(name) for name in config.get_list("api", "auth_backends")]
    for backend in backends:
        if check := getattr(backend, "check", None):
            check(config)
    return backends


def _load(name: str) -> Backend:
    name = _SHORT.get(name, name)
    for prefix in _AIRFLOW:
        if name.startswith(prefix) and name[len(prefix) :] in _OWN:
            return import_module(_OWN[name[len(prefix) :]]).authenticate
    for entry in entry_points(group="windsock.auth_backends"):
        if entry.name == name:
            return entry.load()
    try:
        return import_module(name).authenticate
    except (ImportError, AttributeError) as error:
        known = ", ".join([*(_AIRFLOW[0] + name for name in _OWN), *_SHORT])
        raise ConfigError(f"[api] auth_backends: {name!r} is not a back end ({error}); known: {known}") from error
