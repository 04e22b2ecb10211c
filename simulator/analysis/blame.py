"""Where the virtual time went: the critical path of a run, read backwards off its rows.

From the end of the run, at the actor that finished last, the walk asks at every instant: what was this actor waiting
for? For the computation that ended just then; or for the message that arrived just then, and then the walk goes on at
its sender, at the instant the message was queued. So every second between the start and the end belongs to exactly one
step, and the parts sum to the whole. While all other durations stay what they are, k times as much time for a part
makes the run longer by at least (k - 1) times that part, and saving time anywhere off the path saves nothing. (Rivals
on a shared link do not leave each other's durations alone: what they do to a message on the path is in its time.)

Several things that ended at the same instant may all be the cause. In this order the walk prefers: the round of what
came next; a message before what came next if that was a computation (it began because the message arrived), a
computation if that was a message (it carries what has just been computed); the row recorded last. If only the actor's
own sending ended just then (or was given up), it waited for its own link. If nothing ended just then, the actor waited
for the clock: the gap back to its last computation or arrival is "waiting". Where a round was opened in that gap, the
actor waited for that, and the walk goes on with whoever was the last in the round before. Time in which a round waited
for anybody to be available is "availability", and nobody's.

Not seen here: why a message took its time (its own bits, a shared link, the latency), and how close the second longest
path is.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Final, Literal, NamedTuple, get_args

from netmodels.topology import AGGREGATOR, SERVER
from simulator.record import ComputeRow, MessageRow, RoundRow, WaitRow

Part = Literal["device compute", "uplink", "server", "downlink", "aggregation", "waiting", "availability"]
PARTS: Final[tuple[Part, ...]] = get_args(Part)

SAME_S: Final = 1e-9  # rows less than this apart are of one instant: the clock's rounding, far below any latency

_COMPUTE_PART: Final[dict[str, Part]] = {SERVER: "server", AGGREGATOR: "aggregation"}  # else a device
_LINK_PART: Final[dict[str, Part]] = {"up": "uplink", "down": "downlink"}

Row = MessageRow | ComputeRow


class Step(NamedTuple):
    """One stretch of the critical path, in virtual seconds; ``device`` is "" if the stretch is not a device's own.

    A message is its device's on either way. ``what`` is that of the computation, the kind of the message, or "".
    """

    part: Part
    start_s: float
    end_s: float
    device: str
    what: str


@dataclass(frozen=True, slots=True)
class Blame:
    """The critical path: seconds of every part, seconds of every device on it (most first), and its steps in order."""

    parts: dict[str, float]
    by_device: dict[str, float]
    steps: list[Step]


def blame(
    messages: Iterable[MessageRow],
    computes: Iterable[ComputeRow],
    end_s: float,
    last_actor: str,
    *,
    start_s: float = 0.0,
    rounds: Iterable[RoundRow | WaitRow] = (),
) -> Blame:
    """Follow the critical path back from ``last_actor`` at ``end_s`` to ``start_s``, in virtual seconds.

    ``rounds`` are needed where devices come and go: each sort of row in order of time.
    ``parts`` holds every one of `PARTS` and sums to ``end_s - start_s``. A step that began before ``start_s`` counts
    from there, so the path of a single round can be asked for. The actors "server" and "aggregator" are told from
    devices by their names. Raises ValueError unless start_s <= end_s, both finite.
    """
    if not -math.inf < start_s <= end_s < math.inf:
        raise ValueError(f"a path needs start_s <= end_s, both finite; got start_s={start_s}, end_s={end_s}")
    ended: list[RoundRow] = []
    waits: list[WaitRow] = []
    for row in rounds:
        ended.append(row) if isinstance(row, RoundRow) else waits.append(row)
    steps = _walk(_History(messages, computes, ended), end_s, last_actor, start_s)
    steps = [piece for step in steps for piece in _told_apart(step, waits)]
    steps.reverse()
    parts: dict[str, list[float]] = {part: [] for part in PARTS}
    by_device: dict[str, list[float]] = defaultdict(list)
    for step in steps:
        parts[step.part].append(step.end_s - step.start_s)
        if step.device:
            by_device[step.device].append(step.end_s - step.start_s)
    devices = {device: math.fsum(spans) for device, spans in by_device.items()}
    return Blame(
        {part: math.fsum(spans) for part, spans in parts.items()},
        dict(sorted(devices.items(), key=lambda entry: (-entry[1], entry[0]))),
        steps,
    )


def _walk(history: _History, end_s: float, last_actor: str, start_s: float) -> list[Step]:
    """The steps, last first. Every turn uses up a row, so the walk ends."""
    steps: list[Step] = []
    actor, now_s, then = last_actor, end_s, _Then(None, None)

    def spend(part: Part, began_s: float, device: str, what: str) -> float:
        since_s = min(max(began_s, start_s), now_s)
        if since_s < now_s:
            steps.append(Step(part, since_s, now_s, device, what))
        return since_s

    while now_s > start_s:
        found = history.cause(actor, now_s, then)
        if (opening := history.opening(now_s, found)) is not None:
            now_s = spend("waiting", opening.start_s, _device(actor), "")
            actor, then = opening.slowest, _Then(None, opening.round)
            continue
        if found is None:
            spend("waiting", start_s, _device(actor), "")
            break
        found.lane.use(found)
        if now_s - found.ended_s > SAME_S:
            now_s = spend("waiting", found.ended_s, _device(actor), "")
        row = found.row
        if isinstance(row, ComputeRow):
            now_s = spend(_COMPUTE_PART.get(actor, "device compute"), row.start_s, _device(actor), row.what)
        else:
            device = _device(row.sender) or _device(row.receiver)
            now_s = spend(_LINK_PART[row.direction], row.queued_s, device, row.kind)
            actor = row.sender
        then = _Then(type(row), row.round)
    return steps


def _told_apart(step: Step, waits: list[WaitRow]) -> Iterator[Step]:
    """A stretch of waiting, cut where a round began or ceased to wait for anybody to be available."""
    at_s = step.start_s
    for wait in waits if step.part == "waiting" else ():
        since_s, until_s = max(wait.start_s, at_s), min(wait.end_s, step.end_s)
        if since_s < until_s:
            if at_s < since_s:
                yield step._replace(start_s=at_s, end_s=since_s)
            yield Step("availability", since_s, until_s, "", "")
            at_s = until_s
    if at_s < step.end_s:
        yield step._replace(start_s=at_s)


def _device(actor: str) -> str:
    return "" if actor in _COMPUTE_PART else actor


class _Then(NamedTuple):
    """What came next on the path: nothing yet at the end of the run."""

    kind: type[Row] | None
    round: int | None


class _Found(NamedTuple):
    """A row, when it ended for the actor in question, and its place in the actor's lane."""

    row: Row
    ended_s: float
    place: int
    lane: _Lane
    actor: str


