"""The core: flows on links with weighted max-min rates, from event to event. Pure data; the caller tells the time.

Rates only change when a flow comes, goes or changes its cap, or when a link changes its capacity; all changes of one
instant are merged into one solve, done when somebody asks. A solve visits only the connected component touched: a link
is left out of the graph while the sum of upper bounds of its flows (own cap or least peak capacity of the route) is
not above its capacity, for it can bind nobody. So 100 phones in four cells behind a wide server link are four small
problems. A small or tangled component is shared anew at each change (`netmodels.sharing`); a large one whose links lie
within each other is a tree of water levels (`netmodels.forest`), where a change costs O(log flows). The two agree to
rounding. Latency, handshakes and windows belong to `netmodels.network`.
"""

import math
from collections.abc import Hashable, Mapping
from heapq import heappop, heappush
from typing import Final

from netmodels.airtime import change_uses, demand, use_of
from netmodels.link import Link
from netmodels.rates import Rates
from netmodels.routes import Route, Routes
from netmodels.sharing import FULL, FlowState, LinkState
from netmodels.tickets import Tickets

_INF: Final = math.inf
_SLACK_S: Final = 1e-10
_ULPS: Final = 8.0
_FAR_S: Final = 65536.0  # up to here the steps of the clock are small enough


def slack_s(now_s: float) -> float:
    """Dates closer than this are one instant: a tenth of a nanosecond, or a few steps of the clock far from 0.

    Time, not bits: far from 0 a rest of a few bits may need less than one step of the clock, which would stand still.
    """
    return _SLACK_S if now_s < _FAR_S else max(_SLACK_S, _ULPS * math.ulp(now_s))


