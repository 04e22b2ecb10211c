"""What happened: every message, every computation and every round, in virtual time. Observers listen here.

A view or an analysis reads these rows and nothing else. Rounds count from 1 in every row. The trace hash is taken over
times, actors, kinds and sizes only, not over losses and joules: a run that trains nothing has the hash of the run that
does.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

Outcome = Literal["delivered", "cancelled"]


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
    bytes_up: int = 0
    bytes_down: int = 0
    bytes_of_round: defaultdict[int, tuple[int, int]] = field(default_factory=lambda: defaultdict(lambda: (0, 0)))
    _digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def message(self, row: MessageRow) -> None:
        """Note a message; bytes are counted when delivered."""
        priced = MessageRow._make((*row[:-1], self.meter.message(row))) if self.meter else row
        self.messages.append(priced)
        if row.outcome == "delivered":
            self.bytes_by_kind[row.kind] += row.size_bytes
            up, down = (row.size_bytes, 0) if row.direction == "up" else (0, row.size_bytes)
            self.bytes_up += up
            self.bytes_down += down
            before = self.bytes_of_round[row.round]
            self.bytes_of_round[row.round] = (before[0] + up, before[1] + down)
        self._note(
            f"m|{row.round}|{row.kind}|{row.sender}|{row.receiver}|{row.direction}|{row.size_bytes}|{row.wire_bytes}"
            f"|{_bits(row.queued_s)}|{_bits(row.sent_s)}|{_bits(row.delivered_s)}|{row.outcome}"
        )
        for observer in self.observers:
            observer.on_message(priced)

    def compute(self, row: ComputeRow) -> None:
        """Note a computation."""
        priced = ComputeRow._make((*row[:-1], self.meter.compute(row))) if self.meter else row
        self.computes.append(priced)
        times = f"{_bits(row.start_s)}|{_bits(row.end_s)}"
        self._note(f"c|{row.actor}|{row.round}|{row.what}|{_bits(row.flops)}|{times}")
        for observer in self.observers:
            observer.on_compute(priced)

    def round(self, row: RoundRow) -> None:
        """Note a finished round. Its losses stay out of the trace hash."""
        priced = row._replace(energy_j=self.meter.round(row)) if self.meter else row
        self.rounds.append(priced)
        self._note(f"r|{row.round}|{_bits(row.start_s)}|{_bits(row.end_s)}|{row.participants}|{row.dropped}")
        for observer in self.observers:
            observer.on_round(priced)

    def wait(self, row: WaitRow) -> None:
        """Note that a round waits for somebody to be available; told when it begins to wait."""
        self.waits.append(row)
        self._note(f"w|{row.round}|{_bits(row.start_s)}|{_bits(row.end_s)}")
        for observer in self.observers:
            observer.on_wait(row)

    def phase(self, what: str) -> None:
        """Tell the observers what is being set up."""
        for observer in self.observers:
            observer.on_phase(what)

    @property
    def trace_hash(self) -> str:
        """SHA-256 over everything noted so far, in order; floats enter with all their bits."""
        return self._digest.hexdigest()

    def _note(self, text: str) -> None:
        self._digest.update(f"{text}\n".encode())


def _bits(value: float) -> str:
    """A float with all its bits; whatever else stands in its place as it is written."""
    return value.hex() if isinstance(value, float) else str(value)
