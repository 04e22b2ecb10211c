"""Joules: what computing, sending, receiving and waiting take out of a battery. Pure functions, and one set of spans.

A device's energy has three parts that never count the same second twice:

* compute: ``training_power_w`` for as long as it computes, everything included that draws power then;
* idle: ``resting_power_w`` for the rest of the time;
* radio, on top of either: ``on_w`` for as long as the radio is awake, that is while anything is under way and for
  ``tail_s`` after it (one tail where transfers follow each other within it), and so many joules for each 10^6 bytes.

Radio figures are fits of whole-phone power against throughput, less the phone's own baseline; the shape is that of
Huang et al., "A close examination of performance and power characteristics of 4G LTE networks", MobiSys 2012.

A device that shares its speed with other programs is charged for all it draws while it trains, theirs included.

Not modelled: power that depends on the clock speed or the heat, the radio's promotion from sleep, its wake-ups while
nothing is sent, signal strength, charging, losses of the battery.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Final

JOULES_PER_WH: Final = 3600.0
BYTES_PER_MB: Final = 1e6
_INF: Final = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Radio:
    """What a radio takes; ValueError for a figure that is negative or not finite."""

    on_w: float
    joules_per_mb_up: float
    joules_per_mb_down: float
    tail_s: float

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for figure in ("on_w", "joules_per_mb_up", "joules_per_mb_down", "tail_s"):
            if not 0 <= getattr(self, figure) < math.inf:
                raise ValueError(f"{figure} of a radio must be finite and >= 0, got {getattr(self, figure)}")

    def message_j(self, awake_s: float, size_bytes: float, up: bool) -> float:
        """Joules for a message of so many bytes, up or down, that keeps the radio awake so much longer.

        Tails are in the time already (see `Spans`).
        """
        joules_per_mb = self.joules_per_mb_up if up else self.joules_per_mb_down
        return self.on_w * awake_s + joules_per_mb * size_bytes / BYTES_PER_MB


def battery_percent(energy_j: float, battery_wh: float) -> float:
    """Per cent of a full battery; may exceed 100, which says that it would have been empty.

    Raises ValueError for a battery of no capacity.
    """
    if not 0 < battery_wh < math.inf:
        raise ValueError(f"a battery's capacity must be positive and finite, got {battery_wh} Wh")
    return 100 * energy_j / (JOULES_PER_WH * battery_wh)


@dataclass(slots=True)
class Spans:
    """A union of time spans: how long a radio is awake, however transfers overlap and in whatever order they end."""

    _starts_s: list[float] = field(default_factory=list)
    _ends_s: list[float] = field(default_factory=list)

    def add(self, start_s: float, end_s: float) -> float:
        """Add a span; return by how many seconds the union has grown. Raises ValueError for one that ends early."""
        if not start_s <= end_s < _INF:
            raise ValueError(f"a span must end after it starts, got {start_s} to {end_s} s")
        ends_s = self._ends_s
        if ends_s and (first_s := self._starts_s[-1]) <= start_s <= (last_s := ends_s[-1]):
            if end_s <= last_s:  # the last span goes on, as nearly always
                return 0.0
            ends_s[-1] = end_s
            grown_s = end_s - first_s - (last_s - first_s)
            return grown_s if grown_s > 0 else 0.0
        first = bisect_left(self._ends_s, start_s)
        last = bisect_right(self._starts_s, end_s)
        before_s = math.fsum(self._ends_s[first:last]) - math.fsum(self._starts_s[first:last])
        if first < last:
            start_s, end_s = min(start_s, self._starts_s[first]), max(end_s, self._ends_s[last - 1])
        self._starts_s[first:last], self._ends_s[first:last] = [start_s], [end_s]
        return max(0.0, end_s - start_s - before_s)

    @property
    def total_s(self) -> float:
        """The length of the union."""
        return math.fsum(self._ends_s) - math.fsum(self._starts_s)
