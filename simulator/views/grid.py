"""How far a study is: a bar in a terminal, lines for a pipe or a log, nothing if silent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from simulator.views import format as f
from simulator.views.palette import ACCENT, BAD, LABEL, STRONG
from simulator.views.pieces import progress_bar

SPACING_S: Final = 2.0  # real seconds between two lines
BAR_WIDTH: Final = 40


class Progress:
    """Counts cells. ``clock`` tells this machine's seconds."""

    def __init__(
        self, console: Console, total: int, *, silent: bool = False, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Take where to write, and the number of cells."""
        self.total, self.done, self.cached, self.failed = total, 0, 0, 0
        self._console, self._silent, self._clock = console, silent, clock
        self._started_s = self._written_s = self._phase_s = clock()
        self._doing, self._tried, self._to_try = "", 0, 0
        self._rounds: Sequence[tuple[int, int]] = ()
        live = console.is_terminal and not console.is_dumb_terminal and not console.options.ascii_only
        self._live = Live(console=console, transient=True, auto_refresh=False) if live and not silent else None

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
        self._doing, self._tried, self._to_try, self._phase_s = what, 0, cells, self._clock()
        self._rounds = ()
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
        if at:
            self._show(at_once=False)

    @property
    def left_s(self) -> float | None:
        """Real seconds until what is tried now is done, if it goes on like this; None where nobody knows yet."""
        tried = self._tried + sum(round / rounds for round, rounds in self._rounds)
        if not tried:
            return None
        return (self._clock() - self._phase_s) / tried * (self._to_try - tried)

    def text(self) -> Text:
        """One line: how many of how many, from where, and how long yet."""
        text = Text.assemble((f"{self.done:,} of {self.total:,} cells", STRONG))
        if self.cached:
            text.append(f"  {self.cached:,} known before", LABEL)
        if self.failed:
            text.append(f"  {self.failed:,} without numbers", BAD)
        text.append(f"  real {f.elapsed(self._clock() - self._started_s)}", LABEL)
        if self._doing and self.done < self.total:
            text.append(f"  {self._doing} {self._tried:,} of {self._to_try:,}", LABEL)
            if self._rounds:
                each = "round " if len(self._rounds) == 1 else "rounds "
                text.append(f": {each}{', '.join(f'{round} of {rounds}' for round, rounds in self._rounds)}", LABEL)
            if self.left_s is not None:
                text.append(f", about {f.elapsed(self.left_s, digits=0)} to go", ACCENT)
        return text

    def _show(self, *, at_once: bool) -> None:
        now_s = self._clock()
        if self._live:
            share = self.done / self.total if self.total else 1.0
            self._live.update(Text.assemble(progress_bar(share, BAR_WIDTH), "  ", self.text()), refresh=True)
        elif not self._silent and (at_once or now_s - self._written_s >= SPACING_S):
            self._written_s = now_s
            print(self.text().plain, file=self._console.file, flush=True)
