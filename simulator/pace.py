"""How long a step is expected to take each device of a fleet, as arrays: nothing is simulated, no device is made.

A device is taken as cold and alone on its links, at the speed and the rates that it has drawn; jitter, heat, handshakes
and slow start, and all others on shared links are left out. So a real step takes longer, but the order of the devices
is about the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.compute import Work, terms
from simulator import links
from simulator.fitting import workload
from simulator.fleet import Fleet
from simulator.scenario import Group, Pair, Scenario
from simulator.workload import ServerWorkload, SplitWorkload

Seconds = NDArray[np.float64]
Rate = Literal["typical_bps", "peak_bps"]
SHORTEST: Final = 2  # positions of a sequence, where its length is that of its text


class Soonest(NamedTuple):
    """The device that could be the first at the barrier of a round, or at its end, and what it needs for that."""

    group: str
    compute_s: float
    messages_s: float

    @property
    def total_s(self) -> float:
        """From the opening of the round."""
        return self.compute_s + self.messages_s


def step_s(scenario: Scenario, fleet: Fleet) -> Seconds:
    """Seconds of a step of every device, by index, messages and computations; see `_Step`."""
    return np.concatenate([each.step_s() for each in _kinds(scenario, fleet)])


def soonest(scenario: Scenario, fleet: Fleet) -> Soonest:
    """The least time in which a device can be through the first round's barrier, at the best rates that its link knows.

    If nobody is by then, nobody ever is: in later rounds a device that was given up begins anew, and never sooner.
    """
    return min((each.soonest(whole=False) for each in _kinds(scenario, fleet)), key=lambda each: each.total_s)


def fastest(scenario: Scenario, fleet: Fleet) -> Soonest:
    """As `soonest`, for the whole first round; what the server and the aggregator need is left out."""
    return min((each.soonest(whole=True) for each in _kinds(scenario, fleet)), key=lambda each: each.total_s)


class _Step(NamedTuple):
    """A step as the holder of the model decides: computations before and behind a message up and one down.

    Split: forward, activations, gradients, backward. Whole model on the device: both computations, then, ``every`` so
    many rounds, adapters. Whole model at the server: examples.
    """

    before: tuple[Work, ...]
    behind: tuple[Work, ...]
    up_bytes: int
    down_bytes: int
    to: Pair
    every: int

    @classmethod
    def of(cls, scenario: Scenario, costs: SplitWorkload, samples: int) -> _Step:
        """Of a device with so many examples."""
        forward, backward, network = costs.client_forward, costs.client_backward, scenario.network
        if isinstance(costs, ServerWorkload):
            return cls((), (), costs.data_bytes(samples), 0, network.server, 1)
        if scenario.traits.holder == "device":
            adapter_bytes, every = costs.adapter_bytes, scenario.training.aggregate_every
            return cls((forward, backward), (), adapter_bytes, adapter_bytes, network.aggregator, every)
        return cls((forward,), (backward,), costs.activation_bytes, costs.gradient_bytes, network.server, 1)


def _kinds(scenario: Scenario, fleet: Fleet) -> Iterator[_Kind]:
    groups = {group.name: group for group in scenario.groups}
    for (name, devices), (split, rank, _) in zip(fleet.ranges.items(), fleet.kinds, strict=True):
        assert len(devices) == groups[name].count, "a group takes part as a whole"
        yield _Kind(scenario, groups[name], workload(scenario, split=split, rank=rank), fleet.speeds_of(name))


class _Kind(NamedTuple):
    """The devices of one group."""

    scenario: Scenario
    group: Group
    costs: SplitWorkload
    speeds: NDArray[np.float64]

    def step_s(self) -> Seconds:
        """A whole step, at typical rates."""
        step = _Step.of(self.scenario, self.costs, self.scenario.data.samples_per_device)
        up_s = self._message_s("up", step.up_bytes, step.to, "typical_bps")
        down_s = self._message_s("down", step.down_bytes, step.to, "typical_bps")
        return self._compute_s(*step.before, *step.behind) + (up_s + down_s) / step.every

    def soonest(self, *, whole: bool) -> Soonest:
        """Of these devices; none of their messages can be faster. ``whole``: until a round is over, not its barrier."""
        shortest = SHORTEST if self.scenario.data.padding == "longest" else self.costs.tokens
        step = _Step.of(self.scenario, self.costs.of_length(shortest), 1)
        compute_s = self._compute_s(*step.before, *(step.behind if whole else ()))
        messages_s = 0 * compute_s
        if step.every == 1:
            messages_s += self._message_s("up", step.up_bytes, step.to, "peak_bps")
            if whole:
                messages_s += self._message_s("down", step.down_bytes, step.to, "peak_bps")
        at = int(np.argmin(compute_s + messages_s))
        return Soonest(self.group.name, float(compute_s[at]), float(messages_s[at]))

    def _compute_s(self, *works: Work) -> Seconds:
        profile, seconds = self.scenario.profile_of(self.group), np.zeros(self.group.count)
        for cost in (terms(work, profile) for work in works):
            seconds += max(cost.compute_s, cost.memory_s) / self.speeds + cost.launch_s
        return seconds

    def _message_s(self, way: Literal["up", "down"], size_bytes: int, to: Pair, rate: Rate) -> Seconds:
        """A message alone on its way, latency included; infinite where the link typically carries nothing."""
        shared = [*self._shared_links(), to]
        bps = getattr(links.rates(way, self.scenario, self.group), rate)
        bps = np.minimum(bps, min(each.rates[way == "down"] for each in shared if not each.by_airtime))
        latency_s = links.latencies_s(self.scenario, self.group) + sum(each.latency for each in shared)
        if not size_bytes:
            return 0 * latency_s
        with np.errstate(divide="ignore"):
            seconds: Seconds = 8 * size_bytes / bps + latency_s
        return seconds

    def _shared_links(self) -> list[Pair]:
        """What its devices share with others before the server's or the aggregator's own link."""
        network = self.scenario.network
        shared = [network.cells[self.group.cell] if self.group.cell else None, network.backhaul]
        return [each for each in shared if each is not None]
