"""When runs came down to the same perplexities, and after how many bytes, one line for each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich import box
from rich.cells import cell_len
from rich.table import Table

from simulator.views import format as f
from simulator.views.palette import LABEL, STRONG

NEVER = "not reached"


class Reached(NamedTuple):
    """The first evaluation at or below a perplexity: its virtual time, and bytes up and down until then."""

    virtual_s: float
    size_bytes: int


def table(goals: Sequence[float], runs: Mapping[str, Sequence[Reached | None]], width: int) -> Table:
    """Virtual time over bytes, for every goal that fits the width, the lowest first to stay."""
    cells = {
        name: [NEVER if each is None else f"{f.duration(each.virtual_s)}\n{f.size(each.size_bytes)}" for each in found]
        for name, found in runs.items()
    }
    heads = [f"by perplexity\n{f.perplexity(goal)}" for goal in goals]
    wide = max(map(cell_len, ["", *cells])) + 3
    kept = len(heads)
    while (
        kept > 1
        and wide + sum(_width([heads[-k], *(row[-k] for row in cells.values())]) for k in range(1, kept + 1)) > width
    ):
        kept -= 1
    shown = Table(box=box.SIMPLE_HEAD, header_style=LABEL, pad_edge=False)
    shown.add_column("virtual time, bytes", style=STRONG, overflow="fold")
    for head in heads[-kept:]:
        shown.add_column(head, justify="right", no_wrap=True)
    for name, row in cells.items():
        shown.add_row(name, *row[-kept:])
    return shown


def _width(texts: Sequence[str]) -> int:
    return max(cell_len(line) for text in texts for line in text.splitlines()) + 3
