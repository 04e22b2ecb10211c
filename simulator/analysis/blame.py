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

"queue" is the time of the server's other computations while the batch on the path had come and had to wait for them;
what the server did before that batch came is "server", and from there the path is that of the batch it was busy with.
So "server" and "queue" together are all the time of the path at the server.

What a message takes is told apart, if the caller can (see `sharing`). "outage" is the time in which a link on its way
carried nothing (see `outages`). Of the rest it is "uplink" or "downlink" for as long as it would have taken alone on
its device's own link, and what the links that it shares added is a part of its own.

Not seen here: how close the second longest path is (see `slack`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

from netmodels.topology import AGGREGATOR, SERVER
from simulator.analysis.history import SAME_S, Batch, Found, History, Then
from simulator.analysis.outages import Outage
from simulator.record import ComputeRow, MessageRow, RoundRow, WaitRow

Part = Literal[
    "device compute",
    "uplink",
    "downlink",
    "outage",
    "cell",
    "backhaul",
    "server link",
    "queue",
    "server",
    "aggregation",
    "waiting",
    "availability",
]
PARTS: Final[tuple[Part, ...]] = get_args(Part)

_COMPUTE_PART: Final[dict[str, Part]] = {SERVER: "server", AGGREGATOR: "aggregation"}  # else a device
_LINK_PART: Final[dict[str, Part]] = {"up": "uplink", "down": "downlink"}


class Shared(NamedTuple):
    """What a message met on its way: the seconds alone on its device's own link, and the shared link that held it up.

    ``link`` is a link's name, such as "cell.lte-2.up"; "" if it has met none. ``outages``, in order, are when a link on
    its way carried nothing; they are in no other figure.
    """

    alone_s: float
    link: str
    outages: Sequence[Outage] = ()


class Step(NamedTuple):
    """One stretch of the critical path, in virtual seconds; ``device`` is "" if the stretch is not a device's own.

    A message is its device's on either way. ``what`` is that of the computation, the kind of the message, or "".
    ``link`` is the shared link that held a message up, or the link that carried nothing, else "".
    """

    part: Part
    start_s: float
    end_s: float
    device: str
    what: str
    link: str = ""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Blame:
    """The critical path: seconds of every part, seconds of every device on it (most first), and its steps in order."""

    parts: dict[str, float]
    by_device: dict[str, float]
    steps: list[Step]

    @property
    def devices(self) -> dict[str, dict[str, float]]:
        """Seconds of every device in each part that has any, most first."""
        return named(self.steps, lambda step: step.device)

    @property
    def links(self) -> dict[str, dict[str, float]]:
        """Seconds that each shared link added, or a link carried nothing, in each part that has any, most first."""
        return named(self.steps, lambda step: step.link)

    def rounds(self, rounds: Sequence[RoundRow]) -> Iterator[tuple[RoundRow, list[Step]]]:
        """Each round but row 0 with the stretch of the path that lies in it, cut at its ends."""
        place = 0
        for row in rounds:
            if row.round == 0:
                continue
            inside: list[Step] = []
            while place < len(self.steps) and self.steps[place].start_s < row.end_s:
                step = self.steps[place]
                inside.append(step._replace(start_s=max(step.start_s, row.start_s), end_s=min(step.end_s, row.end_s)))
                if step.end_s > row.end_s:
                    break
                place += 1
            yield row, inside


def parts_of(steps: Iterable[Step]) -> dict[str, float]:
    """Seconds of every one of `PARTS`."""
    spans: dict[str, list[float]] = {part: [] for part in PARTS}
    for step in steps:
        spans[step.part].append(step.seconds)
    return {part: math.fsum(each) for part, each in spans.items()}


def named(steps: Iterable[Step], name_of: Callable[[Step], str]) -> dict[str, dict[str, float]]:
    """Seconds by name in each part that has names, most first."""
    spans: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for step in steps:
        if name := name_of(step):
            spans[step.part].append((name, step.seconds))
    return {part: _sums(spans[part]) for part in PARTS if spans[part]}


def blame(
    messages: Iterable[MessageRow],
    computes: Iterable[ComputeRow],
    end_s: float,
    last_actor: str,
    *,
    rounds: Iterable[RoundRow | WaitRow] = (),
    sharing: Callable[[MessageRow], Shared] | None = None,
) -> Blame:
    """Follow the critical path back from ``last_actor`` at ``end_s`` to 0, in virtual seconds.

    ``rounds`` are needed where devices come and go: each sort of row in order of time. ``sharing`` tells apart what a
    message took on its device's own link, on shared ones and in outages; without it all of it is the device's.
    ``parts`` holds every one of `PARTS` and sums to ``end_s``. The actors "server" and "aggregator" are told from
    devices by their names. Raises ValueError unless 0 <= end_s < infinity.
    """
    if not 0 <= end_s < math.inf:
        raise ValueError(f"a path needs an end >= 0 s that is finite, got end_s={end_s}")
    ended: list[RoundRow] = []
    waits: list[WaitRow] = []
    for row in rounds:
        ended.append(row) if isinstance(row, RoundRow) else waits.append(row)
    walk = _Walk(History(messages, computes, ended), end_s, last_actor, sharing)
    steps = [piece for step in walk.steps() for piece in _told_apart(step, waits)]
    steps.reverse()
    return Blame(parts_of(steps), _sums((step.device, step.seconds) for step in steps if step.device), steps)


class _Walk:
    """Where the walk is: at an actor and an instant, and what came next on the path."""

    def __init__(
        self, history: History, end_s: float, actor: str, sharing: Callable[[MessageRow], Shared] | None
    ) -> None:
        """Begin at the end."""
        self._history, self._sharing = history, sharing
        self._actor, self._now_s, self._then = actor, end_s, Then(None, None)
        self._replied_to = ""  # the device whose reply the walk has come from
        self._batch: Batch | None = None  # what waits for the server, if the walk is there
        self._steps: list[Step] = []

    def steps(self) -> list[Step]:
        """The steps, last first. Every turn uses up a row, so the walk ends."""
        while self._now_s > 0:
            found = self._history.cause(self._actor, self._now_s, self._then)
            if (opening := self._history.opening(self._now_s, found)) is not None:
                self._spend("waiting", opening.start_s)
                self._go_to(opening.slowest, Then(None, opening.round))
            elif found is None:
                self._spend("waiting", 0.0)
            else:
                self._take(found)
        return self._steps

    def _take(self, found: Found) -> None:
        found.lane.use(found)
        if self._now_s - found.ended_s > SAME_S:
            self._spend("waiting", found.ended_s)
        row = found.row
        if not isinstance(row, ComputeRow):
            self._travel(row)
            return
        if self._actor == SERVER:
            self._serve(row)
        else:
            self._spend(_COMPUTE_PART.get(self._actor, "device compute"), row.start_s, row.what)
        self._then = Then(ComputeRow, row.round)

    def _serve(self, row: ComputeRow) -> None:
        """A computation of the server: "queue" for as long as the batch on the path had to wait for it."""
        if self._batch is not None and self._batch.came_s < self._now_s - SAME_S:
            self._spend("queue", max(row.start_s, self._batch.came_s), row.what, device=self._batch.device)
        if self._now_s > row.start_s + SAME_S or self._batch is None:
            self._batch = self._history.batch(row, self._replied_to)
        self._replied_to = ""
        self._spend("server", row.start_s, row.what)

    def _travel(self, row: MessageRow) -> None:
        device = _device(row.sender) or _device(row.receiver)
        shared = self._sharing(row) if self._sharing else Shared(math.inf, "")
        own_until_s = row.queued_s + min(shared.alone_s, self._now_s - row.queued_s)
        for gap in shared.outages:
            own_until_s += max(gap.end_s - gap.start_s, 0.0) if gap.start_s < own_until_s else 0.0

        def moving(since_s: float) -> None:
            if shared.link:
                until_s = max(since_s, own_until_s)
                self._spend(_shared_part(shared.link), until_s, row.kind, device=device, link=shared.link)
            self._spend(_LINK_PART[row.direction], since_s, row.kind, device=device)

        for gap in reversed(shared.outages):
            moving(gap.end_s)
            self._spend("outage", gap.start_s, row.kind, device=device, link=gap.link)
        moving(row.queued_s)
        self._go_to(row.sender, Then(MessageRow, row.round))
        self._replied_to = _device(row.receiver) if row.sender == SERVER else ""

    def _go_to(self, actor: str, then: Then) -> None:
        self._actor, self._then = actor, then
        self._batch, self._replied_to = None, ""

    def _spend(self, part: Part, since_s: float, what: str = "", *, device: str | None = None, link: str = "") -> None:
        since_s = min(max(since_s, 0.0), self._now_s)
        if since_s < self._now_s:
            of = _device(self._actor) if device is None else device
            self._steps.append(Step(part, since_s, self._now_s, of, what, link))
        self._now_s = since_s


def _shared_part(link: str) -> Part:
    return "cell" if link.startswith("cell.") else "backhaul" if link.startswith("backhaul.") else "server link"


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


def _sums(spans: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Sums by name, largest first; equals by name."""
    by_name: dict[str, list[float]] = defaultdict(list)
    for name, seconds in spans:
        by_name[name].append(seconds)
    sums: Mapping[str, float] = {name: math.fsum(each) for name, each in by_name.items()}
    return dict(sorted(sums.items(), key=lambda entry: (-entry[1], entry[0])))
