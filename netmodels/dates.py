"""Who ends when: a binary heap in which each stands once, and can be moved or taken out.

Dates change far more often than they come: entries that are left to go stale, as `heapq` needs them, would outnumber
those that hold.
"""

import math
from typing import Final

_INF: Final = math.inf


class Dated:
    """What ends at `date_s`, while it has a `place` among the dates (-1: none)."""

    __slots__ = ("date_s", "place")

    def __init__(self) -> None:
        self.date_s = _INF
        self.place = -1


class Dates:
    """Dates in seconds; which of equal ones is first depends on the order of changes only."""

    def __init__(self) -> None:
        self._heap: list[Dated] = []

    def __len__(self) -> int:
        return len(self._heap)

    def first_s(self) -> float:
        """The first date; infinity if there is none."""
        heap = self._heap
        return heap[0].date_s if heap else _INF

    def first(self) -> Dated:
        """Whose date that is; there must be one."""
        return self._heap[0]

    def pop(self) -> Dated:
        """Take out the first, of which there must be one."""
        first = self._heap[0]
        self.drop(first)
        return first

    def put(self, item: Dated, date_s: float) -> None:
        """Let that be the date of an item; infinity for none."""
        if date_s == _INF:
            self.drop(item)
            return
        if item.place < 0:
            item.place = len(self._heap)
            self._heap.append(item)
        item.date_s = date_s
        self._settle(item)

    def drop(self, item: Dated) -> None:
        """Take out an item, if it is there."""
        place = item.place
        if place < 0:
            return
        item.place = -1
        last = self._heap.pop()
        if last is not item:
            last.place = place
            self._heap[place] = last
            self._settle(last)

    def _settle(self, item: Dated) -> None:
        """Move an item up or down to where it belongs."""
        heap, place, date_s = self._heap, item.place, item.date_s
        while place > 0:
            above = heap[(place - 1) >> 1]
            if above.date_s <= date_s:
                break
            heap[place] = above
            above.place, place = place, (place - 1) >> 1
        size = len(heap)
        while True:
            child = 2 * place + 1
            if child >= size:
                break
            below = heap[child]
            if child + 1 < size and heap[child + 1].date_s < below.date_s:
                child += 1
                below = heap[child]
            if below.date_s >= date_s:
                break
            heap[place] = below
            below.place, place = place, child
        heap[place] = item
        item.place = place
