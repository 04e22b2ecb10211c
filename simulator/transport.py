"""Carries messages between actors: in virtual time over `netmodels`, which the loop plays along with its timers.

The seam to real sockets is `Transport`: how to send and to receive, and what to do when a device comes or goes. What a
message weighs is `size_bytes`; its payload is handed over as it is.

A device that goes resets its connections, as the sockets of a stopped app do: what is under way on them, either way, is
lost at that instant, and the other ends know at once (a real reset takes one latency). A device that stays but cannot
be reached, over a link without capacity, is not noticed: waiting for it ends with `training.timeout` only.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Hashable
from functools import lru_cache
from itertools import count
from typing import Any, Final, Literal, NamedTuple, Protocol

from netmodels.arrivals import Arrivals
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

    def receive_until(self, actor: str, kind: Kind, enough: Callable[[Message], bool]) -> Coroutine[Any, Any, None]:
        """Hand over, when awaited, messages and notices of that kind as they come, until `enough` says yes."""
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


class _UnderWay(NamedTuple):
    """A message that has not arrived."""

    id: int
    message: Message
    way: _Way
    queued_s: float
    left: asyncio.Future[None] | None  # when its last bit has; None: nobody waits for that
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
        self._arrivals = Arrivals(network)
        self._completions: list[Completion] = []  # to be told of
        self.next_event_s = self._arrivals.next_event_s  # it is the loop's `Source`
        self._mailboxes: defaultdict[str, dict[Kind, Mailbox[Message]]] = defaultdict(dict)
        self._to_notify: list[tuple[str, Kind]] = []  # mailboxes of the infrastructure, in the order they were made
        self._under_way: dict[Hashable, _UnderWay] = {}
        self._of_device: defaultdict[str, dict[int, _UnderWay]] = defaultdict(dict)  # the same by the end that may go
        self._times_gone: Counter[str] = Counter()
        self._gone: set[str] = set()
        self._ways: dict[tuple[str, str], _Way] = {}
        self._wire_bytes = lru_cache(_MOST_SIZES)(network.wire_bytes)
        self._ids = count()
        self._loop: VirtualLoop | None = None  # which plays the network

    async def send(self, message: Message) -> None:
        """Send over the route between the two actors; see `Transport.send`. RuntimeError outside virtual time."""
        if message.receiver in self._gone:
            return
        left: asyncio.Future[None] = (self._loop or self._enter(running_loop())).create_future()
        sent = self._start(message, left)
        self._arrivals.watched.add(sent.id)
        try:
            await left
        except asyncio.CancelledError:
            self._cut_off(sent)
            raise

    def post(self, message: Message) -> None:
        """See `Transport.post`."""
        if message.receiver not in self._gone:
            self._start(message, None)

    def _start(self, message: Message, left: asyncio.Future[None] | None) -> _UnderWay:
        loop = self._loop or self._enter(running_loop())
        flow_id, queued_s = next(self._ids), loop.time()
        way, ends = self._way(message.sender, message.receiver), self._ends(message)
        self._network.start(queued_s, flow_id, message.size_bytes, way.route, connection=ends, ack_route=way.back)
        sent = _UnderWay(flow_id, message, way, queued_s, left, ends)
        self._under_way[flow_id] = self._of_device[way.device][flow_id] = sent
        loop.reconsider()
        return sent

    def receive(self, actor: str, kind: Kind) -> Coroutine[Any, Any, Message]:
        """Wait for a message; see `Transport.receive`."""
        return self._mailbox(actor, kind).get()

    def receive_until(self, actor: str, kind: Kind, enough: Callable[[Message], bool]) -> Coroutine[Any, Any, None]:
        """Take messages as they come; see `Transport.receive_until`. The actor wakes once, not for each."""
        return self._mailbox(actor, kind).take_until(enough)

    def connect(self, device: str) -> None:
        """See `Transport.connect`."""
        self._gone.discard(device)

    def hang_up(self, device: str) -> None:
        """See `Transport.hang_up`. Messages to the device that have arrived and were not yet taken are lost too."""
        self._gone.add(device)
        self._times_gone[device] += 1
        for sent in list(self._of_device[device].values()):
            self._cut_off(sent)
            left = sent.left
            if left and not left.done() and sent.message.receiver == device:  # its own sends end with its task
                left.set_result(None)
        self._mailboxes.pop(device, None)
        for actor, kind in self._to_notify:
            notice = Message(sender=device, receiver=actor, kind=kind, round=0, size_bytes=0, payload=HUNG_UP)
            self._mailboxes[actor][kind].put(notice)

    def _cut_off(self, sent: _UnderWay) -> None:
        """Stop a flow at this instant, unless its last bit has left."""
        if sent.id not in self._network:
            return
        loop = self._loop or running_loop()
        now_s = loop.time()
        self._forget(sent)
        self._network.cancel(now_s, sent.id)
        self._arrivals.watched.discard(sent.id)
        loop.reconsider()
        self._note(sent, now_s, float("nan"), "cancelled")

    def _forget(self, sent: _UnderWay) -> None:
        """It has arrived, or never will."""
        del self._under_way[sent.id]
        del self._of_device[sent.way.device][sent.id]

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
        """Play the network on until something arrives, or the last bit has left of what somebody waits for."""
        self._completions = self._arrivals.run(until_s)
        return self._arrivals.now_s

    def tell(self) -> None:
        """Let senders go on, and hand over what has arrived."""
        now_s = self._arrivals.now_s
        for completion in self._completions:
            sent = self._under_way[completion.flow_id]
            if sent.left and not sent.left.done():
                sent.left.set_result(None)
            if completion.delivered_s <= now_s:
                self._forget(sent)
                self._deliver(sent, completion)

    def _deliver(self, sent: _UnderWay, completion: Completion) -> None:
        if self._times_gone and self._ends(sent.message) != sent.ends:  # somebody has hung up meanwhile
            self._note(sent, completion.sent_s, float("nan"), "cancelled")
            return
        self._note(sent, completion.sent_s, completion.delivered_s, "delivered")
        self._mailbox(sent.message.receiver, sent.message.kind).put(sent.message)

    def _mailbox(self, actor: str, kind: Kind) -> Mailbox[Message]:
        boxes = self._mailboxes[actor]
        box = boxes.get(kind)
        if box is None:
            box = boxes[kind] = Mailbox(f"{actor}.{kind}")
            if actor in self._topology.infrastructure:
                self._to_notify.append((actor, kind))
        return box

    def _note(self, sent: _UnderWay, sent_s: float, delivered_s: float, outcome: Outcome) -> None:
        message = sent.message
        self._record.message(
            MessageRow(
                sent.id,
                message.round,
                message.kind,
                message.sender,
                message.receiver,
                sent.way.direction,
                message.size_bytes,
                self._wire_bytes(message.size_bytes),
                sent.queued_s,
                sent_s,
                delivered_s,
                outcome,
            )
        )
