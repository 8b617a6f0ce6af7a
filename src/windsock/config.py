"""Airflow's own configuration: the same file, sections, keys and variables, and one table of every setting read."""

from __future__ import annotations

import configparser
import logging
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

HIDDEN = "< hidden >"
_TRUE, _FALSE = {"t", "true", "1"}, {"f", "false", "0"}


class ConfigError(ValueError):
    """The configuration cannot be used; the message says which setting and what to do, and never shows a secret."""


class Setting(NamedTuple):
    """One setting: its place, type (`str`, `int`, `float`, `bool` or `list`), default, meaning and old places."""

    section: str
    key: str
    type: str
    default: str
    description: str
    sensitive: bool = False
    old: tuple[tuple[str, str], ...] = ()


# Places and defaults are those of Airflow 2.11's configuration reference, unless the description says otherwise.
SETTINGS: tuple[Setting, ...] = (
    Setting("database", "sql_alchemy_conn", "str", "sqlite:///{AIRFLOW_HOME}/airflow.db",
            "URL of the metadata database: PostgreSQL (any driver name is read as psycopg 3) or SQLite.",
            sensitive=True, old=(("core", "sql_alchemy_conn"),)),
    Setting("database", "sql_alchemy_pool_size", "int", "5",
            "Connections that each worker keeps open to the database (PostgreSQL).",
            old=(("core", "sql_alchemy_pool_size"),)),
    Setting("database", "sql_alchemy_max_overflow", "int", "10",
            "Connections that a worker may open beyond the pool size.", old=(("core", "sql_alchemy_max_overflow"),)),
    Setting("database", "sql_alchemy_pool_recycle", "int", "1800",
            "Seconds after which an open connection is replaced.", old=(("core", "sql_alchemy_pool_recycle"),)),
    Setting("database", "sql_alchemy_pool_pre_ping", "bool", "True",
            "Test a pooled connection before it is used.", old=(("core", "sql_alchemy_pool_pre_ping"),)),
    Setting("core", "fernet_key", "str", "",
            "Fernet keys, separated by commas: the first encrypts, any decrypts. Empty: values are stored in clear.",
            sensitive=True),
    Setting("core", "default_task_retries", "int", "0",
            "Retries of a task that says nothing about them, in the runs that are triggered."),
    Setting("core", "default_task_retry_delay", "float", "300", "Seconds between the tries of such a task."),
    Setting("core", "default_task_execution_timeout", "str", "", "Seconds that such a task may take. Empty: any."),
    Setting("core", "default_task_weight_rule", "str", "downstream",
            "Weight rule of such a task: `downstream`, `upstream` or `absolute`."),
    Setting("operators", "default_owner", "str", "airflow", "Owner of such a task."),
    Setting("operators", "default_queue", "str", "default", "Queue of such a task.",
            old=(("celery", "default_queue"),)),
    Setting("core", "hide_sensitive_var_conn_fields", "bool", "True",
            "Mask members with sensitive names in connection extras and audit rows.",
            old=(("admin", "hide_sensitive_variable_fields"),)),
    Setting("core", "sensitive_var_conn_names", "list", "",
            "Further parts of names, separated by commas, that mark a value as sensitive.",
            old=(("admin", "sensitive_variable_fields"),)),
    Setting("core", "test_connection", "str", "Disabled",
            "`Enabled` allows `POST /connections/test`; `Disabled` and `Hidden` refuse it."),
    Setting("api", "auth_backends", "list", "airflow.api.auth.backend.deny_all",
            "Authentication back ends, tried in order. The default refuses every request (Airflow's default: session)."
            " `airflow.api.auth.backend.basic_auth` asks for a user name and a password.",
            old=(("api", "auth_backend"),)),
    Setting("api", "maximum_page_limit", "int", "100", "The largest page; a larger `limit` is lowered to it."),
    Setting("api", "fallback_page_limit", "int", "100",
            "Page size of the batch forms (`POST .../list`) when `page_limit` is absent."),
    Setting("api", "access_control_allow_headers", "list", "", "CORS: request headers that a foreign page may send."),
    Setting("api", "access_control_allow_methods", "list", "", "CORS: methods that a foreign page may use."),
    Setting("api", "access_control_allow_origins", "list", "", "CORS: origins that may call the API. Empty: none.",
            old=(("api", "access_control_allow_origin"),)),
    Setting("api", "enable_xcom_deserialize_support", "bool", "False",
            "Accept `deserialize=true` on XCom entries. No class is ever imported; typed values stay text."),
    Setting("webserver", "base_url", "str", "",
            "The URL that clients see, for links and the served document. Empty: taken from each request"
            " (Airflow's default: `http://localhost:8080`)."),
    Setting("webserver", "dag_orientation", "str", "LR", "Direction of the graph of a DAG that names none."),
    Setting("webserver", "secret_key", "str", "",
            "Signs file tokens, log tokens and sessions. Use Airflow's own key to share tokens with its web server.",
            sensitive=True),
    Setting("webserver", "session_backend", "str", "database",
            "Where Airflow's web server keeps its sessions, `database` or `securecookie`; see the back end `session`."),
    Setting("webserver", "session_lifetime_minutes", "int", "43200",
            "Minutes for which a `securecookie` session is taken after its last use; others carry their own end."),
    Setting("webserver", "expose_config", "str", "False",
            "Who sees `GET /config`: `True`, `False`, or `non-sensitive-only`. Secrets are masked in every mode."),
    Setting("webserver", "expose_stacktrace", "bool", "False", "Add the stack trace to the detail of a 500."),
    Setting("scheduler", "scheduler_health_check_threshold", "int", "30",
            "Seconds without a heartbeat after which the scheduler and the DAG processor are unhealthy."),
    Setting("scheduler", "allowed_run_id_pattern", "str", r"^[A-Za-z0-9_.~:+-]+$",
            "Regular expression for the run ids that clients give."),
    Setting("scheduler", "create_cron_data_intervals", "bool", "True",
            "Give manual runs of a DAG with a cron schedule the last complete period as their data interval, rather"
            " than their logical date as both ends."),
    Setting("scheduler", "catchup_by_default", "bool", "True", "Whether a DAG that says nothing about it catches up."),
    Setting("scheduler", "ignore_first_depends_on_past_by_default", "bool", "True",
            "Whether the first instance of a task that depends on its past need not wait."),
    Setting("scheduler", "allow_trigger_in_future", "bool", "False",
            "Whether runs of DAGs without a schedule may start before their logical date."),
    Setting("scheduler", "standalone_dag_processor", "bool", "False",
            "Report the DAG processor's health; it runs as a process of its own."),
    Setting("triggerer", "triggerer_health_check_threshold", "int", "30",
            "Seconds without a heartbeat after which the triggerer is unhealthy."),
    Setting("windsock", "default_page_limit", "int", "25", "Page size of a list when `limit` is absent or 0."),
    Setting("windsock", "anonymous_role", "str", "",
            "Role of requests that bring no credentials. Empty: they are refused."),
    Setting("windsock", "created_status", "int", "201",
            "Status of a successful create. 200 serves clients that accept nothing else."),
)  # fmt: skip

