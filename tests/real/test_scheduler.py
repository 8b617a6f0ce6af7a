"""A real Airflow scheduler (LocalExecutor, PostgreSQL) carries out what is written through Windsock.

Beside an Airflow before 2.10 what its database does not take is left out. Needs $WINDSOCK_AIRFLOW_BIN, see `beside.py`,
and the official Python client; `tox -e airflow` provides both, with 2.11.2.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from beside import AIRFLOW, USER, Beside, beside, until

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not AIRFLOW, reason="$WINDSOCK_AIRFLOW_BIN names no airflow executable"),
]
if AIRFLOW:
    pytest.importorskip("airflow_client", reason="the official client, apache-airflow-client, is not installed")
    from airflow_client.client import ApiClient, ApiException, Configuration
    from airflow_client.client.api.connection_api import ConnectionApi
    from airflow_client.client.api.dag_api import DAGApi
    from airflow_client.client.api.dag_run_api import DAGRunApi
    from airflow_client.client.api.dataset_api import DatasetApi
    from airflow_client.client.api.monitoring_api import MonitoringApi
    from airflow_client.client.api.pool_api import PoolApi
    from airflow_client.client.api.task_instance_api import TaskInstanceApi
    from airflow_client.client.api.variable_api import VariableApi
    from airflow_client.client.model.clear_task_instances import ClearTaskInstances
    from airflow_client.client.model.connection import Connection
    from airflow_client.client.model.create_dataset_event import CreateDatasetEvent
    from airflow_client.client.model.dag import DAG
    from airflow_client.client.model.dag_run import DAGRun
    from airflow_client.client.model.pool import Pool
    from airflow_client.client.model.set_dag_run_note import SetDagRunNote
    from airflow_client.client.model.set_task_instance_note import SetTaskInstanceNote
    from airflow_client.client.model.update_dag_run_state import UpdateDagRunState
    from airflow_client.client.model.update_task_instance import UpdateTaskInstance
    from airflow_client.client.model.update_task_state import UpdateTaskState
    from airflow_client.client.model.variable import Variable
    from urllib3.exceptions import MaxRetryError

DAGS = {
    "branch", "chain", "consumer", "consumer_of_both", "cron", "doomed",
    "mapped", "params", "producer", "retry", "slow", "stored",
}  # fmt: skip
#: Before the clocks change, at the change in New York and in Berlin, before the start and after the end of DAGs.
DATES = [
    datetime.fromisoformat(text)
    for text in (
        "2026-03-03T12:34:56+00:00", "2026-03-08T08:00:00+00:00", "2026-03-30T00:30:00.000001+00:00",
        "2025-12-31T23:00:00+00:00", "2026-07-01T00:00:00+00:00",
    )
]  # fmt: skip
Execution = tuple[str, int, int]  # task, map index, try


class Client:
    """The official client, and what several tests do with it."""

    def __init__(self, both: Beside) -> None:
        self.both = both
        self._client = client = ApiClient(Configuration(host=both.url, username=USER.username, password=USER.password))
        self.connections, self.pools, self.variables = ConnectionApi(client), PoolApi(client), VariableApi(client)
        self.dags, self.runs, self.tasks = DAGApi(client), DAGRunApi(client), TaskInstanceApi(client)
        self.datasets, self.monitoring = DatasetApi(client), MonitoringApi(client)

    def send(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """Send a body as it is; the client's own classes cannot hold a map index."""
        return self._client.call_api(path, method, body=body, auth_settings=["Basic"], response_type=(dict,))

    def trigger(self, dag_id: str, **members: Any) -> str:
        """Trigger a run and return its id."""
        return self.runs.post_dag_run(dag_id, DAGRun(**members)).dag_run_id

    def set_state(self, dag_id: str, run_id: str, state: str) -> str:
        return self.runs.update_dag_run_state(dag_id, run_id, UpdateDagRunState(state=state)).state.value

    def run_state(self, dag_id: str, run_id: str) -> str:
        return self.runs.get_dag_run(dag_id, run_id).state.value

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """The states of the tasks of a run; the instances of a mapped task share one name and must agree."""
        found = self.tasks.get_task_instances(dag_id, run_id).task_instances
        return {task.task_id: task.state.value if task.state else None for task in found}

    def finish(self, dag_id: str, run_id: str, state: str = "success") -> list[Execution]:
        """Wait for the end of a run, which must be this one, and return what was executed, sorted."""
        until(lambda: self.run_state(dag_id, run_id) in {"success", "failed"}, but=lambda: self.tell(dag_id, run_id))
        assert self.run_state(dag_id, run_id) == state, self.tell(dag_id, run_id)
        return self.executed(dag_id, run_id)

    def executed(self, dag_id: str, run_id: str) -> list[Execution]:
        return sorted((one.task_id, one.map_index, one.try_number) for one in self.both.seen(dag_id, run_id))

    def tell(self, dag_id: str, run_id: str) -> str:
        """What a failure should say about a run."""
        tasks = self.both.rows(
            "SELECT task_id, map_index, state, try_number FROM task_instance WHERE dag_id = :dag AND run_id = :run",
            dag=dag_id, run=run_id,
        )  # fmt: skip
        logs = (self.both.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}").rglob("*.log")
        told = [f"{self.executed(dag_id, run_id)} was executed", *map(str, tasks), self.both.tell()]
        return "\n".join(told + [f"{file}\n{file.read_text()[-1000:]}" for file in sorted(logs)])


