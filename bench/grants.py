"""What 3,000 grants on single DAGs cost a list of 100 DAG runs, against one grant on all: SQLite and PostgreSQL.

    .venv/bin/python bench/grants.py [--grants 3000] [--runs 3] [--more 97] [--rounds 7]

Each list is asked for in this process, through the whole application; the two callers take turns. The table has the
median of the rounds: milliseconds on the clock, so that the time of the database server counts. PostgreSQL is measured
again after each DAG got `--more` runs. See bench/README.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, String, create_engine, func, insert, literal, select, text, true
from sqlalchemy.orm import Session

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import factories as f
from clients import API, PASSWORD_HASH, SETTINGS, signed_in
from databases import postgres
from windsock import migrate
from windsock.app import create_app
from windsock.config import Config
from windsock.models import Action, Dag, DagRun, Permission, Resource, role_permission

LISTS = {
    "100 DAG runs": "/dags/~/dagRuns?limit=100",
    "100 DAG runs, the last first": "/dags/~/dagRuns?limit=100&order_by=-start_date",
    "100 DAGs": "/dags?limit=100",
}
OTHERS = ["DAG Runs.can_read"]


def fill(engine: Engine, options: argparse.Namespace) -> None:
    """DAGs with runs; `all` may read every DAG by one right, `each` by one right for each DAG."""
    migrate.init(engine)
    dags = [f"dag_{number}" for number in range(options.grants)]
    with Session(engine) as session:
        session.execute(insert(Dag), [_columns(f.dag(dag_id)) for dag_id in dags])
        runs = [f.dag_run(dag_id, f"run-{number}") for dag_id in dags for number in range(options.runs)]
        session.execute(insert(DagRun), [_columns(run) for run in runs])
        everything = f.role("all", permissions=f.permissions(session, ["DAGs.can_read", *OTHERS]))
        each = f.role("each", permissions=f.permissions(session, OTHERS))
        session.add_all(f.user(role.name, password=PASSWORD_HASH, roles=[role]) for role in (everything, each))
        session.flush()
        _grant(session, each.id, dags)
        session.commit()
    _tidy(engine)


def fill_more(engine: Engine, count: int) -> None:
    """Give each DAG `count` more runs on the days after its first one (PostgreSQL)."""
    number = func.generate_series(1, count).table_valued("number").render_derived().c.number
    columns = {column.name: column for column in DagRun.__table__.c if column.name != "id"}
    columns["run_id"] = DagRun.run_id + literal("-more-") + number.cast(String)
    columns["execution_date"] = DagRun.execution_date + number * literal(timedelta(days=1))
    first = select(*columns.values()).join_from(DagRun, number.table, true()).where(DagRun.run_id == "run-0")
    with engine.begin() as connection:
        connection.execute(insert(DagRun).from_select(list(columns), first))
    _tidy(engine)


def _tidy(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM"))  # as any database that has been up for a while
        connection.execute(text("ANALYZE"))


def _columns(row: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(row).items() if not key.startswith("_") and key != "tags"}


def _grant(session: Session, role_id: int, dags: list[str]) -> None:
    """As Airflow keeps them: three permissions for each DAG, one of which the role has."""
    session.execute(insert(Resource), [{"name": f"DAG:{dag_id}"} for dag_id in dags])
    things = session.scalars(select(Resource.id).where(Resource.name.startswith("DAG:"))).all()
    actions = {row.name: row.id for row in session.execute(select(Action.name, Action.id))}
    deeds = [actions[name] for name in ("can_read", "can_edit", "can_delete")]
    session.execute(insert(Permission), [{"permission_id": d, "view_menu_id": t} for t in things for d in deeds])
    readable = select(Permission.id).where(Permission.permission_id == deeds[0], Permission.view_menu_id.in_(things))
    rows = [{"permission_view_id": number, "role_id": role_id} for number in session.scalars(readable)]
    session.execute(insert(role_permission), rows)


def measure(engine: Engine, url: str, rounds: int, times: int = 10) -> dict[str, dict[str, float]]:
    """List -> caller -> milliseconds."""
    app = create_app(Config({**SETTINGS, ("database", "sql_alchemy_conn"): url}))
    clients = {name: signed_in(app, name) for name in ("all", "each")}
    found: dict[str, dict[str, float]] = {}
    for title, path in LISTS.items():
        asked: list[Callable[[], Any]] = [lambda c=client, p=path: c.get(API + p) for client in clients.values()]
        answers = [ask().get_json() for ask in asked]
        if answers[0] != answers[1] or not answers[0]["total_entries"]:
            raise SystemExit(f"{title}: the two callers see different things")
        columns = zip(*([_time(ask, times) for ask in asked] for _ in range(rounds)), strict=True)
        found[title] = {name: statistics.median(column) for name, column in zip(clients, columns, strict=True)}
    return found


def _time(ask: Callable[[], Any], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        ask()
    return (time.perf_counter() - start) / times * 1000


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grants", type=int, default=3000, help="default: 3000")
    parser.add_argument("--runs", type=int, default=3, help="of each DAG; default: 3")
    parser.add_argument("--more", type=int, default=97, help="runs of each DAG, for the larger size; default: 97")
    parser.add_argument("--rounds", type=int, default=7, help="default: 7")
    options = parser.parse_args()
    print(f"| database | list | a right on all DAGs, ms | {options.grants:,} rights on single DAGs, ms | ratio |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as home, postgres() as served:
        urls = {"SQLite": f"sqlite:///{home}/airflow.db", "PostgreSQL": served.render_as_string(hide_password=False)}
        for kind, url in urls.items():
            engine = create_engine(url)
            fill(engine, options)
            show(f"{kind}, {options.grants * options.runs:,} runs", measure(engine, url, options.rounds))
            if kind == "PostgreSQL" and options.more:
                fill_more(engine, options.more)
                total = options.grants * (options.runs + options.more)
                show(f"{kind}, {total:,} runs", measure(engine, url, options.rounds, times=2))
            engine.dispose()


def show(where: str, found: dict[str, dict[str, float]]) -> None:
    """Print the rows of one database."""
    for title, ms in found.items():
        print(f"| {where} | {title} | {ms['all']:.1f} | {ms['each']:.1f} | **{ms['each'] / ms['all']:.2f}** |")


if __name__ == "__main__":
    main()
