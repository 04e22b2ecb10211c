"""Weighted max-min shares of flows on links, by progressive filling (Bertsekas and Gallager, Data Networks, 6.5.2).

All flows rise together, each at the pace of its weight: rate = min(bound, weight x level). A flow stops at its own
bound or where a link of its route is full; the rest goes on. The result is the one allocation in which no flow can get
more without taking from a flow that has no more per weight than itself.

These functions see one connected component: flows joined by links that can bind. Solvers for special shapes (a star, a
tree) can take their place behind the same signature: they read the flows and links, and write `flow.share_bps`.
"""

import math
from collections.abc import Hashable, Sequence
from heapq import heapify, heappop, heapreplace
from typing import TYPE_CHECKING, Final

from netmodels.capacity import Constant
from netmodels.dates import Dated
from netmodels.link import Link

if TYPE_CHECKING:
    from netmodels.pools import Pool
    from netmodels.routes import Route

# A link that its flows could fill exactly binds nobody; this much keeps rounding of the sums from saying otherwise.
FULL: Final = 1 + 1e-12
_LIGHT: Final = 1e-3  # of a sum of weights: a rest that is less is added up anew, for its last digits are gone


class LinkState:
    """What the core knows of a link: its capacity now, who crosses it and how much they could ask for at most.

    A link is live (can bind) while `demand_bps`, the sum of what its flows could take of it at most, exceeds its
    capacity. Airtime is counted as a share of time where other links count bits per second.
    """

    __slots__ = (
        "airtime",
        "cell",
        "constant",
        "count",
        "demand_bps",
        "dirty",
        "flows",
        "full_weight",
        "left_bps",
        "limit_bps",
        "link",
        "live",
        "open",
        "pool",
        "stamp",
        "watched",
        "weight",
    )

    def __init__(self, link: Link, cell: "LinkState | None" = None) -> None:
        self.link = link
        self.airtime = link.airtime
        self.cell = cell  # whose airtime a radio link is part of
        self.constant = isinstance(link.capacity, Constant)
        self.limit_bps = link.capacity.peak_bps if self.constant else 0.0
        self.demand_bps = 0.0
        self.flows: dict[FlowState, float] = {}  # the use of each, in order of arrival
        self.live = False
        self.dirty = False  # its flows need a solve
        self.pool: Pool | None = None  # its water level, if it is part of a tree; it then stays live as long as that
        self.watched = False  # an entry for its next change of capacity is pending
        self.stamp = 0  # of the last solve that visited it
        self.left_bps = 0.0  # the rest are scratch fields of `share_links`
        self.weight = self.full_weight = 0.0
        self.count = 0
        self.open = False

    @property
    def in_use(self) -> bool:
        """Whether flows, pools, dates or other links may still refer to this very object."""
        return bool(self.flows) or self.watched or self.pool is not None or self.airtime is not None

    def __repr__(self) -> str:
        return f"<LinkState {self.link.name} {len(self.flows)} flows {'live' if self.live else 'inert'}>"