class Runs(NamedTuple):
    """The rows of one run."""

    run: dict[str, Any]
    tasks: list[dict[str, Any]]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    with beside(tmp_path_factory.mktemp("beside"), Path(__file__).parent / "dags") as both:
        yield both


@pytest.fixture(autouse=True)
def _new_enough(request: pytest.FixtureRequest, both: Beside) -> None:
    since = request.node.get_closest_marker("since")
    if since and both.version < since.args:
        pytest.skip("Airflow {}.{} or later has that".format(*since.args))


@pytest.fixture(scope="module")
def waiting(both: Beside) -> Client:
    """A client; the scheduler has read all DAGs, and each DAG is still paused as it was created."""
    client = Client(both)

    def known() -> set[str]:
        with suppress(MaxRetryError):  # Windsock may not listen yet
            return {dag.dag_id for dag in client.dags.get_dags(limit=100, fields=["dag_id"]).dags}
        return set()

    until(lambda: known() >= DAGS, but=both.tell)
    serialized = "SELECT (SELECT count(*) FROM dag) - (SELECT count(*) FROM serialized_dag) AS missing"
    until(lambda: not both.rows(serialized)[0]["missing"], but=both.tell)
    return client


@pytest.fixture(scope="module")
def client(waiting: Client) -> Client:
    """A client; every DAG runs, but those that only have a schedule."""
    for dag_id in DAGS:
        waiting.dags.patch_dags(dag_id, DAG(is_paused=False), update_mask=["is_paused"])
    return waiting


def test_triggered_runs_have_the_rows_that_airflow_would_write(waiting: Client, both: Beside) -> None:
    conf = {"count": 4, "nested": [1, {"é": None}]}
    both.in_airflow(f"""
from datetime import datetime
from airflow.api.common.trigger_dag import trigger_dag
from airflow.models import DagModel
from airflow.utils.session import create_session
with create_session() as session:
    dag_ids = [row.dag_id for row in session.query(DagModel.dag_id)]
for dag_id in dag_ids:
    for date in {[date.isoformat() for date in DATES]}:
        conf = {conf} if dag_id == "params" else None
        trigger_dag(dag_id, "twin" + date, conf, datetime.fromisoformat(date), replace_microseconds=False)
""")
    twins = both.rows("SELECT dag_id, run_id, execution_date FROM dag_run WHERE run_id LIKE 'twin%'")
    assert len(twins) == len(DATES) * both.rows("SELECT count(*) AS n FROM dag")[0]["n"]
    differences = []
    for dag_id, run_id, date in (tuple(row.values()) for row in twins):
        by_airflow = _rows(both, dag_id, run_id)
        waiting.runs.delete_dag_run(dag_id, run_id)
        assert _rows(both, dag_id, run_id) == ([], [])
        members = {"conf": conf} if dag_id == "params" else {}
        waiting.trigger(dag_id, dag_run_id=run_id, logical_date=date, **members)
        if (rows := _rows(both, dag_id, run_id)) != by_airflow:
            differences.append((rows, by_airflow))
    both.execute("DELETE FROM dag_run")
    assert not differences


