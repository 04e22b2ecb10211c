"""When a link on a message's way carried nothing: the stretches of time in which its capacity is zero.

Links say so themselves: a capacity is a function of time. Not seen here: whether an outage held anybody up. One that
lies within a handshake, or while acknowledgements are awaited, counts as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from netmodels.capacity import Capacity, Constant
from netmodels.link import Link

Span = tuple[float, float]  # from when to when, in seconds


class Outage(NamedTuple):
    """A stretch of virtual time, in seconds, in which a link carried nothing; ``link`` is its name: "phone-3.up"."""

    start_s: float
    end_s: float
    link: str


def outages(links: Iterable[Link], since_s: float, until_s: float) -> list[Outage]:
    """When one of these links carried nothing, in order of time. Where several did not, the first of them is named."""
    found: list[Outage] = []
    for link in links:
        if not isinstance(link.capacity, Constant):
            spans = between(found, since_s, until_s)
            dead = (Outage(*gap, link.name) for span in spans for gap in _dead(link.capacity, *span))
            found = sorted([*found, *dead])
    return found


def between(gaps: Iterable[Outage], since_s: float, until_s: float) -> list[Span]:
    """What is left of a stretch of time without the outages in it, which are in order."""
    left = []
    for gap in gaps:
        if since_s < gap.start_s:
            left.append((since_s, gap.start_s))
        since_s = gap.end_s
    if since_s < until_s:
        left.append((since_s, until_s))
    return left


def seconds(gaps: Iterable[Outage], until_s: float = math.inf) -> float:
    """How long outages lasted, up to a time."""
    return math.fsum(min(gap.end_s, until_s) - gap.start_s for gap in gaps if gap.start_s < until_s)


def _dead(capacity: Capacity, since_s: float, until_s: float) -> Iterator[Span]:
    at_s = since_s
    dead_s: float | None = None
    while at_s < until_s:
        if capacity.at(at_s) > 0:
            if dead_s is not None:
                yield dead_s, at_s
            dead_s = None
        elif dead_s is None:
            dead_s = at_s
        at_s = min(capacity.next_change_s(at_s), until_s)
    if dead_s is not None:
        yield dead_s, until_s
