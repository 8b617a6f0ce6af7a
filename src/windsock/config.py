"""Airflow's own configuration: the same file, sections, keys and variables, and one table of every setting read."""

from __future__ import annotations

import configparser
import ipaddress
import logging
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
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
            "URL of the metadata database: PostgreSQL (any driver name is read as psycopg 3), MySQL or MariaDB "
            "(as PyMySQL) or SQLite; see [databases](databases.md).",
            sensitive=True, old=(("core", "sql_alchemy_conn"),)),
    Setting("database", "sql_alchemy_pool_size", "int", "5",
            "Connections that each worker keeps open to the database (not SQLite).",
            old=(("core", "sql_alchemy_pool_size"),)),
    Setting("database", "sql_alchemy_max_overflow", "int", "10",
            "Connections that a worker may open beyond the pool size.", old=(("core", "sql_alchemy_max_overflow"),)),
    Setting("database", "sql_alchemy_pool_recycle", "int", "1800",
            "Seconds after which an open connection is replaced.", old=(("core", "sql_alchemy_pool_recycle"),)),
    Setting("database", "sql_alchemy_pool_pre_ping", "bool", "True",
            "Test a pooled connection before a change uses it; a read is sent again on another one.",
            old=(("core", "sql_alchemy_pool_pre_ping"),)),
    Setting("windsock", "sql_alchemy_conn_read", "str", "",
            "URL of a PostgreSQL standby of the metadata database, which then answers reads; see [scaling](scaling.md)."
            " Empty: there is none.", sensitive=True),
    Setting("windsock", "read_your_writes_seconds", "float", "10",
            "Seconds for which whoever changed something reads from the primary. A standby that is behind by more than"
            " half of them is not read."),
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
    Setting("webserver", "dag_default_view", "str", "grid",
            "The page of Airflow's web server to which an extra link to a DAG leads: `grid`, `graph`, `duration`,"
            " `gantt` or `landing_times`."),
    Setting("webserver", "secret_key", "str", "",
            "Signs file tokens, log tokens and sessions. Use Airflow's own key to share tokens with its web server.",
            sensitive=True),
    Setting("webserver", "session_backend", "str", "database",
            "Where Airflow's web server keeps its sessions, `database` or `securecookie`; see the back end `session`."),
    Setting("webserver", "session_lifetime_minutes", "int", "43200",
            "Minutes for which a `securecookie` session is taken after its last use; others carry their own end."),
    Setting("kerberos", "keytab", "str", "airflow.keytab",
            "File with the keys of `HTTP/HOST` or `airflow/HOST`, for the back end `kerberos_auth`. The variable"
            " `KRB5_KTNAME` goes before it."),
    Setting("webserver", "enable_swagger_ui", "bool", "True",
            "Serve the pages `/`, `/docs` and `/docs/try`. The document and the API are served in any case."),
    Setting("webserver", "expose_config", "str", "False",
            "Who sees `GET /config`: `True`, `False`, or `non-sensitive-only`. Secrets are masked in every mode."),
    Setting("webserver", "enable_proxy_fix", "bool", "False",
            "Take address, scheme, host and prefix of a request from the `X-Forwarded-` headers of a proxy. Only behind"
            " one that sets them all: else any client can choose them."),
    Setting("webserver", "proxy_fix_x_for", "int", "1", "Proxies that add to `X-Forwarded-For`; 0: ignore it."),
    Setting("webserver", "proxy_fix_x_proto", "int", "1", "Proxies that add to `X-Forwarded-Proto`."),
    Setting("webserver", "proxy_fix_x_host", "int", "1", "Proxies that add to `X-Forwarded-Host`."),
    Setting("webserver", "proxy_fix_x_port", "int", "1", "Proxies that add to `X-Forwarded-Port`."),
    Setting("webserver", "proxy_fix_x_prefix", "int", "1", "Proxies that add to `X-Forwarded-Prefix`."),
    Setting("webserver", "expose_stacktrace", "bool", "False", "Add the stack trace to the detail of a 500."),
    Setting("scheduler", "scheduler_health_check_threshold", "int", "30",
            "Seconds without a heartbeat after which the scheduler is unhealthy."),
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
            "Report the DAG processor's health; it runs as a process of its own. Else its status is null."),
    Setting("scheduler", "scheduler_heartbeat_sec", "float", "5",
            "Seconds between the heartbeats of the DAG processor, which is unhealthy after 2.1 times as many."),
    Setting("triggerer", "triggerer_health_check_threshold", "float", "30",
            "Seconds without a heartbeat after which the triggerer is unhealthy."),
    Setting("logging", "logging_level", "str", "INFO",
            "The least of `DEBUG`, `INFO`, `WARNING`, `ERROR` and `CRITICAL` that Windsock logs; see"
            " [operating](operating.md).", old=(("core", "logging_level"),)),
    Setting("windsock", "log_format", "str", "text", "`text`: lines for people; `json`: an object in each line."),
    Setting("windsock", "access_log", "bool", "True", "Log a line, of level `INFO`, for each request."),
    Setting("windsock", "metrics_token", "str", "",
            "Serves `/metrics` to who sends this as a bearer token; needs `windsock[metrics]`. Empty: there are none.",
            sensitive=True),
    Setting("windsock", "traces_endpoint", "str", "",
            "URL to which spans of OpenTelemetry are sent by OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`;"
            " needs `windsock[otel]`. Empty: none are made.", sensitive=True),
    Setting("logging", "base_log_folder", "str", "{AIRFLOW_HOME}/logs",
            "Folder of the logs of task instances; see [logs](logs.md).", old=(("core", "base_log_folder"),)),
    Setting("logging", "log_filename_template", "str",
            "dag_id={{ ti.dag_id }}/run_id={{ ti.run_id }}/task_id={{ ti.task_id }}/"
            "{% if ti.map_index >= 0 %}map_index={{ ti.map_index }}/{% endif %}attempt={{ try_number }}.log",
            "Path of the log of a try below its folder.", old=(("core", "log_filename_template"),)),
    Setting("logging", "use_historical_filename_templates", "bool", "False",
            "Take the path from the row of a run in the table `log_template` instead."),
    Setting("logging", "remote_logging", "bool", "False", "Look for logs in `remote_base_log_folder`, too.",
            old=(("core", "remote_logging"),)),
    Setting("logging", "remote_base_log_folder", "str", "",
            "Where finished logs are kept: `s3://`, `gs://`, `wasb`, `file://` or a path.",
            old=(("core", "remote_base_log_folder"),)),
    Setting("logging", "remote_log_conn_id", "str", "",
            "Connection in the database with the credentials for it. Empty: the storage's own ways.",
            old=(("core", "remote_log_conn_id"),)),
    Setting("logging", "google_key_path", "str", "", "File with the key of a service account, for `gs://`."),
    Setting("logging", "worker_log_server_port", "int", "8793", "Port on which workers serve their logs.",
            old=(("celery", "worker_log_server_port"),)),
    Setting("logging", "trigger_log_server_port", "int", "8794", "Port on which triggerers serve their logs."),
    Setting("azure_remote_logging", "remote_wasb_log_container", "str", "airflow-logs",
            "Container of Azure's blob storage, for `wasb`."),
    Setting("webserver", "log_fetch_timeout_sec", "float", "5",
            "Seconds to wait for a log server to connect, and for each part of its answer."),
    Setting("webserver", "log_request_clock_grace", "int", "30",
            "Seconds for which a request to a log server is signed."),
    Setting("windsock", "default_page_limit", "int", "25", "Page size of a list when `limit` is absent or 0."),
    Setting("windsock", "count", "str", "exact",
            "How a list finds its `total_entries` unless a request says `Prefer: count=...`: `exact`, `estimated` or"
            " `none`; see [lists](lists.md)."),
    Setting("windsock", "anonymous_role", "str", "",
            "Role of requests that bring no credentials. Empty: they are refused."),
    Setting("windsock", "log_server_hosts", "list", "",
            "Hosts of workers and triggerers that may be asked for logs; `*` stands for characters other than dots, as"
            " in `worker-*.airflow-worker`. Empty: none is asked."),
    Setting("windsock", "remote_log_options", "str", "",
            'Further options of fsspec for the remote folder, as a JSON object such as `{"endpoint_url": "..."}`.',
            sensitive=True),
    Setting("windsock", "statement_timeout", "float", "60",
            "Seconds that one SQL statement may take; then the request is a 503. 0: any."),
    Setting("windsock", "lock_timeout", "float", "30",
            "Seconds that a statement may wait for a lock of the database; then the request is a 503. 0: any"
            " (PostgreSQL), none (SQLite)."),
    Setting("windsock", "max_body_size", "int", "16777216", "Bytes of a request's body; a larger one is a 413."),
    Setting("windsock", "idempotency_hours", "float", "24",
            "Hours for which a request with the same `Idempotency-Key` gives what the first one has created."),
    Setting("windsock", "max_waiters", "int", "500",
            "Requests of each worker that may wait for runs at the same time; a further one is a 429."),
    Setting("windsock", "wait_heartbeat_sec", "float", "15",
            "Seconds after which who waits for a run is told that nothing has happened."),
    Setting("windsock", "rate_limit", "str", "",
            "How often one user may ask, such as `100 per minute; 10 per second`; more is a 429. Empty: any number."),
    Setting("windsock", "login_rate_limit", "str", "",
            "How many requests from one address may fail for their credentials, such as `10 per minute`; then, its"
            " credentials are not looked at. Empty: any number."),
    Setting("windsock", "rate_limit_storage", "str", "memory://",
            "Where requests are counted: by each worker for itself, or, for all, at `redis://host:6379/0` or the like.",
            sensitive=True),
    Setting("windsock", "old_secret_keys", "list", "",
            "Former values of `[webserver] secret_key`. Session cookies and bearer tokens that they signed are still"
            " taken; nothing is signed with them.", sensitive=True),
    Setting("windsock", "max_token_days", "int", "365",
            "The most days after which a new bearer token expires; see `windsock tokens create`."),
    Setting("windsock", "created_status", "int", "201",
            "Status of a successful create. 200 serves clients that accept nothing else."),
    Setting("windsock", "oidc_issuer", "str", "",
            "URL of the OpenID Connect issuer whose tokens the back end `oidc` takes, as in their claim `iss`."),
    Setting("windsock", "oidc_audience", "list", "",
            "What those tokens are for: their claim `aud` must hold one of these."),
    Setting("windsock", "oidc_jwks_url", "str", "",
            "Where the issuer publishes its keys. Empty: where its metadata says."),
    Setting("windsock", "oidc_algorithms", "list", "RS256, ES256",
            "Algorithms of signatures that are taken; only such as need a key pair are allowed."),
    Setting("windsock", "oidc_username_claim", "str", "preferred_username",
            "Claim that holds the user name. A token without it is refused."),
    Setting("windsock", "oidc_roles_claim", "str", "",
            "Claim that `oidc_roles` maps to roles, such as `groups` or `realm_access.roles`. Empty: the user of that"
            " name in the database has the roles."),
    Setting("windsock", "oidc_roles", "str", "",
            "Values of that claim and the roles they give, such as `airflow-admins: Admin, airflow-staff: Viewer`."
            " Any other value gives nothing."),
    Setting("windsock", "oidc_leeway", "int", "10",
            "Seconds by which the clocks of issuer and server may differ, 0 to 300."),
    Setting("windsock", "test_connection_timeout", "float", "10",
            "Seconds after which a test of a connection is given up."),
    Setting("windsock", "test_connection_concurrency", "int", "2",
            "Tests of connections that each worker runs at the same time; a further one is a 429."),
    Setting("windsock", "test_connection_deny", "list",
            "169.254.0.0/16, fe80::/10, fd00:ec2::254/128, fd20:ce::254/128, 100.100.100.200/32, 168.63.129.16/32",
            "Networks that no test of a connection may connect to. The default forbids link-local addresses and the"
            " metadata services of clouds."),
    Setting("windsock", "test_connection_folders", "list", "",
            "Folders below which tests of connections of the types `fs` and `sqlite` may look at files. Empty: none."),
)  # fmt: skip

