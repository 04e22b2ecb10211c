"""What a message took on its device's own link, and which of the links that it shares with others held it up.

*Alone* is what the transfer would have taken had its device been alone: over its own link, with the latency of the
whole way, under the same transport model, begun when it really began, on a connection that has carried before what it
really did (see `alone`). What the transfer took beyond it is the doing of shared links: their capacity, and who else
was on them. (A cell that is shared by airtime is there, and empty: alone in it a phone has its own rate.)

*Which link*: of the shared ones on the way that which was busiest meanwhile, as if the bits of every message had been
spread evenly over its time; and it added no more than the time for which it was busy.

*Outages* are told apart from all that: the time in which a link on the way carried nothing is in neither figure.

Not modelled: several links that hold a message up by turns. A device that comes back shakes hands anew, which is not
seen here: that round trip is its own link's, unless a shared link was busy for as long.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from netmodels.capacity import Constant
from netmodels.link import Link
from netmodels.tcp import Tcp
from netmodels.topology import Topology
from simulator.analysis.alone import Alone
from simulator.analysis.blame import Shared
from simulator.analysis.history import field
from simulator.analysis.outages import Span, between, outages, seconds
from simulator.record import MessageRow

LEAST_S: Final = 1e-9  # less is the clock's rounding

Ends = tuple[str, str]  # a device and the far end, or who sends and who receives
Floats = NDArray[np.float64]


class Sharing:
    """Tells of a message what its way would have taken alone, and what held it up."""

    def __init__(self, topology: Topology, model: Tcp, messages: Sequence[MessageRow]) -> None:
        """Take the links, the transport model, and every message of a run. Only devices asked for are played again."""
        self._topology, self._model = topology, model
        self._messages = messages
        self._alone: dict[Ends, Alone] = {}
        self._loads: dict[str, _Load] = {}

    def __call__(self, row: MessageRow) -> Shared:
        """What a message of the run met; one that was given up counts as its device's own, but for outages."""
        links = self._way(row)
        since_s, until_s = self._moving(row, links)
        gaps = outages(links, since_s, until_s)
        if row.outcome != "delivered":
            return Shared(math.inf, "", gaps)
        took_s, alone_s = row.delivered_s - row.queued_s, self._alone_s(row)
        if gaps:
            kept = {link.name for link in links[:1] + [link for link in links if link.airtime]}
            own_until_s = min(since_s + alone_s - _latency_s(links), until_s)
            alone_s -= seconds((gap for gap in gaps if gap.link in kept), own_until_s)
        moved_s = took_s - seconds(gaps)
        if moved_s - alone_s < LEAST_S:
            return Shared(moved_s, "", gaps)
        busy = {link.name: self._load(link.name).share(since_s, until_s) for link in links[1:]}
        name = max(busy, key=lambda name: busy[name])
        return Shared(max(alone_s, moved_s - min(busy[name], 1.0) * took_s), name, gaps)

    def _alone_s(self, row: MessageRow) -> float:
        """Seconds that it would have taken, had there been no other devices."""
        ends = _ends(row)
        if ends not in self._alone:
            both_ways = [*self._between.get(ends, ()), *self._between.get(ends[::-1], ())]
            self._alone[ends] = Alone(self._topology, self._model, *ends, both_ways)
        return self._alone[ends].took_s(row)

    def _way(self, row: MessageRow) -> list[Link]:
        """The links of a message's route, its device's own first."""
        links = [self._topology.links[name] for name in self._topology.route(row.sender, row.receiver)]
        return links if row.direction == "up" else links[::-1]

    def _moving(self, row: MessageRow, links: Sequence[Link]) -> Span:
        """From when to when a message's bits cross links, all of them at once: before the latency, or after it."""
        shift_s = self._shift_s(links)
        return row.queued_s + shift_s, row.sent_s + shift_s

    def _shift_s(self, links: Sequence[Link]) -> float:
        return _latency_s(links) if self._model.latency_first else 0.0

    @cached_property
    def _between(self) -> dict[Ends, list[MessageRow]]:
        """What was delivered from every sender to every receiver."""
        rows: dict[Ends, list[MessageRow]] = defaultdict(list)
        for row in self._messages:
            if row.outcome == "delivered":
                rows[row.sender, row.receiver].append(row)
        return rows

    @cached_property
    def _crowd(self) -> _Crowd:
        """All messages, by the time at which they began; one that met outages as several, of the time between them."""
        ways = [self._way(rows[0]) for rows in self._between.values()]
        rows = [row for each in self._between.values() for row in each]
        ends = np.repeat(np.arange(len(ways)), [len(each) for each in self._between.values()])
        shift_s = np.array([self._shift_s(links) for links in ways])[ends]
        steady = np.array([all(isinstance(link.capacity, Constant) for link in links) for links in ways])[ends]
        bits = 8 * _column(rows, "wire_bytes")
        crowd = _Crowd(_column(rows, "queued_s") + shift_s, _column(rows, "sent_s") + shift_s, bits, ends)
        parts = [part for place in np.flatnonzero(~steady) for part in self._parts(rows[place], ends[place])]
        if parts:
            kept = crowd.those(steady)
            crowd = _Crowd(*(np.append(*both) for both in zip(kept, zip(*parts, strict=True), strict=True)))
        return crowd.those(np.argsort(crowd.start_s))

    def _parts(self, row: MessageRow, ends: int) -> Iterator[tuple[float, float, float, int]]:
        """The time between a message's outages, and the bits of it if they were spread evenly."""
        links = self._way(row)
        moving = self._moving(row, links)
        spans = between(outages(links, *moving), *moving)
        all_s = math.fsum(end_s - start_s for start_s, end_s in spans)
        for start_s, end_s in spans:
            yield start_s, end_s, 8 * row.wire_bytes * (end_s - start_s) / all_s, ends

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
        bps: Floats = np.array(
            [own[ends].at(at_s) for ends, at_s in zip(crowd.ends, crowd.start_s.tolist(), strict=True)]
        )
        return crowd.bits / bps


class _Crowd(NamedTuple):
    """Messages: from when to when they moved, their bits on the wire, and the number of who sent to whom."""

    start_s: Floats
    end_s: Floats
    bits: Floats
    ends: NDArray[np.int64]

    def those(self, chosen: NDArray[np.bool_ | np.int64]) -> _Crowd:
        """Some of them, or all in another order."""
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
    return np.fromiter(map(field(MessageRow, name), rows), float, len(rows))


def _latency_s(links: Iterable[Link]) -> float:
    return math.fsum(link.latency_s for link in links)


def _ends(row: MessageRow) -> Ends:
    return (row.sender, row.receiver) if row.direction == "up" else (row.receiver, row.sender)


def _own(row: MessageRow) -> str:
    """The name of the link that only its device uses."""
    return f"{_ends(row)[0]}.{row.direction}"
