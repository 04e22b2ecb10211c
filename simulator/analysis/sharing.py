"""What a message took on its device's own link, and which of the links that it shares with others held it up.

*Alone* is what the transfer would have taken had its device been alone: over its own link, with the latency of the
whole way, under the same transport model, begun when it really began, on a connection that has carried before what it
really did. `netmodels` plays a device's transfers once more for that. What the transfer took beyond it is the doing of
shared links: their capacity, and who else was on them. (A cell that is shared by airtime is there, and empty: alone in
it a phone has its own rate.)

*Which link*: of the shared ones on the way that which was busiest meanwhile, as if the bits of every message had been
spread evenly over its time; and it added no more than the time for which it was busy.

Not modelled: several links that hold a message up by turns. A device that comes back shakes hands anew, which is not
seen here: that round trip is its own link's, unless a shared link was busy for as long.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netmodels.capacity import Constant
from netmodels.link import Link
from netmodels.network import Network
from netmodels.tcp import Tcp
from netmodels.topology import Topology
from simulator.analysis.blame import Shared
from simulator.record import MessageRow

LEAST_S: Final = 1e-9  # less is the clock's rounding

Ends = tuple[str, str]  # a device and the far end, or who sends and who receives
Floats = NDArray[np.float64]


class Sharing:
    """Tells of a message what its way would have taken alone, and what held it up."""

    def __init__(self, topology: Topology, model: Tcp, messages: Iterable[MessageRow]) -> None:
        """Take the links, the transport model, and every message of a run. Only devices asked for are played again."""
        self._topology, self._model = topology, model
        self._messages = [row for row in messages if row.outcome == "delivered"]
        self._alone_s: dict[Ends, Mapping[Hashable, float]] = {}
        self._loads: dict[str, _Load] = {}

    def __call__(self, row: MessageRow) -> Shared:
        """What a message of the run met; one that was given up counts as its device's own."""
        if row.outcome != "delivered":
            return Shared(math.inf, "")
        ends = _ends(row)
        if ends not in self._alone_s:
            self._alone_s[ends] = self._play(*ends)
        took_s, alone_s = row.delivered_s - row.queued_s, self._alone_s[ends][row.id]
        if took_s - alone_s < LEAST_S:
            return Shared(took_s, "")
        shared = [name for name in self._topology.route(row.sender, row.receiver) if name != _own(row)]
        busy = {name: self._load(name).share(row.queued_s, row.sent_s) for name in shared}
        link = max(busy, key=lambda name: busy[name])
        return Shared(max(alone_s, (1 - min(busy[link], 1.0)) * took_s), link)

    @cached_property
    def _between(self) -> dict[Ends, list[MessageRow]]:
        """The messages of every sender to every receiver."""
        rows: dict[Ends, list[MessageRow]] = defaultdict(list)
        for row in self._messages:
            rows[row.sender, row.receiver].append(row)
        return rows

    def _play(self, device: str, far_end: str) -> dict[Hashable, float]:
        """Seconds of every message between two ends, by its id, had there been no others."""
        up, down = self._private(device, far_end, "up"), self._private(far_end, device, "down")
        network = Network({link.name: link for link in (*up, *down)}, self._model)
        ups, downs = (tuple(link.name for link in links) for links in (up, down))
        queued_s: dict[Hashable, float] = {}
        alone_s: dict[Hashable, float] = {}

        def play_until(when_s: float) -> None:
            for done in network.advance(when_s):
                alone_s[done.flow_id] = done.delivered_s - queued_s[done.flow_id]

        both_ways = [*self._between.get((device, far_end), ()), *self._between.get((far_end, device), ())]
        for row in sorted(both_ways, key=attrgetter("queued_s")):
            play_until(row.queued_s)
            queued_s[row.id] = row.queued_s
            route, back = (ups, downs) if row.direction == "up" else (downs, ups)
            connection = (row.sender, row.receiver)
            network.start(row.queued_s, row.id, row.size_bytes, route, connection=connection, ack_route=back)
        while (next_s := network.next_event_s()) < math.inf:
            play_until(next_s)
        return alone_s

    def _private(self, sender: str, receiver: str, way: str) -> list[Link]:
        """The link of a route that only its device uses, with the latency of all of it; and an airtime cell, empty."""
        links = [self._topology.links[name] for name in self._topology.route(sender, receiver)]
        own = links[0 if way == "up" else -1]
        latency_s = math.fsum(link.latency_s for link in links)
        alone = [Link(own.name, own.capacity, latency_s, own.loss_probability, radio_in=own.radio_in)]
        return alone + [Link(link.name, link.capacity, airtime=link.airtime) for link in links if link.airtime]

    @cached_property
    def _crowd(self) -> _Crowd:
        """All messages, by the time at which they began."""
        rows = [row for each in self._between.values() for row in each]
        start_s = _column(rows, "queued_s")
        order = np.argsort(start_s)
        ends = np.repeat(np.arange(len(self._between)), [len(each) for each in self._between.values()])
        return _Crowd(
            start_s[order], _column(rows, "sent_s")[order], 8 * _column(rows, "wire_bytes")[order], ends[order]
        )

    def _load(self, name: str) -> _Load:
        """What crossed a shared link."""
        if name not in self._loads:
            crosses = np.array([name in self._topology.route(*ends) for ends in self._between])
            crowd = self._crowd.those(crosses[self._crowd.ends])
            latest_s = np.maximum.accumulate(crowd.end_s)
            self._loads[name] = _Load(crowd.start_s, crowd.end_s, self._busy_s(name, crowd), latest_s)
        return self._loads[name]

    def _busy_s(self, name: str, crowd: _Crowd) -> Floats:
        """Seconds for which a shared link is busy with each of these messages."""
        links = self._topology.links
        capacity = links[name].capacity
        if not links[name].airtime and isinstance(capacity, Constant):
            return crowd.bits / capacity.bps
        own = [links[_own(rows[0])].capacity if links[name].airtime else capacity for rows in self._between.values()]
        bps = np.array([own[ends].at(at_s) for ends, at_s in zip(crowd.ends, crowd.start_s.tolist(), strict=True)])
        busy_s = crowd.end_s - crowd.start_s
        np.divide(crowd.bits, bps, out=busy_s, where=bps > 0)
        return busy_s


