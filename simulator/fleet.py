"""From a scenario's groups to single devices: names, machines, links, split points. Arrays first, objects after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from devices.heat import NEVER, Throttle, throttle_of
from devices.profile import Profile
from devices.spread import speed_factors
from netmodels.capacity import Constant
from netmodels.topology import Pipe, Topology
from simulator.fitting import Placement, placements
from simulator.links import access_pipes
from simulator.scenario import Cell, Group, Pair, Scenario
from simulator.streams import stream


@dataclass(frozen=True, slots=True)
class Member:
    """One device of the fleet: ``speed`` is relative to its profile, ``cell`` is one of the scenario's or None.

    ``speed`` has what other programs leave of it; ``jitter`` is the lognormal sigma of each computation's time.
    """

    index: int
    name: str
    group: str
    number: int  # in its group, from 0
    profile: Profile
    speed: float
    jitter: float
    throttle: Throttle
    split: int
    rank: int
    access: Pipe
    cell: str | None


def members(scenario: Scenario, placed: Sequence[Placement] | None = None) -> list[Member]:
    """Every device that takes part, in the order of the groups, with the split it can hold.

    Speeds and rates are drawn from streams named after the group, one draw per device in turn: changing one group, or
    appending devices to it, leaves everybody else's speed and rates as they were. So does dropping one for want of
    memory, and it keeps its place in its cell.
    """
    return list(_members(scenario, placements(scenario) if placed is None else placed))


def _members(scenario: Scenario, placed: Sequence[Placement]) -> Iterator[Member]:
    index, dealt = 0, Counter[str]()
    for place in placed:
        group = place.group
        profile = scenario.find_profile(group.profile)
        throttle = throttle_of(profile) if group.heat else NEVER
        pipes = access_pipes(scenario, group)
        speeds = speed_factors(stream(scenario.seed, "speed", group.name), group.count, group.speed_spread)
        digits = len(str(group.count))
        for number in range(group.count):
            cell = _cell_name(scenario, group, dealt)
            if place.split is None:
                continue
            yield Member(
                index,
                group.name if group.count == 1 else f"{group.name}-{number + 1:0{digits}d}",
                group.name,
                number,
                profile,
                float(speeds[number]) * (1 - group.background),
                group.jitter,
                throttle,
                place.split,
                group.rank,
                pipes[number],
                cell,
            )
            index += 1


def topology(scenario: Scenario, fleet: list[Member]) -> Topology:
    """The links between the fleet, the server and the aggregation server."""
    network = scenario.network
    cells = {name: _pipe(cell) for kind, cell in network.cells.items() for name in _cell_names(kind, cell.count)}
    return Topology(
        access={member.name: member.access for member in fleet},
        cells=cells,
        cell_of={member.name: member.cell for member in fleet if member.cell is not None},
        backhaul=_pipe(network.backhaul) if network.backhaul else None,
        server=_pipe(network.server),
        aggregator=_pipe(network.aggregator),
    )


def _pipe(pair: Pair) -> Pipe:
    up, down = pair.rates
    return Pipe(Constant(up), Constant(down), pair.latency, airtime=pair.airtime if isinstance(pair, Cell) else None)


def _cell_names(kind: str, count: int) -> list[str]:
    return [kind] if count == 1 else [f"{kind}-{number + 1}" for number in range(count)]


def _cell_name(scenario: Scenario, group: Group, dealt: Counter[str]) -> str | None:
    """The cell of the group's next device: equal cells of one kind are dealt out in turn, over all groups."""
    if group.cell is None:
        return None
    names = _cell_names(group.cell, scenario.network.cells[group.cell].count)
    dealt[group.cell] += 1
    return names[(dealt[group.cell] - 1) % len(names)]
