"""Local steps put off until somebody needs them, so that many devices' steps are computed in one pass.

A device that trains a copy of the whole model does so in no company, and in its own time. Nobody sees the result before
the copies are averaged, or the round is over and its loss is asked for. Until then a step is only noted down; what a
device has noted down is forgotten when it goes: what the clock discards is never trained.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from simulator.numerics import Loss, Numerics, Ticket

LateLoss = Callable[[], Loss]
"""A loss that is computed when it is asked for; without a position where the step was forgotten."""


class Company:
    """The numerics as algorithms see them: those of a `Numerics`, and single local steps."""

    def __init__(self, numerics: Numerics) -> None:
        """Take the numerics that compute."""
        self._numerics = numerics
        self._noted: defaultdict[int, dict[int, Ticket]] = defaultdict(dict)  # by round and device
        self._losses: dict[Ticket, Loss] = {}
        self.tokens = 0  # positions of all batches that a step was taken on, padding included
        self.join, self.forward, self.backward = numerics.join, numerics.forward, numerics.backward
        self.adopt, self.evaluate = numerics.adopt, numerics.evaluate

    def server_step(self, tickets: Sequence[Ticket]) -> Loss:
        """See `Numerics.server_step`."""
        self._count(tickets)
        return self._numerics.server_step(tickets)

    def local_step(self, ticket: Ticket) -> LateLoss:
        """The device's step on its own copy of the whole model; computed with those of others, and no later than asked.

        Asking for the loss of a round computes all steps of that round and of earlier ones.
        """
        self._noted[ticket.round][ticket.device] = ticket

        def loss() -> Loss:
            self._settle(ticket.round)
            return self._losses.pop(ticket, Loss(math.nan, 0))

        return loss

    def aggregate(self, devices: Sequence[int], weights: Sequence[float]) -> None:
        """See `Numerics.aggregate`; whatever is noted down is computed before."""
        self._settle(math.inf)
        self._numerics.aggregate(devices, weights)

    def leave(self, device: int) -> None:
        """See `Numerics.leave`; what the device has noted down is never computed."""
        for tickets in self._noted.values():
            tickets.pop(device, None)
        self._numerics.leave(device)

    def export(self, device: int | None = None) -> Mapping[str, bytes]:
        """See `Numerics.export`."""
        self._settle(math.inf)
        return self._numerics.export(device)

    def _settle(self, until_round: float) -> None:
        for round in sorted(round for round in self._noted if round <= until_round):
            tickets = [ticket for _, ticket in sorted(self._noted.pop(round).items())]
            if tickets:
                self._count(tickets)
                self._losses.update(zip(tickets, self._numerics.local_steps(tickets), strict=True))

    def _count(self, tickets: Sequence[Ticket]) -> None:
        self.tokens += sum(ticket.sequences * ticket.tokens for ticket in tickets)
