"""All that a frame shows, at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from simulator.views.info import RunInfo
from simulator.views.tally import Ranking, Tally

State = Literal["running", "done", "stopped"]


class Phase(NamedTuple):
    """A step of the set-up, and the real second (since the view was entered) in which it began."""

    what: str
    start_s: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment. ``real_s`` and ``left_s`` are this machine's time, spent and to go; the rest is virtual.

    ``left_s`` is nan until a round has been done.
    """

    info: RunInfo
    tally: Tally
    ranking: Ranking
    phases: Sequence[Phase]
    real_s: float
    left_s: float
    state: State

    @property
    def phase(self) -> Phase:
        """The step that is going on."""
        return self.phases[-1] if self.phases else Phase("starting", 0.0)