_BY_NAME = {(s.section, s.key): s for s in SETTINGS}
# Further options that Airflow 2.11 marks as sensitive, so that listing a whole airflow.cfg never shows them.
_SENSITIVE = {(s.section, s.key) for s in SETTINGS if s.sensitive} | {
    ("atlas", "password"), ("celery", "broker_url"), ("celery", "flower_basic_auth"), ("celery", "result_backend"),
    ("core", "internal_api_secret_key"), ("database", "sql_alchemy_engine_args"), ("sentry", "sentry_dsn"),
    ("logging", "remote_task_handler_kwargs"), ("secrets", "backend_kwargs"), ("smtp", "smtp_password"),
    ("smtp", "smtp_user"), ("core", "sql_alchemy_conn"), ("core", "sql_alchemy_engine_args"),
}  # fmt: skip


def is_sensitive_option(section: str, key: str) -> bool:
    """True for an option whose value must not be shown, and which may come from a command (`key_cmd`)."""
    return (section, key) in _SENSITIVE


def _variable(section: str, key: str) -> str:
    return f"AIRFLOW__{section.replace('.', '_').upper()}__{key.upper()}"


def _expand(value: str, environ: Mapping[str, str]) -> str:
    """Replace `$NAME`, `${NAME}` and a leading `~` until nothing changes (at most ten times); unknown names stay."""
    for _ in range(10):
        new = re.sub(r"\$(\w+|\{[^}]*\})", lambda m: environ.get(m[1].strip("{}"), m[0]), value)
        if new == "~" or new.startswith("~/"):
            new = environ.get("HOME", os.path.expanduser("~")) + new[1:]
        new = os.path.expanduser(new)
        if new == value:
            break
        value = new
    return value


