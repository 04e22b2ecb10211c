"""Times the cuts of a plan: one device of a class alone, and the whole fleet, both with the parts of a real run.

Both are timing-only runs up to the first average, from cold devices and cold connections. What a round costs is the
mean over those rounds: the exchange of adapters counts with its share, one in so many rounds as the scenario says.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from devices.energy import battery_percent
from devices.memory import available_bytes
from simulator import world
from simulator.algorithms.sequential import RECEIPT_BYTES
from simulator.clock import Stalled
from simulator.energy import Figures, figures
from simulator.failure import RunFailed
from simulator.fitting import workload
from simulator.record import Record
from simulator.scenario import Scenario
from simulator.whatif.plan_space import Cut, alone, device_rounds, first_interval, with_cuts
from simulator.workload import SplitWorkload

PARTS: Final = ("client_forward_s", "uplink_s", "server_s", "downlink_s", "client_backward_s", "adapters_s")
HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a class can hold a cut: bytes by part, what one of its devices has, and what the server lacks."""

    parts: Mapping[str, int]
    usable_bytes: int
    server_lacks_bytes: int = 0

    @property
    def need_bytes(self) -> int:
        """All parts."""
        return sum(self.parts.values())

    @property
    def lacks_bytes(self) -> int:
        """What a device has too little; 0 where it fits."""
        return max(0, self.need_bytes - self.usable_bytes)

    @property
    def fits(self) -> bool:
        """True where the device and the server can hold their parts."""
        return not self.lacks_bytes and not self.server_lacks_bytes


@dataclass(frozen=True, slots=True)
class Step:
    """A round of one device alone, in seconds by part; ``energy_j`` is None where a figure is unknown."""

    parts: Mapping[str, float]
    energy_j: float | None

    @property
    def step_s(self) -> float:
        """All parts."""
        return math.fsum(self.parts.values())


@dataclass(frozen=True, slots=True)
class Used:
    """What a device of a group uses in a round of the fleet, on average, and the battery of the one that uses most."""

    energy_j: float | None
    battery_percent_per_hour: float | None


@dataclass(frozen=True, slots=True)
class Timed:
    """A round of the whole fleet: contention and waiting included; ``energy_j`` of all devices, None where unknown."""

    round_s: float
    energy_j: float | None
    bytes_up: float
    bytes_down: float
    groups: Mapping[str, Used]


class Stopwatch:
    """Times a scenario's cuts, each once."""

    def __init__(self, scenario: Scenario) -> None:
        """Take the scenario whose splits and ranks are varied."""
        self.scenario = scenario
        self.figures: Mapping[str, Figures] = figures(scenario)
        self._groups = {group.name: group for group in scenario.groups}
        self._short = first_interval(scenario)
        self._steps: dict[tuple[str, Cut], Step] = {}
        self._fleets: dict[tuple[Cut, ...], Timed] = {}

    @property
    def rounds(self) -> int:
        """How many rounds are timed."""
        return self._short.training.rounds

    @property
    def device_rounds(self) -> int:
        """How much there is to time in a fleet."""
        return device_rounds(self._short)

    @property
    def retimings(self) -> int:
        """How many fleets have been timed."""
        return len(self._fleets)

    def costs(self, cut: Cut) -> SplitWorkload:
        """What a device computes, sends and holds."""
        return workload(self.scenario, split=cut.split, rank=cut.rank)

    def fit(self, group: str, cut: Cut) -> Fit:
        """Memory of a class."""
        costs = self.costs(cut)
        server = self.scenario.find_profile(self.scenario.server.profile)
        lacks = sum(costs.server_memory.values()) - available_bytes(server)
        usable_bytes = available_bytes(self.scenario.profile_of(self._groups[group]))
        return Fit(costs.client_memory, usable_bytes, max(0, lacks))

    def bytes_per_round(self, cut: Cut) -> tuple[float, float]:
        """Frames of one device up and down, adapters with their share."""
        costs = self.costs(cut)
        adapters, receipts = costs.adapter_bytes / self._every, RECEIPT_BYTES if self._relays else 0
        return costs.activation_bytes + adapters, costs.gradient_bytes + adapters + receipts

    def step(self, group: str, cut: Cut) -> Step:
        """A device of a class alone. Raises RunFailed where it cannot come to an end."""
        if (group, cut) not in self._steps:
            outcome = _run(with_cuts(alone(self._short, self._groups[group]), {group: cut}))
            rounds = self._rounds(outcome)
            (used,) = rounds.joules(self.figures).values()
            self._steps[group, cut] = Step(_parts(rounds), _known(used[0]))
        return self._steps[group, cut]

    def fleet(self, cuts: Mapping[str, Cut]) -> Timed:
        """The whole fleet. Raises ValueError where a part does not fit, RunFailed where it cannot come to an end."""
        key = tuple(cuts[group] for group in self._groups)
        if key not in self._fleets:
            self._fleets[key] = self._timed(with_cuts(self._short, cuts))
        return self._fleets[key]

    def as_it_stands(self) -> Timed:
        """The whole fleet with the scenario's own splits and ranks, as far as they fit (``on_oom``); see `fleet`."""
        return self._timed(self._short)

    @property
    def _relays(self) -> bool:
        """True where adapters are handed on in every round, whatever ``aggregate_every`` says."""
        return self.scenario.algorithm == "sequential"

    @property
    def _every(self) -> int:
        """Rounds with one exchange of adapters."""
        return 1 if self._relays else self.scenario.training.aggregate_every

    def _rounds(self, outcome: world.Outcome) -> _Rounds:
        return _Rounds(outcome, self.rounds if self._relays else self.scenario.training.aggregate_every)

    def _timed(self, scenario: Scenario) -> Timed:
        outcome = _run(scenario)
        rounds = self._rounds(outcome)
        used = rounds.joules(self.figures)
        return Timed(
            rounds.round_s,
            _known(math.fsum(sum(each) for each in used.values())),
            *rounds.traffic(),
            {group: self._used(group, each, rounds.round_s) for group, each in used.items()},
        )

    def _used(self, group: str, joules: Sequence[float], round_s: float) -> Used:
        most = self.battery_percent_per_hour(group, _known(max(joules)), round_s)
        return Used(_known(math.fsum(joules) / len(joules)), most)

    def battery_percent_per_hour(self, group: str, energy_j: float | None, seconds: float) -> float | None:
        """Per cent of a full battery of that group that so many joules in so many seconds take in an hour."""
        battery_wh = self.figures[group].battery_wh
        if energy_j is None or math.isnan(battery_wh):
            return None
        return battery_percent(energy_j, battery_wh) * HOUR_S / seconds


