"""How far a study is: a bar in a terminal, lines for a pipe or a log, nothing if silent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.text import Text

from simulator.views import format as f
from simulator.views.palette import ACCENT, BAD, LABEL, STRONG
from simulator.views.pieces import progress_bar
from simulator.views.terminal import SPACING_S, redraws

BAR_WIDTH: Final = 40  # at most: the text has the first claim on the line
LEAST_BAR_WIDTH: Final = 4  # a shorter one shows nothing
SPARED: Final = ("real", "cached", "rounds", "failed")  # of the line, the first to go where it is too long


class _Mark(NamedTuple):
    """From when on is measured how fast cells go: the time, how many were over then, and whether a round was."""

    at_s: float
    over: float
    started: bool


class Progress:
    """Counts cells. ``clock`` tells this machine's seconds."""

    def __init__(
        self, console: Console, total: int, *, silent: bool = False, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Take where to write, and the number of cells."""
        self.total, self.done, self.cached, self.failed = total, 0, 0, 0
        self._console, self._silent, self._clock = console, silent, clock
        self._started_s = self._written_s = clock()
        self._doing, self._tried, self._to_try = "", 0, 0
        self._rounds: Sequence[tuple[int, int]] = ()
        self._since = _Mark(self._started_s, 0.0, started=False)
        live = redraws(console) and not silent
        self._live = Live(console=console, transient=True, auto_refresh=False) if live else None

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop showing."""
        if self._live:
            self._live.stop()

    def phase(self, what: str, cells: int) -> None:
        """So many cells are now tried in one way."""
        self._doing, self._tried, self._to_try = what, 0, cells
        self._rounds, self._since = (), _Mark(self._clock(), 0.0, started=False)
        self._show(at_once=True)

    def skip(self, cells: int) -> None:
        """So many cells are known already."""
        self.done += cells
        self.cached += cells
        self._show(at_once=self.done == self.total)

    def step(self, *, cells: int = 1, failed: bool = False) -> None:
        """So many cells are done, all with one piece of work."""
        self.done += cells
        self._tried += 1
        self.failed += cells if failed else 0
        self._show(at_once=self.done == self.total)

    def rounds(self, at: Sequence[tuple[int, int]]) -> None:
        """The cells that are being tried are at such a round of so many."""
        self._rounds = at
        if not self._since.started and any(round for round, _ in at):
            self._since = _Mark(self._clock(), self._over, started=True)
        if at:
            self._show(at_once=False)

    @property
    def left_s(self) -> float | None:
        """Real seconds until what is tried now is done, if it goes on like this; None where nobody knows yet.

        What trains is timed from the end of its first round: before it torch and the model are loaded, once.
        """
        over = self._over
        if over <= self._since.over:
            return None
        return (self._clock() - self._since.at_s) / (over - self._since.over) * (self._to_try - over)

    @property
    def _over(self) -> float:
        """How many of the cells that are tried now are over, with the shares of those that are at it."""
        return self._tried + sum(round / rounds for round, rounds in self._rounds)

    def text(self, width: int | None = None) -> Text:
        """One line: how many of how many, from where, and how long yet.

        Where that is longer than ``width`` it goes without what tells least.
        """
        parts = self._parts()
        for spared in SPARED:
            if width is not None and sum(cell_len(text) for text, _ in parts.values()) > width:
                parts.pop(spared, None)
        return Text.assemble(*parts.values(), no_wrap=True, overflow="ellipsis")

    def _parts(self) -> dict[str, tuple[str, str]]:
        """The parts of the line in their order, by name, with their styles."""
        parts = {"done": (f"{self.done:,} of {self.total:,} cells", STRONG)}
        if self.cached:
            parts["cached"] = (f"  {self.cached:,} known before", LABEL)
        if self.failed:
            parts["failed"] = (f"  {self.failed:,} without numbers", BAD)
        parts["real"] = (f"  real {f.elapsed(self._clock() - self._started_s)}", LABEL)
        if self._doing and self.done < self.total:
            parts["doing"] = (f"  {self._doing} {self._tried:,} of {self._to_try:,}", LABEL)
            if self._rounds:
                each = "round " if len(self._rounds) == 1 else "rounds "
                at = ", ".join(f"{round} of {rounds}" for round, rounds in self._rounds)
                parts["rounds"] = (f": {each}{at}", LABEL)
            if self.left_s is not None:
                parts["left"] = (f", about {f.elapsed(self.left_s, digits=0)} to go", ACCENT)
        return parts

    def _line(self) -> Text:
        """The bar and the text, on one line of the terminal: the bar has what the text leaves."""
        text = self.text(self._console.width - LEAST_BAR_WIDTH - 2)
        room = min(BAR_WIDTH, self._console.width - text.cell_len - 2)
        if room < LEAST_BAR_WIDTH:  # a terminal that is narrower than the barest text with a bar
            return text
        share = self.done / self.total if self.total else 1.0
        return Text.assemble(progress_bar(share, room), "  ", text, no_wrap=True)

    def _show(self, *, at_once: bool) -> None:
        now_s = self._clock()
        if self._live:
            self._live.update(self._line(), refresh=True)
        elif not self._silent and (at_once or now_s - self._written_s >= SPACING_S):
            self._written_s = now_s
            print(self.text().plain, file=self._console.file, flush=True)
