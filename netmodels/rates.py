"""From what has changed to the rates in force: which flows are touched, who shares with whom, who ends first.

Between two instants nothing is done. `Rates.settle` puts every flow touched where it belongs: in a pool of a tree, in a
component that is shared anew, or by itself at its bound.
"""

from operator import attrgetter

from netmodels.airtime import reweigh
from netmodels.forest import Forest, home
from netmodels.levels import Levels
from netmodels.pools import Pool
from netmodels.sharing import FULL, FlowState, LinkState, component, first_of, put_in_force, share_link, share_links
from netmodels.tickets import Tickets

_serial_of = attrgetter("serial")


def _width_of(link: LinkState) -> int:
    return len(link.flows)


class Rates:
    """The rates of flows and the dates at which they end. Calls carry the time; `settle` after changes, before looks.

    Dictionaries serve as ordered sets: runs must not depend on hashes.
    """

    def __init__(self, tickets: Tickets, smallest_tree: float) -> None:
        self._stamp = 0
        self._dirty_links: list[LinkState] = []  # each once: it is marked
        self._dirty_flows: list[FlowState] = []  # likewise
        self._dirty_cells: dict[LinkState, None] = {}  # of equal times, where somebody came, went or has another rate
        self._extended: list[FlowState] = []
        self._levels = Levels(tickets)
        self._forest = Forest(self._levels, smallest_tree)
        self._dates = self._levels.dates  # when flows end: single ones, the first of a component, the first of a pool

    def touch(self, now_s: float, flow: FlowState) -> None:
        """A flow is new, or something about it is to change: it leaves its place and gets one when rates are due."""
        if not flow.dirty:
            flow.dirty = True
            self._dirty_flows.append(flow)
        if flow.pool is not None:
            self._levels.remove(now_s, flow)

    def drop(self, flow: FlowState) -> None:
        """A flow is over."""
        if flow.pool is not None:
            self._levels.drop(flow)
        flow.dirty, flow.group = False, None
        self._dates.drop(flow)

    def extend(self, now_s: float, flow: FlowState, more_bits: float) -> None:
        """A flow gets more to send."""
        if flow.pool is not None:
            self._levels.extend(now_s, flow, more_bits)
            return
        flow.remaining_bits += more_bits
        flow.finish_s = flow.end_s()
        self._extended.append(flow)

    def review(self, link: LinkState) -> None:
        """Decide anew whether a link can bind; if it could or can, its flows need a solve."""
        if link.airtime == "equal-times":
            self._dirty_cells[link] = None
        if link.pool is not None:
            return
        live = link.demand_bps > link.limit_bps * FULL
        if live or link.live:
            if not link.dirty:
                link.dirty = True
                self._dirty_links.append(link)
            if live != link.live:
                link.live = live
                step = 1 if live else -1
                for flow in link.flows:
                    flow.live_links += step

    def resize(self, link: LinkState, before_bps: float) -> None:
        """The capacity of a link has changed."""
        if link.pool is not None:
            self._levels.resize(link.pool, before_bps)
        self.review(link)

    def rate_bps(self, flow: FlowState) -> float:
        """The rate in force."""
        return flow.rate_bps if flow.pool is None else self._levels.rate_bps(flow)

    def remaining_bits(self, now_s: float, flow: FlowState) -> float:
        """What a flow has still to send."""
        return flow.left_bits(now_s) if flow.pool is None else self._levels.remaining_bits(now_s, flow)

    def next_end_s(self) -> float:
        """When the next flow ends at the rates in force; infinity if none does."""
        return self._dates.first_s()

    def due(self, now_s: float, until_s: float) -> list[FlowState]:
        """The flows that end now, in order of arrival. They must be dropped."""
        due: list[FlowState] = []
        sources = 0
        dates = self._dates
        while dates.first_s() <= until_s:
            item = dates.pop()
            sources += 1
            if isinstance(item, Pool):
                due += self._levels.due(now_s, until_s, item)
                continue
            assert isinstance(item, FlowState)
            if item.group is not None:
                due += [flow for flow in item.group if flow.finish_s <= until_s]
            else:
                due.append(item)
        if sources > 1:  # a flow of no bits may have been announced by itself and by its pool
            due = list(dict.fromkeys(due))
        if len(due) > 1:
            due.sort(key=_serial_of)
        return due

    def settle(self, now_s: float) -> None:
        """Work out the rates of everything touched since the last time."""
        for cell in self._dirty_cells:
            for flow in cell.flows:
                self.touch(now_s, flow)
            reweigh(cell)
        self._dirty_cells.clear()
        while self._dirty_flows or self._dirty_links or self._extended or not self._levels.settled:
            self._stamp += 1
            begun = self._stamp
            self._place(now_s, begun)
            for flow in self._extended:
                if flow.stamp >= begun:
                    continue
                if flow.group is not None:
                    self._announce(first_of(flow.group), flow.group)
                elif flow.pool is None and flow.place >= 0:
                    self._release(now_s, flow)
            self._extended.clear()
            for root in self._levels.settle(now_s):
                if self._forest.outgrown(root):
                    for flow in self._forest.uproot(now_s, [root]):
                        self.touch(now_s, flow)

    def _place(self, now_s: float, begun: int) -> None:
        """Find a place for every flow touched. Whoever has a stamp of `begun` or later has been seen to."""
        work, self._dirty_flows = [flow for flow in self._dirty_flows if flow.dirty], []
        links, self._dirty_links = self._dirty_links, []
        if len(links) > 1:  # outer ones before inner ones
            links.sort(key=_width_of, reverse=True)
        for link in links:
            link.dirty = False
            if not link.live:
                work += link.flows
            elif link.pool is None and link.stamp < begun and not self._forest.adopt(now_s, link):
                self._solve(now_s, link, work)
        for flow in work:  # may grow on the way
            flow.dirty = False
            if flow.stamp >= begun or flow.pool is not None:
                continue
            if not flow.live_links:
                self._release(now_s, flow)
                continue
            pool, complete = home(flow)
            if pool is not None and complete:
                flow.catch_up(now_s)
                self._levels.insert(now_s, flow, pool)
            else:
                self._solve(now_s, next(link for link in flow.links if link.live), work)

    def _release(self, now_s: float, flow: FlowState) -> None:
        """No link can hold this flow back: it has its bound."""
        flow.stamp = self._stamp
        flow.group = None
        flow.set_rate(now_s, flow.bound_bps)
        self._dates.put(flow, flow.finish_s)

    def _solve(self, now_s: float, first: LinkState, work: list[FlowState]) -> None:
        """Share the component of a live link; if trees are in the way, uproot them and add it to `work` instead."""
        self._stamp += 1
        links, flows = component(first, self._stamp)
        pools = [link.pool for link in links if link.pool is not None]
        if pools:  # without them some links may not even be live: look at all these flows again
            uprooted = self._forest.uproot(now_s, pools)  # of whole trees: some may be in no link of the component
            for link in links:
                link.stamp = 0
            for flow in dict.fromkeys([*flows, *uprooted]):
                flow.stamp = 0
                work.append(flow)
            return
        if self._forest.plant(now_s, links, flows):
            return
        if len(links) == 1:
            share_link(links[0], flows)
        else:
            share_links(links, flows)
        self._announce(put_in_force(now_s, flows), flows)

    def _announce(self, first: FlowState, group: list[FlowState]) -> None:
        """Only the first end in a component has a date: it makes the component solve anew, so the others can wait."""
        for flow in group:
            if flow.place >= 0 and flow is not first:
                self._dates.drop(flow)
        self._dates.put(first, first.finish_s)