@dataclass(frozen=True, slots=True)
class _Rounds:
    """The mean round of a short run, of which the end is an exchange of adapters that belongs to ``every`` rounds."""

    outcome: world.Outcome
    every: int

    @property
    def timed(self) -> int:
        """Rounds of the run."""
        return self.outcome.record.rounds[-1].round

    def mean(self, total: float, exchange: float) -> float:
        """Of a sum over the run, in which the exchange of adapters has so large a part."""
        return (total - exchange) / self.timed + exchange / self.every

    @property
    def exchange_s(self) -> float:
        """From the last thing that is no exchange of adapters to the end."""
        record = self.outcome.record
        computed_s = (row.end_s for row in record.computes if row.what == "client backward")
        return record.rounds[-1].end_s - max(computed_s)

    @property
    def round_s(self) -> float:
        """A round, without what passes until somebody is available."""
        record = self.outcome.record
        waited_s = math.fsum(row.end_s - row.start_s for row in record.waits)
        return self.mean(record.rounds[-1].end_s - waited_s, self.exchange_s)

    def traffic(self) -> tuple[float, float]:
        """Bytes of a round that were delivered, up and down."""
        record, both = self.outcome.record, {"up": [0, 0], "down": [0, 0]}
        for row in record.messages:
            if row.outcome == "delivered":
                both[row.direction][row.kind == "adapter"] += row.size_bytes
        up, down = (self.mean(sum(each), each[True]) for each in both.values())
        return up, down

    def joules(self, figures: Mapping[str, Figures]) -> dict[str, list[float]]:
        """Joules of a round for every device that took part, by group; nan where unknown.

        The rounds are taken to be followed by others like them: a radio that stays awake beyond their end does so in
        the time before the first message of the next ones.
        """
        end_s = self.outcome.record.rounds[-1].end_s
        radios = _radios(self.outcome.record)
        groups: defaultdict[str, list[float]] = defaultdict(list)
        for device in self.outcome.devices:
            if device.device not in radios:
                continue
            first_s, last_s, adapters_j = radios[device.device]
            radio = figures[device.group].radio
            tail_j = radio.on_w * max(0.0, last_s + radio.tail_s - end_s) if radio else 0.0
            kept_j = min(tail_j, radio.on_w * first_s) if radio else 0.0
            exchange_j = adapters_j + device.idle_j * self.exchange_s / end_s
            groups[device.group].append(self.mean(device.energy_j - tail_j + kept_j, exchange_j))
        return dict(groups)


def _radios(record: Record) -> dict[str, tuple[float, float, float]]:
    """Of each device: when its first message was queued, when its last one ended, and the joules of its adapters'."""
    radios: dict[str, tuple[float, float, float]] = {}
    for row in record.messages:
        up = row.direction == "up"
        device, end_s = (row.sender, row.sent_s) if up else (row.receiver, row.delivered_s)
        end_s = row.sent_s if math.isnan(end_s) else end_s
        first_s, last_s, adapters_j = radios.get(device, (math.inf, 0.0, 0.0))
        spent_j = row.energy_j if row.kind == "adapter" else 0.0
        radios[device] = min(first_s, row.queued_s), max(last_s, end_s), adapters_j + spent_j
    return radios


def _parts(rounds: _Rounds) -> dict[str, float]:
    """A round of a device that is alone, part by part: one begins when the one before has ended."""
    record = rounds.outcome.record
    up, down = ([row for row in record.messages if row.kind == kind] for kind in ("activations", "gradients"))
    spans = {
        PARTS[0]: [(row.start_s, row.end_s) for row in record.computes if row.what == "client forward"],
        PARTS[1]: [(row.queued_s, row.delivered_s) for row in up],
        PARTS[2]: [(sent.delivered_s, back.queued_s) for sent, back in zip(up, down, strict=True)],
        PARTS[3]: [(row.queued_s, row.delivered_s) for row in down],
        PARTS[4]: [(row.start_s, row.end_s) for row in record.computes if row.what == "client backward"],
    }
    means = {part: math.fsum(end - start for start, end in each) / rounds.timed for part, each in spans.items()}
    return {**means, PARTS[5]: rounds.round_s - math.fsum(means.values())}


def _run(scenario: Scenario) -> world.Outcome:
    try:
        return world.run(scenario, timing_only=True)
    except Stalled as error:
        raise RunFailed(f"cannot be timed: {error}") from error


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
