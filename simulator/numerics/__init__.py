"""The protocol behind which training hides: what was computed, apart from when.

What is trained depends on the logical history (who stepped, on which batch, in which order, averaged with which
weights), never on the clock. Algorithms talk to `Numerics`; behind it is real training (`simulator.training.engine`)
or nothing at all (`TimingOnly`). Numerics take no virtual time: their cost is charged by the actors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

Lengths = Callable[[int, int], int]
"""Positions of each sequence, padding included, of the batch that a device takes in a round."""


class Ticket(NamedTuple):
    """A batch that a device has sent through its blocks: shapes are known at once, tensors when the server asks."""

    device: int
    round: int
    sequences: int
    tokens: int  # positions per sequence, padding included


@dataclass(frozen=True, slots=True)
class Loss:
    """A mean cross-entropy in nats per label position; ``nan`` where nothing was computed."""

    mean: float
    positions: int


class Numerics(Protocol):
    """Ten verbs. Devices are indices into the scenario's fleet; rounds count from 1."""

    def join(self, device: int) -> None:
        """A device takes part from now on, with the global adapters as they were averaged last."""

    def leave(self, device: int) -> None:
        """A device is gone: what it has learned since the last average is lost, and gradients for it are dropped."""

    def forward(self, device: int, round: int) -> Ticket:
        """A device runs its next batch through its blocks. May be computed later: nothing changes in between."""

    def server_step(self, tickets: Sequence[Ticket]) -> Loss:
        """Forward and backward of the concatenated batch; the server's adapters are updated."""

    def backward(self, ticket: Ticket) -> None:
        """The gradients are back on the device: its adapters are updated."""

    def local_steps(self, tickets: Sequence[Ticket]) -> list[Loss]:
        """Forward, backward and update of these devices' own copies of the whole model, adapters in every block.

        One step of one round for each device; its loss is the mean over the label positions of its own batch. Devices
        do not see each other, so it is the same in which company a step is computed.
        """

    def aggregate(self, devices: Sequence[int], weights: Sequence[float]) -> None:
        """Average the devices' adapters with these weights (they need not sum to 1) and give all of them the result."""

    def adopt(self, device: int) -> None:
        """A device takes the global adapters as they were averaged last, in place of its own.

        Where adapters are adopted, the global model is the one averaged last, not an average of who takes part.
        """

    def evaluate(self) -> Loss:
        """Loss of the global model (adapters averaged over who takes part, the server's adapters) on held-out data."""

    def export(self, device: int | None = None) -> Mapping[str, bytes]:
        """Files, by name, in which the global adapters can be kept, or a device's own with the server's behind."""


class TimingOnly:
    """Trains nothing: the same messages at the same times, no losses, no torch."""

    def __init__(self, *, sequences: int, lengths: Lengths) -> None:
        """Take the shape of every batch."""
        self._sequences, self._lengths = sequences, lengths

    def join(self, device: int) -> None:
        """Nothing is handed over."""

    def leave(self, device: int) -> None:
        """Nothing is lost."""

    def forward(self, device: int, round: int) -> Ticket:
        """A ticket of the right shape."""
        return Ticket(device, round, self._sequences, self._lengths(device, round))

    def server_step(self, tickets: Sequence[Ticket]) -> Loss:
        """Nothing is computed."""
        return Loss(float("nan"), 0)

    def backward(self, ticket: Ticket) -> None:
        """Nothing is updated."""

    def local_steps(self, tickets: Sequence[Ticket]) -> list[Loss]:
        """Nothing is computed."""
        return [Loss(float("nan"), 0)] * len(tickets)

    def aggregate(self, devices: Sequence[int], weights: Sequence[float]) -> None:
        """Nothing is averaged."""

    def adopt(self, device: int) -> None:
        """Nothing is handed over."""

    def evaluate(self) -> Loss:
        """Nothing is evaluated."""
        return Loss(float("nan"), 0)

    def export(self, device: int | None = None) -> Mapping[str, bytes]:
        """Nothing is kept."""
        return {}