class FlowState(Dated):
    """A flow: `remaining_bits` at `since_s`, sent at `rate_bps` from then on, hence done at `finish_s`.

    One that is level in a pool has a `goal` instead (see `netmodels.pools`).
    """

    __slots__ = (
        "bound_bps",
        "capped",
        "dirty",
        "finish_s",
        "flow_id",
        "goal",
        "group",
        "key",
        "links",
        "live_links",
        "mark",
        "peak_bps",
        "pool",
        "rate_bps",
        "remaining_bits",
        "route",
        "serial",
        "share_bps",
        "since_s",
        "stamp",
        "ticket",
        "weight",
        "wish",
    )

    def __init__(self, flow_id: Hashable, serial: int, route: "Route", weight: float) -> None:
        super().__init__()
        self.flow_id = flow_id
        self.serial = serial  # order of arrival
        self.route = route
        self.links: tuple[LinkState, ...] = ()  # those of its links that have a state, in the order of the route
        self.wish = weight  # as asked for; equal times in a cell change `weight`
        self.weight = weight
        self.remaining_bits = 0.0
        self.since_s = 0.0
        self.rate_bps = -1.0  # none yet
        self.finish_s = 0.0
        self.peak_bps = 0.0  # the least peak capacity of the route
        self.bound_bps = 0.0  # that or the flow's own cap: no share can be larger
        self.key = 0.0  # the level at which the flow reaches its bound: bound / weight
        self.live_links = 0  # how many links of the route can bind
        self.group: list[FlowState] | None = None  # the component that it was last solved with, without pools
        self.pool: Pool | None = None
        self.capped = True  # in the pool: at its bound, not at the water level
        self.dirty = False  # something about it has changed since rates were worked out
        self.goal = 0.0
        self.mark = 0  # the search in which it was last capped
        self.ticket = 0  # entries in heaps with another one are void
        self.share_bps = 0.0  # the answer of the solver
        self.stamp = 0  # of the last solve that visited it

    def __repr__(self) -> str:
        return f"<FlowState {self.flow_id} {self.remaining_bits:g} bits at {self.rate_bps:g} bit/s>"

    def start_anew(self, serial: int, now_s: float, size_bits: float, weight: float) -> None:
        """Be as a flow that begins now on the same links; for one that is in no pool, and has left its links."""
        self.serial = serial
        self.wish = self.weight = weight
        self.remaining_bits, self.since_s = size_bits, now_s
        self.rate_bps, self.finish_s, self.bound_bps = -1.0, 0.0, 0.0
        self.live_links = 0

    def left_bits(self, now_s: float) -> float:
        """What is still to be sent at that time, if the flow is in no pool."""
        elapsed_s = now_s - self.since_s
        if elapsed_s <= 0:  # also keeps an infinite rate from making NaN
            return self.remaining_bits
        return max(self.remaining_bits - self.rate_bps * elapsed_s, 0.0)

    def end_s(self) -> float:
        """When it ends at its rate, if it is in no pool; at once if there is nothing to send."""
        if self.rate_bps > 0:
            return self.since_s + self.remaining_bits / self.rate_bps
        return math.inf if self.remaining_bits else self.since_s

    def catch_up(self, now_s: float) -> None:
        """Bring `remaining_bits` up to that time; the flow is by itself from now on."""
        self.remaining_bits, self.since_s = self.left_bits(now_s), now_s
        self.group = None

    def set_rate(self, now_s: float, rate_bps: float) -> None:
        """Send at that rate from now on. A rate that stays is not touched, so that nothing is rounded needlessly."""
        if rate_bps == self.rate_bps:
            return
        if now_s > self.since_s:
            self.remaining_bits = self.left_bits(now_s)
        self.since_s = now_s
        self.rate_bps = rate_bps
        self.finish_s = now_s + self.remaining_bits / rate_bps if rate_bps > 0 else self.end_s()


def component(first: LinkState, stamp: int) -> tuple[list[LinkState], list[FlowState]]:
    """The live links and the flows joined to a live link; all of them get `stamp`, which nobody may have yet."""
    links: list[LinkState] = [first]
    flows = list(first.flows)
    first.stamp = stamp
    _stamp(flows, stamp, links)
    reached = 1
    while reached < len(links):  # grows on the way
        newcomers = [flow for flow in links[reached].flows if flow.stamp != stamp]
        _stamp(newcomers, stamp, links)
        flows += newcomers
        reached += 1
    return links, flows


def _stamp(flows: list[FlowState], stamp: int, links: list[LinkState]) -> None:
    """Mark these flows, and the live links that they reach, which are added to `links`."""
    for flow in flows:
        flow.stamp = stamp
        if flow.live_links > 1:
            for link in flow.links:
                if link.live and link.stamp != stamp:
                    link.stamp = stamp
                    links.append(link)


def put_in_force(now_s: float, flows: list[FlowState]) -> FlowState:
    """Let the flows of a component, of which there is one at least, send at their shares; return who ends first.

    What `FlowState.set_rate` does for one, in one go: most of the time of a run is spent here.
    """
    first = flows[0]
    first_s = math.inf
    for flow in flows:
        flow.group = flows
        rate_bps, before_bps = flow.share_bps, flow.rate_bps
        if rate_bps != before_bps:
            elapsed_s = now_s - flow.since_s
            if elapsed_s > 0:
                left_bits = flow.remaining_bits - before_bps * elapsed_s
                flow.remaining_bits = left_bits if left_bits > 0 else 0.0
            flow.since_s = now_s
            flow.rate_bps = rate_bps
            flow.finish_s = now_s + flow.remaining_bits / rate_bps if rate_bps > 0 else flow.end_s()
        if flow.finish_s < first_s:
            first, first_s = flow, flow.finish_s
    return first


