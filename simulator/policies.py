"""Whom a round waits for, as plain functions of who is there and whose message has come.

The server waits for one message of every device of a round: the barrier. A rule says until when, as things stand at an
instant; whoever has not sent by then is given up. Asked again whenever a message comes or a device goes. Published
names: waiting for the first of more devices than are needed is "over-selection" in Bonawitz et al., "Towards Federated
Learning at Scale: System Design", MLSys 2019 (arXiv 1902.01046), who select 130 % of what they need.

Not modelled: messages that come too late and are used all the same (asynchronous training).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Barrier:
    """How a round stands: so many devices are in it and not gone, and the messages of so many of these have come."""

    there: int
    sent: int


Patience = Callable[[Barrier], float]
"""Until when a round waits for more, in seconds after it opened: 0 for no longer, infinity for as long as it takes."""


def everybody(barrier: Barrier) -> float:
    """Wait for all who are there."""
    return 0.0 if barrier.sent == barrier.there else math.inf


def until(deadline_s: float) -> Patience:
    """Wait for all who are there, but no longer than so many seconds, also if nobody has come."""
    return lambda barrier: min(everybody(barrier), deadline_s)


def first(count: int) -> Patience:
    """Wait for so many; for all who are there if these are fewer."""
    return lambda barrier: 0.0 if barrier.sent >= count else everybody(barrier)


def sooner(one: Patience, other: Patience) -> Patience:
    """Wait no longer than either rule does."""
    return lambda barrier: min(one(barrier), other(barrier))


def to_draw(wanted: int, over_selection: float) -> int:
    """Devices to draw where so many are wanted and a share more is asked: 13 for 10 and 0.3, and 28 for 25 and 0.12.

    Rounded up, of the decimal fraction that a person writes: as floats 25 x 1.12 is a little above 28.
    """
    return math.ceil(wanted * (1 + Fraction(repr(over_selection))))
