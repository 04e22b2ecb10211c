"""When a device is there: as functions of absolute time in seconds, constant between changes.

A device is there from an instant on until another one: the end of a span does not belong to it. Every model offers the
`Availability` protocol. What is drawn is drawn only when somebody asks, from generators that the caller names, and
never depends on the order of the questions: a day is a stream of its own, sessions are drawn one after the other and
kept.

Not modelled here: battery and heat (they depend on what the device does), devices that leave because others do, and
weekends. How long phones are really plugged in differs by country and person; the public trace behind FLASH (Yang et
al., WWW 2021) and FedScale's are larger than what this project carries, so every figure of a scenario is its author's.
"""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import numpy as np

DAY_S: Final = 86400.0
HOUR_S: Final = 3600.0
MOST_DAYS: Final = 10_000  # days without a window after which a device counts as gone for ever
COLUMNS: Final = ("device", "from_s", "to_s")

Span = tuple[float, float]


class Availability(Protocol):
    """Whether a device is there, as a function of absolute time in seconds."""

    def available(self, t_s: float) -> bool:
        """True from a change on, until the next one."""
        ...

    def next_change_s(self, t_s: float) -> float:
        """The first instant strictly after ``t_s`` at which the answer may change; infinity if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Always:
    """A device that never leaves."""

    def available(self, t_s: float) -> bool:
        """Yes."""
        return True

    def next_change_s(self, t_s: float) -> float:
        """Never."""
        return math.inf


ALWAYS: Final = Always()


@dataclass(frozen=True, slots=True)
class Both:
    """A device that is there when all of its parts say so."""

    parts: Sequence[Availability]

    def available(self, t_s: float) -> bool:
        """All parts agree."""
        return all(part.available(t_s) for part in self.parts)

    def next_change_s(self, t_s: float) -> float:
        """The next change of any part."""
        return min((part.next_change_s(t_s) for part in self.parts), default=math.inf)


@dataclass(frozen=True, slots=True)
class Recorded:
    """Spans from a trace, in seconds; with ``period_s`` they come again every period.

    Spans that touch are one. Raises ValueError unless the spans are in order, within the period and not empty.
    """

    spans: Sequence[Span]
    period_s: float | None = None
    _edges_s: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        edges: list[float] = []
        for from_s, to_s in self.spans:
            _check_span(from_s, to_s, edges[-1] if edges else 0.0)
            if edges and from_s == edges[-1]:
                edges[-1] = to_s
            else:
                edges += [from_s, to_s]
        if not edges:
            raise ValueError("a trace of availability needs at least one span")
        if self.period_s is not None and not edges[-1] <= self.period_s < math.inf:
            raise ValueError(f"the period must be finite and not before the last end at {edges[-1]} s")
        object.__setattr__(self, "_edges_s", tuple(edges))

    def available(self, t_s: float) -> bool:
        """Inside a span."""
        return self._locate(t_s)[1] % 2 == 1

    def next_change_s(self, t_s: float) -> float:
        """The next beginning or end of a span."""
        lap, index = self._locate(t_s)
        while True:
            if index == len(self._edges_s):
                if self.period_s is None:
                    return math.inf
                lap, index = lap + 1, 0
            change_s = self._at(lap, index)
            if change_s > t_s:
                return change_s
            index += 1

    def _at(self, lap: int, index: int) -> float:
        """When an edge comes in a lap; one at the period's end is the next lap's beginning, to the last bit."""
        edge_s, period_s = self._edges_s[index], self.period_s or 0.0
        return (lap + 1) * period_s if edge_s == period_s else lap * period_s + edge_s

    def _locate(self, t_s: float) -> tuple[int, int]:
        """The lap, and how many of its edges are not after ``t_s``: the very sums that `next_change_s` returns."""
        lap = 0 if self.period_s is None else max(math.floor(t_s / self.period_s), 0)
        if self.period_s is not None:
            lap += ((lap + 1) * self.period_s <= t_s) - (lap > 0 and lap * self.period_s > t_s)
        index = bisect_right(range(len(self._edges_s)), t_s, key=lambda place: self._at(lap, place))
        return lap, index


def _check_span(from_s: float, to_s: float, after_s: float) -> None:
    if not (math.isfinite(from_s) and math.isfinite(to_s)):
        raise ValueError(f"times must be finite, got {from_s}..{to_s}")
    if from_s < 0 or to_s <= from_s:
        raise ValueError(f"a span must begin at 0 s or later and end after it begins, got {from_s}..{to_s}")
    if from_s < after_s:
        raise ValueError(f"spans of a device must be in order and not overlap, got {from_s}..{to_s} after {after_s}")


class Daily:
    """A window that comes every day, such as the night on the charger.

    ``start_s`` and ``end_s`` are times of day, in seconds after midnight; an end before the start is that of the next
    day. ``shift_s`` moves all windows of this device: habits, time zone, a run
    that does not begin at midnight. Each day both edges move by draws of their
    own, normal with sigma ``jitter_s`` and cut where windows would vanish or meet; and the window is left out with
    probability 1 - ``days``.
    """

    def __init__(
        self,
        start_s: float,
        end_s: float,
        draws: Callable[[int], np.random.Generator],
        *,
        shift_s: float = 0.0,
        jitter_s: float = 0.0,
        days: float = 1.0,
    ) -> None:
        """``draws`` gives the generator of a day, at its beginning."""
        self._length_s = (end_s - start_s) % DAY_S
        if not self._length_s:
            raise ValueError(f"a daily window needs a start and an end that differ, got {start_s} s for both")
        if not 0 < days <= 1:
            raise ValueError(f"the share of days must be in (0, 1], got {days}")
        self._first_s = start_s + shift_s
        self._draws, self._jitter_s, self._days = draws, jitter_s, days
        self._most_s = 0.49 * min(self._length_s, DAY_S - self._length_s)
        self._known: dict[int, Span | None] = {}

    def available(self, t_s: float) -> bool:
        """Inside the window of some day."""
        day = self._day(t_s)
        windows = (self._window(each) for each in (day - 1, day, day + 1))
        return any(window is not None and window[0] <= t_s < window[1] for window in windows)

    def next_change_s(self, t_s: float) -> float:
        """The next edge of a window."""
        first = self._day(t_s) - 1
        for day in range(first, first + MOST_DAYS):
            for edge_s in self._window(day) or ():
                if edge_s > t_s:
                    return edge_s
        return math.inf

    def _day(self, t_s: float) -> int:
        return math.floor((t_s - self._first_s) / DAY_S)

    def _window(self, day: int) -> Span | None:
        if day not in self._known:
            if len(self._known) > 8:  # a run goes forward; a day asked for again is drawn again, and equal
                self._known.clear()
            self._known[day] = self._draw(day)
        return self._known[day]

    def _draw(self, day: int) -> Span | None:
        start_s = day * DAY_S + self._first_s
        if not self._jitter_s and self._days == 1:
            return start_s, start_s + self._length_s
        rng = self._draws(day)
        plugged_in = rng.random() < self._days
        early_s, late_s = np.clip(rng.normal(0.0, 1.0, 2) * self._jitter_s, -self._most_s, self._most_s).tolist()
        return (start_s + early_s, start_s + self._length_s + late_s) if plugged_in else None


class Sessions:
    """On and off in turn, both of exponential length, in equilibrium at t = 0.

    The chance to be there at any time is ``on_s`` / (``on_s`` + ``off_s``). Real sessions have longer tails.
    """

    def __init__(self, on_s: float, off_s: float, rng: np.random.Generator) -> None:
        """Take the mean lengths in seconds and a generator of this device's own."""
        if not (0 < on_s < math.inf and 0 < off_s < math.inf):
            raise ValueError(f"sessions need mean lengths above 0 s and finite, got {on_s} and {off_s}")
        self._mean_s = (off_s, on_s)
        self._rng = rng
        self._on_first = bool(rng.random() < on_s / (on_s + off_s))
        self._changes_s: list[float] = []

    def available(self, t_s: float) -> bool:
        """During a session."""
        self._draw_beyond(t_s)
        return self._on_first ^ (bisect_right(self._changes_s, t_s) % 2 == 1)

    def next_change_s(self, t_s: float) -> float:
        """The end of the session or of the pause."""
        self._draw_beyond(t_s)
        return self._changes_s[bisect_right(self._changes_s, t_s)]

    def _draw_beyond(self, t_s: float) -> None:
        while not self._changes_s or self._changes_s[-1] <= t_s:
            on = self._on_first ^ (len(self._changes_s) % 2 == 1)
            before_s = self._changes_s[-1] if self._changes_s else 0.0
            self._changes_s.append(before_s + self._rng.exponential(self._mean_s[on]))