class Config:
    """Read access to the configuration; make it with `Config.load`, or `Config({(section, key): value})` in a test."""

    def __init__(
        self,
        overrides: Mapping[tuple[str, str], object] | None = None,
        environ: Mapping[str, str] | None = None,
        file: configparser.ConfigParser | None = None,
    ) -> None:
        self._overrides = {k: str(v) for k, v in (overrides or {}).items()}
        self._environ = {} if environ is None else environ
        self._file = file or _parser()
        self._known: dict[tuple[str, str], str] = {}

    @classmethod
    def load(
        cls,
        path: Path | str | None = None,
        environ: Mapping[str, str] = os.environ,
        overrides: Mapping[tuple[str, str], object] | None = None,
    ) -> Config:
        """Read `path`, else `$AIRFLOW_CONFIG`, else `$AIRFLOW_HOME/airflow.cfg` (which alone may be missing).

        Raises ConfigError for a file that is missing or malformed.
        """
        config = cls(overrides, environ)
        named = path or environ.get("AIRFLOW_CONFIG")
        source = Path(_expand(str(named), environ)) if named else config.home / "airflow.cfg"
        if not named and not source.is_file():
            return config
        try:
            config._file.read_string(source.read_text(encoding="utf-8"), str(source))
        except OSError as error:
            raise ConfigError(f"Cannot read the configuration file {source}: {error.strerror}") from error
        except (UnicodeDecodeError, configparser.Error) as error:
            # Only the kind and the place: a parser's own message quotes the line, which may hold a secret.
            line = getattr(error, "lineno", None)
            place = f"{source}, line {line}" if line else str(source)
            raise ConfigError(f"{place}: not a valid configuration file ({type(error).__name__})") from None
        return config

    @property
    def home(self) -> Path:
        """`$AIRFLOW_HOME`, or `~/airflow`."""
        return Path(_expand(self._environ.get("AIRFLOW_HOME", "~/airflow"), self._environ))

    def get(self, section: str, key: str) -> str:
        """The value as text; ConfigError when the option has neither a value nor a default.

        Order, as Airflow's: variable, variable `_CMD`, file, `key_cmd` in the file, default; old places rank with new.
        """
        name = (section.lower(), key.lower())
        if name not in self._known:
            self._known[name] = self._look_up(*name)
        return self._known[name]

    def get_int(self, section: str, key: str) -> int:
        """The value as an integer; ConfigError when it is none."""
        try:
            return int(self._word(section, key))
        except ValueError:
            raise self._wrong(section, key, "an integer") from None

    def get_float(self, section: str, key: str) -> float:
        """The value as a number; ConfigError when it is none."""
        try:
            return float(self._word(section, key))
        except ValueError:
            raise self._wrong(section, key, "a number") from None

    def get_bool(self, section: str, key: str) -> bool:
        """The value as a boolean (`true`, `t`, `1`, `false`, `f`, `0`, in any case, as Airflow's)."""
        word = self._word(section, key).lower()
        if word not in _TRUE | _FALSE:
            raise self._wrong(section, key, "True or False")
        return word in _TRUE

    def get_list(self, section: str, key: str) -> list[str]:
        """The non-empty parts of a value that commas or white space separate."""
        return [part for part in re.split(r"[,\s]+", self.get(section, key)) if part]

    def is_set(self, section: str, key: str) -> bool:
        """True when anything but the default gives the value. A command is run to find out."""
        return self._given(section.lower(), key.lower()) is not None

    def sections(self) -> list[str]:
        """Names of all sections: known ones, those of the file and those of the variables."""
        return sorted({section for section, _ in self._names()})

    def items(self, section: str, reveal: bool = False) -> list[tuple[str, str]]:
        """Keys and values of a section, sorted; sensitive values read `< hidden >` unless `reveal`."""
        keys = sorted(key for part, key in self._names() if part == section)
        return [(k, HIDDEN if is_sensitive_option(section, k) and not reveal else self.get(section, k)) for k in keys]

    def check(self) -> None:
        """Read every setting of the table once with its type; ConfigError names the first that cannot be used."""
        for setting in SETTINGS:
            getattr(self, "get" if setting.type == "str" else f"get_{setting.type}")(setting.section, setting.key)
        _ = self.database_url
        if self.get_int("windsock", "created_status") not in (200, 201):
            raise self._wrong("windsock", "created_status", "200 or 201")
        if self.get("webserver", "session_backend") not in ("database", "securecookie"):
            raise self._wrong("webserver", "session_backend", "database or securecookie")
        limits = ("api", "maximum_page_limit"), ("api", "fallback_page_limit"), ("windsock", "default_page_limit")
        for section, key in limits:
            if self.get_int(section, key) < 1:
                raise self._wrong(section, key, "at least 1")
        try:
            re.compile(self.get("scheduler", "allowed_run_id_pattern"))
        except re.error:
            raise self._wrong("scheduler", "allowed_run_id_pattern", "a regular expression") from None
        if self.get("webserver", "secret_key") == "temporary_key":  # the shared default of old releases, CVE-2020-17526
            raise ConfigError("[webserver] secret_key is the publicly known old default: set a random one")

    @property
    def database_url(self) -> str:
        """`[database] sql_alchemy_conn` with the driver that Windsock uses; ConfigError for other databases."""
        url = self.get("database", "sql_alchemy_conn").strip()
        scheme, colon, rest = url.partition(":")
        dialect = scheme.partition("+")[0].lower()
        if dialect in ("postgres", "postgresql") and colon:
            return f"postgresql+psycopg:{rest}"
        if dialect == "sqlite" and colon:
            return f"sqlite:{rest}"
        # Without a colon the text may be anything, a password included: show no part of it.
        shown = dialect if colon and re.fullmatch(r"\w{1,20}", dialect) else "this URL"
        raise ConfigError(
            f"[database] sql_alchemy_conn: {shown} is not supported. Windsock serves PostgreSQL and SQLite databases."
        )

    def _names(self) -> set[tuple[str, str]]:
        names = set(_BY_NAME) | set(self._overrides)
        names |= {(section, key) for section in self._file.sections() for key in self._file.options(section)}
        sections = {section.replace(".", "_"): section for section, _ in names}
        for variable in self._environ:
            if match := re.fullmatch(r"AIRFLOW__(.+?)__(.+)", variable):
                section = match[1].lower()
                names.add((sections.get(section, section), match[2].lower()))
        return {(s, re.sub(r"_(cmd|secret)$", "", k) if _from_elsewhere(s, k) else k) for s, k in names}

    def _look_up(self, section: str, key: str) -> str:
        value = self._given(section, key)
        if value is not None:
            return value
        if setting := _BY_NAME.get((section, key)):
            return setting.default.replace("{AIRFLOW_HOME}", str(self.home))
        raise ConfigError(f"[{section}] {key} is not set and has no default")

    def _given(self, section: str, key: str) -> str | None:
        """What anything but the default says; each source is asked for the new place, then for the old ones."""
        if (section, key) in self._overrides:
            return self._overrides[section, key]
        setting = _BY_NAME.get((section, key))
        places = ((section, key), *(setting.old if setting else ()))
        for source in (self._from_environ, self._from_file):
            for place in places:
                value = source(*place, commands=is_sensitive_option(section, key))
                if value is not None:
                    if place != (section, key):
                        log.warning("[%s] %s is deprecated: move it to [%s] %s", *place, section, key)
                    return value
        return None

    def _from_environ(self, section: str, key: str, commands: bool) -> str | None:
        name = _variable(section, key)
        if name in self._environ:
            return _expand(self._environ[name], self._environ)
        if commands and name + "_CMD" in self._environ:
            return self._run(self._environ[name + "_CMD"], name + "_CMD")
        if commands and name + "_SECRET" in self._environ:
            raise ConfigError(f"{name}_SECRET: secrets back ends are not supported; use {name} or {name}_CMD")
        return None

    def _from_file(self, section: str, key: str, commands: bool) -> str | None:
        if self._file.has_option(section, key):
            return _expand(self._raw(section, key).replace("{AIRFLOW_HOME}", str(self.home)), self._environ)
        if commands and self._file.has_option(section, key + "_cmd"):
            return self._run(self._raw(section, key + "_cmd"), f"[{section}] {key}_cmd")
        if commands and self._file.has_option(section, key + "_secret"):
            raise ConfigError(f"[{section}] {key}_secret: secrets back ends are not supported; use {key} or {key}_cmd")
        return None

    def _raw(self, section: str, key: str) -> str:
        try:
            return self._file.get(section, key)
        except configparser.InterpolationError:
            raise ConfigError(f"[{section}] {key}: write a percent sign in the file as %%") from None

    def _run(self, command: str, origin: str) -> str:
        """Standard output of a command without its last newline; a failure shows its error output, never its output."""
        try:
            done = subprocess.run(
                shlex.split(command), capture_output=True, text=True, check=False, env={**os.environ, **self._environ}
            )
        except (OSError, ValueError) as error:
            raise ConfigError(f"{origin}: the command cannot be started: {error}") from None
        if done.returncode:
            raise ConfigError(f"{origin}: the command ended with status {done.returncode}: {done.stderr.strip()}")
        return done.stdout.rstrip("\r\n")

    def _word(self, section: str, key: str) -> str:
        return self.get(section, key).partition("#")[0].strip()

    def _wrong(self, section: str, key: str, expected: str) -> ConfigError:
        shown = "" if is_sensitive_option(section, key) else f", not {self.get(section, key)!r}"
        return ConfigError(f"[{section}] {key} must be {expected}{shown}")


def _from_elsewhere(section: str, key: str) -> bool:
    base = re.sub(r"_(cmd|secret)$", "", key)
    return base != key and is_sensitive_option(section, base)


def _parser() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case, as Airflow's do
    return parser
