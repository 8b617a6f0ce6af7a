"""The DAGs of the demo, a shop's data team, with nightly_sales and refresh_features of the document's examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

FOLDER = "/opt/airflow/dags"
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
SALES = "s3://lake/sales/daily.parquet"
PROFILES = "s3://lake/customers/profiles.parquet"
STOCK = "s3://lake/stock/snapshot.parquet"
MODEL = "file://models/demand/current"


@dataclass(frozen=True)
class Task:
    """One task: `argument` is what its kind takes most notice of, `seconds` how long it usually runs."""

    id: str
    kind: str  # a key of serialized.OPERATORS
    after: tuple[str, ...] = ()
    argument: str = ""
    seconds: float = 30
    pool: str = "default_pool"
    queue: str = "default"
    mapped: tuple[str, ...] = ()  # the labels of the instances
    outlets: tuple[str, ...] = ()
    trigger_rule: str = "all_success"
    timeout: int | None = None
    sla: int | None = None
    doc_md: str | None = None
    rank: str | None = None  # "setup" or "teardown"

    @property
    def group(self) -> str | None:
        """The task group, which is the first part of the id."""
        return self.id.rpartition(".")[0] or None


@dataclass(frozen=True)
class Dag:
    """One DAG. `every` and `at` say when it runs; without `every` it has no schedule of its own."""

    id: str
    owner: str
    tasks: tuple[Task, ...]
    schedule: Any = None  # what dag.schedule_interval holds
    schedule_text: str = "Never, external triggers only"
    every: timedelta | None = None
    at: timedelta = timedelta()  # from Monday, midnight
    tags: tuple[str, ...] = ()
    description: str | None = None
    display_name: str | None = None
    doc_md: str | None = None
    timezone: str = "UTC"
    retries: int = 0
    max_active_runs: int = 16
    max_failed_runs: int = 0
    runs: int = 0  # how many runs of the schedule there are
    failures: float = 0.06  # the part of them that failed
    paused: bool = False
    active: bool = True
    broken: bool = False
    run_timeout: int | None = None
    params: dict[str, dict[str, Any]] = field(default_factory=dict)
    condition: tuple[str, tuple[str, ...]] | None = None  # ("any" or "all", dataset URIs)

    @property
    def fileloc(self) -> str:
        """The path of the DAG file."""
        return f"{FOLDER}/{self.id}.py"

    def task(self, task_id: str) -> Task:
        """The task with this id; KeyError when there is none."""
        return {task.id: task for task in self.tasks}[task_id]

    def downstream(self, task_id: str) -> list[str]:
        """The ids of the tasks directly after this one, sorted."""
        return sorted(task.id for task in self.tasks if task_id in task.after)

    def weight(self, task_id: str) -> int:
        """The priority weight of a task: one for itself and one for each task behind it."""
        found, waiting = set(), [task_id]
        while waiting:
            found.add(name := waiting.pop())
            waiting += self.downstream(name)
        return len(found)


_HOUR, _DAY, _WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
_ON_DATASETS = ("Dataset", "Triggered by datasets")

DAGS: tuple[Dag, ...] = (
    Dag(
        "nightly_sales",
        "data-platform",
        (
            Task("extract", "bash", argument="fetch-sales --day {{ ds }}", seconds=102),
            Task("transform", "task", ("extract",), "country", 140, "warehouse", mapped=("SE", "NO", "DK"),
                 timeout=1800, sla=420),
            Task("load", "python", ("transform",), "load_day", 620, "warehouse", outlets=(SALES,),
                 doc_md="Writes to the table `sales.daily`."),
        ),
        "0 2 * * *", "At 02:00", _DAY, timedelta(hours=2),
        tags=("sales", "nightly"), description="Loads the sales of the day into the warehouse",
        display_name="Nightly sales", doc_md="# Nightly sales", retries=2, max_active_runs=1, max_failed_runs=3,
        runs=45, run_timeout=7200,
        params={"country": {"default": "all", "description": "Country to load, or all", "schema": {"type": "string"}}},
    ),
    Dag(
        "refresh_features",
        "data-platform",
        (
            Task("wait_for_quiet_hours", "wait", seconds=320, argument="{{ data_interval_end.add(minutes=6) }}"),
            Task("compute", "python", ("wait_for_quiet_hours",), "compute_features", 260, "features"),
        ),
        *_ON_DATASETS, retries=2, condition=("all", (SALES,)), failures=0.03,
    ),
    Dag(
        "hourly_orders",
        "ingestion",
        (
            Task("poll_shop", "bash", argument="poll-orders --since {{ data_interval_start }}", seconds=12),
            Task("validate", "python", ("poll_shop",), "validate_orders", 8),
            Task("store", "python", ("validate",), "store_orders", 21, "warehouse"),
            Task("alert", "bash", ("validate",), "notify --channel orders", 2, trigger_rule="one_failed"),
        ),
        "@hourly", "At 0 minutes past the hour", _HOUR,
        tags=("orders", "hourly"), description="Orders of the web shop, every hour", retries=1, runs=96,
    ),
    Dag(
        "stock_snapshot",
        "ingestion",
        (
            Task("warehouses.list", "task", argument="warehouses", seconds=4),
            Task("warehouses.count", "task", ("warehouses.list",), "warehouse", 35,
                 mapped=("Malmö", "Göteborg", "Oslo", "Aarhus")),
            Task("write", "python", ("warehouses.count",), "write_snapshot", 18, outlets=(STOCK,)),
        ),
        timedelta(hours=6), "", timedelta(hours=6),
        tags=("stock",), description="What lies on the shelves, four times a day", retries=1, runs=28, failures=0.1,
    ),
    Dag(
        "price_watch",
        "pricing",
        (
            Task("competitors", "task", argument="competitors", seconds=3),
            Task("fetch_prices", "task", ("competitors",), "competitor", 14, mapped=("alpha", "beta", "gamma", "delta"),
                 pool="web"),
            Task("compare", "python", ("fetch_prices",), "compare_prices", 6, trigger_rule="none_failed"),
        ),
        "*/30 * * * *", "Every 30 minutes", timedelta(minutes=30),
        tags=("pricing",), description="Prices of four competitors", retries=2, runs=60, failures=0.2,
    ),
    Dag(
        "customer_segments",
        "marketing",
        (
            Task("profiles", "bash", argument="build-profiles", seconds=300, queue="heavy", outlets=(PROFILES,)),
            Task("enough_new_data", "branch", ("profiles",), "recluster", 3),
            Task("recluster", "python", ("enough_new_data",), "recluster", 900, queue="heavy"),
            Task("keep", "empty", ("enough_new_data",), seconds=0),
            Task("publish", "python", ("recluster", "keep"), "publish_segments", 45,
                 trigger_rule="none_failed_min_one_success"),
        ),
        "0 5 * * 1", "At 05:00, only on Monday", _WEEK, timedelta(hours=5),
        tags=("marketing", "weekly"), description="Segments of customers, weekly", runs=12,
    ),
    Dag(
        "train_demand_model",
        "data-science",
        (
            Task("create_cluster", "bash", argument="cluster up --nodes 4", seconds=240, rank="setup"),
            Task("train.prepare", "python", ("create_cluster",), "prepare", 400, queue="heavy"),
            Task("train.fit", "python", ("train.prepare",), "fit", 2400, queue="heavy", timeout=7200),
            Task("train.evaluate", "python", ("train.fit",), "evaluate", 120, queue="heavy"),
            Task("register", "python", ("train.evaluate",), "register_model", 15, outlets=(MODEL,)),
            Task("delete_cluster", "bash", ("register", "create_cluster"), "cluster down", 60,
                 trigger_rule="all_done_setup_success", rank="teardown"),
        ),
        "0 20 * * 6", "At 20:00, only on Saturday", _WEEK, timedelta(days=5, hours=20),
        tags=("model", "weekly"), description="Trains the model of demand", retries=1, max_active_runs=1, runs=10,
        failures=0.2,
        params={"epochs": {"default": 20, "description": None, "schema": {"type": "integer", "minimum": 1}}},
    ),
    Dag(
        "publish_dashboard",
        "marketing",
        (
            Task("render", "bash", argument="render-dashboard", seconds=50),
            Task("upload", "python", ("render",), "upload", 9),
        ),
        *_ON_DATASETS, tags=("marketing",), description="The dashboard, when stock or sales are new",
        condition=("any", (SALES, STOCK)),
    ),
    Dag(
        "supplier_feed",
        "ingestion",
        (
            Task("wait_for_file", "poke", argument="feed_is_there", seconds=1800),
            Task("parse", "python", ("wait_for_file",), "parse_feed", 75),
            Task("start_snapshot", "trigger", ("parse",), "stock_snapshot", 2),
        ),
        "15 6 * * *", "At 06:15", _DAY, timedelta(hours=6, minutes=15),
        tags=("suppliers",), description="Feeds of the suppliers", retries=1, runs=20,
        failures=0.15,
    ),
    Dag(
        "erase_customer",
        "privacy",
        (
            Task("find_records", "python", argument="find_records", seconds=20),
            Task("erase", "python", ("find_records",), "erase", 40, "warehouse"),
            Task("confirm", "bash", ("erase",), "send-confirmation", 3),
        ),
        tags=("privacy",), description="Deletes what we keep about one customer", display_name="Erase a customer",
        timezone="Europe/Stockholm",
        params={"customer_id": {"default": None, "description": "Number of the customer",
                                "schema": {"type": ["integer", "null"]}}},
    ),
    Dag(
        "archive_raw_files",
        "data-platform",
        (
            Task("list_old", "bash", argument="list-old --days 90", seconds=10),
            Task("move", "bash", ("list_old",), "move-to-archive", 200),
        ),
        "@daily", "At 00:00", _DAY, tags=("lake", "nightly"), description="Moves old files to the archive", paused=True,
        runs=14,
    ),
    Dag(
        "returns_report",
        "finance",
        (
            Task("collect", "python", argument="collect_returns", seconds=33),
            Task("mail", "python", ("collect",), "mail_report", 4),
        ),
        "0 7 1 * *", "At 07:00, on day 1 of the month", tags=("finance", "sales"),
        description="What customers sent back", broken=True,
    ),
    Dag(
        "import_old_shop",
        "ingestion",
        (Task("copy", "bash", argument="copy-old-shop", seconds=3600),),
        "@once", "Once, as soon as possible", description="Copied the old shop; its file is gone", active=False,
    ),
)  # fmt: skip
