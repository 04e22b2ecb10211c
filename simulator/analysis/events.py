"""The graph of what had to wait for what in a run: rows are nodes with a duration, an edge is "not before".

The rows do not say what was awaited; it follows from how the parties work:

* A device does one thing after another: what it has computed, sent or received comes before what it begins next.
* A machine of the server or of the aggregator does one computation after another, in the order of the run.
* Where the first computation of a round began only when everything that was sent to it in that round had come, it
  waited for all (a barrier). Else each computation waited for the uploads of those that got its reply.
* A reply waits for the computation that ended when it was sent, or for the message that came then (a receipt, a relay).
* A round ends when what its devices did in it has ended. What begins just then, and what the server computes in the
  next round, waits for that.

Whatever began later than all that it waited for began by the clock (a deadline, a charger at ten o'clock), and not
before that time. Messages that were given up are left out.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from netmodels.topology import AGGREGATOR, SERVER
from simulator.analysis.history import SAME_S, Row
from simulator.record import ComputeRow, MessageRow, RoundRow

PLACES: Final = (SERVER, AGGREGATOR)


@dataclass(slots=True, eq=False)
class Node:
    """A row, or the end of a round (``row`` None). ``before`` are nodes with the seconds by which they end early.

    Early: a sender goes on when the last bit has left, before the message arrives. ``clock_s``: not before that time.
    """

    row: Row | None
    round: int
    start_s: float
    end_s: float
    before: list[tuple[Node, float]] = field(default_factory=list)
    clock_s: float = -math.inf
    place: int = -1

    @property
    def begins(self) -> str:
        """Who does it: who computes, or sends; "" for the end of a round."""
        if self.row is None:
            return ""
        return self.row.actor if isinstance(self.row, ComputeRow) else self.row.sender

    @property
    def device(self) -> str:
        """Whose it is: a message is its device's; "" for a computation of the server or the aggregator."""
        row = self.row
        if row is None or isinstance(row, ComputeRow):
            return "" if row is None or row.actor in PLACES else row.actor
        return row.receiver if row.sender in PLACES else row.sender

    @property
    def early_s(self) -> float:
        """How long before a message arrives its sender goes on."""
        return self.end_s - self.row.sent_s if isinstance(self.row, MessageRow) else 0.0

    @property
    def order(self) -> tuple[float, float]:
        """Nodes wait for earlier ones only."""
        return self.start_s, self.end_s


def graph(messages: Iterable[MessageRow], computes: Iterable[ComputeRow], rounds: Sequence[RoundRow]) -> list[Node]:
    """Every node, each after all that it waits for; the last one is the end of the last round."""
    nodes = [Node(row, row.round, row.start_s, row.end_s) for row in computes]
    nodes += [Node(row, row.round, row.queued_s, row.delivered_s) for row in messages if row.outcome == "delivered"]
    nodes.sort(key=lambda node: node.order)
    ends = [Node(None, row.round, row.end_s, row.end_s) for row in rounds if row.round > 0]
    for place, node in enumerate(nodes):
        node.place = place
    builder = _Builder(nodes)
    builder.devices()
    for name in PLACES:
        builder.place(name)
    builder.rounds(ends)
    everything = sorted([*nodes, *ends], key=lambda node: (*node.order, node.row is None))
    for place, node in enumerate(everything):
        node.place = place
    for node in everything:
        node.before = [(other, early_s) for other, early_s in node.before if other.place < node.place]
        latest_s = max((other.end_s - early_s for other, early_s in node.before), default=-math.inf)
        if node.start_s - latest_s > SAME_S:
            node.clock_s = node.start_s
    return everything[: ends[-1].place + 1] if ends else []


