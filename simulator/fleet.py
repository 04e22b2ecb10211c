"""From a scenario's groups to single devices: names, machines, links, split points. Arrays first, objects after."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from devices.heat import NEVER, Throttle, throttle_of
from devices.profile import Profile
from devices.spread import speed_factors
from netmodels.capacity import Constant
from netmodels.topology import Pipe, Topology
from simulator.fitting import Placement, placements
from simulator.links import access_pipes
from simulator.scenario import Cell, Group, Pair, Scenario
from simulator.streams import stream

MOST_EXAMPLES: Final = 2_000_000
"""So many examples of all devices together are written and encoded before training, also of those who never take part:
64 positions of one take 512 bytes, all of them 1 GB. In a larger fleet a device's are written when it first trains."""


def is_crowd(scenario: Scenario) -> bool:
    """True for a fleet whose data are not made whole."""
    return scenario.fleet_size * scenario.data.samples_per_device > MOST_EXAMPLES


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


@dataclass(frozen=True, slots=True)
class _Kind:
    """The devices of one group that take part: what they have in common, and what each has drawn."""

    group: Group
    first: int  # index of the first one
    profile: Profile
    throttle: Throttle
    split: int
    speeds: NDArray[np.float64]
    pipe: Callable[[int], Pipe]
    cells: Sequence[str]  # of its kind of cell; devices are dealt out in turn
    dealt: int  # devices of earlier groups in these cells

    def name(self, number: int) -> str:
        """``group`` if it is the only one, else ``group-07``."""
        group, digits = self.group, len(str(self.group.count))
        return group.name if group.count == 1 else f"{group.name}-{number + 1:0{digits}d}"


class Fleet(Sequence[Member]):
    """Every device that takes part, in the order of the groups, with the split it can hold; each made when asked for.

    Kept are arrays: speeds and what the links draw, some ten numbers a device. Speeds and rates are drawn from streams
    named after the group, one draw per device in turn: changing one group, or appending devices to it, leaves
    everybody else's speed and rates as they were. So does dropping one for want of memory, and it keeps its place in
    its cell.
    """

    def __init__(self, scenario: Scenario, placed: Sequence[Placement]) -> None:
        """Draw the arrays of all groups that take part."""
        self._kinds = list(_kinds(scenario, placed))
        self._ends = [kind.first + kind.group.count for kind in self._kinds]
        self._by_group = {kind.group.name: kind for kind in self._kinds}

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Member: ...

    @overload
    def __getitem__(self, index: slice) -> list[Member]: ...

    def __getitem__(self, index: int | slice) -> Member | list[Member]:
        """Make a device, or several; equal ones for equal indices."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} devices, none has index {index}")
        kind, number = self._locate(index % len(self))
        cells = kind.cells
        return Member(
            kind.first + number,
            kind.name(number),
            kind.group.name,
            number,
            kind.profile,
            float(kind.speeds[number]) * (1 - kind.group.background),
            kind.group.jitter,
            kind.throttle,
            kind.split,
            kind.group.rank,
            kind.pipe(number),
            cells[(kind.dealt + number) % len(cells)] if cells else None,
        )

    @property
    def sizes(self) -> dict[str, int]:
        """Devices of each group that takes part, by its name."""
        return {kind.group.name: kind.group.count for kind in self._kinds}

    @property
    def kinds(self) -> list[tuple[int, int, int]]:
        """Split, rank and number of devices of each group that takes part, in order."""
        return [(kind.split, kind.group.rank, kind.group.count) for kind in self._kinds]

    @property
    def splits(self) -> list[int]:
        """The split of every device."""
        return [split for split, _, count in self.kinds for _ in range(count)]

    @property
    def ranks(self) -> list[int]:
        """The LoRA rank of every device."""
        return [rank for _, rank, count in self.kinds for _ in range(count)]

    @property
    def ranges(self) -> dict[str, range]:
        """The indices of each group that takes part, by its name."""
        return {kind.group.name: range(kind.first, kind.first + kind.group.count) for kind in self._kinds}

    def speeds_of(self, group: str) -> NDArray[np.float64]:
        """How fast each device of a group is, relative to its profile; see `Member`."""
        kind = self._by_group[group]
        return kind.speeds * (1 - kind.group.background)

    def place(self, index: int) -> tuple[str, str, int]:
        """Name, group and number in the group of a device, without making it."""
        kind, number = self._locate(index)
        return kind.name(number), kind.group.name, number

    def first_of(self, group: str) -> str:
        """The name of a group's first device."""
        return self._by_group[group].name(0)

    def group_of(self, name: str) -> str | None:
        """The group of the device of that name; None where there is no such device."""
        if name in self._by_group:
            return name
        group = name.rpartition("-")[0]
        return group if group in self._by_group else None

    def named(self, name: str) -> Member:
        """The device of that name. Raises ValueError where there is no such device."""
        group = self.group_of(name)
        number = 0 if group == name else int(name.rpartition("-")[2] or 0) - 1
        kind = self._by_group.get(group or "")
        if kind is None or not 0 <= number < kind.group.count or kind.name(number) != name:
            raise ValueError(f"there is no device {name!r}")
        return self[kind.first + number]

    def _locate(self, index: int) -> tuple[_Kind, int]:
        kind = self._kinds[bisect_right(self._ends, index)]
        return kind, index - kind.first


def members(scenario: Scenario, placed: Sequence[Placement] | None = None) -> Fleet:
    """Every device that takes part; see `Fleet`."""
    return Fleet(scenario, placements(scenario) if placed is None else placed)


def _kinds(scenario: Scenario, placed: Sequence[Placement]) -> Iterator[_Kind]:
    first, dealt = 0, Counter[str]()
    for place in placed:
        group = place.group
        before = dealt[group.cell or ""]
        dealt[group.cell or ""] += group.count
        if place.split is None:
            continue
        profile = scenario.profile_of(group)
        yield _Kind(
            group,
            first,
            profile,
            throttle_of(profile) if group.heat else NEVER,
            place.split,
            group.speed * speed_factors(stream(scenario.seed, "speed", group.name), group.count, group.speed_spread),
            access_pipes(scenario, group),
            _cell_names(group.cell, scenario.network.cells[group.cell].count) if group.cell else (),
            before,
        )
        first += group.count


def topology(scenario: Scenario) -> Topology:
    """The links of the network without devices; each is added when it first takes part (`Topology.join`)."""
    network = scenario.network
    cells = {name: _pipe(cell) for kind, cell in network.cells.items() for name in _cell_names(kind, cell.count)}
    return Topology(
        access={},
        cells=cells,
        cell_of={},
        backhaul=_pipe(network.backhaul) if network.backhaul else None,
        server=_pipe(network.server),
        aggregator=_pipe(network.aggregator),
    )


def _pipe(pair: Pair) -> Pipe:
    up, down = pair.rates
    return Pipe(Constant(up), Constant(down), pair.latency, airtime=pair.airtime if isinstance(pair, Cell) else None)


def _cell_names(kind: str, count: int) -> list[str]:
    return [kind] if count == 1 else [f"{kind}-{number + 1}" for number in range(count)]
