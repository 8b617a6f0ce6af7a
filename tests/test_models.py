"""The models are the tables of Airflow 2.11.2, as tests/data/schema.yaml records them from real databases."""

from __future__ import annotations

import copyreg
import logging
import pickle
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import (
    CheckConstraint,
    Column,
    Engine,
    ForeignKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    func,
    insert,
    inspect,
    literal,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, InvalidRequestError, StatementError
from sqlalchemy.orm import Session, joinedload, selectinload

from databases import KINDS, engine_of, fresh
from windsock import columns
from windsock.models import (
    Base,
    Dag,
    DagRun,
    DagRunNote,
    DagTag,
    Dataset,
    DatasetEvent,
    RenderedFields,
    SlaMiss,
    TaskInstance,
    User,
)

SCHEMA = yaml.safe_load((Path(__file__).parent / "data" / "schema.yaml").read_text())["tables"]
TABLES = sorted(set(SCHEMA) - {"sqlite_sequence"})
DIALECTS = {"sqlite": sqlite.dialect(), "pg": postgresql.dialect()}
# PostgreSQL's names for the types that SQLAlchemy spells otherwise.
ALIASES = {"FLOAT": "DOUBLE PRECISION"}
LONG_AGO = datetime(1, 1, 1, tzinfo=timezone.utc)
FAR_AHEAD = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc)
RECENTLY, SOON = datetime(2026, 1, 1, tzinfo=timezone.utc), datetime(2030, 1, 1, tzinfo=timezone.utc)


@pytest.fixture(scope="module", params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Engine]]:
    """A database with all tables, made from the models."""
    with fresh(request.param, tmp_path_factory.mktemp("models")) as url:
        engine = engine_of(url)
        if request.param == "sqlite":
            event.listen(engine, "connect", lambda connection, _: connection.execute("pragma foreign_keys = on"))
        Base.metadata.create_all(engine)
        yield {"postgres": "pg"}.get(request.param, request.param), engine
        engine.dispose()


@pytest.fixture
def recorded(database: tuple[str, Engine]) -> tuple[str, Engine]:
    """A database of a kind that the record knows; test_mysql.py has the record of MySQL."""
    if database[0] not in DIALECTS:
        pytest.skip("the record is of SQLite and PostgreSQL")
    return database