def leaves_s(availability: Availability, t_s: float, *, horizon_s: float = math.inf) -> float:
    """The first instant from ``t_s`` on at which the device is not there; infinity if that is beyond the horizon."""
    while t_s <= horizon_s and t_s < math.inf and availability.available(t_s):
        t_s = availability.next_change_s(t_s)
    return t_s if t_s <= horizon_s else math.inf


def comes_s(availability: Availability, t_s: float, *, horizon_s: float = math.inf) -> float:
    """The first instant from ``t_s`` on at which the device is there; infinity if that is beyond the horizon.

    Without a horizon the search for spans of `Both` that never meet would not end.
    """
    while t_s <= horizon_s and t_s < math.inf and not availability.available(t_s):
        t_s = availability.next_change_s(t_s)
    return t_s if t_s <= horizon_s else math.inf


def dropout_s(rng: np.random.Generator, per_hour: float) -> float:
    """Seconds until a device that is at work drops out: exponential, ``per_hour`` on average; infinity for none."""
    if not 0 <= per_hour < math.inf:
        raise ValueError(f"dropouts per hour must be finite and >= 0, got {per_hour}")
    return float(rng.exponential(HOUR_S / per_hour)) if per_hour else math.inf


def read_trace(path: Path, *, period_s: float | None = None) -> list[Recorded]:
    """Read a CSV with the columns device, from_s, to_s: one availability for each device, in order of appearance.

    Times are seconds from the start of the run; spans of a device are in order and do not overlap, lines of several
    devices may be mixed, lines that begin with # are left out. With ``period_s`` everybody's spans come again every
    period (0: the last end in the file). Raises ValueError with file, line and reason.
    """
    spans: dict[str, list[Span]] = {}
    lines = path.read_text("utf-8-sig").splitlines()
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if not rows or tuple(cell.strip() for cell in next(csv.reader([rows[0][1]]))) != COLUMNS:
        raise ValueError(
            f"{path}:{rows[0][0] if rows else 1}: the first line must name the columns {','.join(COLUMNS)}"
        )
    for number, line in rows[1:]:
        cells = [cell.strip() for cell in next(csv.reader([line]))]
        try:
            if len(cells) != len(COLUMNS):
                raise ValueError(f"needs {len(COLUMNS)} columns, got {len(cells)}")
            mine = spans.setdefault(cells[0], [])
            span = _number(cells[1]), _number(cells[2])
            _check_span(*span, mine[-1][1] if mine else 0.0)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        mine.append(span)
    if not spans:
        raise ValueError(f"{path}: an empty trace: no device is ever there")
    last_s = max(each[-1][1] for each in spans.values())
    if period_s is not None and period_s and period_s < last_s:
        raise ValueError(
            f"{path}: the period must not end before the last span: {period_s} s, but one ends at {last_s}"
        )
    period = None if period_s is None else period_s or last_s
    return [Recorded(each, period) for each in spans.values()]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"must be a number of seconds, got {text!r}") from None
