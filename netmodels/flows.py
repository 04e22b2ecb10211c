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
from itertools import count
from operator import attrgetter

from netmodels.airtime import change_uses, demand, reweigh, use_of
from netmodels.forest import Forest, home
from netmodels.levels import Levels
from netmodels.link import Link
from netmodels.pools import Pool, drop_void, tidy
from netmodels.routes import Routes
from netmodels.sharing import FULL, FlowState, LinkState, component, share_link, share_links

_SLACK_S = 1e-10
_ULPS = 8
_finish_of = attrgetter("finish_s")
_serial_of = attrgetter("serial")


def slack_s(now_s: float) -> float:
    """Dates closer than this are one instant: a tenth of a nanosecond, or a few steps of the clock far from 0.

    Time, not bits: far from 0 a rest of a few bits may need less than one step of the clock, which would stand still.
    """
    return max(_SLACK_S, _ULPS * math.ulp(now_s))


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
        self._serial = count(1)
        self._stamp = 0
        self._dirty_links: dict[LinkState, None] = {}  # dictionaries as ordered sets: runs must not depend on hashes
        self._dirty_flows: dict[FlowState, None] = {}
        self._dirty_cells: dict[LinkState, None] = {}  # of equal times, where somebody came, went or has another rate
        self._extended: list[FlowState] = []
        self._levels = Levels(self._serial)
        self._forest = Forest(self._levels, smallest_tree)
        self._dates = self._levels.dates  # when flows end: single ones, the first of a component, the first of a pool
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
        links, peak_bps = self._routes.find(route)
        self._move(now_s)
        flow = FlowState(flow_id, next(self._serial), links, weight)
        flow.remaining_bits = size_bits
        flow.since_s = self._now_s
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
        if flow.pool is not None:
            self._levels.extend(self._now_s, flow, more_bits)
            return
        flow.remaining_bits += more_bits
        flow.finish_s = flow.end_s()
        self._extended.append(flow)

    def remove(self, now_s: float, flow_id: Hashable) -> float:
        """End a flow before its time; return the bits that it had not sent."""
        self._find(flow_id)
        self._move(now_s)
        left_bits = self.remaining_bits(flow_id)
        self._drop(self._flows[flow_id])
        return left_bits

    def next_event_s(self) -> float:
        """When the next flow ends or the next link in use changes its capacity; infinity if neither ever happens."""
        self._settle()
        dates, changes = self._dates, self._changes
        drop_void(dates)
        while changes and not changes[0][2].flows:
            heappop(changes)[2].watched = False
        finish_s = dates[0][0] if dates else math.inf
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
        flow = self._find(flow_id)
        return flow.rate_bps if flow.pool is None else self._levels.rate_bps(flow)

    def remaining_bits(self, flow_id: Hashable) -> float:
        """What a flow has still to send now."""
        flow = self._find(flow_id)
        return flow.left_bits(self._now_s) if flow.pool is None else self._levels.remaining_bits(self._now_s, flow)

    def peak_bps(self, route: tuple[str, ...]) -> float:
        """The most that any flow can ever get on `route`: the least of the peak capacities, infinity if it is empty."""
        return self._routes.find(route)[1]

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
            heappush(self._changes, (change_s, next(self._serial), link))

    def _rebound(self, flow: FlowState, bound_bps: float) -> None:
        """Change a flow's upper bound, and with it what its links may have to carry."""
        self._unplace(flow)
        before_bps = flow.bound_bps
        flow.bound_bps = bound_bps
        flow.key = bound_bps / flow.weight
        for link in flow.links:
            use = link.flows[flow]
            link.demand_bps += demand(link, use, bound_bps) - demand(link, use, before_bps)
            self._review(link)

    def _unplace(self, flow: FlowState) -> None:
        """Take a flow out of its pool, for something about it is to change; it finds a place when rates are due."""
        self._dirty_flows[flow] = None
        if flow.pool is not None:
            self._levels.remove(self._now_s, flow)

    def _drop(self, flow: FlowState) -> None:
        if flow.pool is not None:
            self._levels.remove(self._now_s, flow)
        del self._flows[flow.flow_id]
        self._dirty_flows.pop(flow, None)
        flow.group, flow.ticket = None, 0
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
        if link.pool is not None:
            return
        live = link.demand_bps > link.limit_bps * FULL
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
            before_bps, link.limit_bps = link.limit_bps, link.link.capacity.at(self._now_s)
            self._watch(link)
            if link.cell is not None:
                change_uses(link, link.cell)
                if link.cell.link.airtime == "equal-times":
                    self._dirty_cells[link.cell] = None
                self._review(link.cell)
            if link.pool is not None:
                self._levels.resize(link.pool, before_bps)
            self._review(link)

    def _due(self, until_s: float) -> list[FlowState]:
        """The flows that end now, in order of arrival."""
        due: dict[FlowState, None] = {}
        dates = self._dates
        while dates and dates[0][0] <= until_s:
            _, ticket, item = heappop(dates)
            if item.ticket != ticket:
                continue
            if isinstance(item, Pool):
                due |= dict.fromkeys(self._levels.due(self._now_s, until_s, item))
            elif item.group is not None:
                due |= dict.fromkeys(flow for flow in item.group if flow.finish_s <= until_s)
            else:
                due[item] = None
        return sorted(due, key=_serial_of)

    def _settle(self) -> None:
        """Work out the rates of everything touched since the last time."""
        for cell in self._dirty_cells:
            for flow in cell.flows:
                self._unplace(flow)
            reweigh(cell)
        self._dirty_cells.clear()
        while self._dirty_flows or self._dirty_links or self._extended or not self._levels.settled:
            self._stamp += 1
            begun = self._stamp
            self._place(begun)
            for flow in self._extended:
                if flow.group is not None and flow.stamp < begun:
                    self._announce(flow.group)
                elif flow.group is None and flow.pool is None and flow.ticket:
                    self._release(flow)
            self._extended.clear()
            for root in self._levels.settle(self._now_s):
                if self._forest.outgrown(root):
                    self._dirty_flows.update(dict.fromkeys(self._forest.uproot(self._now_s, [root])))
        tidy(self._dates, len(self._flows))

    def _place(self, begun: int) -> None:
        """Put every flow touched where it belongs: in a pool, in a component that is shared anew, or by itself.

        Whoever has a stamp of `begun` or later has been seen to.
        """
        work = list(self._dirty_flows)
        for link in sorted(
            self._dirty_links, key=lambda link: -len(link.flows)
        ):  # outer links of a tree before inner ones
            if not link.live:
                work += link.flows
            elif link.pool is not None or link.stamp >= begun:
                continue
            elif not self._forest.adopt(self._now_s, link, self._dirty_flows):
                self._solve(link, work)
        for flow in work:  # may grow on the way
            if flow.stamp >= begun or flow.pool is not None:
                continue
            if not flow.live_links:
                self._release(flow)
                continue
            pool, complete = home(flow)
            if pool is not None and complete:
                flow.catch_up(self._now_s)
                self._levels.insert(self._now_s, flow, pool)
            else:
                self._solve(next(link for link in flow.links if link.live), work)
        self._dirty_links.clear()
        self._dirty_flows.clear()

    def _release(self, flow: FlowState) -> None:
        """No link can hold this flow back: it has its bound."""
        flow.stamp = self._stamp
        flow.group = None
        flow.set_rate(self._now_s, flow.bound_bps)
        self._announce_first(flow)

    def _solve(self, first: LinkState, work: list[FlowState]) -> None:
        """Gather the component of a live link and share it; flows of trees that it touches are added to `work`."""
        self._stamp += 1
        links, flows = component(first, self._stamp)
        pools = [link.pool for link in links if link.pool is not None]
        if pools:  # without them some links may not even be live: look at all these flows again
            self._forest.uproot(self._now_s, pools)
            for link in links:
                link.stamp = 0
            for flow in flows:
                flow.stamp = 0
            work += flows
            return
        if self._forest.plant(self._now_s, links, flows):
            return
        if len(links) == 1:
            share_link(links[0], flows)
        else:
            share_links(links, flows)
        self._apply(flows)

    def _apply(self, flows: list[FlowState]) -> None:
        """Put the shares into force; `flows` becomes their group."""
        for flow in flows:
            flow.group = flows
            flow.set_rate(self._now_s, flow.share_bps)
        self._announce(flows)

    def _announce(self, group: list[FlowState]) -> None:
        """Note the first end in a component: any end there makes it solve anew, so the others can wait."""
        for flow in group:
            flow.ticket = 0
        if group:
            self._announce_first(min(group, key=_finish_of))

    def _announce_first(self, flow: FlowState) -> None:
        flow.ticket = next(self._serial)
        if flow.finish_s < math.inf:
            heappush(self._dates, (flow.finish_s, flow.ticket, flow))