class _Builder:
    """Adds the edges. Nodes come in the order of their starts."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        """Sort the nodes to those who begin them and to those who receive them."""
        self._begun: dict[str, list[Node]] = defaultdict(list)
        self._received: dict[str, list[Node]] = defaultdict(list)
        for node in nodes:
            if isinstance(node.row, ComputeRow):
                self._begun[node.row.actor].append(node)
            elif node.row is not None:
                self._begun[node.row.sender].append(node)
                self._received[node.row.receiver].append(node)
        self._nodes = nodes

    def devices(self) -> None:
        """One thing after another."""
        for actor in {*self._begun, *self._received} - {*PLACES}:
            begun = self._begun[actor]
            starts_s = [node.start_s for node in begun]
            for node in [*begun, *self._received[actor]]:
                early_s = node.early_s if node.begins == actor else 0.0
                at = bisect_left(starts_s, node.end_s - early_s - SAME_S)
                while at < len(begun) and begun[at].place <= node.place:
                    at += 1
                if at < len(begun):
                    begun[at].before.append((node, early_s))

    def place(self, name: str) -> None:
        """Machines, barriers, replies and relays."""
        computed = [node for node in self._begun[name] if isinstance(node.row, ComputeRow)]
        sent = [node for node in self._begun[name] if not isinstance(node.row, ComputeRow)]
        for earlier, later in _machines(computed):
            later.before.append((earlier, 0.0))
        replies = _Starts(sent)
        for node in computed:
            for reply in replies.at(node.end_s):
                reply.before.append((node, 0.0))
        of_round: dict[int, list[Node]] = defaultdict(list)
        for node in computed:
            of_round[node.round].append(node)
        came: dict[int, list[Node]] = defaultdict(list)
        for node in self._received[name]:
            came[node.round].append(node)
        for round, messages in came.items():
            self._awaited(messages, of_round[round], replies)

    def _awaited(self, messages: Sequence[Node], computed: Sequence[Node], replies: _Starts) -> None:
        """What waited for the messages that came in one round."""
        first_s = computed[0].start_s if computed else math.inf
        barrier = max(message.end_s for message in messages) <= first_s + SAME_S
        served: dict[str, list[Node]] = defaultdict(list)
        for node in () if barrier else computed:
            for reply in replies.at(node.end_s):
                served[_receiver(reply)].append(node)
        for message in messages:
            assert isinstance(message.row, MessageRow)
            sender = message.row.sender
            at_once = replies.at(message.end_s)
            receipts = [reply for reply in at_once if _receiver(reply) == sender]
            turns = (node for node in served[sender] if node.start_s >= message.end_s - SAME_S)
            if barrier and computed:
                then = [node for node in computed if node.start_s <= first_s + SAME_S] + receipts
            elif turn := next(turns, None):
                then = [turn, *receipts]
            else:
                then = list(at_once)
            for node in then:
                node.before.append((message, 0.0))

    def rounds(self, ends: Sequence[Node]) -> None:
        """A round ends with the last that each of its devices did in it, and with what ended just then."""
        last: dict[tuple[int, str], Node] = {}
        of_round: dict[int, list[Node]] = defaultdict(list)
        for node in self._nodes:
            of_round[node.round].append(node)
            key = (node.round, node.device)
            if key[1] and (key not in last or node.end_s >= last[key].end_s):
                last[key] = node
        by_round: dict[int, list[Node]] = defaultdict(list)
        for (round, _), node in last.items():
            by_round[round].append(node)
        starts = _Starts(self._nodes)
        for number, end in enumerate(ends):
            just = [node for node in of_round[end.round] if abs(node.end_s - end.end_s) <= SAME_S]
            end.before += [(node, 0.0) for node in {*by_round[end.round], *just} if node.end_s <= end.end_s + SAME_S]
            if number:
                end.before.append((ends[number - 1], 0.0))
            begun = [node for node in starts.at(end.end_s) if node.round > end.round]
            begun += [
                node
                for node in of_round[end.round + 1]
                if isinstance(node.row, ComputeRow) and node.row.actor in PLACES
            ]
            for node in {*begun}:
                if node.start_s >= end.end_s - SAME_S:
                    node.before.append((end, 0.0))


class _Starts:
    """Nodes by the time at which they start."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        """Nodes in the order of their starts."""
        self._nodes, self._starts_s = nodes, [node.start_s for node in nodes]

    def at(self, when_s: float) -> Sequence[Node]:
        """Those that start at an instant."""
        return self._nodes[bisect_left(self._starts_s, when_s - SAME_S) : bisect_right(self._starts_s, when_s + SAME_S)]


def _machines(computed: Sequence[Node]) -> Iterator[tuple[Node, Node]]:
    """Computations that follow each other on a machine: each goes to the free one that was busy last."""
    last: list[Node] = []
    for node in computed:
        free = [at for at, other in enumerate(last) if other.end_s <= node.start_s + SAME_S and other is not node]
        if free:
            at = max(free, key=lambda at: last[at].end_s)
            yield last[at], node
            last[at] = node
        else:
            last.append(node)


def _receiver(node: Node) -> str:
    assert isinstance(node.row, MessageRow)
    return node.row.receiver
