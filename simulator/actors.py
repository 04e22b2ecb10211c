"""What every device and server can do: compute, send, receive. Each takes virtual time and leaves a row."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from devices.compute import Work, seconds
from devices.profile import Profile
from simulator.messages import Kind, Message
from simulator.record import ComputeRow, Record
from simulator.transport import Transport
from simulator.workload import SplitWorkload


@dataclass(frozen=True, slots=True)
class Machine:
    """A device profile and how fast this very machine is, relative to it."""

    profile: Profile
    speed: float = 1.0

    def seconds(self, work: Work) -> float:
        """Roofline time of some work on this machine."""
        return seconds(work, self.profile, speed=self.speed)


class Actor:
    """A named party with a machine and a way to send and receive."""

    def __init__(self, name: str, machine: Machine, transport: Transport, record: Record) -> None:
        """Everything it needs comes in here."""
        self.name, self.machine = name, machine
        self._transport, self._record = transport, record

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} ({self.machine.profile.name})>"

    async def compute(self, what: str, round: int, work: Work) -> None:
        """Be busy for as long as this machine needs for the work."""
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        await asyncio.sleep(self.machine.seconds(work))
        self._record.compute(ComputeRow(self.name, round, what, work.flops, start_s, loop.time()))

    async def send(self, receiver: str, kind: Kind, round: int, size_bytes: int, payload: object = None) -> None:
        """Send a message; return when its last bit has left."""
        await self._transport.send(
            Message(sender=self.name, receiver=receiver, kind=kind, round=round, size_bytes=size_bytes, payload=payload)
        )

    async def receive(self, kind: Kind) -> Message:
        """Wait for the next message of a kind."""
        return await self._transport.receive(self.name, kind)


class Device(Actor):
    """A client: an index into the fleet, and what its part of the model costs in FLOPs and bytes."""

    def __init__(
        self, index: int, name: str, machine: Machine, costs: SplitWorkload, *, transport: Transport, record: Record
    ) -> None:
        """Take the device's place in the fleet and its workload."""
        super().__init__(name, machine, transport, record)
        self.index, self.costs = index, costs
