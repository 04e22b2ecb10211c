"""Which links form trees: flows whose live links lie within each other are kept as pools, large components only.

A tree lasts while flows fit into it. A link that begins to bind within one place of it becomes a pool there; whatever
does not fit uproots the tree, and its flows are looked at anew. A link stays in its tree even when it no longer binds,
so that one that hovers at its limit costs nothing.
"""

from collections.abc import Collection, Iterable, Sequence

from netmodels.levels import Levels
from netmodels.pools import Pool
from netmodels.sharing import FULL, FlowState, LinkState


def home(flow: FlowState) -> tuple[Pool | None, bool]:
    """The pool where a flow belongs, and whether that covers all its live links. None if its pools are not one line."""
    if len(flow.links) == 1 and (only := flow.links[0].pool) is not None and not only.depth:
        return only, flow.live_links == 1
    pools = [link.pool for link in flow.links if link.pool is not None]
    if len(pools) == 1 and not pools[0].depth:
        return pools[0], flow.live_links == 1
    if not pools:
        return None, False
    inner = max(pools, key=lambda pool: pool.depth)
    if inner.depth + 1 != len(pools):
        return None, False
    outer: Pool | None = inner
    while outer is not None:
        if outer not in pools:
            return None, False
        outer = outer.parent
    return inner, len(pools) == flow.live_links


def parents(links: Collection[LinkState], flows: Sequence[FlowState]) -> dict[LinkState, LinkState | None] | None:
    """For each link the next one outwards, outer ones first; None if the flows on the links do not form a tree."""
    rank = {link: (-len(link.flows), index) for index, link in enumerate(links)}
    found: dict[LinkState, LinkState | None] = {}
    for line in dict.fromkeys([flow.links for flow in flows]):  # most flows have theirs in common
        outer = None
        for link in sorted((link for link in line if link in rank), key=rank.__getitem__):
            if found.setdefault(link, outer) is not outer:
                return None
            outer = link
    return found


class Forest:
    """The trees of a network. A component of at least `smallest` flows is made one if it can be."""

    def __init__(self, levels: Levels, smallest: float) -> None:
        self._levels = levels
        self._smallest = smallest

    def outgrown(self, root: Pool) -> bool:
        """Whether a tree has become so small that it is not worth its while."""
        return len(root.link.flows) < self._smallest / 4

    def plant(self, now_s: float, links: Sequence[LinkState], flows: Sequence[FlowState]) -> bool:
        """Make a tree of a component; False if it is not to be one."""
        if len(flows) < self._smallest or any(link.airtime is not None for link in links):
            return False
        outwards = parents(links, flows)
        if outwards is None:
            return False
        for link, outer in outwards.items():
            self._levels.add_pool(Pool(link, None if outer is None else outer.pool))
        for flow in flows:
            pool, _ = home(flow)
            assert pool is not None
            flow.catch_up(now_s)
            self._levels.insert(now_s, flow, pool)
        return True

    def adopt(self, now_s: float, link: LinkState) -> bool:
        """Make a pool of a link that has begun to bind if all its flows are, or will be, in one pool; else False."""
        if link.airtime is not None:
            return False
        parent: Pool | None = None
        for flow in link.flows:
            pool = flow.pool
            if pool is None and flow.dirty:
                pool, _ = home(flow)
            if pool is None or (parent is not None and pool is not parent):
                return False
            parent = pool
        if parent is None:
            return False
        inner = Pool(link, parent)
        self._levels.add_pool(inner)
        for flow in link.flows:
            if flow.pool is not None:
                self._levels.remove(now_s, flow)
                self._levels.insert(now_s, flow, inner)
        return True

    def uproot(self, now_s: float, pools: Iterable[Pool]) -> list[FlowState]:
        """Make single flows of all flows of the trees that the pools belong to; return them."""
        trees = list(dict.fromkeys([pool.root() for pool in pools]))
        flows = [flow for root in trees for flow in root.link.flows if flow.pool is not None]
        for flow in flows:
            self._levels.remove(now_s, flow)
        for each in trees:  # grows on the way
            trees += each.pools
            self._levels.forget(each)
            link = each.link
            if link.demand_bps <= link.limit_bps * FULL:
                link.live = False
                for flow in link.flows:
                    flow.live_links -= 1
        return flows
