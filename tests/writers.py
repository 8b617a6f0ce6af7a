"""Clients that write to a server until they are told to stop, and what became of each write."""

from __future__ import annotations

import json
import selectors
import socket
from collections import Counter
from http.client import HTTPConnection, HTTPException
from threading import Event, Lock, Thread
from time import sleep
from typing import Any, NamedTuple

from sqlalchemy import Engine, select

from servers import Server, ask
from windsock.models import DatasetEvent

URI = "s3://bucket/1"


class Tally(NamedTuple):
    """Numbers of writes; the last three compare what clients were told with what is in the database."""

    sent: int
    made: int  # answered 200 or 201
    refused: int  # answered 503
    unanswered: int
    lost: int  # answered as made, and not there
    doubled: int  # there more than once
    unsaid: int  # there, although refused or unanswered: the answer was lost, not the write


class Writers:
    """Each creates dataset events, which nothing keeps from being there twice, with a number that no other has."""

    def __init__(self, server: Server, count: int = 8, keep: bool = True) -> None:
        """`keep` connections from one request to the next, or make a new one for each."""
        self._server, self._keep = server, keep
        self._stop, self._lock = Event(), Lock()
        self._threads = [Thread(target=self._write, args=(number,), daemon=True) for number in range(count)]
        #: Key of a write -> its status, or None without an answer.
        self.outcomes: dict[str, int | None] = {}
        self.hurried: list[str] = []  # keys of refusals without Retry-After
        self.cut: list[str] = []  # keys of writes without an answer on a connection that had brought one before
        self.failures: Counter[str] = Counter()

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=90)

    def made(self) -> int:
        """How many writes have succeeded so far."""
        with self._lock:
            return sum(status in (200, 201) for status in self.outcomes.values())

    def _write(self, number: int) -> None:
        connection, sent = HTTPConnection("127.0.0.1", self._server.port, timeout=60), 0
        while not self._stop.is_set():
            sent += 1
            key, status = f"{number}-{sent}", None
            if connection.sock and _is_readable(connection.sock):
                connection.close()  # the server has ended it; any client with a pool looks before it writes
            kept = connection.sock is not None
            try:
                reply = ask(connection, "/datasets/events", "POST", {"dataset_uri": URI, "extra": {"key": key}})
                status = reply.status
                if status == 503 and "Retry-After" not in reply.headers:
                    self.hurried.append(key)
            except (OSError, HTTPException) as error:
                self.failures[type(error).__name__] += 1
                self.cut += [key] if kept else []
                connection.close()
            if not self._keep:
                connection.close()
            with self._lock:
                self.outcomes[key] = status
            if status not in (200, 201):
                sleep(0.05)
        connection.close()

    def tally(self, database: Engine) -> Tally:
        """Compare with the database."""
        with database.connect() as connection:
            stored = connection.execute(select(DatasetEvent.extra)).scalars()
            extras = (json.loads(extra) if isinstance(extra, str) else extra for extra in stored)
            there = Counter(extra["key"] for extra in extras if "key" in (extra or {}))
        made = {key for key, status in self.outcomes.items() if status in (200, 201)}
        told = Counter(self.outcomes.values())
        tally = Tally(
            len(self.outcomes), len(made), told[503], told[None],
            len(made - there.keys()), sum(number > 1 for number in there.values()), len(there.keys() - made),
        )  # fmt: skip
        assert tally.made + tally.refused + tally.unanswered == tally.sent, told
        print(" ".join(f"{name}={number}" for name, number in tally._asdict().items()), dict(self.failures))
        return tally


def _is_readable(connection: socket.socket) -> bool:
    with selectors.DefaultSelector() as selector:  # `select` takes no descriptor beyond 1023
        selector.register(connection, selectors.EVENT_READ)
        return bool(selector.select(0))
