"""What a view needs to know of a run so far, kept up row by row: a few sums, no drawing.

A device's time in a round runs from its first row of that round to its last one. It is split into computing, sending
(from the moment a message is queued until it is delivered, the network's latency included), receiving (likewise, from
the moment the server has queued the message for it) and waiting, which is the rest: for other devices, for the server,
for the aggregator. An outage is not told from the sending or receiving that it holds up: rows do not say when a link
was dead. Algorithms in which the rounds of one device overlap are not split correctly.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import nlargest
from typing import NamedTuple

from simulator.record import ComputeRow, MessageRow, Observer, RoundRow, WaitRow


class Traffic(NamedTuple):
    """Frames delivered from and to one device, in bytes."""

    up_bytes: int
    down_bytes: int


def traffic(messages: Iterable[MessageRow]) -> dict[str, Traffic]:
    """Bytes of every device that sent or received anything; only what was delivered counts."""
    up: Counter[str] = Counter()
    down: Counter[str] = Counter()
    receivers = set()
    for row in messages:
        if row.outcome != "delivered":
            continue
        if row.direction == "up":
            up[row.sender] += row.size_bytes
            receivers.add(row.receiver)
        else:
            down[row.receiver] += row.size_bytes
    return {name: Traffic(up[name], down[name]) for name in (up | down).keys() - receivers}


class DeviceTime(NamedTuple):
    """Where a device's time went, in virtual seconds of its average round; and how many rounds it finished last."""

    device: str
    compute_s: float
    uplink_s: float
    downlink_s: float
    waiting_s: float
    rounds_last: int

    @property
    def parts_s(self) -> tuple[float, float, float, float]:
        """Compute, uplink, downlink, waiting."""
        return self.compute_s, self.uplink_s, self.downlink_s, self.waiting_s

    @property
    def busy_s(self) -> float:
        """All but waiting."""
        return self.compute_s + self.uplink_s + self.downlink_s

    @property
    def span_s(self) -> float:
        """The whole round, from the device's first row in it to its last."""
        return self.busy_s + self.waiting_s


class Ranking(NamedTuple):
    """The devices that were busy longest, longest first, and the mean of all devices (None before the first round)."""

    slowest: tuple[DeviceTime, ...] = ()
    mean: DeviceTime | None = None
    devices: int = 0


@dataclass(slots=True)
class _Spent:
    """Sums over an actor's finished rounds (``all``) and over the one that is going on: computing, up, down, span."""

    rounds: int = 0
    all_compute_s: float = 0.0
    all_uplink_s: float = 0.0
    all_downlink_s: float = 0.0
    all_span_s: float = 0.0
    round: int = -1
    start_s: float = 0.0
    end_s: float = 0.0
    compute_s: float = 0.0
    uplink_s: float = 0.0
    downlink_s: float = 0.0

    def reach(self, round: int, start_s: float, end_s: float) -> None:
        """Stretch the round to hold this span; another round closes the one before."""
        if round != self.round:
            self.close()
            self.round, self.start_s, self.end_s = round, start_s, end_s
        elif end_s > self.end_s:
            self.end_s = end_s

    def close(self) -> None:
        """Count the round that was going on as finished."""
        if self.round < 0:
            return
        self.rounds += 1
        self.all_compute_s += self.compute_s
        self.all_uplink_s += self.uplink_s
        self.all_downlink_s += self.downlink_s
        self.all_span_s += self.end_s - self.start_s
        self.round = -1
        self.compute_s = self.uplink_s = self.downlink_s = 0.0

    def mean(self, device: str, rounds_last: int) -> DeviceTime:
        """Per finished round."""
        per_round = [
            total_s / self.rounds
            for total_s in (self.all_compute_s, self.all_uplink_s, self.all_downlink_s, self.all_span_s)
        ]
        compute_s, uplink_s, downlink_s, span_s = per_round
        waiting_s = max(0.0, span_s - compute_s - uplink_s - downlink_s)
        return DeviceTime(device, compute_s, uplink_s, downlink_s, waiting_s, rounds_last)