def first_of(flows: list[FlowState]) -> FlowState:
    """Who of a component ends first."""
    first = flows[0]
    for flow in flows:
        if flow.finish_s < first.finish_s:
            first = flow
    return first


def share_link(link: LinkState, flows: list[FlowState]) -> None:
    """Share one link among all its flows; writes their `share_bps`.

    The level at which the rest would fill the link only rises as those who are bounded below it are taken out: O(n) a
    time, and once or twice is nearly always enough.
    """
    uses = None if link.airtime is None else link.flows
    left, rest = link.limit_bps, flows
    while rest:
        level = _level(left, _weight(link, rest))
        free = []
        for flow in rest:
            if flow.key > level:
                free.append(flow)
            else:
                flow.share_bps = flow.bound_bps
                left -= flow.bound_bps if uses is None else flow.bound_bps * uses[flow]
        if len(free) == len(rest):
            for flow in free:
                flow.share_bps = flow.weight * level
            return
        rest = free


def share_links(links: Sequence[LinkState], flows: list[FlowState]) -> None:
    """Share any connected links among all their flows; writes their `share_bps`.

    Every flow must cross at least one of `links`; links of its route outside them are taken as inert. The link that
    fills at the lowest level holds its flows there, but those whose bounds are lower: they leave it more, so it comes
    again. Levels of the others only rise by that, so a stored one is a lower bound. O(flows x route) a pass over a
    link, of which one or two are nearly always enough. Before each its weights are added up anew.
    """
    for flow in flows:
        flow.share_bps = -1.0  # none yet
    heap: list[tuple[float, int]] = []
    rests: list[list[FlowState]] = []
    for index, link in enumerate(links):
        rest = list(link.flows)
        link.open, link.left_bps, link.count = True, link.limit_bps, len(rest)
        link.weight = link.full_weight = _weight(link, rest)
        heap.append((_level(link.left_bps, link.weight), index))
        rests.append(rest)
    heapify(heap)
    while heap:
        stored, index = heap[0]
        link = links[index]
        if not link.count:
            heappop(heap)
            continue
        if link.weight > _LIGHT * link.full_weight and _level(link.left_bps, link.weight) > stored:
            heapreplace(heap, (_level(link.left_bps, link.weight), index))
            continue
        rest = rests[index] = [flow for flow in rests[index] if flow.share_bps < 0]
        link.weight = link.full_weight = _weight(link, rest)
        level = _level(link.left_bps, link.weight)
        if level > stored and len(heap) > 1:
            heapreplace(heap, (level, index))
            if heap[0][1] != index:
                continue
        bounded = [flow for flow in rest if flow.key <= level]
        for flow in bounded:
            _fix(flow, flow.bound_bps)
        if not bounded:
            heappop(heap)
            for flow in rest:
                _fix(flow, flow.weight * level)
    for link in links:
        link.open = False


def _weight(link: LinkState, flows: list[FlowState]) -> float:
    """What these flows take of a link for each unit of their level."""
    uses = None if link.airtime is None else link.flows
    weight = 0.0
    for flow in flows:
        weight += flow.weight if uses is None else flow.weight * uses[flow]
    return weight


def _level(left_bps: float, weight: float) -> float:
    """The level at which flows of that weight take all that is left; infinity if they take nothing of it."""
    if left_bps <= 0:
        return 0.0
    return left_bps / weight if weight > 0 else math.inf


def _fix(flow: FlowState, share_bps: float) -> None:
    flow.share_bps = share_bps
    for link in flow.links:
        if link.open:
            use = 1.0 if link.airtime is None else link.flows[flow]
            link.left_bps -= share_bps * use
            link.weight -= flow.weight * use
            link.count -= 1
