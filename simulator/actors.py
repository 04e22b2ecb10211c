"""What every device and server can do: compute, send, receive. Each takes virtual time and leaves a row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from devices.compute import Work, seconds
from devices.heat import NEVER, Heat, Throttle
from devices.profile import Profile
from devices.spread import speed_factors
from simulator.messages import Kind, Message
from simulator.numerics import Ticket
from simulator.record import ComputeRow, Record
from simulator.serving import Serving, deal, exchange_bytes
from simulator.streams import stream
from simulator.transport import Transport
from simulator.workload import SplitWorkload, server_work


@dataclass(frozen=True, slots=True)
class Jitter:
    """How the time of one computation differs from the next: a lognormal factor with median 1.

    A pure function of seed, device, round and phase: what others draw, or when, never changes it. Where a device does
    the same thing twice in a round, both take the same factor.
    """

    sigma: float
    seed: int
    device: str

    def factor(self, round: int, what: str) -> float:
        """What the time of that computation is multiplied by."""
        if not self.sigma:
            return 1.0
        return float(speed_factors(stream(self.seed, "jitter", self.device, round, what), 1, self.sigma)[0])


STEADY = Jitter(0.0, 0, "")
STEP: Final = "server forward and backward"


@dataclass(frozen=True, slots=True)
class Machine:
    """A device profile, how fast this very machine is relative to it, how it heats, and how its times scatter."""

    profile: Profile
    speed: float = 1.0
    throttle: Throttle = NEVER
    jitter: Jitter = STEADY

    def seconds(self, work: Work) -> float:
        """Roofline time of some work on this machine when it is cold."""
        return seconds(work, self.profile, speed=self.speed)


class Actor:
    """A named party with a machine and a way to send and receive."""

    def __init__(self, name: str, machine: Machine, transport: Transport, record: Record) -> None:
        """Everything it needs comes in here."""
        self.name, self.machine = name, machine
        self._transport, self._record = transport, record
        self._heat = Heat(machine.throttle)
        self._timed: dict[str, tuple[Work, float]] = {}  # the last of each kind, and its seconds in the cold

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} ({self.machine.profile.name})>"

    async def compute(self, what: str, round: int, work: Work) -> None:
        """Be busy for as long as this machine needs for the work, as warm as it is.

        Broken off, it cools from then on, and leaves a row with the share of the FLOPs that the time until then is.
        """
        loop = asyncio.get_running_loop()
        start_s, flops = loop.time(), work.flops
        busy_s = self._heat.begin(start_s, self._cold_s(what, work) * self.machine.jitter.factor(round, what))
        try:
            await busy(loop, busy_s)
        except asyncio.CancelledError:
            flops *= (loop.time() - start_s) / busy_s if busy_s else 1.0
            raise
        finally:
            self._heat.end(loop.time())
            self._record.compute(ComputeRow(self.name, round, what, flops, start_s, loop.time()))

    def _cold_s(self, what: str, work: Work) -> float:
        """Seconds for that work when cold; a device does the same work round after round."""
        known = self._timed.get(what)
        if known is None or known[0] is not work:
            known = self._timed[what] = work, self.machine.seconds(work)
        return known[1]

    def send(
        self, receiver: str, kind: Kind, round: int, size_bytes: int, payload: object = None
    ) -> Coroutine[Any, Any, None]:
        """Send a message, when awaited; return when its last bit has left."""
        return self._transport.send(
            Message(sender=self.name, receiver=receiver, kind=kind, round=round, size_bytes=size_bytes, payload=payload)
        )

    def post(self, receiver: str, kind: Kind, round: int, size_bytes: int, payload: object = None) -> None:
        """Send a message and do not wait: it leaves while the actor goes on, even if that ends."""
        self._transport.post(
            Message(sender=self.name, receiver=receiver, kind=kind, round=round, size_bytes=size_bytes, payload=payload)
        )

    def receive(self, kind: Kind) -> Coroutine[Any, Any, Message]:
        """Wait, when awaited, for the next message of a kind."""
        return self._transport.receive(self.name, kind)

    def receive_until(self, kind: Kind, enough: Callable[[Message], bool]) -> Coroutine[Any, Any, None]:
        """Hand over, when awaited, messages of a kind as they come, until `enough` says yes."""
        return self._transport.receive_until(self.name, kind, enough)


async def busy(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    """What `asyncio.sleep` does on any loop, at four fifths of its price."""
    if seconds <= 0:
        await asyncio.sleep(0)
        return
    over: asyncio.Future[None] = loop.create_future()
    timer = loop.call_at(loop.time() + seconds, _settle, over)
    try:
        await over
    except BaseException:
        timer.cancel()
        raise


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():  # cancelled at this very instant
        future.set_result(None)


class Server(Actor):
    """The server's GPUs, some equal machines: together in one pass over all batches (`step`), or each on its own."""

    def __init__(self, serving: Serving, machine: Machine, transport: Transport, record: Record) -> None:
        """``machine`` is one of the GPUs."""
        super().__init__("server", machine, transport, record)
        self.serving = serving

    async def step(self, round: int, costs: Sequence[SplitWorkload]) -> None:
        """Forward and backward of everybody's batches on all GPUs, data parallel; each GPU leaves a row.

        They end together, when the slowest is done and the gradients of the server's adapters are added up.
        """
        loop = asyncio.get_running_loop()
        hands = deal(costs, self.serving.gpus)
        works = [server_work(hand) for hand in hands]
        start_s = loop.time()
        exchange_s = 8 * exchange_bytes(hands) / self.serving.interconnect_bps
        try:
            await asyncio.sleep(max(map(self.machine.seconds, works)) + exchange_s)
        finally:
            for work in works:
                self._record.compute(ComputeRow(self.name, round, STEP, work.flops, start_s, loop.time()))


class Device(Actor):
    """A client: an index into the fleet, and what its part of the model costs in FLOPs and bytes."""

    def __init__(
        self, index: int, name: str, machine: Machine, costs: SplitWorkload, *, transport: Transport, record: Record
    ) -> None:
        """Take the device's place in the fleet and its workload."""
        super().__init__(name, machine, transport, record)
        self.index, self.costs = index, costs

    def costs_of(self, ticket: Ticket) -> SplitWorkload:
        """What a step on that batch costs, which may be shorter than `costs` says at most."""
        return self.costs.of_length(ticket.tokens)
