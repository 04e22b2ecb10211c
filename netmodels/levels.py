"""The search for water levels, and the dates at which flows end: what moves the pools of `netmodels.pools`.

Levels are found by Newton's method on the concave, piecewise linear demand of a pool. Any assignment of sides bounds
the demand from above, so the level that it gives is never too high and every correction raises it: nobody changes
sides more than twice in a search.
"""

import math
from heapq import heapify, heappop, heappush

from netmodels.dates import Dates
from netmodels.pools import Pool, drop_void, tidy
from netmodels.sharing import FlowState
from netmodels.tickets import Tickets

_LATE = 4096.0  # a service integral so many times a goal's distance has lost bits of it


class Levels:
    """All pools of a network, and the dates at which something ends: of pools, and of flows at a rate of their own.

    Calls carry the time in seconds; `settle` makes levels and dates true again after any number of changes at it.
    """

    def __init__(self, tickets: Tickets) -> None:
        self.dates = Dates()
        self._tickets = tickets
        self._dirty: dict[Pool, None] = {}  # an ordered set
        self._mark = 0

    @property
    def settled(self) -> bool:
        """Whether nothing has changed since `settle`."""
        return not self._dirty

    def forget(self, pool: Pool) -> None:
        """Give up a pool that nothing is in any more, and its link with it."""
        pool.ticket = 0
        self.dates.drop(pool)
        pool.link.pool = None
        self._dirty.pop(pool, None)

    def add_pool(self, pool: Pool) -> None:
        """Take note of a new pool."""
        pool.link.pool = pool
        self._dirty[pool] = None

    def insert(self, now_s: float, flow: FlowState, pool: Pool) -> None:
        """Put a flow with `remaining_bits` at `now_s` into a pool. Its side is a guess that `settle` corrects."""
        flow.pool = pool
        pool.num_flows += 1
        guess = pool.own_level()
        outer = pool.parent
        while outer is not None:
            guess = min(guess, outer.own_level())
            outer = outer.parent
        if flow.key <= guess:
            pool.add(0.0, flow.bound_bps, 0, 1)
            self._cap(now_s, flow, pool)
        else:
            pool.add(flow.weight, 0.0, 1, 0)
            self._float(now_s, flow, pool)
        self._dirty[pool] = None

    def remove(self, now_s: float, flow: FlowState) -> None:
        """Take a flow out, with `remaining_bits` brought up to `now_s`."""
        flow.remaining_bits, flow.since_s = self.remaining_bits(now_s, flow), now_s
        self.drop(flow)

    def drop(self, flow: FlowState) -> None:
        """Take a flow out that is over."""
        pool = flow.pool
        assert pool is not None
        flow.pool, flow.ticket, flow.rate_bps = None, 0, -1.0
        self.dates.drop(flow)
        pool.num_flows -= 1
        if flow.capped:
            pool.add(0.0, -flow.bound_bps, 0, -1)
        else:
            pool.add(-flow.weight, 0.0, -1, 0)
        self._dirty[pool] = None

    def extend(self, now_s: float, flow: FlowState, more_bits: float) -> None:
        """Give a flow in a pool more to send."""
        pool = flow.pool
        assert pool is not None
        flow.remaining_bits, flow.since_s = self.remaining_bits(now_s, flow) + more_bits, now_s
        if flow.capped:
            self._cap(now_s, flow, pool)
        else:
            self._float(now_s, flow, pool)
        self._dirty[pool] = None

    def resize(self, pool: Pool, before_bps: float) -> None:
        """Take note that the capacity of a pool's link has changed."""
        self._dirty[pool] = None
        if pool.parent is not None and not pool.follows:
            pool.parent.add(0.0, pool.link.limit_bps - before_bps)
            self._dirty[pool.parent] = None

    def rate_bps(self, flow: FlowState) -> float:
        """The rate of a flow in a pool."""
        return flow.bound_bps if flow.capped or flow.pool is None else flow.weight * flow.pool.actual_level()

    def remaining_bits(self, now_s: float, flow: FlowState) -> float:
        """What a flow in a pool has still to send."""
        if flow.capped or flow.pool is None:
            return max(flow.remaining_bits - flow.bound_bps * (now_s - flow.since_s), 0.0)
        return max((flow.goal - flow.pool.served_at(now_s)) * flow.weight, 0.0)

    def settle(self, now_s: float) -> list[Pool]:
        """Find the levels of all pools that were touched, inner ones first. Returns the roots among them."""
        work = [(-pool.depth, self._tickets.draw(), pool) for pool in self._dirty]
        heapify(work)
        roots = []
        while work:
            pool = heappop(work)[2]
            del self._dirty[pool]
            self._mark += 1
            parent = pool.parent
            if self._settle_pool(now_s, pool) and parent is not None and parent not in self._dirty:
                self._dirty[parent] = None
                heappush(work, (-parent.depth, self._tickets.draw(), parent))
            if parent is None and pool.link.pool is pool:
                roots.append(pool)
        return roots

    def _settle_pool(self, now_s: float, pool: Pool) -> bool:
        """True if the parent has to be looked at as well."""
        parent = pool.parent
        if not pool.num_flows and not pool.pools:
            self._discard(pool)
            return True
        ups, downs, ends = pool.ups, pool.downs, pool.ends
        num_level, num_capped = pool.num_level + len(pool.pools), pool.num_capped + len(pool.pools)
        if len(ups) + len(downs) + len(ends) > 4 * num_level + 2 * num_capped + 64:
            tidy(ups, num_level)
            tidy(downs, num_capped)
            tidy(ends, num_level)
        if parent is None:
            self._fit(now_s, pool, math.inf)
            self._set_level(now_s, pool, pool.own_level())
            return False
        if pool.follows:
            self._announce(now_s, pool)
            return True
        ceiling = parent.actual_level()
        self._fit(now_s, pool, ceiling)
        own = pool.own_level()
        if own < ceiling:
            self._set_level(now_s, pool, own)
            return parent.follows  # which has to tell its own parent at what level things change within it
        self._follow(now_s, pool, parent)
        self._announce(now_s, pool)
        return True

    def due(self, now_s: float, until_s: float, pool: Pool) -> list[FlowState]:
        """The flows within a pool that end now, its first end in any case: rounding must not stop the clock."""
        found: list[FlowState] = []
        self._collect(pool, pool.served_at(now_s) + pool.level * (until_s - now_s), found)
        return found

    def _collect(self, pool: Pool, limit: float, found: list[FlowState]) -> None:
        ends = pool.ends
        drop_void(ends)
        if ends:
            limit = max(limit, ends[0][0] + 4 * math.ulp(ends[0][0]))
        most = len(found) + max(len(ends) >> 5, 64)
        while ends and ends[0][0] <= limit:
            if len(found) > most:  # to sort a large part of them out one by one would cost more
                self._collect_all(pool, limit, found)
                return
            item = heappop(ends)[2]
            if isinstance(item, Pool):
                self._collect(item, limit + item.offset, found)
            else:
                found.append(item)
            drop_void(ends)

    def _collect_all(self, pool: Pool, limit: float, found: list[FlowState]) -> None:
        """`_collect` of so many that it pays to look at each once."""
        items = [item for goal, ticket, item in pool.ends if goal <= limit and item.ticket == ticket]
        pool.ends = [entry for entry in pool.ends if entry[0] > limit]
        heapify(pool.ends)
        for item in items:
            if isinstance(item, Pool):
                self._collect(item, limit + item.offset, found)
            else:
                found.append(item)

    def _fit(self, now_s: float, pool: Pool, ceiling: float) -> None:
        """Put everything in a pool on the side where it belongs at the lower of its own level and `ceiling`."""
        ups, downs, mark = pool.ups, pool.downs, self._mark
        while True:
            level = min(pool.own_level(), ceiling)
            if ups and ups[0][2].ticket != ups[0][1]:
                drop_void(ups)
            if ups and ups[0][0] < level:
                item = heappop(ups)[2]
                if isinstance(item, Pool):
                    self._fit_child(now_s, item, level)
                else:
                    item.mark = mark
                    pool.add(-item.weight, item.bound_bps, -1, 1)
                    item.remaining_bits, item.since_s = self.remaining_bits(now_s, item), now_s
                    self._cap(now_s, item, pool)
                continue
            if downs and downs[0][2].ticket != downs[0][1]:
                drop_void(downs)
            if not downs or -downs[0][0] <= level or downs[0][2].mark == mark:
                return
            item = heappop(downs)[2]
            if isinstance(item, Pool):
                if not item.follows:
                    self._follow(now_s, item, pool)
                self._fit_child(now_s, item, level)
            else:
                pool.add(item.weight, -item.bound_bps, 1, -1)
                item.remaining_bits, item.since_s = self.remaining_bits(now_s, item), now_s
                self._float(now_s, item, pool)

    def _fit_child(self, now_s: float, pool: Pool, level: float) -> None:
        """Fit a pool that follows to its parent's level; at a lower one of its own it no longer does."""
        self._fit(now_s, pool, level)
        own = pool.own_level()
        if own < level:
            pool.mark = self._mark
            self._lead(now_s, pool)
            self._set_level(now_s, pool, own)
            return
        drop_void(pool.downs)
        if pool.downs and -pool.downs[0][0] > level:
            pool.mark = self._mark  # by rounding alone: let it be
        self._announce(now_s, pool)

    def _lead(self, now_s: float, pool: Pool) -> None:
        """The link of a pool is full: to its parent the pool is capped from now on."""
        parent = pool.parent
        assert parent is not None
        pool.served, pool.since_s = pool.served_at(now_s), now_s
        pool.follows, pool.level = False, math.inf
        parent.add(-pool.slope, -pool.fixed, -pool.num_level, 1 - pool.num_capped)
        parent.add(-pool.slope_rest, -pool.fixed_rest)
        parent.add(0.0, pool.link.limit_bps)

    def _follow(self, now_s: float, pool: Pool, parent: Pool) -> None:
        """The link of a pool is no longer full: its flows rise with the parent's."""
        pool.offset = pool.served_at(now_s) - parent.served_at(now_s)
        pool.follows = True
        parent.add(pool.slope, pool.fixed, pool.num_level, pool.num_capped - 1)
        parent.add(pool.slope_rest, pool.fixed_rest)
        parent.add(0.0, -pool.link.limit_bps)

    def _set_level(self, now_s: float, pool: Pool, level: float) -> None:
        if level != pool.level:
            pool.served, pool.since_s = pool.served_at(now_s), now_s
            pool.level = level
        if not pool.num_level:  # no goal is left, so the integral may begin anew
            pool.served, pool.since_s = 0.0, now_s
        self._announce(now_s, pool)

    def _announce(self, now_s: float, pool: Pool) -> None:
        """Renew a pool's entries in its parent's heaps and among the dates."""
        parent, ticket = pool.parent, self._tickets.draw()
        pool.ticket = ticket
        ends = pool.ends
        if ends and ends[0][2].ticket != ends[0][1]:
            drop_void(ends)
        if pool.follows:
            assert parent is not None
            self.dates.drop(pool)
            drop_void(pool.ups)
            drop_void(pool.downs)
            up = pool.own_level()
            if pool.ups and pool.ups[0][0] < up:
                up = pool.ups[0][0]
            if up < math.inf:
                heappush(parent.ups, (up, ticket, pool))
            if pool.downs:
                heappush(parent.downs, (pool.downs[0][0], ticket, pool))
            if ends:
                heappush(parent.ends, (ends[0][0] - pool.offset, ticket, pool))
            return
        if parent is not None:
            heappush(parent.downs, (-pool.level, ticket, pool))
        if ends and pool.level > 0:
            # A level flow is one that somebody else holds back, so the level is finite.
            left = ends[0][0] - pool.served_at(now_s)
            self.dates.put(pool, now_s + left / pool.level if left > 0 else now_s)
        else:
            self.dates.drop(pool)

    def _cap(self, now_s: float, flow: FlowState, pool: Pool) -> None:
        flow.capped, flow.rate_bps = True, flow.bound_bps
        flow.since_s = now_s
        flow.ticket = ticket = self._tickets.draw()
        heappush(pool.downs, (-flow.key, ticket, flow))
        if flow.rate_bps > 0:
            self.dates.put(flow, now_s + flow.remaining_bits / flow.rate_bps)
        else:
            self.dates.put(flow, math.inf if flow.remaining_bits else now_s)

    def _float(self, now_s: float, flow: FlowState, pool: Pool) -> None:
        distance, served = flow.remaining_bits / flow.weight, pool.served_at(now_s)
        if served > _LATE * distance > 0 and pool.num_late >= pool.num_level:
            self._begin_anew(pool, served)
            served = 0.0
        pool.num_late += 1
        flow.capped = False
        flow.goal = served + distance
        flow.ticket = ticket = self._tickets.draw()
        heappush(pool.ups, (flow.key, ticket, flow))
        heappush(pool.ends, (flow.goal, ticket, flow))
        self.dates.put(flow, math.inf if flow.remaining_bits else now_s)  # no bits end even where there is no capacity

    def _begin_anew(self, pool: Pool, served: float) -> None:
        """Count the service integral from 0 again: near a small number floats are denser."""
        pool.num_late = 0
        if pool.follows:
            pool.offset -= served
        else:
            pool.served -= served
        pool.ends = [(goal - served, ticket, item) for goal, ticket, item in pool.ends if item.ticket == ticket]
        heapify(pool.ends)
        for goal, _, item in pool.ends:
            if isinstance(item, FlowState):
                item.goal = goal
        for inner in pool.pools:
            if inner.follows:
                inner.offset += served

    def _discard(self, pool: Pool) -> None:
        """Forget a pool of an idle link."""
        self.forget(pool)
        pool.link.live = False
        parent = pool.parent
        if parent is not None:
            del parent.pools[pool]
            if not pool.follows:
                parent.add(0.0, -pool.link.limit_bps, 0, -1)
