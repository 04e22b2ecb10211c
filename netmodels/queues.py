"""What waits in front of links: first in, first out, dropped when full; known from what the senders have in flight.

A window of W bits that sends at a rate r over a path of round trip R has r x R on the way (Little's law); the rest,
W - r x R, waits. Each sender's rest is noted when its window is looked at, so a queue is a sum that lags by a round
trip or two. Units: bits of IP packets, seconds.
Not modelled: the order in which a queue serves its packets, active queue management, a queue per device in a cell.
"""

from collections.abc import Mapping
from typing import Final

from netmodels.capacity import Capacity, Constant
from netmodels.link import Link

_LEAST_BUFFER_BITS: Final = 8 * 96_000.0
_FULL_LOAD: Final = 0.97  # of what the link carries: from there on a queue grows
_LEAST_CAPACITY: Final = 0.01  # of the peak: what a queue in an outage is counted to drain with
_TRIFLE_S: Final = 1e-4
_CLEARLY: Final = 1 + 1e-9  # fuller by less is as full: which of two is nearer the sender counts, not rounding
_MOST_LINES: Final = 100_000  # so many routes are remembered; a population may have millions


class LinkQueue:
    """The queue before a link: room for the bits of the longest round trip that crosses it, at least 96 kB."""

    __slots__ = (
        "_capacity",
        "backlog_bits",
        "constant",
        "load_bps",
        "longest_rtt_s",
        "overflow_s",
        "peak_bps",
    )

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self.constant = isinstance(capacity, Constant)
        self.peak_bps = capacity.peak_bps
        self.backlog_bits = 0.0
        self.load_bps = 0.0  # the rates of its senders when last looked at
        self.longest_rtt_s = 0.0
        self.overflow_s = -1.0  # when it was last full

    def __repr__(self) -> str:
        return f"<LinkQueue {self.backlog_bits / 8000:.0f} kB>"

    def delay_s(self, now_s: float) -> float:
        """How long a packet that comes now has to wait."""
        if self.backlog_bits <= 0:
            return 0.0
        if self.constant:
            return self.backlog_bits / self.peak_bps
        return self.backlog_bits / max(self.rate_bps(now_s), _LEAST_CAPACITY * self.peak_bps)

    def lose(self, bits: float) -> None:
        """So much waits there no longer."""
        rest_bits = self.backlog_bits - bits
        self.backlog_bits = rest_bits if rest_bits > 0 else 0.0

    def rate_bps(self, now_s: float) -> float:
        """What the link carries now."""
        return self.peak_bps if self.constant else self._capacity.at(now_s)

    def overflows(self, now_s: float, rtt_s: float) -> None:
        """Note an overflow if the queue is full; at most one every half `rtt_s`, for senders need that to react."""
        if self.backlog_bits <= _LEAST_BUFFER_BITS or self.backlog_bits <= self.peak_bps * self.longest_rtt_s:
            return
        if now_s - self.overflow_s > rtt_s / 2:
            self.overflow_s = now_s


class Stake:
    """What one sender has waiting on its route of queues, and its rate as last seen."""

    __slots__ = ("_bits", "_others", "_place", "_rate_bps", "route")

    def __init__(self, route: tuple[LinkQueue, ...]) -> None:
        self.route = route
        self._place: LinkQueue | None = None  # where `_bits` of it wait
        self._bits = 0.0
        self._others: list[tuple[LinkQueue, float]] = []  # where more of it waits; nearly always nowhere
        self._rate_bps = 0.0

    def lift(self) -> None:
        """Take its backlog away; its rate stays."""
        if self._place is not None:
            self._place.lose(self._bits)
            self._place = None
        if self._others:
            for queue, bits in self._others:
                queue.lose(bits)
            self._others.clear()

    def withdraw(self) -> None:
        """Take away all that it has there."""
        self.lift()
        for queue in self.route:
            queue.load_bps -= self._rate_bps
        self._rate_bps = 0.0

    def put_burst(self, bits: float) -> None:
        """A burst comes at twice the rate at which its path drains: half of it waits for those behind it to see."""
        self.lift()
        narrowest = self.route[0]
        for queue in self.route:
            if queue.peak_bps < narrowest.peak_bps:
                narrowest = queue
        self._add(narrowest, bits / 2)

    def put(self, now_s: float, bits: float, rate_bps: float) -> None:
        """`bits` wait at a rate of `rate_bps`: before the loaded links of the route, as their queues are long."""
        self.lift()
        if rate_bps != self._rate_bps:
            more_bps = rate_bps - self._rate_bps
            for queue in self.route:
                queue.load_bps += more_bps
            self._rate_bps = rate_bps
        if bits <= 0:
            return
        fullest = loaded = self.route[0]
        most_use, num_loaded = -1.0, 0
        for queue in self.route:
            rate_bps = queue.peak_bps if queue.constant else queue.rate_bps(now_s)
            if queue.load_bps >= _FULL_LOAD * rate_bps:
                loaded = queue
                num_loaded += 1
            use = queue.load_bps / (rate_bps if rate_bps > 1.0 else 1.0)
            if use > most_use * _CLEARLY:
                fullest, most_use = queue, use
        if num_loaded < 2:  # nearly always; rounded as in `_spread`, so that traces stay what they were
            place = loaded if num_loaded else fullest
            delay_s = place.delay_s(now_s) + _TRIFLE_S
            self._add(place, bits * delay_s / delay_s)
        else:
            self._spread(now_s, bits)

    def _spread(self, now_s: float, bits: float) -> None:
        """Before several loaded links."""
        loaded = [queue for queue in self.route if queue.load_bps >= _FULL_LOAD * queue.rate_bps(now_s)]
        delays_s = [queue.delay_s(now_s) + _TRIFLE_S for queue in loaded]
        total_s = sum(delays_s)
        for queue, delay_s in zip(loaded, delays_s, strict=True):
            self._add(queue, bits * delay_s / total_s)

    def _add(self, queue: LinkQueue, bits: float) -> None:
        queue.backlog_bits += bits
        if self._place is None:
            self._place, self._bits = queue, bits
        else:
            self._others.append((queue, bits))


class Queues:
    """The queues before all links, made when somebody first crosses them. Cells of airtime have none of their own."""

    def __init__(self, links: Mapping[str, Link]) -> None:
        self._links = links
        self._queues: dict[str, LinkQueue] = {}
        self._lines: dict[tuple[str, ...], tuple[LinkQueue, ...]] = {}

    def along(self, route: tuple[str, ...]) -> tuple[LinkQueue, ...]:
        """The queues of a route."""
        line = self._lines.get(route)
        if line is None:
            if len(self._lines) >= _MOST_LINES:
                self._lines.clear()
            line = tuple([self._find(name) for name in route if self._links[name].airtime is None])
            self._lines[route] = line
        return line

    def _find(self, name: str) -> LinkQueue:
        if name not in self._queues:
            self._queues[name] = LinkQueue(self._links[name].capacity)
        return self._queues[name]


def wait_s(queues: tuple[LinkQueue, ...], now_s: float) -> float:
    """How long a packet has to wait in all of `queues`."""
    total_s = 0.0
    for queue in queues:
        bits = queue.backlog_bits
        if bits > 0:
            total_s += bits / queue.peak_bps if queue.constant else queue.delay_s(now_s)
    return total_s
