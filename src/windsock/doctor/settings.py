"""The configuration: what cannot be used, is not known, has moved, or is not safe; and the packages that it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.util import find_spec

from windsock import auth, limits
from windsock.config import Config, ConfigError
from windsock.crypto import Vault
from windsock.doctor import Finding, Patient, error, ok, warning
from windsock.exposure import reference
from windsock.settings import SETTINGS

#: How alike two names have to be for one to be taken for the other, from 0 to 1.
_ALIKE = 0.8
_SHORT = 16  # characters of a key that can be guessed
#: What asks for a package: the setting, the word in its value (or any), the module and the extra that brings it.
_PACKAGES = (
    ("windsock", "metrics_token", "", "prometheus_client", "metrics"),
    ("windsock", "traces_endpoint", "", "opentelemetry.exporter.otlp.proto.http", "otel"),
    ("windsock", "rate_limit", "", "limits", "rate-limit"),
    ("windsock", "login_rate_limit", "", "limits", "rate-limit"),
    ("api", "auth_backends", "oidc", "jwt", "oidc"),
    ("api", "auth_backends", "kerberos", "gssapi", "kerberos"),
    ("logging", "remote_base_log_folder", "s3://", "s3fs", "s3"),
    ("logging", "remote_base_log_folder", "gs://", "gcsfs", "gcs"),
    ("logging", "remote_base_log_folder", "wasb", "adlfs", "azure"),
)


def check(patient: Patient) -> Iterator[Finding]:
    """All but the packages."""
    config = patient.config
    yield ok(f"Read from {config.source}" if config.source else "No file; variables and defaults only")
    found = [*_unusable(config), *_unknown(config), *_without_effect(config.variables()), *_moved(config)]
    yield from found or [ok(f"Every option is known and can be used; {len(SETTINGS)} matter to Windsock")]
    if not any(finding.level == "error" for finding in found):
        yield from _unsafe(config)


def _unusable(config: Config) -> Iterator[Finding]:
    """One finding for each reason for which the server would not start."""
    reasons: dict[str, None] = {}
    for look in (Config.check, auth.load, limits.load, Vault.from_config):
        try:
            look(config)
        except ConfigError as wrong:
            reasons[str(wrong)] = None
    for reason in reasons:
        yield error(f"Cannot be used: {reason}", "Change the setting; the server does not start before.")


def _unknown(config: Config) -> Iterator[Finding]:
    """Options of sections that Airflow or Windsock has, and that neither of them knows; most are misspelt."""
    known: dict[str, set[str]] = {}
    places = [(s.section, s.key) for s in SETTINGS] + [old for s in SETTINGS for old in s.old]
    for section, key in [*places, *reference()]:
        known.setdefault(section, set()).add(key)
    for section, key in sorted(config.names()):
        if section in known and key not in known[section]:
            near = get_close_matches(key, known[section], 1, _ALIKE)
            elsewhere = [s.section for s in SETTINGS if s.key == key]
            meant = f"[{section}] {near[0]}" if near else f"[{elsewhere[0]}] {key}" if elsewhere else ""
            fix = f"Did you mean {meant}?" if meant else "Take it out; docs/configuration.md lists what there is."
            yield warning(f"[{section}] {key} is an unknown option, which nothing reads", fix)


def _without_effect(variables: Mapping[str, str]) -> Iterator[Finding]:
    sections = "|".join(sorted({setting.section.upper() for setting in SETTINGS}))
    for name in sorted(variables):
        if re.fullmatch(rf"AIRFLOW_({sections})_\w+|AIRFLOW__({sections})_[^_]\w*", name):
            fix = "Write AIRFLOW__SECTION__KEY, with two underscores each."
            yield warning(f"The variable {name} has no effect", fix)


def _moved(config: Config) -> Iterator[Finding]:
    names = config.names()
    for setting in SETTINGS:
        for section, key in setting.old:
            if (section, key) in names and (section, key) not in {(s.section, s.key) for s in SETTINGS}:
                fix = f"Rename it to [{setting.section}] {setting.key}."
                yield warning(f"[{section}] {key} is an old place, which still works", fix)


def _unsafe(config: Config) -> Iterator[Finding]:
    backends = ",".join(config.get_list("api", "auth_backends"))
    key = config.get("webserver", "secret_key")
    passwords = "basic_auth" in backends
    risks = (
        (backends.endswith("deny_all"), "[api] auth_backends lets nobody in",
         "Set it to airflow.api.auth.backend.basic_auth, or to one of those in docs/extensions.md."),
        (not key, "[webserver] secret_key is empty: no tokens, no sessions, no entity tags of secrets",
         "Set it to the key of Airflow's web server, or to: openssl rand -hex 32"),
        (0 < len(key) < _SHORT, "[webserver] secret_key can be guessed", "Set it to: openssl rand -hex 32"),
        (not config.get("core", "fernet_key"), "[core] fernet_key is empty: secrets are stored in clear",
         "Set it to Airflow's key, or to a new one and store the secrets again."),
        (passwords and not config.get("windsock", "login_rate_limit"), "Passwords can be tried without limit",
         "Set [windsock] login_rate_limit, such as 10 per minute."),
        (config.get("windsock", "anonymous_role") not in ("", "Public", "Viewer"),
         "[windsock] anonymous_role lets everybody change things", "Leave it empty, or give a role that only reads."),
        (config.get_bool("webserver", "expose_stacktrace"), "[webserver] expose_stacktrace shows traces to clients",
         "Set it to False; the log has them."),
        (not config.get_bool("core", "hide_sensitive_var_conn_fields"),
         "[core] hide_sensitive_var_conn_fields = False shows secrets", "Set it to True."),
        ("*" in config.get_list("api", "access_control_allow_origins") and "session" in backends,
         "[api] access_control_allow_origins = * beside cookies", "List the origins that may ask."),
        (config.get("core", "test_connection").lower() == "enabled",
         "[core] test_connection lets who may edit connections reach into this network",
         "Set it to Disabled, or forbid networks with [windsock] test_connection_deny."),
    )  # fmt: skip
    found = [warning(text, fix) for risky, text, fix in risks if risky]
    yield from found or [ok("No insecure choice was found")]


def check_packages(patient: Patient) -> Iterator[Finding]:
    """Whether the packages are installed that settings ask for."""
    needed = {}
    for section, key, word, module, extra in _PACKAGES:
        value = patient.config.get(section, key)
        if value and word in value and (key != "remote_base_log_folder" or _remote(patient.config)):
            needed[module] = (f"[{section}] {key}", extra)
    missing = {module: what for module, what in needed.items() if not _installed(module)}
    for module, (setting, extra) in missing.items():
        yield error(f"{setting} needs the package {module.split('.')[0]}", f"pip install 'windsock[{extra}]'")
    if not missing:
        yield ok(f"All that the settings need is installed: {', '.join(sorted(needed)) or 'nothing beyond Windsock'}")


def _remote(config: Config) -> bool:
    return config.get_bool("logging", "remote_logging")


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