class Flows:
    """Flows with weighted max-min rates on `links`.

    Calls carry the absolute time in seconds, from 0 on; it must not go back, nor beyond a pending event without
    `advance`. Sizes are bits as the links count them; ids are any hashable values. Raises ValueError for unknown
    links, repeated or unknown flow ids, impossible numbers and impossible times. `smallest_tree` is the number of
    flows from which on a component is worth water levels; it changes speed and rounding only.
    """

    def __init__(self, links: Mapping[str, Link], *, smallest_tree: float = 128) -> None:
        self._routes = Routes(links)
        self._flows: dict[Hashable, FlowState] = {}
        self._now_s = 0.0
        self._tickets = Tickets()
        self._rates = Rates(self._tickets, smallest_tree)
        self._changes: list[tuple[float, int, LinkState]] = []  # the next change of capacity of links in use
        self._next_s: float | None = math.inf  # the next event; None if something has changed since it was worked out

    def __repr__(self) -> str:
        return f"<Flows {len(self._flows)} at {self._now_s:g} s>"

    def __len__(self) -> int:
        return len(self._flows)

    def __contains__(self, flow_id: Hashable) -> bool:
        return flow_id in self._flows

    def add(
        self,
        now_s: float,
        flow_id: Hashable,
        size_bits: float,
        route: Route | tuple[str, ...],
        *,
        weight: float = 1.0,
        cap_bps: float = math.inf,
    ) -> None:
        """Start a flow over the links named in `route`, or over what `Flows.route` knows of them.

        An empty route has no limit but `cap_bps`.
        """
        if flow_id in self._flows:
            raise ValueError(f"flow {flow_id!r} is already under way; ids must be unique while a flow lasts")
        if not (0 <= size_bits < _INF and 0 < weight < _INF and cap_bps >= 0):
            raise ValueError(
                f"flow {flow_id!r}: size_bits must be finite and >= 0, weight finite and > 0, cap_bps >= 0, "
                f"got {size_bits!r}, {weight!r}, {cap_bps!r}"
            )
        path = route if isinstance(route, Route) else self._routes.find(route)
        if now_s != self._now_s:
            self._move(now_s)
        flow = FlowState(flow_id, self._tickets.draw(), path, weight)
        flow.remaining_bits = size_bits
        flow.since_s = self._now_s
        flow.peak_bps = path.peak_bps
        self._routes.enter(self._now_s, flow, path)
        self._flows[flow_id] = flow
        self._join_links(flow)
        self._rebound(flow, cap_bps if cap_bps < path.peak_bps else path.peak_bps)

    def renew(self, now_s: float, flow_id: Hashable, *, weight: float, cap_bps: float) -> None:
        """Give a flow another weight and cap, as if it had been removed and what is left of it added again."""
        flow = self._find(flow_id)
        self._move(now_s)
        if flow.pool is not None or flow.dirty:
            left_bits = self.remove(now_s, flow_id)
            self.add(now_s, flow_id, left_bits, flow.route, weight=weight, cap_bps=cap_bps)
            return
        left_bits = flow.left_bits(self._now_s)
        self._rates.drop(flow)
        self._leave_links(flow)
        flow.start_anew(self._tickets.draw(), self._now_s, left_bits, weight)
        self._join_links(flow)
        self._rebound(flow, cap_bps if cap_bps < flow.peak_bps else flow.peak_bps)

    def set_cap(self, now_s: float, flow_id: Hashable, cap_bps: float) -> None:
        """Limit a flow to `cap_bps` from now on; infinity lifts the limit."""
        flow = self._find(flow_id)
        if not cap_bps >= 0:
            raise ValueError(f"flow {flow_id!r}: cap_bps must be >= 0, got {cap_bps!r}")
        self._move(now_s)
        bound_bps = min(cap_bps, flow.peak_bps)
        if bound_bps != flow.bound_bps:
            self._rebound(flow, bound_bps)

    def extend(self, now_s: float, flow_id: Hashable, more_bits: float) -> None:
        """Give a flow more to send; no rate changes."""
        flow = self._find(flow_id)
        if not 0 <= more_bits < _INF:
            raise ValueError(f"flow {flow_id!r}: more_bits must be finite and >= 0, got {more_bits!r}")
        self._move(now_s)
        self._next_s = None
        self._rates.extend(self._now_s, flow, more_bits)

    def remove(self, now_s: float, flow_id: Hashable) -> float:
        """End a flow before its time; return the bits that it had not sent."""
        flow = self._find(flow_id)
        self._move(now_s)
        left_bits = self._rates.remaining_bits(self._now_s, flow)
        self._drop(flow)
        return left_bits

    def next_event_s(self) -> float:
        """When the next flow ends or the next link in use changes its capacity; infinity if neither ever happens."""
        next_s = self._next_s
        if next_s is None:
            self._rates.settle(self._now_s)
            changes = self._changes
            while changes and not changes[0][2].flows:
                heappop(changes)[2].watched = False
            next_s = self._rates.next_end_s()
            if changes and changes[0][0] < next_s:
                next_s = changes[0][0]
            self._next_s = next_s
        return next_s

    def advance(self, to_s: float) -> list[Hashable]:
        """Let time pass until `to_s`; return the flows that ended, in order of end, at one instant in order of arrival.

        An end that lies beyond `to_s` by no more than rounding (`slack_s`) is included.
        """
        ended: list[Hashable] = []
        slack = slack_s(to_s)
        if not to_s >= self._now_s - slack:
            raise ValueError(f"time must not go back: {to_s!r} s after {self._now_s!r} s")
        while True:
            event_s = self.next_event_s()
            if event_s > to_s + slack:
                self._now_s = max(to_s, self._now_s)
                return ended
            self._now_s = now_s = max(event_s, self._now_s)
            self._next_s = None
            for flow in self._rates.due(now_s, now_s + slack_s(now_s)):
                ended.append(flow.flow_id)
                self._drop(flow)
            if self._changes:
                self._change_capacities()
            if now_s >= to_s:  # more may happen at this instant: the rates are worked out when somebody asks
                return ended

    def rate_bps(self, flow_id: Hashable) -> float:
        """The rate from now on, bits per second."""
        if self._next_s is None:
            self._rates.settle(self._now_s)
        return self._rates.rate_bps(self._find(flow_id))

    def remaining_bits(self, flow_id: Hashable) -> float:
        """What a flow has still to send now."""
        return self._rates.remaining_bits(self._now_s, self._find(flow_id))

    def route(self, names: tuple[str, ...]) -> Route:
        """What is known of a route: its peak capacity, latency and loss. ValueError if it is none."""
        return self._routes.find(names)

    def _find(self, flow_id: Hashable) -> FlowState:
        flow = self._flows.get(flow_id)
        if flow is None:
            raise ValueError(f"no flow {flow_id!r} is under way")
        return flow

    def _move(self, now_s: float) -> None:
        """Let time pass until `now_s`, without events on the way."""
        if now_s == self._now_s:
            return
        slack = slack_s(now_s)
        if not now_s >= self._now_s - slack:
            raise ValueError(f"time must not go back: {now_s!r} s after {self._now_s!r} s")
        event_s = self.next_event_s()
        if event_s < now_s - slack:
            raise ValueError(f"an event is due at {event_s!r} s; advance to it before changing flows at {now_s!r} s")
        self._now_s = max(now_s, self._now_s)

    def _occupy(self, link: LinkState) -> None:
        """The first flow comes to an idle link: look at its capacity, and watch it if it changes."""
        link.limit_bps = link.link.capacity.at(self._now_s)
        if not link.watched:
            self._watch(link)

    def _watch(self, link: LinkState) -> None:
        change_s = link.link.capacity.next_change_s(self._now_s)
        link.watched = change_s < math.inf
        if link.watched:
            heappush(self._changes, (change_s, self._tickets.draw(), link))

    def _join_links(self, flow: FlowState) -> None:
        links = flow.links
        for link in links:
            if not link.flows and not link.constant:
                self._occupy(link)
        for link in links:
            link.flows[flow] = 1.0 if link.airtime is None else use_of(link, links)
            if link.live:
                flow.live_links += 1

    def _leave_links(self, flow: FlowState) -> None:
        for link in flow.links:
            use = 1.0 if link.airtime is None else link.flows[flow]
            del link.flows[flow]
            if not link.flows:  # forgets the rounding errors of its sum
                link.demand_bps = 0.0
            elif link.airtime is None:
                link.demand_bps -= flow.bound_bps
            else:
                link.demand_bps -= demand(link, use, flow.bound_bps)
            if link.airtime is not None or (link.live and link.pool is None):
                self._rates.review(link)

    def _rebound(self, flow: FlowState, bound_bps: float) -> None:
        """Change a flow's upper bound, and with it what its links may have to carry."""
        self._next_s = None
        self._rates.touch(self._now_s, flow)
        before_bps = flow.bound_bps
        flow.bound_bps = bound_bps
        flow.key = bound_bps if flow.weight == 1.0 else bound_bps / flow.weight
        for link in flow.links:
            if link.airtime is None:
                link.demand_bps = demand_bps = link.demand_bps + (bound_bps - before_bps)
                if link.pool is None and (link.live or demand_bps > link.limit_bps * FULL):
                    self._rates.review(link)
            else:
                use = link.flows[flow]
                link.demand_bps += demand(link, use, bound_bps) - demand(link, use, before_bps)
                self._rates.review(link)

    def _drop(self, flow: FlowState) -> None:
        self._next_s = None
        self._rates.drop(flow)
        del self._flows[flow.flow_id]
        self._routes.leave(flow)
        self._leave_links(flow)

    def _change_capacities(self) -> None:
        while self._changes and self._changes[0][0] <= self._now_s:
            link = heappop(self._changes)[2]
            before_bps, link.limit_bps = link.limit_bps, link.link.capacity.at(self._now_s)
            self._watch(link)
            if link.cell is not None:
                change_uses(link, link.cell)
                self._rates.review(link.cell)
            self._rates.resize(link, before_bps)
