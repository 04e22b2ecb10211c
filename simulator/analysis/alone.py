"""What a device's transfers would have taken alone: played once more by `netmodels`, without anybody else's."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from operator import attrgetter

from netmodels.link import Link
from netmodels.network import Network
from netmodels.tcp import Tcp
from netmodels.topology import Topology
from simulator.record import MessageRow


class Alone:
    """The transfers between a device and the server, or the aggregator, over the links that nobody else uses.

    Only as far as they are asked for: the critical path comes to the latest first, so that most devices need not be
    played to the end.
    """

    def __init__(self, topology: Topology, model: Tcp, device: str, far_end: str, rows: Iterable[MessageRow]) -> None:
        """Take what has been delivered between the two, in either direction."""
        up = _private(topology, device, far_end, "up")
        down = _private(topology, far_end, device, "down")
        self._network = Network({link.name: link for link in (*up, *down)}, model)
        self._ups, self._downs = (tuple(link.name for link in links) for links in (up, down))
        self._left = sorted(rows, key=attrgetter("queued_s"), reverse=True)
        self._queued_s: dict[Hashable, float] = {}
        self._took_s: dict[Hashable, float] = {}

    def took_s(self, row: MessageRow) -> float:
        """Seconds from its beginning to its arrival."""
        while row.id not in self._took_s:
            if self._left:
                self._begin(self._left.pop())
            else:
                self._play_until(self._network.next_event_s())
        return self._took_s[row.id]

    def _begin(self, row: MessageRow) -> None:
        self._play_until(row.queued_s)
        self._queued_s[row.id] = row.queued_s
        route, back = (self._ups, self._downs) if row.direction == "up" else (self._downs, self._ups)
        connection = (row.sender, row.receiver)
        self._network.start(row.queued_s, row.id, row.size_bytes, route, connection=connection, ack_route=back)

    def _play_until(self, when_s: float) -> None:
        assert when_s < math.inf, "a transfer that was delivered is over some time"
        for done in self._network.advance(when_s):
            self._took_s[done.flow_id] = done.delivered_s - self._queued_s[done.flow_id]


def _private(topology: Topology, sender: str, receiver: str, way: str) -> list[Link]:
    """The link of a route that only its device uses, with the latency of all of it; and an airtime cell, empty."""
    links = [topology.links[name] for name in topology.route(sender, receiver)]
    own = links[0 if way == "up" else -1]
    latency_s = math.fsum(link.latency_s for link in links)
    alone = [Link(own.name, own.capacity, latency_s, own.loss_probability, radio_in=own.radio_in)]
    return alone + [Link(link.name, link.capacity, airtime=link.airtime) for link in links if link.airtime]
