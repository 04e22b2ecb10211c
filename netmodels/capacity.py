"""Capacity of a link over time, as piecewise-constant functions of absolute time in seconds.

Units: bits per second and seconds. Recordings are read by `netmodels.traces`; capacities that vary by chance are drawn
by `netmodels.markov` and `netmodels.wireless`. Not modelled: capacity that depends on load.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol


class Capacity(Protocol):
    """Bits per second as a function of absolute time, constant between changes."""

    @property
    def peak_bps(self) -> float:
        """An upper bound of the capacity at every time, in bits per second."""
        ...

    def at(self, t_s: float) -> float:
        """Bits per second from `t_s` on, until `next_change_s(t_s)`."""
        ...

    def next_change_s(self, t_s: float) -> float:
        """The first change strictly after `t_s`, in seconds; infinity if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """The same capacity for ever. Raises ValueError unless 0 < `bps` < infinity."""

    bps: float

    def __post_init__(self) -> None:
        if not 0 < self.bps < math.inf:
            raise ValueError(f"a constant capacity must be above 0 bit/s and finite, got {self.bps!r}")

    @property
    def peak_bps(self) -> float:
        """The capacity itself."""
        return self.bps

    def at(self, t_s: float) -> float:
        """Bits per second, the same at every time."""
        return self.bps

    def next_change_s(self, t_s: float) -> float:
        """Never: infinity."""
        return math.inf


@dataclass(frozen=True, slots=True)
class Steps:
    """A staircase: `values_bps[i]` from `times_s[i]` on.

    Without `period_s` the last value stays for ever; with it, the staircase starts again every `period_s` seconds.
    Zero is a legal value: flows stall there. Before time 0 the first value holds.
    Raises ValueError unless the times start at 0 and increase, the values are finite and >= 0 and not all of them 0,
    and the period is beyond the last time.
    """

    times_s: Sequence[float]
    values_bps: Sequence[float]
    period_s: float | None = None
    peak_bps: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "times_s", tuple(map(float, self.times_s)))
        object.__setattr__(self, "values_bps", tuple(map(float, self.values_bps)))
        _check_steps(self.times_s, self.values_bps, self.period_s)
        object.__setattr__(self, "peak_bps", max(self.values_bps))

    def at(self, t_s: float) -> float:
        """Bits per second at `t_s`."""
        return self.values_bps[self._locate(t_s)[0]]

    def next_change_s(self, t_s: float) -> float:
        """The next time strictly after `t_s` at which the value may change; infinity if there is none."""
        if len(self.times_s) == 1:
            return math.inf
        index, lap = self._locate(t_s)
        if t_s < 0:
            return self.times_s[1]
        while True:
            index += 1
            if index == len(self.times_s):
                if self.period_s is None:
                    return math.inf
                index, lap = 0, lap + 1
            change_s = self._start_s(lap) + self.times_s[index]
            if change_s > t_s:  # far from 0 a step may be shorter than the resolution of the clock
                return change_s

    def _start_s(self, lap: int) -> float:
        return lap * self.period_s if self.period_s is not None else 0.0

    def _locate(self, t_s: float) -> tuple[int, int]:
        """The step that holds at `t_s` and its lap: the last one whose rounded start is not after `t_s`.

        Comparing the very sums that `next_change_s` returns keeps the two consistent: a change that was announced
        for some date is in force at that date, whatever the rounding.
        """
        lap = 0
        if self.period_s is not None and t_s > 0:
            lap = math.floor(t_s / self.period_s)
            lap += (self._start_s(lap + 1) <= t_s) - (self._start_s(lap) > t_s)
        start_s = self._start_s(lap)
        index = max(bisect_right(self.times_s, t_s - start_s) - 1, 0)
        while index + 1 < len(self.times_s) and start_s + self.times_s[index + 1] <= t_s:
            index += 1
        return index, lap


@dataclass(frozen=True, slots=True)
class Shifted:
    """Another capacity, seen from `offset_s` seconds after its beginning: many devices on one recording.

    Raises ValueError for a negative or not finite offset.
    """

    capacity: Capacity
    offset_s: float

    def __post_init__(self) -> None:
        if not 0 <= self.offset_s < math.inf:
            raise ValueError(f"an offset must be finite and >= 0 s, got {self.offset_s!r}")

    @property
    def peak_bps(self) -> float:
        """That of the other capacity."""
        return self.capacity.peak_bps

    def at(self, t_s: float) -> float:
        """Bits per second at `t_s`."""
        return self.capacity.at(t_s + self.offset_s)

    def next_change_s(self, t_s: float) -> float:
        """The next time strictly after `t_s` at which the value may change; infinity if there is none."""
        there_s = self.capacity.next_change_s(t_s + self.offset_s)
        change_s = there_s - self.offset_s
        while change_s + self.offset_s < there_s:  # by rounding it would be announced before it is in force
            change_s = math.nextafter(change_s, math.inf)
        return change_s


@dataclass(frozen=True, slots=True)
class Scaled:
    """So many times another capacity, at every time. Raises ValueError unless 0 < `factor` < infinity."""

    capacity: Capacity
    factor: float

    def __post_init__(self) -> None:
        if not 0 < self.factor < math.inf:
            raise ValueError(f"a capacity can be multiplied by a number above 0 only, got {self.factor!r}")

    @property
    def peak_bps(self) -> float:
        """So many times that of the other capacity."""
        return self.capacity.peak_bps * self.factor

    def at(self, t_s: float) -> float:
        """Bits per second at `t_s`."""
        return self.capacity.at(t_s) * self.factor

    def next_change_s(self, t_s: float) -> float:
        """The next time strictly after `t_s` at which the value may change; infinity if there is none."""
        return self.capacity.next_change_s(t_s)


def _check_steps(times_s: Sequence[float], values_bps: Sequence[float], period_s: float | None) -> None:
    if not times_s or len(times_s) != len(values_bps):
        raise ValueError(f"steps need one value per time and at least one, got {len(values_bps)} for {len(times_s)}")
    if times_s[0] != 0:
        raise ValueError(f"the first step must start at 0 s, got {times_s[0]!r}")
    for before_s, after_s in pairwise(times_s):
        if not before_s < after_s < math.inf:
            raise ValueError(f"the times of steps must increase and be finite, got {after_s!r} after {before_s!r}")
    for time_s, value_bps in zip(times_s, values_bps, strict=True):
        if not 0 <= value_bps < math.inf:
            raise ValueError(f"a capacity must be finite and >= 0 bit/s, got {value_bps!r} from {time_s!r} s on")
    if not any(values_bps):
        raise ValueError("a capacity of 0 bit/s at all times carries nothing for ever")
    if period_s is not None and not times_s[-1] < period_s < math.inf:
        raise ValueError(f"the period must be beyond the last step at {times_s[-1]!r} s and finite, got {period_s!r}")
