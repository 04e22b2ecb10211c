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
from collections.abc import Hashable, Iterable, Mapping
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netmodels.capacity import Capacity
from netmodels.link import Link
from netmodels.network import Network
from netmodels.tcp import Tcp
from netmodels.topology import Topology
from simulator.analysis.blame import Shared
from simulator.record import MessageRow

LEAST_S: Final = 1e-9  # less is the clock's rounding

Ends = tuple[str, str]  # a device and the far end


class Sharing:
    """Tells of a message what its way would have taken alone, and what held it up."""

    def __init__(self, topology: Topology, model: Tcp, messages: Iterable[MessageRow]) -> None:
        """Take the links, the transport model, and every message of a run. Only devices asked for are played again."""
        self._topology, self._model = topology, model
        self._messages = [row for row in messages if row.outcome == "delivered"]
        self._alone_s: dict[Ends, Mapping[Hashable, float]] = {}

    def __call__(self, row: MessageRow) -> Shared:
        """What a message of the run met; one that was given up counts as its device's own."""
        if row.outcome != "delivered":
            return Shared(math.inf, "")
        ends = _ends(row)
        if ends not in self._alone_s:
            self._alone_s[ends] = self._play(ends)
        took_s, alone_s = row.delivered_s - row.queued_s, self._alone_s[ends][row.id]
        if took_s - alone_s < LEAST_S:
            return Shared(took_s, "")
        shared = [name for name in self._topology.route(row.sender, row.receiver) if name != _own(row)]
        busy = {name: self._loads[name].share(row.queued_s, row.sent_s) for name in shared}
        link = max(busy, key=lambda name: busy[name])
        return Shared(max(alone_s, (1 - min(busy[link], 1.0)) * took_s), link)

    @cached_property
    def _by_ends(self) -> dict[Ends, list[MessageRow]]:
        rows: dict[Ends, list[MessageRow]] = defaultdict(list)
        for row in self._messages:
            rows[_ends(row)].append(row)
        return rows

    def _play(self, ends: Ends) -> dict[Hashable, float]:
        """Seconds of every message between two ends, by its id, had there been no others."""
        device, far_end = ends
        up, down = self._private(device, far_end, "up"), self._private(far_end, device, "down")
        network = Network({link.name: link for link in (*up, *down)}, self._model)
        ups, downs = (tuple(link.name for link in links) for links in (up, down))
        queued_s: dict[Hashable, float] = {}
        alone_s: dict[Hashable, float] = {}

        def play_until(when_s: float) -> None:
            while (next_s := network.next_event_s()) <= when_s and next_s < math.inf:
                for done in network.advance(next_s):
                    alone_s[done.flow_id] = done.delivered_s - queued_s[done.flow_id]

        for row in sorted(self._by_ends[ends], key=lambda row: row.queued_s):
            play_until(row.queued_s)
            queued_s[row.id] = row.queued_s
            route, back = (ups, downs) if row.direction == "up" else (downs, ups)
            connection = (row.sender, row.receiver)
            network.start(row.queued_s, row.id, row.size_bytes, route, connection=connection, ack_route=back)
        play_until(math.inf)
        return alone_s

    def _private(self, sender: str, receiver: str, way: str) -> list[Link]:
        """The link of a route that only its device uses, with the latency of all of it; and an airtime cell, empty."""
        links = [self._topology.links[name] for name in self._topology.route(sender, receiver)]
        own = links[0 if way == "up" else -1]
        latency_s = math.fsum(link.latency_s for link in links)
        alone = [Link(own.name, own.capacity, latency_s, own.loss_probability, radio_in=own.radio_in)]
        return alone + [Link(link.name, link.capacity, airtime=link.airtime) for link in links if link.airtime]

    @cached_property
    def _loads(self) -> dict[str, _Load]:
        """What crossed every shared link."""
        rows: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
        links = self._topology.links
        for row in self._messages:
            own = _own(row)
            for name in self._topology.route(row.sender, row.receiver):
                if name != own:
                    capacity = links[own].capacity if links[name].airtime else links[name].capacity
                    rows[name].append((row.queued_s, row.sent_s, _busy_s(row, capacity)))
        return {name: _Load(*np.array(each).T) for name, each in rows.items()}


class _Load(NamedTuple):
    """The messages that crossed a link: from when to when, and the seconds for which the link is busy with each."""

    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    busy_s: NDArray[np.float64]

    def share(self, start_s: float, end_s: float) -> float:
        """The part of a time in which the link was busy, if every message was spread evenly; may round to above 1."""
        inside_s = np.minimum(self.end_s, end_s) - np.maximum(self.start_s, start_s)
        inside = np.clip(inside_s, 0.0, None) / np.maximum(self.end_s - self.start_s, LEAST_S)
        return float(np.sum(self.busy_s * inside)) / max(end_s - start_s, LEAST_S)


def _ends(row: MessageRow) -> Ends:
    return (row.sender, row.receiver) if row.direction == "up" else (row.receiver, row.sender)


def _own(row: MessageRow) -> str:
    """The name of the link that only its device uses."""
    return f"{_ends(row)[0]}.{row.direction}"


def _busy_s(row: MessageRow, capacity: Capacity) -> float:
    """Seconds for which a link of this capacity is busy with a message."""
    bps = capacity.at(row.queued_s)
    return 8 * row.wire_bytes / bps if bps > 0 else row.sent_s - row.queued_s
