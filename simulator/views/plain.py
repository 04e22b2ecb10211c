"""One line per phase and per round, for logs, pipes and CI. ASCII only, but for names that are not."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Final, Self

from simulator.record import ComputeRow, MessageRow, RoundRow, WaitRow
from simulator.views import format as f
from simulator.views.info import RunInfo
from simulator.views.tally import Tally
from simulator.views.view import View

FEW_ROUNDS: Final = 20  # so many are all printed
SPACING_S: Final = 1.0  # real seconds between two lines of more rounds


class PlainView(View):
    """Writes lines. Of a long run, rounds less than a second apart are skipped, never the first and the last one.

    Losses are those of the round; bytes are totals so far. A perplexity is given for the rounds after which it was
    taken. ``clock`` tells this machine's seconds.
    """

    def __init__(self, info: RunInfo, out: IO[str], *, clock: Callable[[], float] = time.perf_counter) -> None:
        """Take what is known before anything is loaded, and where to write."""
        self.info = info
        self.tally = Tally()
        self._out, self._clock = out, clock
        self._started_s = clock()
        self._written_s = -math.inf

    def __enter__(self) -> Self:
        """Say what is going to run, and which clock is which."""
        self._started_s = self._clock()
        info = self.info
        self._write(
            f"{info.name}: {info.algorithm} on {info.fleet}, {info.models}, {info.cut}, {info.network} network,"
            f" server {info.server}, {info.rounds} rounds, seed {info.seed}"
        )
        if info.two_models:
            self._write(f"losses are {info.model}'s, time and bytes {info.timed_as}'s")
        for note in info.notes:
            self._write(note)
        self._write("virtual is time in the field, real is time on this machine; bytes are totals so far")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say where it stopped, if it failed."""
        if kind:
            self._write(f"stopped after round {self.tally.rounds_done}/{self.info.rounds}  {self._clocks()}")

    def on_phase(self, what: str) -> None:
        """Write the step."""
        self.tally.on_phase(what)
        self._write(f"{what}  real {f.elapsed(self._clock() - self._started_s)}")

    def on_message(self, row: MessageRow) -> None:
        """Count it."""
        self.tally.on_message(row)

    def on_compute(self, row: ComputeRow) -> None:
        """Count it."""
        self.tally.on_compute(row)

    def on_wait(self, row: WaitRow) -> None:
        """Write that nobody is there, and until when."""
        self.tally.on_wait(row)
        until = f"until virtual {f.duration(row.end_s)}" if math.isfinite(row.end_s) else "and none ever will be"
        self._write(f"round {row.round}/{self.info.rounds}  waits: no {self.info.noun} is available {until}")

    def on_round(self, row: RoundRow) -> None:
        """Write the round, if it is time for a line."""
        self.tally.on_round(row)
        now_s = self._clock()
        edge = row.round <= 1 or row.round >= self.info.rounds
        if edge or self.info.rounds <= FEW_ROUNDS or now_s - self._written_s >= SPACING_S:
            self._written_s = now_s
            self._write(self._line(row))

    def _line(self, row: RoundRow) -> str:
        parts = [f"round {row.round}/{self.info.rounds}", f"virtual {f.duration(row.end_s)}", self._real()]
        if math.isfinite(row.train_loss):
            parts.append(f"train loss {f.loss(row.train_loss)}")
        if math.isfinite(row.perplexity):
            parts.append(f"perplexity {f.perplexity(row.perplexity)}")
        if row.round > 0:
            parts += [f"up {f.size(self.tally.bytes_up)}", f"down {f.size(self.tally.bytes_down)}"]
            if row.dropped or row.participants != self.info.num_devices:
                late = f" ({row.late} too late)" if row.late else ""
                parts.append(f"took part {row.participants}, dropped {row.dropped}{late}")
        if row.slowest:
            parts.append(f"slowest {row.slowest}")
        return "  ".join(parts)

    def _clocks(self) -> str:
        return f"virtual {f.duration(self.tally.now_s)}  {self._real()}"

    def _real(self) -> str:
        return f"real {f.elapsed(self._clock() - self._started_s)}"

    def _write(self, line: str) -> None:
        print(line, file=self._out, flush=True)
