"""What all makers of bulk rows share: one random generator, the ids, and the rows until they are written."""

from __future__ import annotations

import pickle
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from windsock.demo.bulk_copy import Rows


class Source:
    """Rows by table, as tuples in the order of bulk_copy.COLUMNS; `ids` has the highest id of each table so far."""

    def __init__(self, pick: random.Random, ids: dict[str, int], blob: Callable[[bytes], Any]) -> None:
        self.pick, self.ids, self.blob = pick, ids, blob
        self.rows: Rows = defaultdict(list)

    def next(self, table: str) -> int:
        """The next id of a table."""
        self.ids[table] += 1
        return self.ids[table]

    def pickled(self, value: Any) -> Any:
        """Plain data as a column of pickles holds it."""
        return self.blob(pickle.dumps(value, protocol=5))

    def take(self) -> Rows:
        """The rows so far, which are forgotten here."""
        taken, self.rows = self.rows, defaultdict(list)
        return taken