@dataclass(slots=True)
class Tally(Observer):
    """The state of a run as its rows tell it. Bytes are frames as delivered; ``now_s`` is the virtual clock.

    ``perplexities`` has one value a round, row 0 included: the latest that was taken, nan before the first.
    """

    phases: list[str] = field(default_factory=list)
    now_s: float = 0.0
    bytes_up: int = 0
    bytes_down: int = 0
    last: RoundRow | None = None
    rounds_done: int = 0
    train_losses: list[float] = field(default_factory=list)
    perplexities: list[float] = field(default_factory=list)
    evaluations: int = 0
    rounds_last: Counter[str] = field(default_factory=Counter)
    dropped: int = 0  # devices that were gone before they had finished a round, all rounds together
    waited_s: float = 0.0  # virtual time in which nobody was available
    _spent: dict[str, _Spent] = field(default_factory=dict)
    _servers: set[str] = field(default_factory=set)

    @property
    def perplexity_before(self) -> float:
        """The first one that was taken on held-out data; nan if none was."""
        return next((value for value in self.perplexities if math.isfinite(value)), math.nan)

    @property
    def perplexity(self) -> float:
        """The latest one that was taken; nan if none was."""
        return self.perplexities[-1] if self.perplexities else math.nan

    @property
    def train_loss(self) -> float:
        """Of the last round; nan if nothing is trained."""
        return self.train_losses[-1] if self.train_losses else math.nan

    def on_phase(self, what: str) -> None:
        """Set-up has reached another step."""
        self.phases.append(what)

    def on_message(self, row: MessageRow) -> None:
        """Count bytes, and the time of the device at one end."""
        up = row.direction == "up"
        if row.outcome == "delivered":
            self.now_s = end_s = row.delivered_s
            if up:
                self.bytes_up += row.size_bytes
            else:
                self.bytes_down += row.size_bytes
        else:
            self.now_s = end_s = row.sent_s
        if up:
            self._servers.add(row.receiver)
        spent = self._of(row.sender if up else row.receiver)
        spent.reach(row.round, row.queued_s, end_s)
        if up:
            spent.uplink_s += end_s - row.queued_s
        else:
            spent.downlink_s += end_s - row.queued_s

    def on_compute(self, row: ComputeRow) -> None:
        """Count the time of an actor."""
        self.now_s = row.end_s
        spent = self._of(row.actor)
        spent.reach(row.round, row.start_s, row.end_s)
        spent.compute_s += row.end_s - row.start_s

    def on_round(self, row: RoundRow) -> None:
        """Note losses and who was last."""
        self.last = row
        self.now_s = max(self.now_s, row.end_s)
        self.rounds_done = row.round
        if row.slowest:
            self.rounds_last[row.slowest] += 1
        if row.round > 0:
            self.dropped += row.dropped
        if math.isfinite(row.train_loss):
            self.train_losses.append(row.train_loss)
        taken = math.isfinite(row.perplexity)
        self.perplexities.append(row.perplexity if taken else self.perplexity)
        self.evaluations += taken

    def on_wait(self, row: WaitRow) -> None:
        """Note the time that passes until somebody is available; none if nobody ever is."""
        if math.isfinite(row.end_s):
            self.waited_s += row.end_s - row.start_s
            self.now_s = row.end_s

    def ranking(self, count: int) -> Ranking:
        """The ``count`` devices that were busy longest in their average round, waiting left out.

        Call it when a round has ended: rows of that round close it.
        """
        times = []
        for name, spent in self._spent.items():
            if 0 < spent.round <= self.rounds_done:
                spent.close()
            if spent.rounds and name not in self._servers:
                times.append(spent.mean(name, self.rounds_last[name]))
        slowest = nlargest(count, times, key=lambda time: (time.busy_s, time.rounds_last))
        return Ranking(tuple(slowest), _mean(times), len(times))

    def _of(self, actor: str) -> _Spent:
        spent = self._spent.get(actor)
        if spent is None:
            spent = self._spent[actor] = _Spent()
        return spent


def _mean(times: list[DeviceTime]) -> DeviceTime | None:
    if not times:
        return None
    columns = list(zip(*(time[1:5] for time in times), strict=True))
    compute_s, uplink_s, downlink_s, waiting_s = (math.fsum(column) / len(times) for column in columns)
    return DeviceTime("mean", compute_s, uplink_s, downlink_s, waiting_s, 0)
