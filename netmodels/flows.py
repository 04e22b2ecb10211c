"""The core: flows on links with weighted max-min rates, from event to event. Pure data; the caller tells the time.

Rates only change when a flow comes, goes or changes its cap, or when a link changes its capacity; all changes of one
instant are merged into one solve, done when somebody asks. A solve visits only the connected component touched: a link
is left out of the graph while the sum of upper bounds of its flows (own cap or least peak capacity of the route) is
not above its capacity, for it can bind nobody. So 100 phones in four cells behind a wide server link are four small
problems. Latency, handshakes and windows belong to `netmodels.network`.
"""

import math
from collections.abc import Hashable, Mapping
from difflib import get_close_matches
from heapq import heapify, heappop, heappush
from itertools import count

from netmodels.airtime import check_route, demand, peak_bps, reweigh, use_of
from netmodels.link import Link
from netmodels.sharing import FlowState, LinkState, share_link, share_links

_SLACK_S = 1e-10
_ULPS = 8
# A link that its flows could fill exactly binds nobody; this much keeps rounding of the sums from saying otherwise.
_FULL = 1 + 1e-12

_Finish = tuple[float, int, FlowState, list[FlowState]]


def slack_s(now_s: float) -> float:
    """Dates closer than this are one instant: a tenth of a nanosecond, or a few steps of the clock far from 0.

    Time, not bits: far from 0 a rest of a few bits may need less than one step of the clock, which would stand still.
    """
    return max(_SLACK_S, _ULPS * math.ulp(now_s))