class _Opening(NamedTuple):
    """When a round was opened, and the round before with its last device."""

    start_s: float
    round: int
    slowest: str


class _Lane:
    """One sort of rows by actor, ordered by their end; rows of one end stay in the order in which they were recorded.

    An actor's rows are sorted when the path first comes to it. The path goes back in time, so what lies after a row it
    has used is never looked at again: that row's place is where the next search ends.
    """

    def __init__(self, rows: Iterable[Row], actor: str, ended_s: str) -> None:
        """Take the rows and the names of the two fields to order them by."""
        self._ended_s = attrgetter(ended_s)
        self._rows: dict[str, list[Row]] = defaultdict(list)
        self._unused: dict[str, int] = {}
        actor_of = attrgetter(actor)
        for row in rows:
            self._rows[actor_of(row)].append(row)

    def last(self, actor: str, now_s: float, round: int | None) -> _Found | None:
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
        return _Found(rows[place], ended_s(rows[place]), place, self, actor)

    def use(self, found: _Found) -> None:
        """Use up a row."""
        self._unused[found.actor] = found.place


class _History:
    """All rows by actor; hands out causes."""

    def __init__(
        self, messages: Iterable[MessageRow], computes: Iterable[ComputeRow], rounds: Iterable[RoundRow]
    ) -> None:
        """Sort the rows to their actors."""
        self._messages = list(messages)
        delivered = (row for row in self._messages if row.outcome == "delivered")
        self._computed = _Lane(computes, "actor", "end_s")
        self._received = _Lane(delivered, "receiver", "delivered_s")
        ended = [row for row in rounds if row.round > 0]
        self._openings = [_Opening(row.end_s, row.round, row.slowest) for row in ended]

    @cached_property
    def _sent(self) -> _Lane:
        return _Lane(self._messages, "sender", "sent_s")  # seldom asked for

    def cause(self, actor: str, now_s: float, then: _Then) -> _Found | None:
        """What the actor was waiting for at an instant; see the top of this file."""
        computed = self._computed.last(actor, now_s, then.round)
        received = self._received.last(actor, now_s, then.round)
        latest_s = max((found.ended_s for found in (computed, received) if found), default=-math.inf)
        if now_s - latest_s > SAME_S:
            sent = self._sent.last(actor, now_s, then.round)
            if sent and now_s - sent.ended_s <= SAME_S:
                return sent
        return computed if computed and (not received or _compute_first(computed, received, then)) else received

    def opening(self, now_s: float, found: _Found | None) -> _Opening | None:
        """The round that was opened after what was found had ended, used up; None if there is none, or no gap."""
        while self._openings and self._openings[-1].start_s > now_s + SAME_S:
            self._openings.pop()
        if not self._openings or (found and found.ended_s >= min(self._openings[-1].start_s, now_s) - SAME_S):
            return None
        return self._openings.pop()


def _compute_first(computed: _Found, received: _Found, then: _Then) -> bool:
    if abs(computed.ended_s - received.ended_s) > SAME_S:
        return computed.ended_s > received.ended_s
    if (computed.row.round == then.round) != (received.row.round == then.round):
        return computed.row.round == then.round
    return then.kind is not ComputeRow
