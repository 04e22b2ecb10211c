"""Carries messages between actors: in virtual time over `netmodels`, which the loop plays along with its timers.

The seam to real sockets is `Transport`: two coroutines, and what to do when a device comes or goes. What a message
weighs is `size_bytes`; its payload is handed over as it is.

A device that goes resets its connections, as the sockets of a stopped app do: what is under way on them, either way, is
lost at that instant, and the other ends know at once (a real reset takes one latency). A device that stays but cannot
be reached, over a link without capacity, is not noticed: waiting for it ends with `training.timeout` only.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Coroutine, Hashable
from contextvars import Context
from functools import lru_cache
from itertools import count
from typing import Any, Final, Literal, NamedTuple, Protocol

from netmodels.network import Network
from netmodels.topology import Topology
from netmodels.transfer import Completion
from simulator.clock import VirtualLoop, running_loop
from simulator.mailbox import Mailbox
from simulator.messages import Kind, Message
from simulator.record import MessageRow, Outcome, Record

_MOST_SIZES: Final = 1024  # of messages, whose wire bytes are remembered
HUNG_UP: Final = object()
"""Payload of the notice, of no bytes, that a device has gone; it comes to the kinds that its peers have waited for."""


class Transport(Protocol):
    """What an actor sees of the network."""

    async def send(self, message: Message) -> None:
        """Return when the last bit has left the sender; the message arrives a one-way latency later.

        To a device that is not connected nothing is sent. If it goes while the message leaves, return at that instant.
        """

    def post(self, message: Message) -> None:
        """Send without waiting until the last bit has left."""

    def receive(self, actor: str, kind: Kind) -> Coroutine[Any, Any, Message]:
        """Wait, when awaited, for the next message of that kind to an actor, or notice that a device has `HUNG_UP`."""
        ...

    def connect(self, device: str) -> None:
        """The device is there (again): its connections are cold."""

    def hang_up(self, device: str) -> None:
        """The device has gone: its connections break at this instant."""


class _Way(NamedTuple):
    """From one actor to another: the links of the way and of the way back, and which end is the device."""

    route: tuple[str, ...]
    back: tuple[str, ...]
    device: str
    direction: Literal["up", "down"]


class _Leaving(NamedTuple):
    """A message whose bits are still leaving."""

    id: int
    message: Message
    way: _Way
    queued_s: float
    left: asyncio.Future[None] | None  # None: nobody waits for that
    ends: tuple[Hashable, Hashable]  # of the connection


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
        self.next_event_s = network.next_event_s  # it is the loop's `Source`
        self._mailboxes: defaultdict[str, dict[Kind, Mailbox[Message]]] = defaultdict(dict)
        self._to_notify: list[tuple[str, Kind]] = []  # mailboxes of the infrastructure, in the order they were made
        self._leaving: dict[Hashable, _Leaving] = {}
        self._of_device: defaultdict[str, dict[int, _Leaving]] = defaultdict(dict)  # the same by the end that may go
        self._times_gone: Counter[str] = Counter()
        self._gone: set[str] = set()
        self._ways: dict[tuple[str, str], _Way] = {}
        self._wire_bytes = lru_cache(_MOST_SIZES)(network.wire_bytes)
        self._ids = count()
        self._loop: VirtualLoop | None = None  # which plays the network
        self._context = Context()  # in which messages arrive

    async def send(self, message: Message) -> None:
        """Send over the route between the two actors; see `Transport.send`. RuntimeError outside virtual time."""
        if message.receiver in self._gone:
            return
        left: asyncio.Future[None] = (self._loop or self._enter(running_loop())).create_future()
        leaving = self._start(message, left)
        try:
            await left
        except asyncio.CancelledError:
            if leaving.id in self._leaving:
                self._cut_off(leaving)
            raise

    def post(self, message: Message) -> None:
        """See `Transport.post`."""
        if message.receiver not in self._gone:
            self._start(message, None)

    def _start(self, message: Message, left: asyncio.Future[None] | None) -> _Leaving:
        loop = self._loop or self._enter(running_loop())
        flow_id, queued_s = next(self._ids), loop.time()
        way, ends = self._way(message.sender, message.receiver), self._ends(message)
        self._network.start(queued_s, flow_id, message.size_bytes, way.route, connection=ends, ack_route=way.back)
        leaving = _Leaving(flow_id, message, way, queued_s, left, ends)
        self._leaving[flow_id] = self._of_device[way.device][flow_id] = leaving
        loop.reconsider()
        return leaving

    def receive(self, actor: str, kind: Kind) -> Coroutine[Any, Any, Message]:
        """Wait for a message; see `Transport.receive`."""
        return self._mailbox(actor, kind).get()

    def connect(self, device: str) -> None:
        """See `Transport.connect`."""
        self._gone.discard(device)

    def hang_up(self, device: str) -> None:
        """See `Transport.hang_up`. Messages to the device that have arrived and were not yet taken are lost too."""
        self._gone.add(device)
        self._times_gone[device] += 1
        for leaving in list(self._of_device[device].values()):
            self._cut_off(leaving)
            left = leaving.left
            if left and not left.done() and leaving.message.receiver == device:  # its own sends end with its task
                left.set_result(None)
        self._mailboxes.pop(device, None)
        for actor, kind in self._to_notify:
            notice = Message(sender=device, receiver=actor, kind=kind, round=0, size_bytes=0, payload=HUNG_UP)
            self._mailboxes[actor][kind].put(notice)

    def _cut_off(self, leaving: _Leaving) -> None:
        """Stop a flow at this instant."""
        loop = self._loop or running_loop()
        now_s = loop.time()
        self._forget(leaving)
        self._network.cancel(now_s, leaving.id)
        loop.reconsider()
        self._note(leaving, now_s, float("nan"), "cancelled")

    def _forget(self, leaving: _Leaving) -> None:
        """Its last bit has left, or never will."""
        del self._leaving[leaving.id]
        del self._of_device[leaving.way.device][leaving.id]

    def _enter(self, loop: VirtualLoop) -> VirtualLoop:
        """The first message: from now on the loop plays the network."""
        self._loop = loop
        loop.drive(self)
        return loop

    def _way(self, sender: str, receiver: str) -> _Way:
        known = self._ways.get((sender, receiver))
        if known is None:
            route, back = self._topology.route(sender, receiver), self._topology.route(receiver, sender)
            up = receiver in self._topology.infrastructure
            known = _Way(route, back, sender, "up") if up else _Way(route, back, receiver, "down")
            self._ways[sender, receiver] = known
        return known

    def _ends(self, message: Message) -> tuple[Hashable, Hashable]:
        """The connection of a message: another one after an end has hung up."""
        sender, receiver = message.sender, message.receiver
        if not self._times_gone:
            return sender, receiver
        number = self._times_gone[sender] + self._times_gone[receiver]
        return ((sender, number), (receiver, number)) if number else (sender, receiver)

    def play(self, until_s: float) -> float:
        """Play the network on until somebody's last bit has left: he goes on, and the message arrives later."""
        loop = self._loop or running_loop()
        for completion in self._network.run(until_s):
            leaving = self._leaving[completion.flow_id]
            self._forget(leaving)
            if leaving.left and not leaving.left.done():
                leaving.left.set_result(None)
            loop.call_at(completion.delivered_s, self._deliver, leaving, completion, context=self._context)
        return self._network.now_s

    def _deliver(self, leaving: _Leaving, completion: Completion) -> None:
        if self._times_gone and self._ends(leaving.message) != leaving.ends:  # somebody has hung up meanwhile
            self._note(leaving, completion.sent_s, float("nan"), "cancelled")
            return
        self._note(leaving, completion.sent_s, completion.delivered_s, "delivered")
        self._mailbox(leaving.message.receiver, leaving.message.kind).put(leaving.message)

    def _mailbox(self, actor: str, kind: Kind) -> Mailbox[Message]:
        boxes = self._mailboxes[actor]
        if kind not in boxes:
            boxes[kind] = Mailbox(f"{actor}.{kind}")
            if actor in self._topology.infrastructure:
                self._to_notify.append((actor, kind))
        return boxes[kind]

    def _note(self, leaving: _Leaving, sent_s: float, delivered_s: float, outcome: Outcome) -> None:
        message = leaving.message
        self._record.message(
            MessageRow(
                leaving.id,
                message.round,
                message.kind,
                message.sender,
                message.receiver,
                leaving.way.direction,
                message.size_bytes,
                self._wire_bytes(message.size_bytes),
                leaving.queued_s,
                sent_s,
                delivered_s,
                outcome,
            )
        )