@pytest.fixture
def engine(database: tuple[str, Engine]) -> Engine:
    return database[1]


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session whose work is undone."""
    with engine.connect() as connection, connection.begin() as outer:
        with Session(connection) as session:
            yield session
        outer.rollback()


def of(database: str, fact: Any) -> Any:
    return fact[database] if isinstance(fact, dict) else fact


def expected_columns(database: str, table: str) -> dict[str, tuple[str, bool]]:
    return {
        name: (sqlite_type if database == "sqlite" else pg_type, nullable == "null")
        for name, (sqlite_type, pg_type, nullable, _) in SCHEMA[table]["columns"].items()
    }


def expected_defaults(database: str, table: str) -> dict[str, str | None]:
    return {name: of(database, facts[3]) for name, facts in SCHEMA[table]["columns"].items()}


def expected_foreign_keys(database: str, table: str) -> set[tuple[Any, ...]]:
    return {
        (key["name"], tuple(key["columns"]), key["ref"], tuple(key["ref_columns"]), key["on_delete"])
        for key in SCHEMA[table].get("foreign_keys", [])
        if key.get("db", database) == database
    }


def expected_uniques(table: str) -> set[tuple[Any, ...]]:
    return {(unique["name"], tuple(unique["columns"])) for unique in SCHEMA[table].get("unique", [])}


def expected_indexes(table: str) -> set[tuple[Any, ...]]:
    return {
        (index["name"], tuple(index["columns"]), index["unique"], bool(index.get("where")))
        for index in SCHEMA[table].get("indexes", [])
    }


def compiled(column: Column[Any], database: str) -> str:
    spelled = column.type.compile(DIALECTS[database]).split(" COLLATE")[0]
    return ALIASES.get(spelled, spelled) if database == "pg" else spelled


def test_there_is_a_model_for_each_table_and_no_other() -> None:
    assert sorted(Base.metadata.tables) == TABLES
    assert len(TABLES) == 48


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", TABLES)
def test_a_model_declares_the_columns_of_its_table(name: str, dialect: str) -> None:
    table = Base.metadata.tables[name]
    assert {c.name: (compiled(c, dialect), c.nullable) for c in table.columns} == expected_columns(dialect, name)


@pytest.mark.parametrize("name", TABLES)
def test_a_model_declares_the_keys_and_constraints_of_its_table(name: str) -> None:
    table: Table = Base.metadata.tables[name]
    assert {c.name for c in table.primary_key.columns} == set(SCHEMA[name]["primary_key"])
    declared = {
        kind: [c for c in table.constraints if isinstance(c, kind)]
        for kind in (UniqueConstraint, ForeignKeyConstraint, CheckConstraint)
    }
    assert {(c.name, tuple(c.columns.keys())) for c in declared[UniqueConstraint]} == expected_uniques(name)
    assert {
        (
            c.name,
            tuple(c.column_keys),
            c.referred_table.name,
            tuple(element.column.name for element in c.elements),
            c.ondelete or "NO ACTION",
        )
        for c in declared[ForeignKeyConstraint]
    } == expected_foreign_keys("pg", name)
    assert {c.name: str(c.sqltext) for c in declared[CheckConstraint]} == {
        check["name"]: check["sql"] for check in SCHEMA[name].get("checks", [])
    }
    assert {
        (i.name, tuple(i.columns.keys()), bool(i.unique), i.dialect_options["postgresql"]["where"] is not None)
        for i in table.indexes
        if not i.expressions or all(isinstance(e, Column) for e in i.expressions)
    } == expected_indexes(name)


@pytest.mark.parametrize("name", TABLES)
def test_a_created_database_has_the_columns_of_the_real_one(name: str, recorded: tuple[str, Engine]) -> None:
    dialect, engine = recorded
    found = inspect(engine).get_columns(name)
    types = {c["name"]: (c["type"].compile(DIALECTS[dialect]), c["nullable"]) for c in found}
    assert types == expected_columns(dialect, name)
    assert {c["name"]: c["default"] for c in found} == expected_defaults(dialect, name)


@pytest.mark.filterwarnings("ignore:.*could not be located in PRAGMA foreign_keys")  # the keys that are there twice
@pytest.mark.parametrize("name", TABLES)
def test_a_created_database_has_the_constraints_of_the_real_one(name: str, recorded: tuple[str, Engine]) -> None:
    dialect, engine = recorded
    found = inspect(engine)
    assert found.get_pk_constraint(name)["constrained_columns"] == SCHEMA[name]["primary_key"]
    assert {(u["name"], tuple(u["column_names"])) for u in found.get_unique_constraints(name)} == expected_uniques(name)
    assert {
        (
            key["name"],
            tuple(key["constrained_columns"]),
            key["referred_table"],
            tuple(key["referred_columns"]),
            key["options"].get("ondelete", "NO ACTION"),
        )
        for key in found.get_foreign_keys(name)
    } == expected_foreign_keys(dialect, name)


@pytest.mark.parametrize("name", TABLES)
def test_a_created_database_has_the_indexes_of_the_real_one(name: str, recorded: tuple[str, Engine]) -> None:
    dialect, engine = recorded
    where = "sqlite_where" if dialect == "sqlite" else "postgresql_where"
    assert {
        (i["name"], tuple(i["column_names"]), bool(i["unique"]), where in i.get("dialect_options", {}))
        for i in inspect(engine).get_indexes(name)
        if not i.get("duplicates_constraint") and None not in i["column_names"]
    } == expected_indexes(name)


def test_user_names_are_unique_without_regard_to_case(session: Session) -> None:
    session.add(User(first_name="A", last_name="B", username="ann", email="a@x"))
    session.flush()
    with pytest.raises(IntegrityError, match=r"(?i)unique|duplicate"), session.begin_nested():
        session.add(User(first_name="A", last_name="B", username="ANN", email="b@x"))


# Column types


@pytest.mark.parametrize(
    "moment",
    [LONG_AGO, FAR_AHEAD, datetime(2026, 2, 1, 4, 5, 6, tzinfo=timezone(timedelta(hours=5, minutes=45)))],
)
def test_a_timestamp_comes_back_in_utc(session: Session, moment: datetime) -> None:
    session.execute(insert(DagRun).values(dag_id="d", run_id="r", run_type="manual", execution_date=moment))
    read = session.scalar(select(DagRun.execution_date).where(DagRun.execution_date == moment))
    assert read == moment
    assert read is not None and read.utcoffset() == timedelta(0)


def test_a_timestamp_is_in_utc_whatever_the_session_says(session: Session) -> None:
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("set local timezone = 'Asia/Kathmandu'"))
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    session.execute(insert(DagRun).values(dag_id="d", run_id="r", run_type="manual", execution_date=moment))
    read = session.scalar(select(DagRun.execution_date))
    assert read is not None and read.isoformat() == "2026-01-01T00:00:00+00:00"


def test_timestamps_sort_and_compare_as_moments(session: Session) -> None:
    moments = [LONG_AGO, datetime(2026, 1, 1, tzinfo=timezone.utc), FAR_AHEAD]
    moments.insert(2, moments[1] + timedelta(microseconds=1))
    for number, moment in enumerate(reversed(moments)):
        session.execute(insert(DagRun).values(dag_id="d", run_id=str(number), run_type="x", execution_date=moment))
    assert list(session.scalars(select(DagRun.execution_date).order_by(DagRun.execution_date))) == moments
    after = select(DagRun.execution_date).where(DagRun.execution_date > moments[1]).order_by(DagRun.execution_date)
    assert list(session.scalars(after)) == moments[2:]


@pytest.mark.parametrize(
    "moment", [datetime(2026, 1, 1), datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))], ids=["naive", "year 0"]
)
def test_a_moment_that_cannot_be_stored_is_refused(session: Session, moment: datetime) -> None:
    with pytest.raises(StatementError) as raised:
        session.execute(select(DagRun.id).where(DagRun.execution_date == moment))
    assert isinstance(raised.value.orig, ValueError)


def test_the_text_of_a_timestamp_on_sqlite_is_airflows() -> None:
    moment = literal(datetime(987, 1, 2, tzinfo=timezone.utc), columns.UtcDateTime)
    with create_engine("sqlite://").connect() as connection:
        assert connection.scalar(select(func.trim(moment, type_=Text))) == "0987-01-02 00:00:00.000000"


def test_a_naive_column_keeps_the_wall_clock_and_refuses_an_aware_datetime(session: Session) -> None:
    person = {"first_name": "A", "last_name": "B", "username": "u", "email": "e"}
    session.execute(insert(User).values(**person, created_on=datetime(2026, 1, 2, 3, 4, 5, 6)))
    assert session.scalar(select(User.created_on)) == datetime(2026, 1, 2, 3, 4, 5, 6)
    with pytest.raises(StatementError) as raised:
        session.execute(select(User.id).where(User.created_on == LONG_AGO))
    assert isinstance(raised.value.orig, ValueError)


@pytest.mark.parametrize(
    "conf",
    [None, {}, {"a": [1, 2.5, "é🚀", None, True, {"b": 10**30}]}, [], "text"],
    ids=lambda conf: type(conf).__name__,
)
def test_plain_data_survives_pickling(session: Session, conf: Any) -> None:
    session.execute(insert(DagRun).values(dag_id="d", run_id="r", run_type="manual", conf=conf))
    assert session.scalar(select(DagRun.conf)) == conf


class _Text(str):
    pass


@pytest.mark.parametrize("conf", [{1: "key"}, {"a": (1,)}, {1, 2}, b"bytes", LONG_AGO, _Text("x"), object()])
def test_only_plain_data_is_pickled(session: Session, conf: Any) -> None:
    with pytest.raises(StatementError) as raised:
        session.execute(insert(DagRun).values(dag_id="d", run_id="r", run_type="manual", conf=conf))
    assert isinstance(raised.value.orig, TypeError)


def _ran(marker: Path) -> bytes:
    return f"cposix\nsystem\n(S'touch {marker}'\ntR.".encode()


def _pickles(marker: Path) -> dict[str, bytes]:
    return {
        "a call": _ran(marker),
        "a global": pickle.dumps(timedelta),
        "an object": pickle.dumps({"a": timedelta(1)}),
        "a persistent id": b"Pid\n.",
        "a binary persistent id": b"\x80\x02X\x01\x00\x00\x00aQ.",
        "an extension": b"\x80\x02\x82\xf0.",
        "an old instance": b"(iposix\nsystem\n.",
        "truncated": pickle.dumps({"a": 1})[:-3],
        "not a pickle": b"secret-text",
        "nothing": b"",
        "an out-of-band buffer": b"\x80\x05\x97.",
    }


@pytest.mark.parametrize("content", _pickles(Path()))
def test_a_pickle_that_is_more_than_data_reads_as_null_and_is_logged(
    session: Session, content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copyreg.add_extension("datetime", "timedelta", 0xF0)
    try:
        pickle.loads(b"\x80\x02\x82\xf0.")  # now it is in the cache that bypasses find_class
        payload = _pickles(tmp_path / "ran")[content]
        insert_raw = text(
            "insert into dag_run (dag_id, run_id, run_type, execution_date, conf) values (:i, :i, :i, :d, :c)"
        )
        session.execute(insert_raw, {"i": "x", "d": "2026-01-01 00:00:00.000000", "c": payload})
        with caplog.at_level(logging.WARNING, logger="windsock"):
            assert session.scalars(select(DagRun.conf)).all() == [None]
    finally:
        copyreg.remove_extension("datetime", "timedelta", 0xF0)
    assert not (tmp_path / "ran").exists()
    assert len(caplog.records) == 1
    assert "dag_run.conf" in caplog.text
    assert "secret-text" not in caplog.text


def test_tuples_and_sets_in_a_pickle_are_data(session: Session) -> None:
    value = {"pair": (1, "é"), "set": {1}, "frozen": frozenset({2}), "raw": b"\x82\x83\x84"}
    insert_raw = text(
        "insert into dag_run (dag_id, run_id, run_type, execution_date, conf) values (:i, :i, :i, :d, :c)"
    )
    session.execute(insert_raw, {"i": "x", "d": "2026-01-01 00:00:00.000000", "c": pickle.dumps(value, protocol=5)})
    assert session.scalar(select(DagRun.conf)) == value


@pytest.mark.parametrize("value", [None, {}, {"é": [1, 2.5, None, "🚀"]}, "@daily", [], 0], ids=repr)
def test_json_survives_both_kinds_of_column(session: Session, value: Any) -> None:
    limits = {"max_active_tasks": 1, "max_consecutive_failed_dag_runs": 0, "has_task_concurrency_limits": False}
    session.add(Dag(dag_id="d", schedule_interval=value, dataset_expression=value, **limits))
    session.flush()
    assert session.execute(select(Dag.schedule_interval, Dag.dataset_expression)).one() == (value, value)
    nulls = session.execute(
        text("select count(*) from dag where schedule_interval is null or dataset_expression is null")
    )
    assert nulls.scalar() == 0


def test_broken_values_read_as_null_and_are_logged_without_the_value(caplog: pytest.LogCaptureFixture) -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        Base.metadata.create_all(connection)
        connection.execute(
            text(
                "insert into dag (dag_id, schedule_interval, dataset_expression, last_parsed_time, max_active_tasks,"
                " max_consecutive_failed_dag_runs, has_task_concurrency_limits)"
                " values ('d', '{secret', '[secret', 'secret', 1, 0, false)"
            )
        )
        broken = (Dag.schedule_interval, Dag.dataset_expression, Dag.last_parsed_time)
        with caplog.at_level(logging.WARNING, logger="windsock"):
            assert connection.execute(select(*broken)).one() == (None, None, None)
    named = [record.getMessage().split()[3].rstrip(":") for record in caplog.records]
    assert named == ["dag.schedule_interval", "dag.dataset_expression", "dag.last_parsed_time"]
    assert "secret" not in caplog.text


def test_json_keeps_large_integers_and_lone_surrogates(session: Session) -> None:
    session.add(Dataset(uri="u", extra={"big": 2**70, "lone": "\ud800"}))
    session.flush()
    assert session.scalar(select(Dataset.extra)) == {"big": 2**70, "lone": "\ud800"}


# Relationships


def _run_with_task(session: Session) -> tuple[DagRun, TaskInstance]:
    run = DagRun(dag_id="d", run_id="r", run_type="manual", execution_date=SOON)
    task = TaskInstance(dag_id="d", run_id="r", task_id="t", map_index=-1, pool="default_pool", dag_run=run)
    session.add_all([run, task])
    session.flush()
    return run, task


@pytest.mark.parametrize("load", [joinedload, selectinload])
def test_a_task_instance_finds_the_sla_miss_of_its_run(session: Session, load: Any) -> None:
    _run_with_task(session)
    other = DagRun(dag_id="d", run_id="r2", run_type="manual", execution_date=RECENTLY)
    session.add(TaskInstance(dag_id="d", run_id="r2", task_id="t", map_index=-1, pool="default_pool", dag_run=other))
    session.add(SlaMiss(dag_id="d", task_id="t", execution_date=SOON, description="late"))
    session.flush()
    session.expunge_all()
    query = select(TaskInstance).join(TaskInstance.dag_run).options(load(TaskInstance.sla_miss)).limit(9)
    found = {task.run_id: task.sla_miss and task.sla_miss.description for task in session.scalars(query)}
    assert found == {"r": "late", "r2": None}


def test_rows_of_a_run_go_with_it(session: Session) -> None:
    run, task = _run_with_task(session)
    run.note_row = DagRunNote(content="note")
    task.rendered = RenderedFields(rendered_fields={"a": 1})
    update = DatasetEvent(dataset_id=1, timestamp=RECENTLY)
    update.created_dagruns.append(run)
    session.add(update)
    session.flush()
    session.expunge_all()
    session.execute(text("delete from dag_run"))
    for table in ("task_instance", "dag_run_note", "rendered_task_instance_fields", "dagrun_dataset_event"):
        assert session.scalar(text(f"select count(*) from {table}")) == 0


def test_nothing_is_loaded_by_accident(session: Session) -> None:
    run, _ = _run_with_task(session)
    session.flush()
    session.expire(run, ["note_row"])
    for mapper in Base.registry.mappers:
        for relation in mapper.relationships:
            assert relation.lazy == "raise", relation
    with pytest.raises(InvalidRequestError, match="raise"):
        _ = run.note_row


def test_tags_are_written_and_replaced_with_their_dag(session: Session) -> None:
    dag = Dag(dag_id="d", max_active_tasks=1, max_consecutive_failed_dag_runs=0, has_task_concurrency_limits=False)
    dag.tags = [DagTag(name="a"), DagTag(name="b")]
    session.add(dag)
    session.flush()
    dag.tags = [DagTag(name="c")]
    session.flush()
    assert session.scalars(select(DagTag.name)).all() == ["c"]
