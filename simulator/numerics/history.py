"""The logical history of a training run, as hashes: equal keys mean equal inputs, whenever they were computed.

Every state that training has (a device's adapters and moments, the server's, the global adapters) has a hash over all
that led to it: who stepped, on which batch, with which states before. The key of an operation is the hash of the states
it reads. The clock enters nowhere, nor does the order of what does not depend on each other: the gradients that come
back to two devices, the tickets of one server step. All hashes begin with the root, which stands for the rest of what
decides about training: model, data, optimiser, seed.

Where a state might or might not depend on another (moments that are kept or dropped at an average), the hash has both:
two histories that differ may have trained the same, but two that agree have.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple

from simulator.numerics import Ticket

KEY_BYTES: Final = 16
JOINS, LEAVES, STEP, BACKWARD, LOCAL, AVERAGE, ADOPTS, EVALUATION = KINDS = (
    "joins", "leaves", "step", "backward", "local", "average", "adopts", "evaluation",
)  # fmt: skip

_TICKET: Final = Struct("<qq").pack
_DEVICE: Final = Struct("<q").pack
_LENGTH: Final = Struct("<I").pack
_SHARE: Final = Struct("<qd").pack


class Event(NamedTuple):
    """Something that changed what is trained, or asked for a loss: which kind, of whom (ascending), and in which round.

    The round is as far as it is known here: a device joins in the round after the last step.
    """

    kind: str
    round: int
    devices: tuple[int, ...]


class History:
    """Follows the verbs of `Numerics`; those that compute a loss return its key. ``events`` is what has happened."""

    def __init__(self, root: bytes) -> None:
        """Begin with nothing trained."""
        self.events: list[Event] = []
        self._server = self._global = root
        self._own: dict[int, bytes] = {}  # of the devices that have adapters of their own
        self._gradients: dict[int, bytes] = {}  # of which step, for devices whose backward is not yet reported
        self._members: dict[int, None] | None = None  # who takes part; everybody until somebody joins
        self._relayed = False  # adapters go from one device to the next
        self._round_of: dict[int, int] = {}
        self._last_round = 0  # of a step

    def join(self, device: int) -> None:
        """A device takes part from now on."""
        self._members = {} if self._members is None else self._members
        self._members[device] = None
        self._round_of[device] = self._last_round + 1
        self.events.append(Event(JOINS, self._last_round + 1, (device,)))

    def leave(self, device: int) -> None:
        """A device is gone, and what it had of its own is lost."""
        if self._members is not None:
            self._members.pop(device, None)
        self._own.pop(device, None)
        self._gradients.pop(device, None)
        self.events.append(Event(LEAVES, self._round_of.get(device, 0), (device,)))

    def forward(self, device: int, round: int) -> None:
        """A device begins a round; nothing changes."""
        self._round_of[device] = round

    def server_step(self, tickets: Sequence[Ticket]) -> bytes:
        """Key of a step of the server on these batches."""
        key = self._server = self._steps(b"step", STEP, tickets)
        self._gradients.update((ticket.device, key) for ticket in tickets)
        return key

    def backward(self, ticket: Ticket) -> None:
        """The gradients of a step are back on a device; the step's key stands for the adapters they belong to."""
        device = ticket.device
        self._own[device] = _hash(b"backward", _DEVICE(device), self._gradients.pop(device), self._state(device))
        self.events.append(Event(BACKWARD, ticket.round, (device,)))

    def local_steps(self, tickets: Sequence[Ticket]) -> list[bytes]:
        """Key of each device's step on its own copy of the whole model; the company is part of it, for the last bit."""
        key = self._steps(b"local", LOCAL, tickets)
        keys = {ticket.device: _hash(b"one", key, _DEVICE(ticket.device)) for ticket in tickets}
        self._own.update(keys)
        return [keys[ticket.device] for ticket in tickets]

    def aggregate(self, devices: Sequence[int], weights: Sequence[float]) -> None:
        """The devices' adapters are averaged, and they get the result."""
        members = sorted(zip(devices, weights, strict=True))
        parts = [_SHARE(device, weight) + self._state(device) for device, weight in members]
        self._global = _hash(b"average", self._global, *parts)
        for device, _ in members:
            self._own[device] = _hash(b"given", self._state(device), self._global)
        self.events.append(Event(AVERAGE, self._last_round, tuple(device for device, _ in members)))

    def adopt(self, device: int) -> None:
        """A device takes the global adapters in place of its own."""
        self._relayed = True
        self._own[device] = _hash(b"given", self._state(device), self._global)
        self.events.append(Event(ADOPTS, self._round_of.get(device, 0) + 1, (device,)))

    def evaluate(self) -> bytes:
        """Key of an evaluation of the global model."""
        members = sorted(self._own if self._members is None else self._members)
        parts = [_DEVICE(device) + self._state(device) for device in members]
        which = b"average of all" if self._members is None else b"the last" if self._relayed else b"average"
        rounds = [self._round_of.get(device, 0) for device in members] or [max(self._round_of.values(), default=0)]
        self.events.append(Event(EVALUATION, min(rounds), tuple(members)))
        return _hash(b"evaluation", which, self._server, self._global, *parts)

    def _steps(self, what: bytes, kind: str, tickets: Sequence[Ticket]) -> bytes:
        """Key of the step of some devices together."""
        tickets = sorted(tickets, key=lambda ticket: ticket.device)
        taken = _hash(b"taken", self._global)  # who has nothing of its own takes the global adapters here
        for ticket in tickets:
            self._own.setdefault(ticket.device, taken)
        parts = [_TICKET(ticket.device, ticket.round) + self._own[ticket.device] for ticket in tickets]
        self._last_round = max(self._last_round, tickets[0].round)
        self.events.append(Event(kind, tickets[0].round, tuple(ticket.device for ticket in tickets)))
        return _hash(what, self._server, self._global, *parts)

    def _state(self, device: int) -> bytes:
        """That of a device's own adapters; one that has none is as the global adapters, whose hash is in every key."""
        return self._own.get(device, b"none")


def _hash(kind: bytes, *parts: bytes) -> bytes:
    """Of the parts, each behind its length, so that no two lists of parts give the same bytes."""
    framed = [_LENGTH(len(part)) + part for part in (kind, *parts)]
    return blake2b(b"".join(framed), digest_size=KEY_BYTES).digest()
