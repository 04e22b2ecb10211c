"""How full a battery is: charged while it is plugged in, emptied by what is drawn; never above full, never below empty.

Between two looks the draw is taken to be even. The charger gives the same power until the battery is full; real ones
give less above about 80 %. Not modelled: losses of charging, age, cold, and a device that switches off when empty.
"""

from __future__ import annotations

import math
from typing import Final

from devices.availability import Availability
from devices.energy import JOULES_PER_WH

LATER_S: Final = 1e-3  # a level that is computed to be reached is asked for so much later: rounding cannot say no


class Battery:
    """One battery from t = 0 on. Levels are shares of its capacity."""

    def __init__(self, capacity_wh: float, level: float, charger_w: float, plugged: Availability) -> None:
        """Take its capacity, its level at t = 0, what the charger gives, and when it is plugged in.

        Raises ValueError for a capacity that is not positive, a level outside 0..1 or a negative power.
        """
        if not (0 < capacity_wh < math.inf and 0 <= level <= 1 and 0 <= charger_w < math.inf):
            raise ValueError(
                f"a battery needs a capacity above 0 Wh, a level in 0..1 and a charger of 0 W or more, "
                f"got {capacity_wh}, {level}, {charger_w}"
            )
        self._capacity_j = JOULES_PER_WH * capacity_wh
        self._level_j = level * self._capacity_j
        self._charger_w, self._plugged = charger_w, plugged
        self._now_s = self._drawn_j = 0.0

    def __repr__(self) -> str:
        return f"<Battery {100 * self._level_j / self._capacity_j:.1f} % at {self._now_s:g} s>"

    def level(self, now_s: float, drawn_j: float) -> float:
        """How full it is when so many joules have been drawn since t = 0; ValueError if the time goes back."""
        if now_s < self._now_s:
            raise ValueError(f"a battery's time must not go back, got {now_s} s after {self._now_s} s")
        if now_s > self._now_s:
            self._spend(now_s, (drawn_j - self._drawn_j) / (now_s - self._now_s))
            self._now_s, self._drawn_j = now_s, drawn_j
        return self._level_j / self._capacity_j

    def reaches_s(self, level: float, draw_w: float, *, horizon_s: float = math.inf) -> float:
        """When it will be that full if so many watts are drawn from now on; infinity beyond the horizon."""
        t_s, level_j, wanted_j = self._now_s, self._level_j, level * self._capacity_j
        while level_j < wanted_j:
            if not t_s < horizon_s:
                return math.inf
            power_w, end_s = self._net_w(t_s, draw_w), self._plugged.next_change_s(t_s)
            if power_w > 0 and (wanted_j - level_j) / power_w <= end_s - t_s:
                return t_s + (wanted_j - level_j) / power_w + LATER_S
            if end_s == math.inf:
                return math.inf
            level_j, t_s = self._clipped(level_j + power_w * (end_s - t_s)), end_s
        return t_s

    def _spend(self, until_s: float, draw_w: float) -> None:
        t_s = self._now_s
        while t_s < until_s:
            end_s = min(until_s, self._plugged.next_change_s(t_s))
            self._level_j = self._clipped(self._level_j + self._net_w(t_s, draw_w) * (end_s - t_s))
            t_s = end_s

    def _net_w(self, t_s: float, draw_w: float) -> float:
        return (self._charger_w if self._plugged.available(t_s) else 0.0) - draw_w

    def _clipped(self, level_j: float) -> float:
        return min(max(level_j, 0.0), self._capacity_j)
