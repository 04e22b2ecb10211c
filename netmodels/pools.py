"""Water levels of links whose flows lie within each other, kept from event to event: O(log flows) a change.

A tree of links (device, cell, backhaul, server) has one pool per link that can bind. Whatever a pool holds is either
*capped*, at a rate of its own that the level does not move, or *level*: it rises with the pool's water level (rate =
weight x level). Flows are capped at their bound. A pool within another one *follows* its parent's level until its own
link is full; from then on it has a level of its own and is capped to the parent. Nothing is worked out per flow when a
level changes: a level flow ends when the pool's service integral (that of the level over time) reaches its goal, which
never changes, and heaps know who is the next to change sides. After Bertsekas and Gallager, Data Networks, 6.5.2; the
service integral is that of fluid fair queueing (Parekh and Gallager 1993).
"""

import math
from heapq import heapify, heappop
from typing import TypeAlias

from netmodels.dates import Dated
from netmodels.sharing import FULL, FlowState, LinkState


class Pool(Dated):
    """The flows and pools directly within one link.

    At level x they take fixed + slope x of the link; each sum is a pair of floats (Neumaier), for it lives through
    millions of changes.
    """

    __slots__ = (
        "depth",
        "downs",
        "ends",
        "fixed",
        "fixed_rest",
        "follows",
        "level",
        "link",
        "mark",
        "num_capped",
        "num_flows",
        "num_late",
        "num_level",
        "offset",
        "parent",
        "pools",
        "served",
        "since_s",
        "slope",
        "slope_rest",
        "ticket",
        "ups",
    )

    def __init__(self, link: LinkState, parent: "Pool | None") -> None:
        super().__init__()
        self.link, self.parent = link, parent
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.follows = parent is not None
        self.level = math.inf  # if it does not follow
        self.served, self.since_s = 0.0, 0.0  # the service integral at that time, if it does not follow
        self.offset = 0.0  # the service integral beyond the parent's, if it follows
        self.slope = self.slope_rest = self.fixed = self.fixed_rest = 0.0
        self.num_level = self.num_capped = 0  # how many terms the two sums have
        self.num_flows = 0  # directly within
        self.pools: dict[Pool, None] = {}  # directly within, in order of arrival
        self.num_late = 0  # goals set since the service integral last began at 0
        self.ticket = 0  # entries in heaps with another one are void
        self.mark = 0  # the search in which it rose to a level of its own
        self.ups: list[Entry] = []  # who is level, by the level above which he no longer is
        self.downs: list[Entry] = []  # who is capped, by minus the level below which he no longer is
        self.ends: list[Entry] = []  # who is level, by goal
        if parent is not None:
            parent.pools[self] = None

    def __repr__(self) -> str:
        return f"<Pool {self.link.link.name} {self.num_flows} flows {'follows' if self.follows else self.level}>"

    def own_level(self) -> float:
        """The level at which the link is full as everybody's side is now; infinity if it never is."""
        if not self.num_level:
            return math.inf if self.fixed + self.fixed_rest <= self.link.limit_bps * FULL else 0.0
        room = self.link.limit_bps - self.fixed - self.fixed_rest
        return room / (self.slope + self.slope_rest) if room > 0 else 0.0

    def root(self) -> "Pool":
        """The outermost pool of the tree."""
        pool = self
        while pool.parent is not None:
            pool = pool.parent
        return pool

    def actual_level(self) -> float:
        """The level in force: that of the nearest pool outwards that does not follow."""
        pool = self
        while pool.follows and pool.parent is not None:
            pool = pool.parent
        return pool.level

    def served_at(self, now_s: float) -> float:
        """The service integral, bits per unit of weight."""
        pool, beyond = self, 0.0
        while pool.follows and pool.parent is not None:
            beyond += pool.offset
            pool = pool.parent
        if pool.level < math.inf:
            beyond += pool.level * (now_s - pool.since_s)
        return pool.served + beyond

    def add(self, slope: float, fixed: float, num_level: int = 0, num_capped: int = 0) -> None:
        """Add to the two sums here and as far outwards as pools follow."""
        pool = self
        while True:
            pool.num_level += num_level
            pool.num_capped += num_capped
            if not pool.num_level:
                pool.slope = pool.slope_rest = 0.0
            elif slope:
                before = pool.slope
                pool.slope = after = before + slope
                pool.slope_rest += (before - after) + slope if abs(before) >= abs(slope) else (slope - after) + before
            if not pool.num_capped:
                pool.fixed = pool.fixed_rest = 0.0
            elif fixed:
                before = pool.fixed
                pool.fixed = after = before + fixed
                pool.fixed_rest += (before - after) + fixed if abs(before) >= abs(fixed) else (fixed - after) + before
            if not pool.follows or pool.parent is None:
                return
            pool = pool.parent


Item: TypeAlias = FlowState | Pool
Entry: TypeAlias = tuple[float, int, Item]


def drop_void(heap: list[Entry]) -> None:
    """Take entries off the top until it is one that holds."""
    while heap and heap[0][2].ticket != heap[0][1]:
        heappop(heap)


def tidy(heap: list[Entry], most: int) -> None:
    """Throw void entries away once they are the larger part."""
    if len(heap) > 2 * most + 64:
        heap[:] = [entry for entry in heap if entry[2].ticket == entry[1]]
        heapify(heap)
