"""The live terminal view: both clocks, learning, bytes and the slowest devices while the run goes on.

Observer calls only add to a tally. A thread of rich redraws a few times a second; it reads numbers that the run is
just writing, which is harmless, and a ranking of the devices that is made in the run's own thread when a round has
ended. No draw happens in the run's thread but the first and the last.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner

from simulator.record import ComputeRow, MessageRow, RoundRow, WaitRow
from simulator.views.frame import Frame
from simulator.views.info import RunInfo
from simulator.views.snapshot import Phase, Snapshot, State
from simulator.views.tally import Ranking, Tally
from simulator.views.view import View

DRAWS_PER_S: Final = 4
SLOWEST: Final = 5  # devices in the table


class LiveView(View):
    """Shows a run in a terminal. When all went well it leaves nothing behind: the summary comes in its place.

    After a failure or an interrupt the last frame stays. ``clock`` tells this machine's seconds.
    """

    def __init__(self, info: RunInfo, console: Console, *, clock: Callable[[], float] = time.perf_counter) -> None:
        """Take what is known before anything is loaded, and where to draw."""
        self.info, self.console = info, console
        self.tally = Tally()
        self._clock = clock
        self._started_s = clock()
        self._phases: list[Phase] = []
        self._first_s = self._latest_s = math.nan
        self._ranking, self._ranked_s = Ranking(), -math.inf
        self._state: State = "running"
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(
            console=console, get_renderable=self.renderable, refresh_per_second=DRAWS_PER_S, transient=True
        )

    def __enter__(self) -> Self:
        """Draw the first frame; the real clock starts."""
        self._started_s = self._clock()
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the frame away, or leave it where the run failed."""
        self._state = "stopped" if kind else "done"
        self._live.transient = kind is None
        self._live.stop()

    def on_phase(self, what: str) -> None:
        """Show another step of the set-up."""
        self.tally.on_phase(what)
        self._phases.append(Phase(what, self._clock() - self._started_s))

    def on_message(self, row: MessageRow) -> None:
        """Count it."""
        self.tally.on_message(row)

    def on_compute(self, row: ComputeRow) -> None:
        """Count it."""
        self.tally.on_compute(row)

    def on_round(self, row: RoundRow) -> None:
        """Count it; rank the devices unless that has just been done."""
        self.tally.on_round(row)
        self._latest_s = self._clock()
        if row.round == 0:
            self._first_s = self._latest_s
        if row.round >= self.info.rounds or self._latest_s - self._ranked_s >= 1 / DRAWS_PER_S:
            self._ranking, self._ranked_s = self.tally.ranking(SLOWEST), self._latest_s

    def on_wait(self, row: WaitRow) -> None:
        """Count it."""
        self.tally.on_wait(row)

    def renderable(self) -> Frame:
        """The frame of this moment."""
        return Frame(self._snapshot(), self._spinner)

    def __rich__(self) -> Frame:
        return self.renderable()

    def _snapshot(self) -> Snapshot:
        now_s = self._clock()
        return Snapshot(
            self.info,
            self.tally,
            self._ranking,
            tuple(self._phases),
            now_s - self._started_s,
            self._left_s(now_s),
            self._state,
        )

    def _left_s(self, now_s: float) -> float:
        """Real seconds to go, at the pace of the rounds so far."""
        done = self.tally.rounds_done
        if done == 0:
            return math.nan
        pace_s = (self._latest_s - self._first_s) / done
        return max(0.0, pace_s * (self.info.rounds - done) - (now_s - self._latest_s))
