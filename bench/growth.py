"""How the time of every list grows from one size of the database to another: a table and a plot.

    .venv/bin/python bench/lists.py --database URL-OF-S --caller all --open --save s.json
    .venv/bin/python bench/lists.py --database URL-OF-M --caller all --open --save m.json
    .venv/bin/python bench/growth.py s.json m.json

It needs the packages of the group `bench` (`pip install --group bench`), and writes growth.svg beside this file.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["svg.hashsalt"] = "growth"  # else the ids in the file differ each time
import matplotlib.pyplot as plt  # noqa: E402

WAYS = ("exact", "none")


def main() -> None:
    """Print the table and draw the plot."""
    small, large = (_read(Path(name)) for name in sys.argv[1:3])
    names = [name for name in large if name in small]
    print("| first page of | rows | CPU ms, exact | CPU ms, `count=none` |\n|---|---|---|---|")
    for name in names:
        one, other = small[name], large[name]
        cells = [f"{one[way]['cpu']:.1f} → {other[way]['cpu']:.1f}" for way in WAYS]
        print(f"| {name} | {_rows(one):,} → {_rows(other):,} | {' | '.join(cells)} |")
    _draw(names, small, large)


def _read(file: Path) -> dict[str, Any]:
    found = json.loads(file.read_text())
    wide = (row for row in found if row["open"] and re.match(r"first, of", row["page"]))
    return {row["list"]: row for row in wide}


def _rows(row: dict[str, Any]) -> int:
    return int(row["page"].rpartition(" ")[2].replace(",", ""))


def _draw(names: list[str], small: dict[str, Any], large: dict[str, Any]) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(10, 5), sharey=True)
    for way, axis in zip(WAYS, axes, strict=True):
        for name in names:
            counted = [_rows(small[name]), _rows(large[name])]
            if counted[1] >= 1000:
                axis.plot(counted, [small[name][way]["cpu"], large[name][way]["cpu"]], marker="o", label=name)
        axis.set(xscale="log", yscale="log", xlabel="rows in the list, S and M", title=f"first page, count={way}")
        axis.axhline(200, color="grey", linestyle=":")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("CPU milliseconds of a request")
    axes[1].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(Path(__file__).with_name("growth.svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