class Flows:
    """Flows with weighted max-min rates on `links`.

    Calls carry the absolute time in seconds, from 0 on; it must not go back, nor beyond a pending event without
    `advance`. Sizes are bits as the links count them; ids are any hashable values. Raises ValueError for unknown
    links, repeated or unknown flow ids, impossible numbers and impossible times.
    """

    def __init__(self, links: Mapping[str, Link]) -> None:
        self._specs = links
        self._links: dict[str, LinkState] = {}
        self._routes: dict[tuple[str, ...], tuple[tuple[LinkState, ...], float]] = {}
        self._flows: dict[Hashable, FlowState] = {}
        self._now_s = 0.0
        self._serial = count()
        self._stamp = 0
        self._dirty_links: dict[LinkState, None] = {}  # dictionaries as ordered sets: runs must not depend on hashes
        self._dirty_flows: dict[FlowState, None] = {}
        self._dirty_cells: dict[LinkState, None] = {}  # of equal times, where somebody came, went or has another rate
        self._extended: list[FlowState] = []
        self._finishes: list[_Finish] = []  # the first end in each component; entries of former components are skipped
        self._changes: list[tuple[float, int, LinkState]] = []  # the next change of capacity of links in use

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
        route: tuple[str, ...],
        *,
        weight: float = 1.0,
        cap_bps: float = math.inf,
    ) -> None:
        """Start a flow over the links named in `route`. An empty route has no limit but `cap_bps`."""
        if flow_id in self._flows:
            raise ValueError(f"flow {flow_id!r} is already under way; ids must be unique while a flow lasts")
        if not (0 <= size_bits < math.inf and 0 < weight < math.inf and cap_bps >= 0):
            raise ValueError(
                f"flow {flow_id!r}: size_bits must be finite and >= 0, weight finite and > 0, cap_bps >= 0, "
                f"got {size_bits!r}, {weight!r}, {cap_bps!r}"
            )
        links, peak_bps = self._routes.get(route) or self._resolve(route)
        self._move(now_s)
        flow = FlowState(flow_id, next(self._serial), links, weight)
        flow.remaining_bits = size_bits
        flow.since_s = self._now_s
        flow.finish_s = math.inf if size_bits else self._now_s
        flow.peak_bps = peak_bps
        for link in links:
            if not link.flows:
                self._occupy(link)
        for link in links:
            link.flows[flow] = use_of(link, links)
            flow.live_links += link.live
            if link.link.airtime == "equal-times":
                self._dirty_cells[link] = None
        self._flows[flow_id] = flow
        self._rebound(flow, min(cap_bps, peak_bps))

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
        if not 0 <= more_bits < math.inf:
            raise ValueError(f"flow {flow_id!r}: more_bits must be finite and >= 0, got {more_bits!r}")
        self._move(now_s)
        flow.remaining_bits += more_bits
        if flow.rate_bps > 0:
            flow.finish_s = flow.since_s + flow.remaining_bits / flow.rate_bps
        elif flow.remaining_bits > 0:
            flow.finish_s = math.inf
        self._extended.append(flow)

    def remove(self, now_s: float, flow_id: Hashable) -> float:
        """End a flow before its time; return the bits that it had not sent."""
        flow = self._find(flow_id)
        self._move(now_s)
        left_bits = self.remaining_bits(flow_id)
        self._drop(flow)
        return left_bits

    def next_event_s(self) -> float:
        """When the next flow ends or the next link in use changes its capacity; infinity if neither ever happens."""
        self._settle()
        finishes, changes = self._finishes, self._changes
        while finishes and (finishes[0][2].group is not finishes[0][3] or finishes[0][2].finish_s != finishes[0][0]):
            heappop(finishes)
        while changes and not changes[0][2].flows:
            heappop(changes)[2].watched = False
        finish_s = finishes[0][0] if finishes else math.inf
        return changes[0][0] if changes and changes[0][0] < finish_s else finish_s

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
            for flow in self._due(now_s + slack_s(now_s)):
                ended.append(flow.flow_id)
                self._drop(flow)
            self._change_capacities()
            if now_s >= to_s:  # more may happen at this instant: the rates are worked out when somebody asks
                return ended

    def rate_bps(self, flow_id: Hashable) -> float:
        """The rate from now on, bits per second."""
        self._settle()
        return self._find(flow_id).rate_bps

    def remaining_bits(self, flow_id: Hashable) -> float:
        """What a flow has still to send now."""
        flow = self._find(flow_id)
        elapsed_s = self._now_s - flow.since_s
        if elapsed_s <= 0:  # also keeps an infinite rate from making NaN
            return flow.remaining_bits
        return max(flow.remaining_bits - flow.rate_bps * elapsed_s, 0.0)

    def peak_bps(self, route: tuple[str, ...]) -> float:
        """The most that any flow can ever get on `route`: the least of the peak capacities, infinity if it is empty."""
        return (self._routes.get(route) or self._resolve(route))[1]

    def _find(self, flow_id: Hashable) -> FlowState:
        flow = self._flows.get(flow_id)
        if flow is None:
            raise ValueError(f"no flow {flow_id!r} is under way")
        return flow

    def _resolve(self, route: tuple[str, ...]) -> tuple[tuple[LinkState, ...], float]:
        """The links of a route and their least peak; looked up once for each route."""
        for name in route:
            if name not in self._specs:
                guess = get_close_matches(name, self._specs, n=1)
                hint = f"; did you mean {guess[0]!r}?" if guess else ""
                raise ValueError(f"unknown link {name!r} in route {list(route)}{hint}")
        if len(set(route)) != len(route):
            raise ValueError(f"a route must cross a link at most once, got {list(route)}")
        links = tuple(self._state(name) for name in route)
        check_route(links)
        resolved = links, peak_bps(links)
        self._routes[route] = resolved
        return resolved

    def _state(self, name: str) -> LinkState:
        state = self._links.get(name)
        if state is None:
            spec = self._specs[name]
            cell = None
            if spec.radio_in is not None:
                if spec.radio_in not in self._specs or self._specs[spec.radio_in].airtime is None:
                    raise ValueError(f"link {name!r}: radio_in must name a link with airtime, got {spec.radio_in!r}")
                cell = self._state(spec.radio_in)
            state = self._links[name] = LinkState(spec, cell)
        return state

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
        capacity = link.link.capacity
        link.limit_bps = capacity.at(self._now_s)
        if not link.watched:
            self._watch(link)

    def _watch(self, link: LinkState) -> None:
        change_s = link.link.capacity.next_change_s(self._now_s)
        link.watched = change_s < math.inf
        if link.watched:
            heappush(self._changes, (change_s, next(self._serial), link))

    def _rebound(self, flow: FlowState, bound_bps: float) -> None:
        """Change a flow's upper bound, and with it what its links may have to carry."""
        before_bps = flow.bound_bps
        flow.bound_bps = bound_bps
        flow.key = bound_bps / flow.weight
        self._dirty_flows[flow] = None
        for link in flow.links:
            use = link.flows[flow]
            link.demand_bps += demand(link, use, bound_bps) - demand(link, use, before_bps)
            self._review(link)

    def _drop(self, flow: FlowState) -> None:
        del self._flows[flow.flow_id]
        self._dirty_flows.pop(flow, None)
        flow.group = None
        bound_bps = flow.bound_bps
        for link in flow.links:
            less = demand(link, link.flows.pop(flow), bound_bps)
            # An empty link forgets the rounding errors of its sum.
            link.demand_bps = link.demand_bps - less if link.flows else 0.0
            if link.link.airtime == "equal-times":
                self._dirty_cells[link] = None
            self._review(link)

    def _review(self, link: LinkState) -> None:
        """Decide anew whether a link can bind; if it could or can, its flows need a solve."""
        live = link.demand_bps > link.limit_bps * _FULL
        if live or link.live:
            self._dirty_links[link] = None
            if live != link.live:
                link.live = live
                step = 1 if live else -1
                for flow in link.flows:
                    flow.live_links += step

    def _change_capacities(self) -> None:
        while self._changes and self._changes[0][0] <= self._now_s:
            link = heappop(self._changes)[2]
            link.limit_bps = link.link.capacity.at(self._now_s)
            self._watch(link)
            if link.cell is not None:
                self._change_uses(link, link.cell)
            self._review(link)

    def _change_uses(self, radio: LinkState, cell: LinkState) -> None:
        """The flows of a radio link whose rate has changed take another part of their cell's time."""
        for flow in radio.flows:
            before, use = cell.flows[flow], use_of(cell, flow.links)
            cell.flows[flow] = use
            cell.demand_bps += demand(cell, use, flow.bound_bps) - demand(cell, before, flow.bound_bps)
        if cell.link.airtime == "equal-times":
            self._dirty_cells[cell] = None
        self._review(cell)

    def _due(self, until_s: float) -> list[FlowState]:
        """The flows that end now, in order of arrival."""
        due: dict[FlowState, None] = {}  # a group may be announced twice
        while self._finishes and self._finishes[0][0] <= until_s:
            finish_s, _, first, group = heappop(self._finishes)
            if first.group is group and first.finish_s == finish_s:
                due.update((flow, None) for flow in group if flow.finish_s <= until_s)
        return sorted(due, key=lambda flow: flow.serial)

    def _settle(self) -> None:
        """Work out the rates of every component touched since the last time."""
        for cell in self._dirty_cells:
            self._dirty_flows.update(dict.fromkeys(reweigh(cell)))
        self._dirty_cells.clear()
        if not self._dirty_flows and not self._dirty_links and not self._extended:
            return
        self._stamp += 1
        stamp = self._stamp
        for link in self._dirty_links:
            if not link.live:
                self._dirty_flows.update(dict.fromkeys(link.flows))
            elif link.stamp != stamp:
                self._solve(link)
        for flow in self._dirty_flows:
            if flow.stamp == stamp:
                continue
            if flow.live_links:
                self._solve(next(link for link in flow.links if link.live))
            else:
                flow.stamp = stamp
                flow.share_bps = flow.bound_bps
                self._apply([flow])
        self._dirty_links.clear()
        self._dirty_flows.clear()
        for flow in self._extended:
            if flow.group is not None and flow.stamp != stamp:
                self._schedule(flow.group)
        self._extended.clear()
        if len(self._finishes) > 2 * len(self._flows) + 64:
            self._finishes = [entry for entry in self._finishes if entry[2].group is entry[3]]
            heapify(self._finishes)

    def _solve(self, first: LinkState) -> None:
        """Gather the component of a live link and share it."""
        stamp = self._stamp
        links, flows = [first], []
        first.stamp = stamp
        for link in links:  # grows on the way
            for flow in link.flows:
                if flow.stamp != stamp:
                    flow.stamp = stamp
                    flows.append(flow)
                    if flow.live_links > 1:
                        for other in flow.links:
                            if other.live and other.stamp != stamp:
                                other.stamp = stamp
                                links.append(other)
        if len(links) == 1:
            share_link(first, flows)
        else:
            share_links(links, flows)
        self._apply(flows)

    def _apply(self, flows: list[FlowState]) -> None:
        """Put the shares into force; only flows whose rate differs are touched. `flows` becomes their group."""
        now_s = self._now_s
        for flow in flows:
            flow.group = flows
            rate_bps = flow.share_bps
            if rate_bps != flow.rate_bps:
                left_bits = flow.remaining_bits
                if now_s > flow.since_s:
                    left_bits -= flow.rate_bps * (now_s - flow.since_s)
                    if left_bits < 0:
                        left_bits = 0.0
                    flow.remaining_bits = left_bits
                flow.since_s = now_s
                flow.rate_bps = rate_bps
                if rate_bps > 0:
                    flow.finish_s = now_s + left_bits / rate_bps
                else:
                    flow.finish_s = math.inf if left_bits else now_s
        self._schedule(flows)

    def _schedule(self, group: list[FlowState]) -> None:
        """Announce the first end in a component: any end there makes it solve anew, so the others can wait."""
        first = min(group, key=_finish_of)
        if first.finish_s < math.inf:
            heappush(self._finishes, (first.finish_s, next(self._serial), first, group))


def _finish_of(flow: FlowState) -> float:
    return flow.finish_s