class _Crowd(NamedTuple):
    """Messages: from when to when, their bits on the wire, and the number of who sent to whom."""

    start_s: Floats
    end_s: Floats
    bits: Floats
    ends: NDArray[np.int64]

    def those(self, chosen: NDArray[np.bool_]) -> _Crowd:
        """Some of them."""
        return _Crowd(self.start_s[chosen], self.end_s[chosen], self.bits[chosen], self.ends[chosen])


class _Load(NamedTuple):
    """The messages that crossed a link: from when to when, and the seconds for which the link is busy with each.

    In the order in which they began; ``latest_s`` is the latest end up to and with each.
    """

    start_s: Floats
    end_s: Floats
    busy_s: Floats
    latest_s: Floats

    def share(self, start_s: float, end_s: float) -> float:
        """The part of a time in which the link was busy, if every message was spread evenly; may round to above 1."""
        met = slice(self.latest_s.searchsorted(start_s), self.start_s.searchsorted(end_s))
        since_s, until_s = self.start_s[met], self.end_s[met]
        inside_s = np.minimum(until_s, end_s) - np.maximum(since_s, start_s)
        inside = np.maximum(inside_s, 0.0) / np.maximum(until_s - since_s, LEAST_S)
        return float(self.busy_s[met] @ inside) / max(end_s - start_s, LEAST_S)


def _column(rows: Sequence[MessageRow], name: str) -> Floats:
    return np.fromiter(map(attrgetter(name), rows), float, len(rows))


def _ends(row: MessageRow) -> Ends:
    return (row.sender, row.receiver) if row.direction == "up" else (row.receiver, row.sender)


def _own(row: MessageRow) -> str:
    """The name of the link that only its device uses."""
    return f"{_ends(row)[0]}.{row.direction}"
