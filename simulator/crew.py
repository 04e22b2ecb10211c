"""The devices of a run as actors: each is made, and wired to the network, when it first takes part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from netmodels.topology import Topology
from simulator.actors import Device, Jitter, Machine
from simulator.fitting import workload
from simulator.fleet import Fleet
from simulator.record import Record
from simulator.scenario import Scenario
from simulator.transport import Transport


class Crew(Sequence[Device]):
    """Devices by their index in the fleet. One that has taken part is kept, with its links and its heat."""

    def __init__(
        self, scenario: Scenario, fleet: Fleet, routes: Topology, *, transport: Transport, record: Record
    ) -> None:
        """Take the fleet, and what its devices are connected with."""
        self._seed, self._fleet, self._routes = scenario.seed, fleet, routes
        self._transport, self._record = transport, record
        self._costs = {(split, rank): workload(scenario, split=split, rank=rank) for split, rank, _ in fleet.kinds}
        self._made: dict[int, Device] = {}

    def __len__(self) -> int:
        return len(self._fleet)

    @overload
    def __getitem__(self, index: int) -> Device: ...

    @overload
    def __getitem__(self, index: slice) -> list[Device]: ...

    def __getitem__(self, index: int | slice) -> Device | list[Device]:
        """The device, made now if it was never asked for."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if index not in self._made:
            self._made[index] = self._make(index)
        return self._made[index]

    def _make(self, index: int) -> Device:
        member = self._fleet[index]
        self._routes.join(member.name, member.access, member.cell)
        jitter = Jitter(member.jitter, self._seed, member.name)
        return Device(
            index,
            member.name,
            Machine(member.profile, member.speed, member.throttle, jitter),
            self._costs[member.split, member.rank],
            transport=self._transport,
            record=self._record,
        )