_BY_NAME = {(s.section, s.key): s for s in SETTINGS}
# Further options that Airflow 2.11 or a provider marks as sensitive, and their old places, so that listing a whole
# airflow.cfg never shows them.
_SENSITIVE = {(s.section, s.key) for s in SETTINGS if s.sensitive} | {
    ("atlas", "password"), ("celery", "broker_url"), ("celery", "celery_result_backend"),
    ("celery", "flower_basic_auth"), ("celery", "result_backend"), ("core", "dataset_manager_kwargs"),
    ("celery_broker_transport_options", "sentinel_kwargs"),
    ("celery_result_backend_transport_options", "sentinel_kwargs"), ("core", "internal_api_secret_key"),
    ("database", "sql_alchemy_engine_args"), ("keycloak_auth_manager", "client_secret"),
    ("logging", "remote_task_handler_kwargs"), ("opensearch", "password"), ("opensearch", "username"),
    ("secrets", "backend_kwargs"), ("sentry", "sentry_dsn"), ("smtp", "smtp_password"), ("smtp", "smtp_user"),
    ("core", "sql_alchemy_conn"), ("core", "sql_alchemy_engine_args"),
}  # fmt: skip


def is_sensitive_option(section: str, key: str) -> bool:
    """True for an option whose value must not be shown, and which may come from a command (`key_cmd`)."""
    return (section.lower(), key.lower()) in _SENSITIVE


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
        #: The file that was read, if there was one.
        self.source: Path | None = None

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
        config.source = source
        return config

    @property
    def home(self) -> Path:
        """`$AIRFLOW_HOME`, or `~/airflow`."""
        return Path(_expand(self._environ.get("AIRFLOW_HOME", "~/airflow"), self._environ))

    def variables(self) -> Mapping[str, str]:
        """The variables of the environment that it reads."""
        return self._environ

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
        return sorted({section for section, _ in self.names()})

    def items(self, section: str, reveal: bool = False) -> list[tuple[str, str]]:
        """Keys and values of a section, sorted; sensitive values read `< hidden >` unless `reveal`."""
        keys = sorted(key for part, key in self.names() if part == section)
        return [
            (k, HIDDEN if is_sensitive_option(section, k) and not reveal else self._look_up(section, k)) for k in keys
        ]

    def written(self, section: str, key: str) -> str | None:
        """An option as it is written down: nothing expanded, no command run. None when only a default, if any, is."""
        if (section, key) in self._overrides:
            return self._overrides[section, key]
        setting = _BY_NAME.get((section, key))
        places = ((section, key), *(setting.old if setting else ()))
        variables = (_variable(*place) for place in places)
        files = (self._file.get(*place, raw=True) for place in places if self._file.has_option(*place))
        found = next((self._environ[name] for name in variables if name in self._environ), None)
        return next((text.replace("%%", "%") for text in files), None) if found is None else found

    def default(self, section: str, key: str) -> str | None:
        """The default of a setting of the table; None for any other option."""
        setting = _BY_NAME.get((section, key))
        return setting.default.replace("{AIRFLOW_HOME}", str(self.home)) if setting else None

    def check(self) -> None:
        """Read every setting of the table once with its type; ConfigError names the first that cannot be used."""
        for setting in SETTINGS:
            getattr(self, "get" if setting.type == "str" else f"get_{setting.type}")(setting.section, setting.key)
        _ = self.database_url, self.replica_url
        if self.get_int("windsock", "created_status") not in (200, 201):
            raise self._wrong("windsock", "created_status", "200 or 201")
        self._check_choices()
        if self.get("webserver", "session_backend") not in ("database", "securecookie"):
            raise self._wrong("webserver", "session_backend", "database or securecookie")
        limits = (
            ("api", "maximum_page_limit"), ("api", "fallback_page_limit"), ("windsock", "default_page_limit"),
            ("windsock", "max_body_size"), ("windsock", "max_token_days"), ("windsock", "max_waiters"),
        )  # fmt: skip
        for section, key in limits:
            if self.get_int(section, key) < 1:
                raise self._wrong(section, key, "at least 1")
        proxies = [("webserver", s.key) for s in SETTINGS if s.key.startswith("proxy_fix_x_")]
        for section, key in [*proxies, ("windsock", "statement_timeout"), ("windsock", "lock_timeout")]:
            if self.get_float(section, key) < 0:
                raise self._wrong(section, key, "at least 0")
        try:
            re.compile(self.get("scheduler", "allowed_run_id_pattern"))
        except re.error:
            raise self._wrong("scheduler", "allowed_run_id_pattern", "a regular expression") from None
        keys = {self.get("webserver", "secret_key"), *self.get_list("windsock", "old_secret_keys")}
        if "temporary_key" in keys:  # the shared default of old releases, CVE-2020-17526
            raise ConfigError("[webserver] secret_key is the publicly known old default: set a random one")

    def _check_choices(self) -> None:
        if self._word("webserver", "expose_config").lower() != "non-sensitive-only":
            try:
                self.get_bool("webserver", "expose_config")
            except ConfigError:
                raise self._wrong("webserver", "expose_config", "True, False or non-sensitive-only") from None
        if self._word("windsock", "count").lower() not in ("exact", "estimated", "none"):
            raise self._wrong("windsock", "count", "exact, estimated or none")
        positive = ("test_connection_timeout", "test_connection_concurrency", "read_your_writes_seconds")
        for key in (*positive, "wait_heartbeat_sec", "idempotency_hours"):
            if self.get_float("windsock", key) <= 0:
                raise self._wrong("windsock", key, "more than 0")
        try:
            for network in self.get_list("windsock", "test_connection_deny"):
                ipaddress.ip_network(network)
        except ValueError:
            expected = "a list of networks such as 10.0.0.0/8"
            raise self._wrong("windsock", "test_connection_deny", expected) from None

    @property
    def database_url(self) -> str:
        """`[database] sql_alchemy_conn` with the driver that Windsock uses; ConfigError for other databases."""
        return self._url("database", "sql_alchemy_conn")

    @property
    def replica_url(self) -> str:
        """`[windsock] sql_alchemy_conn_read` in the same way, empty when there is none; ConfigError unless both fit."""
        place = ("windsock", "sql_alchemy_conn_read")
        if not self.get(*place).strip():
            return ""
        url = self._url(*place)
        if not (url.startswith("postgresql") and self.database_url.startswith("postgresql")):
            raise ConfigError("[windsock] sql_alchemy_conn_read: only a PostgreSQL database has replicas to read from")
        return url

    def _url(self, section: str, key: str) -> str:
        url = self.get(section, key).strip()
        scheme, colon, rest = url.partition(":")
        dialect = scheme.partition("+")[0].lower()
        if dialect in ("postgres", "postgresql") and colon:
            return f"postgresql+psycopg:{rest}"
        if dialect == "sqlite" and colon:
            return f"sqlite:{rest}"
        if dialect in ("mysql", "mariadb") and colon:
            if find_spec("pymysql") is None:
                raise ConfigError(f"[{section}] {key}: {dialect} needs the extra: pip install windsock[mysql]")
            return f"mysql+pymysql:{rest}"
        # Without a colon the text may be anything, a password included: show no part of it.
        shown = dialect if colon and re.fullmatch(r"\w{1,20}", dialect) else "this URL"
        raise ConfigError(
            f"[{section}] {key}: {shown} is not supported. Windsock serves PostgreSQL, MySQL and SQLite databases."
        )

    @property
    def secret_keys(self) -> list[str]:
        """Keys for itsdangerous, the one that signs last. Raises ConfigError when `[webserver] secret_key` is empty."""
        key = self.get("webserver", "secret_key")
        if not key:
            raise ConfigError("[webserver] secret_key is empty: set a random one, the same on every server")
        return [*self.get_list("windsock", "old_secret_keys"), key]

    def names(self) -> set[tuple[str, str]]:
        """Section and key of every option that the table, the file, a variable or an override names."""
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
        default = self.default(section, key)
        if default is not None:
            return default
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
            # The command is the operator's own, and no shell reads it
            done = subprocess.run(  # noqa: S603  # nosec B603
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
