"""Every setting that is read: where it stands, its default, what it means, and which values it may have."""

from __future__ import annotations

from typing import NamedTuple


class Setting(NamedTuple):
    """One setting: its place, type (`str`, `int`, `float`, `bool` or `list`), default, meaning and old places.

    Its value is one of `choices`, in any case, if there are any; it is not less than `least`, and more than `above`.
    """

    section: str
    key: str
    type: str
    default: str
    description: str
    sensitive: bool = False
    old: tuple[tuple[str, str], ...] = ()
    choices: tuple[str, ...] = ()
    least: int | None = None
    above: int | None = None


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
            " half of them is not read.", above=0),
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
    Setting("api", "maximum_page_limit", "int", "100", "The largest page; a larger `limit` is lowered to it.", least=1),
    Setting("api", "fallback_page_limit", "int", "100",
            "Page size of the batch forms (`POST .../list`) when `page_limit` is absent.", least=1),
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
            "Where Airflow's web server keeps its sessions, `database` or `securecookie`; see the back end `session`.",
            choices=("database", "securecookie")),
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
    Setting("webserver", "proxy_fix_x_for", "int", "1", "Proxies that add to `X-Forwarded-For`; 0: ignore it.",
            least=0),
    Setting("webserver", "proxy_fix_x_proto", "int", "1", "Proxies that add to `X-Forwarded-Proto`.", least=0),
    Setting("webserver", "proxy_fix_x_host", "int", "1", "Proxies that add to `X-Forwarded-Host`.", least=0),
    Setting("webserver", "proxy_fix_x_port", "int", "1", "Proxies that add to `X-Forwarded-Port`.", least=0),
    Setting("webserver", "proxy_fix_x_prefix", "int", "1", "Proxies that add to `X-Forwarded-Prefix`.", least=0),
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
            " [operating](operating.md).", old=(("core", "logging_level"),),
            choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")),
    Setting("windsock", "log_format", "str", "text", "`text`: lines for people; `json`: an object in each line.",
            choices=("text", "json")),
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
    Setting("windsock", "default_page_limit", "int", "25", "Page size of a list when `limit` is absent or 0.", least=1),
    Setting("windsock", "count", "str", "exact",
            "How a list finds its `total_entries` unless a request says `Prefer: count=...`: `exact`, `estimated` or"
            " `none`; see [lists](lists.md).", choices=("exact", "estimated", "none")),
    Setting("windsock", "anonymous_role", "str", "",
            "Role of requests that bring no credentials. Empty: they are refused."),
    Setting("windsock", "log_server_hosts", "list", "",
            "Hosts of workers and triggerers that may be asked for logs; `*` stands for characters other than dots, as"
            " in `worker-*.airflow-worker`. Empty: none is asked."),
    Setting("windsock", "remote_log_options", "str", "",
            'Further options of fsspec for the remote folder, as a JSON object such as `{"endpoint_url": "..."}`.',
            sensitive=True),
    Setting("windsock", "statement_timeout", "float", "60",
            "Seconds that one SQL statement may take; then the request is a 503. 0: any.", least=0),
    Setting("windsock", "lock_timeout", "float", "30",
            "Seconds that a statement may wait for a lock of the database; then the request is a 503. 0: any"
            " (PostgreSQL), the server's own (MySQL), none (SQLite).", least=0),
    Setting("windsock", "max_body_size", "int", "16777216", "Bytes of a request's body; a larger one is a 413.",
            least=1),
    Setting("windsock", "idempotency_hours", "float", "24",
            "Hours for which a request with the same `Idempotency-Key` gives what the first one has created.", above=0),
    Setting("windsock", "max_waiters", "int", "500",
            "Requests of each worker that may wait for runs at the same time; a further one is a 429.", least=1),
    Setting("windsock", "wait_heartbeat_sec", "float", "15",
            "Seconds after which who waits for a run is told that nothing has happened.", above=0),
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
            "The most days after which a new bearer token expires; see `windsock tokens create`.", least=1),
    Setting("windsock", "created_status", "int", "201",
            "Status of a successful create. 200 serves clients that accept nothing else.", choices=("200", "201")),
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
            "Seconds after which a test of a connection is given up.", above=0),
    Setting("windsock", "test_connection_concurrency", "int", "2",
            "Tests of connections that each worker runs at the same time; a further one is a 429.", above=0),
    Setting("windsock", "test_connection_deny", "list",
            "169.254.0.0/16, fe80::/10, fd00:ec2::254/128, fd20:ce::254/128, 100.100.100.200/32, 168.63.129.16/32",
            "Networks that no test of a connection may connect to. The default forbids link-local addresses and the"
            " metadata services of clouds."),
    Setting("windsock", "test_connection_folders", "list", "",
            "Folders below which tests of connections of the types `fs` and `sqlite` may look at files. Empty: none."),
)  # fmt: skip

BY_NAME = {(s.section, s.key): s for s in SETTINGS}
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