def _rows(both: Beside, dag_id: str, run_id: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of a run and of its task instances, without what may differ."""
    found = []
    for table, differs in (("dag_run", {"id", "queued_at", "updated_at"}), ("task_instance", {"updated_at"})):
        order = "id" if table == "dag_run" else "task_id, map_index"
        statement = f"SELECT * FROM {table} WHERE dag_id = :dag AND run_id = :run ORDER BY {order}"
        rows = both.rows(statement, dag=dag_id, run=run_id)
        found.append([{name: value for name, value in row.items() if name not in differs} for row in rows])
    return found[0], found[1]


#: Method, path and body of changes; each is made in a run of its own. What is downstream of a task that is set to
#: `failed` is left out: Airflow sets it, too, and then clears it.
CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "clearTaskInstances", {"only_failed": False, "reset_dag_runs": True}),
    ("POST", "clearTaskInstances", {"only_failed": False, "reset_dag_runs": False}),
    ("POST", "clearTaskInstances", {"reset_dag_runs": True}),
    ("POST", "clearTaskInstances", {"only_failed": False, "only_running": True}),
    ("POST", "clearTaskInstances", {"only_failed": False, "task_ids": ["failed"], "include_downstream": True}),
    ("POST", "clearTaskInstances", {"only_failed": False, "task_ids": ["failed"], "include_upstream": True}),
    ("POST", "dagRuns/{run}/clear", {}),
    *(("PATCH", "dagRuns/{run}", {"state": state}) for state in ("queued", "success", "failed")),
    *(
        ("PATCH", f"dagRuns/{{run}}/taskInstances/{task}", {"new_state": state})
        for task in ("success", "failed", "none", "running", "deferred", "up_for_reschedule", "up_for_retry", "queued")
        for state in ("success", "failed", "skipped")
    ),
    *(
        ("POST", "updateTaskInstancesState", {
            "task_id": "failed", "new_state": state, "include_upstream": up, "include_downstream": down,
            "include_future": False, "include_past": False,
        })
        for state, down in (("success", True), ("success", False), ("failed", False)) for up in (True, False)
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("dag_id", "run_state"),
    [
        pytest.param("states", "failed", marks=pytest.mark.since(2, 9)),  # before, the dates of runs differ
        # Before 2.10, Airflow does not leave teardowns their work.
        pytest.param("states_and_teardown", "running", marks=pytest.mark.since(2, 10)),
    ],
)
def test_changes_leave_the_rows_that_airflow_would_leave(
    waiting: Client, both: Beside, dag_id: str, run_state: str
) -> None:
    requests = []
    changes = [change for change in CHANGES if both.version >= (2, 10) or change[2].keys() == {"state"}]
    for number, (method, path, body) in enumerate(changes):
        run_id = f"run{number}"
        body = body | ({} if body.keys() == {"state"} else {"dry_run": False})
        if not path.startswith("dagRuns"):
            body["dag_run_id"] = run_id
        requests.append((method, f"/dags/{dag_id}/{path.format(run=run_id)}", body))
    _prepare(waiting, both, dag_id, run_state, len(changes))
    both.in_airflow(f"""
from airflow.www.app import create_app
client = create_app(testing=True).test_client()
for method, path, body in {requests}:
    answer = client.open("/api/v1" + path, method=method, json=body, auth={(USER.username, USER.password)})
    assert answer.status_code == 200, (method, path, body, answer.text)
""")
    by_airflow = _everything(both, dag_id)
    _prepare(waiting, both, dag_id, run_state, len(changes))
    for method, path, body in requests:
        waiting.send(method, path, body)
    by_windsock = _everything(both, dag_id)
    _forget(waiting, both, dag_id)
    differences = []
    for change in sorted(by_airflow.keys() | by_windsock.keys()):
        made = changes[int(change[1][3:])]
        ours = by_windsock.get(change)
        theirs = _with_what_differs_on_purpose(made, change, by_airflow.get(change), both)
        if ours != theirs:
            differences.append((made, change, _unlike(ours, theirs)))
    assert not differences, "\n".join(map(str, differences))


def _with_what_differs_on_purpose(
    made: tuple[str, str, dict[str, Any]], change: tuple[str, ...], row: Any, both: Beside
) -> Any:
    """What Windsock should leave where Airflow leaves this row."""
    table, _, task_id = (*change, "")[:3]
    if both.version < (2, 10) and table == "task_instance" and made[2] == {"state": "failed"}:
        if row["state"] is None:
            row |= {"start_date": "now", "end_date": "now"}
            row.pop("duration")
        if row["state"] != task_id and row["state"] in (None, "skipped"):
            row["state"] = "upstream_failed"  # skipped, its run would become a success
    if table == "task_instance" and row and row["state"] != "deferred":
        row |= {"trigger_id": None, "next_method": None, "next_kwargs": None}  # Airflow keeps some for the next try
        _, path, body = made
        if (
            task_id == "running"
            and path == "clearTaskInstances"
            and {"only_failed", "task_ids"} & body.keys() == {"only_failed"}
        ):
            row |= {"state": "restarting", "end_date": "now"}  # Airflow marks its job only, and the task goes on
            row.pop("duration", None)
    return row


def _unlike(ours: Any, theirs: Any) -> Any:
    if not ours or not theirs:
        return {"windsock": ours, "airflow": theirs}
    names = ours.keys() | theirs.keys()
    return {name: (ours.get(name), theirs.get(name)) for name in names if ours.get(name) != theirs.get(name)}


def _forget(client: Client, both: Beside, dag_id: str) -> None:
    for row in both.rows("SELECT run_id FROM dag_run WHERE dag_id = :dag", dag=dag_id):
        client.runs.delete_dag_run(dag_id, row["run_id"])
    both.execute("DELETE FROM trigger WHERE id >= 1000", "DELETE FROM job WHERE id >= 1000")


def _prepare(client: Client, both: Beside, dag_id: str, run_state: str, runs: int) -> None:
    """One run for each change, with a task instance in each state, and the rows that go with the states."""
    _forget(client, both, dag_id)
    future = datetime(2126, 1, 1, tzinfo=timezone.utc)  # the scheduler leaves the run alone
    for number in range(runs):
        client.trigger(dag_id, dag_run_id=f"run{number}", logical_date=future + timedelta(hours=number))
    began, ended, kwargs = "'2026-03-04T00:00:00Z'", "'2026-03-04T01:00:00Z'", """'{"__var": {}, "__type": "dict"}'"""
    of, number = f"WHERE dag_id = '{dag_id}'", "substr(run_id, 4)::int + 1000"
    both.execute(
        f"INSERT INTO job (id, state, job_type) SELECT {number}, 'running', 'LocalTaskJob' FROM dag_run {of}",
        "INSERT INTO trigger (id, classpath, kwargs, created_date)"
        f" SELECT {number}, 'a.B', '{{}}', {began} FROM dag_run {of}",
        f"UPDATE dag_run SET state = '{run_state}', start_date = {began}, queued_at = {began},"
        f" last_scheduling_decision = {began} {of}",
        f"UPDATE dag_run SET end_date = {ended} {of} AND state = 'failed'",
        f"UPDATE task_instance SET state = task_id, external_executor_id = 'e' {of}"
        " AND task_id NOT IN ('none', 'setup', 'teardown')",
        f"UPDATE task_instance SET try_number = 1, start_date = {began}, hostname = 'h', pid = 1, queued_dttm = {began}"
        f" {of} AND state NOT IN ('scheduled', 'skipped', 'upstream_failed', 'queued')",
        f"UPDATE task_instance SET end_date = {ended}, duration = 3600 {of}"
        " AND state IN ('success', 'failed', 'skipped', 'upstream_failed', 'up_for_retry', 'up_for_reschedule')",
        f"UPDATE task_instance SET job_id = {number} {of} AND state IN ('running', 'success')",
        f"UPDATE task_instance SET trigger_id = {number}, next_method = 'execute_complete', next_kwargs = {kwargs} {of}"
        " AND state = 'deferred'",
        "INSERT INTO task_reschedule (dag_id, run_id, task_id, map_index, try_number, start_date, end_date, duration,"
        f" reschedule_date) SELECT dag_id, run_id, task_id, map_index, 1, {began}, {ended}, 3600, {ended}"
        f" FROM task_instance {of} AND state = 'up_for_reschedule'",
    )


def _everything(both: Beside, dag_id: str) -> dict[tuple[str, ...], dict[str, Any]]:
    """All rows of the runs of a DAG by table, run, task and try; what is as late as this test is written as `now`."""
    began = datetime.now(timezone.utc) - timedelta(minutes=10)
    found = {}
    history = ["task_instance_history"] if both.version >= (2, 10) else []
    for table in ("dag_run", "task_instance", "task_reschedule", *history):
        for row in both.rows(f"SELECT * FROM {table} WHERE dag_id = :dag", dag=dag_id):
            key = (table, row["run_id"], row.get("task_id", ""), str(row.get("try_number", "")))
            if table == "task_instance":
                key = key[:3]
            values = {name: "now" if _is_late(value, began) else value for name, value in row.items()}
            if "now" in (values["start_date"], values["end_date"]):
                values.pop("duration", None)
            found[key] = {name: value for name, value in values.items() if name not in {"id", "updated_at"}}
    for table, column in (("job", "state"), ("trigger", "classpath")):
        for row in both.rows(f"SELECT id, {column} FROM {table} WHERE id >= 1000"):
            found[table, f"run{row['id'] - 1000}"] = row
    return found


def _is_late(value: Any, began: datetime) -> bool:
    return isinstance(value, datetime) and began < value < began + timedelta(days=1)


def test_a_paused_dag_waits_and_runs_when_it_is_unpaused(waiting: Client) -> None:
    run = waiting.trigger("chain")
    time.sleep(3)
    assert waiting.run_state("chain", run) == "queued"
    assert waiting.executed("chain", run) == []
    assert waiting.dags.patch_dag("chain", DAG(is_paused=False)).is_paused is False
    assert waiting.finish("chain", run) == [("a", -1, 1), ("b", -1, 1), ("c", -1, 1)]


def test_a_run_has_its_params_and_conf(client: Client, both: Beside) -> None:
    with pytest.raises(ApiException) as refused:
        client.trigger("params", conf={"colour": "blue"})
    assert refused.value.status == 400 and "colour" in refused.value.body
    run = client.trigger("params", conf={"count": 5, "other": [1, None]})
    assert client.finish("params", run) == [("show", -1, 1)]
    expected = {"params": {"count": 5, "colour": "red", "other": [1, None]}, "conf": {"count": 5, "other": [1, None]}}
    assert both.seen("params", run)[0].value == expected


MAPPED = sorted(
    [(task, n, 1) for task in ("add", "double") for n in range(4)]
    + [("group.twice", 0, 1), ("group.twice", 1, 1), ("total", -1, 1)]
)


def test_mapped_tasks_are_executed_once_for_each_value(client: Client, both: Beside) -> None:
    run = client.trigger("mapped")
    assert client.finish("mapped", run) == MAPPED
    values = {(one.task_id, one.map_index): one.value for one in both.seen("mapped", run)}
    assert sorted(values["add", n] for n in range(4)) == [[1, 10, 100], [1, 20, 100], [2, 10, 100], [2, 20, 100]]
    assert (values["total", -1], values["group.twice", 0], values["group.twice", 1]) == (932, 7, 8)


@pytest.mark.since(2, 10)
def test_single_instances_of_mapped_tasks_are_cleared(client: Client) -> None:
    run = client.trigger("mapped")
    client.finish("mapped", run)
    form = {"dag_run_id": run, "task_ids": [["double", 1], ["group.twice", 0]], "only_failed": False, "dry_run": False}
    client.send("POST", "/dags/mapped/clearTaskInstances", {**form, "reset_dag_runs": True})
    assert client.finish("mapped", run) == sorted([*MAPPED, ("double", 1, 2), ("group.twice", 0, 2)])


def test_a_branch_skips_one_side(client: Client) -> None:
    run = client.trigger("branch")
    assert client.finish("branch", run) == [("choose", -1, 1), ("join", -1, 1), ("left", -1, 1)]
    assert client.task_states("branch", run)["right"] == "skipped"


def test_a_task_that_fails_once_is_tried_again(client: Client) -> None:
    run = client.trigger("retry")
    assert client.finish("retry", run) == [("after", -1, 1), ("flaky", -1, 1), ("flaky", -1, 2)]


@pytest.mark.since(2, 10)
def test_each_try_is_listed(client: Client) -> None:
    run = client.trigger("retry")
    client.finish("retry", run)
    tries = client.tasks.get_task_instance_tries("retry", run, "flaky").task_instances
    assert [(one.try_number, one.state.value) for one in tries] == [(1, "failed"), (2, "success")]


def test_a_run_of_a_cron_dag_has_the_interval_before_its_logical_date(client: Client, both: Beside) -> None:
    run = client.trigger("cron", logical_date=datetime(2026, 3, 30, 1, 0, tzinfo=timezone.utc))  # Monday, early
    assert client.finish("cron", run) == [("interval", -1, 1)]
    # The last full interval is Thursday to Friday; the clocks in Berlin changed after it.
    assert both.seen("cron", run)[0].value == ["2026-03-26T03:30:00+00:00", "2026-03-27T03:30:00+00:00"]


@pytest.mark.since(2, 10)
def test_clearing_a_task_with_its_downstream_runs_just_these_again(client: Client, both: Beside) -> None:
    run, other = client.trigger("chain"), client.trigger("chain")
    client.finish("chain", run)
    client.finish("chain", other)
    before = _rows(both, "chain", other)
    clear = {"dag_run_id": run, "task_ids": ["b"], "include_downstream": True, "only_failed": False}
    for dry_run in (True, False):
        form = ClearTaskInstances(**clear, reset_dag_runs=True, dry_run=dry_run)
        cleared = client.dags.post_clear_task_instances("chain", form).task_instances
        assert sorted(task.task_id for task in cleared) == ["b", "c"]
        if dry_run:
            assert client.run_state("chain", run) == "success"
    again = [("a", -1, 1), ("b", -1, 1), ("b", -1, 2), ("c", -1, 1), ("c", -1, 2)]
    assert client.finish("chain", run) == again
    assert _rows(both, "chain", other) == before
    rows = both.rows(
        "SELECT task_id, try_number, max_tries, state FROM task_instance WHERE run_id = :run UNION ALL "
        "SELECT task_id, try_number, max_tries, state FROM task_instance_history WHERE run_id = :run ORDER BY 1, 2",
        run=run,
    )
    # Two retries remain after each clear.
    assert [tuple(row.values()) for row in rows] == [
        ("a", 1, 2, "success"), ("b", 1, 2, "success"), ("b", 2, 3, "success"), ("c", 1, 2, "success"),
        ("c", 2, 3, "success"),
    ]  # fmt: skip


@pytest.mark.parametrize("state", ["failed", "success"])
def test_setting_the_state_of_a_run_stops_its_tasks(client: Client, both: Beside, state: str) -> None:
    run = client.trigger("slow")
    pid = _sleeping(client, both, run)
    assert client.set_state("slow", run, state) == state
    until(lambda: not _alive(pid), but=lambda: client.tell("slow", run))
    time.sleep(2)  # before 2.10, the stopped task lets the scheduler decide about the run once more
    until(lambda: client.run_state("slow", run) == state, but=lambda: client.tell("slow", run))
    after = state if state == "success" else "skipped" if both.version >= (2, 10) else "upstream_failed"
    assert client.task_states("slow", run) == {"before": "success", "sleep": state, "after": after}
    assert client.executed("slow", run) == [("before", -1, 1), ("sleep", -1, 1)]


def test_a_run_that_is_queued_again_ends_as_its_tasks_did(client: Client) -> None:
    run = client.trigger("chain")
    executed = client.finish("chain", run)
    assert client.set_state("chain", run, "failed") == "failed"
    assert client.set_state("chain", run, "queued") == "queued"
    assert client.finish("chain", run) == executed


@pytest.mark.since(2, 10)
def test_a_cleared_task_begins_anew_and_once_set_to_success_lets_the_next_begin(client: Client, both: Beside) -> None:
    run = client.trigger("slow")
    first = _sleeping(client, both, run)
    with pytest.raises(ApiException) as refused:
        client.dags.delete_dag("slow")
    assert refused.value.status == 409
    form = ClearTaskInstances(dag_run_id=run, task_ids=["sleep"], only_failed=False, only_running=True, dry_run=False)
    client.dags.post_clear_task_instances("slow", form)
    pid = _sleeping(client, both, run, times=2)
    assert not _alive(first)
    form = UpdateTaskInstance(new_state=UpdateTaskState("success"), dry_run=False)
    client.tasks.patch_task_instance("slow", run, "sleep", form)
    assert client.finish("slow", run) == [("after", -1, 1), ("before", -1, 1), ("sleep", -1, 1), ("sleep", -1, 2)]
    until(lambda: not _alive(pid))
    assert set(client.task_states("slow", run).values()) == {"success"}


def _sleeping(client: Client, both: Beside, run: str, times: int = 1) -> int:
    """Wait for the task that sleeps, for the first time or again, and return its process id."""
    begun = [("sleep", -1, number + 1) for number in range(times)]
    until(lambda: client.executed("slow", run)[1:] == begun, but=lambda: client.tell("slow", run))
    [row] = both.rows("SELECT pid FROM task_instance WHERE run_id = :run AND task_id = 'sleep'", run=run)
    assert _alive(row["pid"])
    return row["pid"]


def _alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


@pytest.mark.since(2, 9)  # before, no role may create dataset events
def test_a_dataset_event_starts_the_dags_that_wait_for_it(client: Client, both: Beside) -> None:
    first, second = "s3://windsock/first", "s3://windsock/second"
    event = client.datasets.create_dataset_event(CreateDatasetEvent(dataset_uri=first, extra={"by": "us"}))
    assert event.dataset_uri == first
    [seen] = until(lambda: both.seen("consumer"), but=both.tell)
    extra = {"by": "us", "from_rest_api": True}
    assert seen.value == [[first, extra]]
    assert client.finish("consumer", seen.run_id) == [("consume", -1, 1)]
    queued = client.datasets.get_dag_dataset_queued_events("consumer_of_both").queued_events
    assert [one["uri"] for one in queued] == [first]
    assert both.seen("consumer_of_both") == []
    client.datasets.create_dataset_event(CreateDatasetEvent(dataset_uri=second))
    [seen] = until(lambda: both.seen("consumer_of_both"), but=both.tell)
    assert seen.value == [[first, extra], [second, {"from_rest_api": True}]]
    assert client.finish("consumer_of_both", seen.run_id) == [("consume", -1, 1)]


def test_a_triggered_run_that_updates_a_dataset_starts_the_consumer(client: Client, both: Beside) -> None:
    before = len(both.seen("consumer"))
    assert client.finish("producer", client.trigger("producer")) == [("produce", -1, 1)]
    until(lambda: len(both.seen("consumer")) == before + 1, but=both.tell)


def test_a_task_sees_what_was_stored_through_the_api(client: Client, both: Beside) -> None:
    client.pools.post_pool(Pool(name="windsock", slots=1))
    client.variables.post_variables(Variable(key="windsock", value="old"))
    client.variables.patch_variable("windsock", Variable(key="windsock", value="né"))
    extra = {"secret_token": "t"}
    connection = {"connection_id": "windsock", "conn_type": "http", "host": "example.com", "login": "me"}
    client.connections.post_connection(Connection(**connection, password="p@ss", extra=json.dumps(extra)))
    client.connections.patch_connection("windsock", Connection(**connection, port=81), update_mask=["port"])
    run = client.trigger("stored", note="a note")
    assert client.finish("stored", run) == [("look", -1, 1)]
    [seen] = both.seen("stored", run)
    uri = "http://me:p%40ss@example.com:81/?secret_token=t"
    assert seen.value == ["né", uri, extra, "a note"]
    for stored in ("variable WHERE key = 'windsock'", "connection WHERE conn_id = 'windsock'"):
        assert both.rows(f"SELECT is_encrypted FROM {stored}") == [{"is_encrypted": True}]


def test_notes_stay(client: Client) -> None:
    run = client.trigger("branch", note="one")
    client.runs.set_dag_run_note("branch", run, SetDagRunNote(note="two"))
    client.tasks.set_task_instance_note("branch", run, "join", SetTaskInstanceNote(note="three"))
    client.finish("branch", run)
    assert client.runs.get_dag_run("branch", run).note == "two"
    assert client.tasks.get_task_instance("branch", run, "join").note == "three"


@pytest.mark.since(2, 10)
def test_a_deleted_run_and_a_deleted_dag_leave_no_row(client: Client, both: Beside) -> None:
    run = client.trigger("doomed", note="a note")
    client.finish("doomed", run)
    form = ClearTaskInstances(dag_run_id=run, only_failed=False, reset_dag_runs=True, dry_run=False)
    client.dags.post_clear_task_instances("doomed", form)
    assert client.finish("doomed", run) == [("burn", n, try_number) for n in (0, 1) for try_number in (1, 2)]
    assert {"dag_run", "task_instance", "task_instance_history", "xcom"} <= _tables_with(both, "run_id", run)
    client.runs.delete_dag_run("doomed", run)
    assert _tables_with(both, "run_id", run) == {"log"}

    client.finish("doomed", client.trigger("doomed"))
    client.dags.patch_dag("doomed", DAG(is_paused=True))
    client.datasets.create_dataset_event(CreateDatasetEvent(dataset_uri="s3://windsock/doomed"))
    (both.home / "dags" / "doomed.py").unlink()
    time.sleep(1)  # else the DAG processor, if it has just read the file, would add the DAG again
    assert {"dag", "dag_run", "task_instance", "dag_tag"} <= _tables_with(both, "dag_id", "doomed")
    client.dags.delete_dag("doomed")
    time.sleep(2)
    assert _tables_with(both, "dag_id", "doomed") == {"log"}
    assert _tables_with(both, "target_dag_id", "doomed") == set()


def _tables_with(both: Beside, column: str, value: str) -> set[str]:
    """The tables that have a row with this value."""
    statement = (
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = :name"
    )
    names = [row["table_name"] for row in both.rows(statement, name=column)]
    assert names
    return {name for name in names if both.rows(f"SELECT 1 FROM {name} WHERE {column} = :value LIMIT 1", value=value)}


def test_the_scheduler_lives_and_has_nothing_to_complain_about(client: Client, both: Beside) -> None:
    assert both.scheduler.poll() is None
    assert client.monitoring.get_health().scheduler.status.value == "healthy"
    assert "Traceback" not in both.scheduler_log()
    assert "Traceback" not in (both.home / "windsock.log").read_text()
