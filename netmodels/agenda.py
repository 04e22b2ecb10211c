"""What is to be done with which transfer, and when."""

import math
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Generic, TypeAlias, TypeVar

from netmodels.transfer import Transfer

Owner = TypeVar("Owner")
Action: TypeAlias = Callable[[Owner, float, Transfer], None]


class Agenda(Generic[Owner]):
    """Methods of an owner to be called with a transfer, by date in seconds; in order of arrival within a date.

    Many transfers have their dates in common, so dates are sorted and not entries.
    """

    def __init__(self) -> None:
        self._dates: list[float] = []  # a heap of the keys of `_entries`
        self._entries: dict[float, list[tuple[Transfer, Action[Owner]]]] = {}
        self._taken: list[tuple[Transfer, Action[Owner]]] = []  # of the date at which `take` is, the last one first

    def note(self, when_s: float, transfer: Transfer, action: Action[Owner]) -> None:
        """Do that at `when_s`, unless the transfer is over by then."""
        entries = self._entries.get(when_s)
        if entries is None:
            self._entries[when_s] = [(transfer, action)]
            heappush(self._dates, when_s)
        else:
            entries.append((transfer, action))

    def next_s(self) -> float:
        """The next date; infinity if there is none."""
        dates = self._dates
        while dates:
            entries = self._entries[dates[0]]
            while entries and entries[-1][0].over:
                entries.pop()
            if entries:
                return dates[0]
            del self._entries[heappop(dates)]
        return math.inf

    def take(self, until_s: float) -> tuple[Transfer, Action[Owner]] | None:
        """The next that is to be done by then; None if there is none. What is noted meanwhile counts."""
        while True:
            entries = self._taken
            while entries:  # a million at one date are let go one by one
                entry = entries.pop()
                if not entry[0].over:
                    return entry
            dates = self._dates
            if not dates or dates[0] > until_s:
                return None
            date_s = heappop(dates)
            entries = self._taken = self._entries[date_s]
            del self._entries[date_s]
            if len(entries) > 1:
                entries.reverse()


def common_date(when_s: float, step_s: float) -> float:
    """The first date from `when_s` on that others with steps about as long take too, so that all are seen to at once.

    Dates lie on a grid: multiples of a power of two of seconds, at most half of `step_s` and more than a quarter.
    """
    grid_s = 1.0
    while grid_s > step_s / 2:
        grid_s /= 2
    while grid_s <= step_s / 4:
        grid_s *= 2
    return math.ceil(when_s / grid_s) * grid_s
