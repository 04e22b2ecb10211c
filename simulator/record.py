"""What happened: every message, every computation and every round, in virtual time. Observers listen here.

A view or an analysis reads these rows and nothing else. Rounds count from 1 in every row. The trace hash is taken over
times, actors, kinds and sizes only, not over losses and joules: a run that trains nothing has the hash of the run that
does.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol

Outcome = Literal["delivered", "cancelled"]

_HASHED_AT_ONCE: Final = 256  # rows; each by itself takes longer
_row: Final = tuple.__new__  # what a row with all its fields needs, at half the price of calling its class


class MessageRow(NamedTuple):
    """One message; times are virtual seconds. ``size_bytes`` is the frame, ``wire_bytes`` with packet headers.

    ``sent_s`` is when the last bit left the sender (or the sender gave up), ``delivered_s`` when it arrived; nan if it
    never did.
    """

    id: int
    round: int
    kind: str
    sender: str
    receiver: str
    direction: Literal["up", "down"]  # up is away from the devices
    size_bytes: int
    wire_bytes: int
    queued_s: float
    sent_s: float
    delivered_s: float
    outcome: Outcome
    energy_j: float = math.nan  # of the device's radio; nan where unknown


class ComputeRow(NamedTuple):
    """One computation of an actor, in virtual seconds; ``energy_j`` is nan where unknown."""

    actor: str
    round: int
    what: str
    flops: float
    start_s: float
    end_s: float
    energy_j: float = math.nan


class RoundRow(NamedTuple):
    """One round; row 0 is the state before training. ``loss`` and ``perplexity``: held-out data, nan if not taken.

    Round r starts when round r - 1 ends: when the last participant has finished it or is gone. ``participants`` have
    begun it; ``dropped`` of them left, or were given up as too ``late``, before they had finished. Bytes are those of
    its messages that were delivered, also of early ones that left while others were still in the round before.
    """

    round: int
    start_s: float
    end_s: float
    participants: int
    dropped: int
    train_loss: float
    loss: float
    perplexity: float
    bytes_up: int
    bytes_down: int
    slowest: str  # the device that finished last, or was the last that was waited for
    energy_j: float = math.nan  # of its devices; nan where a figure of one is unknown
    late: int = 0  # of those who were dropped


class Metered(Protocol):
    """Prices rows in joules, each once, as they come in; nan where a figure is unknown."""

    def message(self, row: MessageRow) -> float:
        """Joules of a device's radio for a message."""

    def compute(self, row: ComputeRow) -> float:
        """Joules of a computation."""

    def round(self, row: RoundRow) -> float:
        """Joules of a round's devices."""


class DeviceRow(NamedTuple):
    """What one device has used in a run, in joules by part, and per cent of a full battery; nan where unknown."""

    device: str
    group: str
    compute_j: float
    radio_j: float
    idle_j: float
    energy_j: float
    battery_percent: float


class WaitRow(NamedTuple):
    """A round that waits for somebody to be available, in virtual seconds; ``end_s`` is infinite if nobody ever is."""

    round: int
    start_s: float
    end_s: float


class Observer:
    """Listens to a run. Every method does nothing here: override what you need."""

    def on_phase(self, what: str) -> None:
        """Set-up has reached another step, such as "loading the model"."""

    def on_message(self, row: MessageRow) -> None:
        """A message has arrived or was given up."""

    def on_compute(self, row: ComputeRow) -> None:
        """A computation has ended."""

    def on_round(self, row: RoundRow) -> None:
        """A round has ended."""

    def on_wait(self, row: WaitRow) -> None:
        """A round cannot begin: nobody is available."""


@dataclass(slots=True)
class Record:
    """Collects the rows of one run and tells the observers."""

    observers: Sequence[Observer] = ()
    meter: Metered | None = None
    messages: list[MessageRow] = field(default_factory=list)
    computes: list[ComputeRow] = field(default_factory=list)
    rounds: list[RoundRow] = field(default_factory=list)
    waits: list[WaitRow] = field(default_factory=list)
    bytes_by_kind: Counter[str] = field(default_factory=Counter)
    bytes_of_round: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))  # up, down
    _words: hashlib._Hash = field(default_factory=hashlib.sha256)
    _numbers: hashlib._Hash = field(default_factory=hashlib.sha256)
    _new_words: list[str] = field(default_factory=list)
    _new_numbers: list[float] = field(default_factory=list)

    def message(self, row: MessageRow) -> None:
        """Note a message; bytes are counted when delivered."""
        if self.meter is not None:
            row = _row(MessageRow, (*row[:-1], self.meter.message(row)))
        self.messages.append(row)
        _, round, kind, sender, receiver, way, size_bytes, wire_bytes, queued_s, sent_s, delivered_s, outcome, _ = row
        if outcome == "delivered":
            self.bytes_by_kind[kind] += size_bytes
            self.bytes_of_round[round][way == "down"] += size_bytes
        words = f"m|{round}|{kind}|{sender}|{receiver}|{way}|{size_bytes}|{wire_bytes}|{outcome}"
        self._note(words, (queued_s, sent_s, delivered_s))
        for observer in self.observers:
            observer.on_message(row)

    def compute(self, row: ComputeRow) -> None:
        """Note a computation."""
        if self.meter is not None:
            row = _row(ComputeRow, (*row[:-1], self.meter.compute(row)))
        self.computes.append(row)
        actor, round, what, flops, start_s, end_s, _ = row
        self._note(f"c|{actor}|{round}|{what}", (flops, start_s, end_s))
        for observer in self.observers:
            observer.on_compute(row)

    def round(self, row: RoundRow) -> None:
        """Note a finished round. Its losses stay out of the trace hash."""
        priced = row._replace(energy_j=self.meter.round(row)) if self.meter else row
        self.rounds.append(priced)
        self._note(f"r|{row.round}|{row.participants}|{row.dropped}", (row.start_s, row.end_s))
        for observer in self.observers:
            observer.on_round(priced)

    def wait(self, row: WaitRow) -> None:
        """Note that a round waits for somebody to be available; told when it begins to wait."""
        self.waits.append(row)
        self._note(f"w|{row.round}", (row.start_s, row.end_s))
        for observer in self.observers:
            observer.on_wait(row)

    def phase(self, what: str) -> None:
        """Tell the observers what is being set up."""
        for observer in self.observers:
            observer.on_phase(what)

    @property
    def bytes_up(self) -> int:
        """Of all messages that were delivered."""
        return sum(up for up, _ in self.bytes_of_round.values())

    @property
    def bytes_down(self) -> int:
        """Of all messages that were delivered."""
        return sum(down for _, down in self.bytes_of_round.values())

    @property
    def trace_hash(self) -> str:
        """SHA-256 over everything noted so far, in order; floats enter with all their bits."""
        self._hash()
        return hashlib.sha256(self._words.digest() + self._numbers.digest()).hexdigest()

    def _note(self, words: str, numbers: tuple[float, ...]) -> None:
        """What a row says goes into the trace hash: the first of its words tells how many numbers it has."""
        self._new_words.append(words)
        self._new_numbers += numbers
        if len(self._new_words) == _HASHED_AT_ONCE:
            self._hash()

    def _hash(self) -> None:
        self._words.update("\n".join((*self._new_words, "")).encode())
        self._numbers.update(struct.pack(f"<{len(self._new_numbers)}d", *self._new_numbers))
        self._new_words.clear()
        self._new_numbers.clear()
