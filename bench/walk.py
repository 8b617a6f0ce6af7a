"""Walking through millions of task instances by cursor while others write: nothing missed or twice, constant memory.

    .venv/bin/python bench/walk.py --config m.cfg --user all --password PASSWORD

The `airflow.cfg` names a PostgreSQL database that `windsock demo load` has filled. Rows are added to it and deleted
from it meanwhile: a copy is best. `[api] maximum_page_limit` has to be at least `--limit`.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import airflow
from airflow import Server
from loaded import given, rss, served
from sqlalchemy import Connection, create_engine, delete, func, insert, select

from windsock.models import TaskInstance as Ti

KEY = (Ti.dag_id, Ti.task_id, Ti.run_id, Ti.map_index)
MEMBERS = ("dag_id", "task_id", "dag_run_id", "map_index")
PATH = "/api/v1/dags/~/dagRuns/~/taskInstances"


class Writer(threading.Thread):
    """Adds instances of tasks, and deletes some of those and some that were there, until it is told to stop."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.engine, self.ended = create_engine(url, isolation_level="AUTOCOMMIT"), threading.Event()
        self.added: list[tuple[Any, ...]] = []
        self.deleted: set[int] = set()

    def run(self) -> None:
        pick = random.Random(1)
        with self.engine.connect() as connection:
            runs = connection.execute(select(Ti.dag_id, Ti.run_id).distinct().limit(20_000)).all()
            while not self.ended.wait(0.02):
                self._add(connection, pick.choice(runs), f"added_{len(self.added):08}_{pick.random()}")
                if pick.random() < 0.5:
                    self._remove(connection, self.added[pick.randrange(len(self.added))])
                victim = connection.execute(select(*KEY).where(Ti.dag_id == pick.choice(runs).dag_id).limit(1)).first()
                if victim is not None:
                    self._remove(connection, tuple(victim))

    def _add(self, connection: Connection, run: Any, task_id: str) -> None:
        key = (run.dag_id, task_id, run.run_id, -1)
        connection.execute(insert(Ti).values(dag_id=key[0], task_id=task_id, run_id=key[2], map_index=-1, pool="x"))
        self.added.append(key)

    def _remove(self, connection: Connection, key: tuple[Any, ...]) -> None:
        connection.execute(delete(Ti).where(*(column == value for column, value in zip(KEY, key, strict=True))))
        self.deleted.add(hash(key))


def main() -> None:
    """Print the figures; the status is 1 when a row was missed or came twice."""
    options = given(__doc__, "--limit", 1000)
    writer = Writer(options.database)
    with create_engine(options.database).connect() as connection:
        rows = connection.execution_options(stream_results=True, max_row_buffer=10_000).execute(select(*KEY))
        before = {hash(tuple(row)) for row in rows}
    with served(options) as server:
        writer.start()
        seen, twice = walk(server, options.headers | {"Prefer": "count=none"}, options.number)
        writer.ended.set()
        writer.join()
    missed = before - writer.deleted - seen
    with writer.engine.connect() as connection:
        left = connection.execute(select(func.count()).select_from(Ti)).scalar_one()
        for key in writer.added:
            connection.execute(delete(Ti).where(*(c == v for c, v in zip(KEY, key, strict=True))))
    changed = f"{len(writer.added):,} were added and {len(writer.deleted):,} deleted meanwhile"
    print(f"\n{len(before):,} rows before, {left:,} after: {changed}")
    print(f"{len(seen):,} read; {twice} of them twice, {len(missed)} missed")
    raise SystemExit(bool(twice or missed))


def walk(server: Server, headers: dict[str, str], limit: int) -> tuple[set[int], int]:
    """The hashes of the keys of all rows, and how many came twice; prints what pages cost, and the server's memory."""
    seen: set[int] = set()
    twice = number = 0
    begun = spent = time.perf_counter()
    print("| rows read | ms of a page | RSS of the server, MB |\n|---:|---:|---:|")
    for page in pages(server, headers, limit):
        keys = [hash(tuple(item[name] for name in MEMBERS)) for item in page]
        twice += len(keys) - len(set(keys) - seen)
        seen.update(keys)
        number += 1
        if number % 300 == 1:
            memory = sum(map(rss, airflow._tree(server.process.pid)))
            each = (time.perf_counter() - spent) * 1000 / (1 if number == 1 else 300)
            print(f"| {len(seen):,} | {each:.0f} | {memory:.0f} |", flush=True)
            spent = time.perf_counter()
    print(f"\n{number:,} pages of {limit:,} in {time.perf_counter() - begun:.0f} s")
    return seen, twice


def pages(server: Server, headers: dict[str, str], limit: int) -> Iterator[list[dict[str, Any]]]:
    """The pages of a walk."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=300)
    target = f"{PATH}?cursor=&limit={limit}&fields={','.join(MEMBERS)}"
    while target:
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body[:500]
        yield json.loads(body)["task_instances"]
        address = (response.headers.get("Link") or "").partition(">")[0].lstrip("<")
        assert "cursor" in dict(parse_qsl(urlsplit(address).query)) or not address
        target = f"{PATH}?{urlsplit(address).query}" if address else ""


if __name__ == "__main__":
    main()
