"""Carries messages between actors: in virtual time over `netmodels`, one timer for the whole network.

The seam to real sockets is `Transport`: two coroutines. What a message weighs is `size_bytes`; its payload is handed
over as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from netmodels.network import Completion, Network
from netmodels.topology import Topology
from simulator.clock import Mailbox
from simulator.messages import Kind, Message
from simulator.record import MessageRow, Outcome, Record


class Transport(Protocol):
    """What an actor sees of the network."""

    async def send(self, message: Message) -> None:
        """Return when the last bit has left the sender; the message arrives a one-way latency later."""

    async def receive(self, actor: str, kind: Kind) -> Message:
        """Wait for the next message of that kind to an actor, in order of arrival."""
        ...


@dataclass(frozen=True, slots=True)
class _Leaving:
    """A message whose bits are still leaving."""

    id: int
    message: Message
    queued_s: float
    left: asyncio.Future[None]


class SimulatedTransport:
    """Messages as flows over shared links, in virtual time.

    Under the model `pure` a send returns when the message arrives, not when its last bit has left: that model shares
    links one latency late, as SimGrid does. Cancelling a send stops its flow at that instant: the link is free, the
    receiver gets nothing, and the record says "cancelled". Flows that start at one instant are merged into one change
    of the network.
    """

    def __init__(self, network: Network, topology: Topology, record: Record) -> None:
        """Take the network, the routes between its ends, and where to note messages."""
        self._network, self._topology, self._record = network, topology, record
        self._mailboxes: dict[tuple[str, Kind], Mailbox[Message]] = {}
        self._leaving: dict[Hashable, _Leaving] = {}
        self._ids = count()
        self._timer: asyncio.TimerHandle | None = None
        self._rearming = False

    async def send(self, message: Message) -> None:
        """Send over the route between the two actors; see `Transport.send`."""
        loop = asyncio.get_running_loop()
        flow_id, queued_s = next(self._ids), loop.time()
        sender, receiver = message.sender, message.receiver
        route = self._topology.route(sender, receiver)
        self._network.start(
            queued_s,
            flow_id,
            message.size_bytes,
            route,
            connection=(sender, receiver),
            ack_route=self._topology.route(receiver, sender),
        )
        leaving = self._leaving[flow_id] = _Leaving(flow_id, message, queued_s, loop.create_future())
        self._changed()
        try:
            await leaving.left
        except asyncio.CancelledError:
            if self._leaving.pop(flow_id, None):
                self._network.cancel(loop.time(), flow_id)
                self._changed()
                self._note(leaving, loop.time(), float("nan"), "cancelled")
            raise

    async def receive(self, actor: str, kind: Kind) -> Message:
        """Wait for a message; see `Transport.receive`."""
        return await self._mailbox(actor, kind).get()

    def _changed(self) -> None:
        """Ask the network for its next event once everybody who acts at this instant has acted."""
        if not self._rearming:
            self._rearming = True
            asyncio.get_running_loop().call_soon(self._rearm)

    def _rearm(self) -> None:
        self._rearming = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        when_s = self._network.next_event_s()
        if when_s < float("inf"):
            self._timer = asyncio.get_running_loop().call_at(when_s, self._advance)

    def _advance(self) -> None:
        loop = asyncio.get_running_loop()
        for completion in self._network.advance(loop.time()):
            leaving = self._leaving.pop(completion.flow_id)
            if not leaving.left.done():
                leaving.left.set_result(None)
            loop.call_at(completion.delivered_s, self._deliver, leaving, completion)
        self._rearm()

    def _deliver(self, leaving: _Leaving, completion: Completion) -> None:
        self._note(leaving, completion.sent_s, completion.delivered_s, "delivered")
        self._mailbox(leaving.message.receiver, leaving.message.kind).put(leaving.message)

    def _mailbox(self, actor: str, kind: Kind) -> Mailbox[Message]:
        key = (actor, kind)
        if key not in self._mailboxes:
            self._mailboxes[key] = Mailbox(f"{actor}.{kind}")
        return self._mailboxes[key]

    def _note(self, leaving: _Leaving, sent_s: float, delivered_s: float, outcome: Outcome) -> None:
        message = leaving.message
        self._record.message(
            MessageRow(
                leaving.id,
                message.round,
                message.kind,
                message.sender,
                message.receiver,
                "up" if message.receiver in self._topology.infrastructure else "down",
                message.size_bytes,
                self._network.wire_bytes(message.size_bytes),
                leaving.queued_s,
                sent_s,
                delivered_s,
                outcome,
            )
        )
