"""What an actor was waiting for at an instant: the rows of a run by actor, read from the end backwards."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any, Final, NamedTuple

from netmodels.topology import SERVER
from simulator.record import ComputeRow, MessageRow, RoundRow

SAME_S: Final = 1e-9  # rows less than this apart are of one instant: the clock's rounding, far below any latency

Row = MessageRow | ComputeRow


class Then(NamedTuple):
    """What came next on the path: nothing yet at the end of the run."""

    kind: type[Row] | None
    round: int | None


class Found(NamedTuple):
    """A row, when it ended for the actor in question, and its place in the actor's lane."""

    row: Row
    ended_s: float
    place: int
    lane: Lane
    actor: str


class Batch(NamedTuple):
    """Whose batch the server worked on, and when it had come."""

    device: str
    came_s: float


class Opening(NamedTuple):
    """When a round was opened, and the round before with its last device."""

    start_s: float
    round: int
    slowest: str


def field(kind: type[Row], name: str) -> Callable[[Row], Any]:
    """What reads a field of rows of one sort: by its place, which takes less time than by its name."""
    return itemgetter(kind._fields.index(name))


class Lane:
    """One sort of rows by actor, ordered by their end; rows of one end stay in the order in which they were recorded.

    An actor's rows are sorted when the path first comes to it. The path goes back in time, so what lies after a row it
    has used is never looked at again: that row's place is where the next search ends.
    """

    def __init__(self, rows: Iterable[Row], kind: type[Row], actor: str, ended_s: str) -> None:
        """Take the rows, their sort, and the names of the two fields to order them by."""
        self._ended_s = field(kind, ended_s)
        self._rows: dict[str, list[Row]] = defaultdict(list)
        self._unused: dict[str, int] = {}
        actor_of = field(kind, actor)
        for row in rows:
            self._rows[actor_of(row)].append(row)

    def last(self, actor: str, now_s: float, round: int | None) -> Found | None:
        """The unused row that ended last, at ``now_s`` or before; among those of that instant one of the round."""
        rows, ended_s = self._rows.get(actor, []), self._ended_s
        if actor not in self._unused:
            rows.sort(key=ended_s)
            self._unused[actor] = len(rows)
        place = bisect_right(rows, now_s, hi=self._unused[actor], key=ended_s) - 1
        if place < 0:
            return None
        last_s = ended_s(rows[place])
        for other in range(place, -1, -1):
            if last_s - ended_s(rows[other]) > SAME_S:
                break
            if rows[other].round == round:
                place = other
                break
        return Found(rows[place], ended_s(rows[place]), place, self, actor)

    def of(self, actor: str) -> Sequence[Row]:
        """All rows of an actor."""
        return self._rows.get(actor, [])

    def use(self, found: Found) -> None:
        """Use up a row."""
        self._unused[found.actor] = found.place


class History:
    """All rows by actor; hands out causes."""

    def __init__(
        self, messages: Iterable[MessageRow], computes: Iterable[ComputeRow], rounds: Iterable[RoundRow]
    ) -> None:
        """Sort the rows to their actors."""
        self._messages = list(messages)
        delivered = (row for row in self._messages if row.outcome == "delivered")
        self._computed = Lane(computes, ComputeRow, "actor", "end_s")
        self._received = Lane(delivered, MessageRow, "receiver", "delivered_s")
        ended = [row for row in rounds if row.round > 0]
        self._openings = [Opening(row.end_s, row.round, row.slowest) for row in ended]

    @cached_property
    def _sent(self) -> Lane:
        return Lane(self._messages, MessageRow, "sender", "sent_s")  # seldom asked for

    def cause(self, actor: str, now_s: float, then: Then) -> Found | None:
        """What the actor was waiting for at an instant; see the top of this file."""
        computed = self._computed.last(actor, now_s, then.round)
        received = self._received.last(actor, now_s, then.round)
        latest_s = max((found.ended_s for found in (computed, received) if found), default=-math.inf)
        if now_s - latest_s > SAME_S:
            sent = self._sent.last(actor, now_s, then.round)
            if sent and now_s - sent.ended_s <= SAME_S:
                return sent
        return computed if computed and (not received or _compute_first(computed, received, then)) else received

    def batch(self, row: ComputeRow, device: str) -> Batch | None:
        """The batch that a computation of the server was for: that of the device, or of the first that got a reply.

        None where nobody got one, or had sent anything before.
        """
        if not device:
            place = bisect_left(self._replies, row.end_s - SAME_S, key=field(MessageRow, "queued_s"))
            if place < len(self._replies) and self._replies[place].queued_s <= row.end_s + SAME_S:
                device = self._replies[place].receiver
        came_s = self._arrivals_s.get(device, [])
        place = bisect_right(came_s, row.start_s + SAME_S)
        return Batch(device, came_s[place - 1]) if place else None

    @cached_property
    def _replies(self) -> list[MessageRow]:
        """What the server sent, by the time at which it did."""
        return sorted((row for row in self._messages if row.sender == SERVER), key=field(MessageRow, "queued_s"))

    @cached_property
    def _arrivals_s(self) -> dict[str, list[float]]:
        """When something came to the server from each device, in order."""
        arrivals_s: dict[str, list[float]] = defaultdict(list)
        for row in self._received.of(SERVER):
            assert isinstance(row, MessageRow)
            arrivals_s[row.sender].append(row.delivered_s)
        for each in arrivals_s.values():
            each.sort()
        return arrivals_s

    def opening(self, now_s: float, found: Found | None) -> Opening | None:
        """The round that was opened after what was found had ended, used up; None if there is none, or no gap."""
        while self._openings and self._openings[-1].start_s > now_s + SAME_S:
            self._openings.pop()
        if not self._openings or (found and found.ended_s >= min(self._openings[-1].start_s, now_s) - SAME_S):
            return None
        return self._openings.pop()


def _compute_first(computed: Found, received: Found, then: Then) -> bool:
    if abs(computed.ended_s - received.ended_s) > SAME_S:
        return computed.ended_s > received.ended_s
    if (computed.row.round == then.round) != (received.row.round == then.round):
        return computed.row.round == then.round
    return then.kind is not ComputeRow
