"""What a terminal can show, and telling in it what is being done."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console

from simulator.views import format as f

SPACING_S: Final = 2.0  # real seconds between two lines


def redraws(console: Console) -> bool:
    """Whether lines can be drawn again: not in a pipe, a log, or a terminal without cursor or UTF-8."""
    return console.is_terminal and not console.is_dumb_terminal and not console.options.ascii_only


@contextmanager
def telling(
    console: Console, first: str, *, lines: bool = True, clock: Callable[[], float] = time.perf_counter
) -> Iterator[Callable[[str], None]]:
    """Tell what is being done: in one line that changes, else in ``lines`` that are two seconds apart at least.

    The line that changes begins with ``first``; what is refused at once leaves no lines. ``clock`` tells this machine's
    seconds.
    """
    if redraws(console):
        with console.status(first) as status:
            yield status.update
        return
    started_s, written_s = clock(), -math.inf

    def tell(what: str) -> None:
        nonlocal written_s
        now_s = clock()
        if lines and not console.quiet and now_s - written_s >= SPACING_S:
            written_s = now_s
            print(f"{what}  real {f.elapsed(now_s - started_s)}", file=console.file, flush=True)

    yield tell
