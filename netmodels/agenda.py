"""What is to be done with which transfer, and when."""

import math
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

from netmodels.dates import Dated, Dates
from netmodels.transfer import Transfer

Owner = TypeVar("Owner")
Action: TypeAlias = Callable[[Owner, float, Transfer], None]


class Date(Dated):
    """What is to be done at a date, the first to be noted first."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[tuple[Transfer, Any]] = []


class Agenda(Generic[Owner]):
    """Methods of an owner to be called with a transfer, by date in seconds; in order of arrival within a date.

    Many transfers have their dates in common, so dates are sorted and not entries.
    """

    def __init__(self) -> None:
        self._dates = Dates()
        self._at: dict[float, Date] = {}
        self._taken: list[tuple[Transfer, Any]] = []  # of the date at which `take` is, the last one first

    def note(self, when_s: float, transfer: Transfer, action: Action[Owner]) -> None:
        """Do that at `when_s`, unless the transfer is over by then."""
        date = self._at.get(when_s)
        if date is None:
            date = self._at[when_s] = Date()
            self._dates.put(date, when_s)
        date.entries.append((transfer, action))

    def next_s(self) -> float:
        """The next date; infinity if there is none."""
        while len(self._dates):
            date = self._dates.first()
            assert isinstance(date, Date)
            entries = date.entries
            while entries and entries[-1][0].over:
                entries.pop()
            if entries:
                return date.date_s
            self._cross_out(date)
        return math.inf

    def take(self, until_s: float) -> tuple[Transfer, Action[Owner]] | None:
        """The next that is to be done by then; None if there is none. What is noted meanwhile counts."""
        while True:
            entries = self._taken
            while entries:  # a million at one date are let go one by one
                entry = entries.pop()
                if not entry[0].over:
                    return entry
            if self._dates.first_s() > until_s or not len(self._dates):
                return None
            date = self._dates.first()
            assert isinstance(date, Date)
            self._cross_out(date)
            entries = self._taken = date.entries
            if len(entries) > 1:
                entries.reverse()

    def _cross_out(self, date: Date) -> None:
        del self._at[date.date_s]
        self._dates.drop(date)


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
