"""The demo data: repeatable, without contradictions, and with something of everything that the API shows."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Connection, create_engine, event, func, select, text

from windsock import dagdoc, migrate
from windsock.crypto import Vault
from windsock.demo import load
from windsock.demo.definitions import DAGS
from windsock.demo.sources import source
from windsock.models import Base, DagRun, Log, SerializedDag, TaskInstance, Variable

NOW = datetime(2026, 11, 22, 10, 45, tzinfo=timezone.utc)
VAULT = Vault(Fernet.generate_key().decode())
# Nothing of this is in the demo: old features, processes' own tables, and what only real installations have.
EMPTY = {
    "ab_register_user", "callback_request", "dag_pickle", "dag_priority_parsing_request",
    "dag_schedule_dataset_alias_reference", "session",
}  # fmt: skip


def _load(directory: Path, now: datetime = NOW) -> Connection:
    engine = create_engine(f"sqlite:///{directory}/demo.db")
    pragmas = "PRAGMA foreign_keys=ON; PRAGMA synchronous=OFF"
    event.listen(engine, "connect", lambda connection, _: connection.executescript(pragmas))
    migrate.init(engine)
    with engine.begin() as connection:
        load(connection, VAULT, directory / "logs", now)
    return engine.connect()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(home):
    with _load(home) as connection:
        yield connection


def test_there_is_something_of_everything(demo):
    filled = {
        table.name for table in Base.metadata.sorted_tables if demo.scalar(select(func.count()).select_from(table))
    }
    assert {table.name for table in Base.metadata.sorted_tables} - filled == EMPTY
    assert len(DAGS) >= 12 and demo.scalar(select(func.count(DagRun.id))) > 300
    runs, tasks = set(demo.scalars(select(DagRun.state))), set(demo.scalars(select(TaskInstance.state)))
    assert runs == {"queued", "running", "success", "failed"}
    assert tasks == {
        None, "scheduled", "queued", "running", "success", "restarting", "failed", "up_for_retry", "up_for_reschedule",
        "upstream_failed", "skipped", "removed", "deferred",
    }  # fmt: skip


def test_the_same_moment_gives_the_same_rows(demo, tmp_path):
    encrypted = {"variable", "connection", "trigger", "ab_user", "alembic_version", "slot_pool", "log_template"}
    with _load(tmp_path) as again:
        for table in Base.metadata.sorted_tables:
            if table.name not in encrypted:
                query = text(f'SELECT * FROM "{table.name}"')
                assert demo.execute(query).fetchall() == again.execute(query).fetchall(), table.name


@pytest.mark.parametrize("hours", [5.3, 16.2, 125.5])
def test_nothing_lies_in_the_future_and_no_end_before_its_beginning(tmp_path, hours):
    now = NOW + timedelta(hours=hours)
    with _load(tmp_path, now) as demo:
        for model in (TaskInstance, DagRun):
            assert demo.scalar(select(func.max(model.start_date))) <= now
            assert demo.scalar(select(func.max(model.end_date))) <= now
            assert not demo.scalar(select(func.count()).where(model.end_date < model.start_date))
        assert demo.scalar(select(func.max(Log.dttm))) <= now
        ended = select(TaskInstance.state).join(
            DagRun, (DagRun.dag_id == TaskInstance.dag_id) & (DagRun.run_id == TaskInstance.run_id)
        )
        states = set(demo.scalars(ended.where(DagRun.state.in_(["success", "failed"]))))
        assert states <= {"success", "failed", "skipped", "upstream_failed", "removed"}


def test_every_definition_can_be_read_and_every_source_compiles(demo):
    for dag in DAGS:
        compile(source(dag), dag.fileloc, "exec")
    for row in demo.execute(select(SerializedDag.dag_id, SerializedDag.data)):
        ids = set(demo.scalars(select(TaskInstance.task_id).where(TaskInstance.dag_id == row.dag_id)))
        doc = dagdoc.load(row.data)
        assert ids <= set(doc.task_docs) and doc.details()["start_date"] == "2026-01-01T00:00:00+00:00"


def test_the_world_of_the_documents_examples_is_there(demo):
    run = select(DagRun.state).where(DagRun.dag_id == "nightly_sales")
    assert demo.scalar(run.where(DagRun.run_id == "scheduled__2026-03-01T02:00:00+00:00")) == "success"
    assert demo.scalar(run.where(DagRun.run_id == "manual__2026-03-02T09:30:00+00:00")) == "failed"
    assert demo.scalar(select(Log.event).where(Log.id == 4711))
    stored = demo.execute(
        select(Variable.val).where(Variable.key == "report_recipients", Variable.is_encrypted)
    ).scalar()
    assert json.loads(VAULT.decrypt(stored)) == ["ada@example.com", "grace@example.com"]


def test_the_logs_of_the_last_days_lie_where_airflow_would_put_them(home, demo):
    since = demo.execute(
        select(TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index,
               TaskInstance.try_number)
        .where(TaskInstance.start_date > NOW - timedelta(days=2), TaskInstance.state.in_(["success", "failed"]))
    ).fetchall()  # fmt: skip
    assert since
    for dag_id, run_id, task_id, index, number in since:
        mapped = f"map_index={index}/" if index >= 0 else ""
        path = f"dag_id={dag_id}/run_id={run_id}/task_id={task_id}/{mapped}attempt={number}.log"
        assert (home / "logs" / path).read_text().startswith("[20"), path
