"""When each device of a scenario is there; made for a device when somebody asks.

Every draw belongs to a stream that is called after the device, and the day where there are days: whoever else is in the
fleet, and whoever was asked before, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

from devices.availability import ALWAYS, Availability, Both, Daily, Recorded, Sessions, read_trace
from simulator.fleet import Fleet
from simulator.scenario import Charging, Scenario
from simulator.streams import stream

MOST_KEPT: Final = 100_000  # devices whose availability is kept in memory; others are made again, and equal


class Calendar:
    """The availability of a fleet by the devices' indices."""

    def __init__(self, scenario: Scenario, crew: Fleet) -> None:
        """Take who is in the fleet."""
        self._scenario, self._crew = scenario, crew
        self._class_of = {group.name: group.availability for group in scenario.groups}
        self._some = any(self._class_of.values())
        self._traces: dict[str, list[Recorded]] = {
            name: read_trace(Path(given.trace), period_s=given.repeat)
            for name, given in scenario.availability.items()
            if given.trace
        }
        self._kept = lru_cache(MOST_KEPT)(self._make)

    def of(self, index: int) -> Availability:
        """When a device is there."""
        return self._kept(index) if self._some and self._class_of[self._crew.place(index)[1]] else ALWAYS

    def dropouts_per_hour(self, index: int) -> float:
        """How often a device drops out while it is at work."""
        name = self._class_of[self._crew.place(index)[1]] if self._some else None
        return self._scenario.availability[name].dropouts_per_hour if name else 0.0

    def _make(self, index: int) -> Availability:
        device, group, number = self._crew.place(index)
        name = self._class_of[group]
        assert name is not None, "asked above"
        parts = list(self._parts(name, device, number))
        return parts[0] if len(parts) == 1 else Both(parts)

    def plugged(self, index: int) -> Availability | None:
        """When a device is plugged in; None for never."""
        device, group, _ = self._crew.place(index)
        name = self._class_of[group]
        charging = self._scenario.availability[name].charging if name else None
        return self._window(charging, device) if charging else None

    def _window(self, charging: Charging, device: str) -> Daily:
        seed = self._scenario.seed
        shift = float(stream(seed, "charging", device, "shift").standard_normal()) if charging.spread else 0.0
        return Daily(
            charging.start,
            charging.end,
            partial(stream, seed, "charging", device),
            shift_s=charging.spread * shift - self._scenario.starts_at,
            jitter_s=charging.jitter,
            days=charging.days,
        )

    def _parts(self, name: str, device: str, number: int) -> Iterator[Availability]:
        given, seed = self._scenario.availability[name], self._scenario.seed
        if given.charging and given.only_while_charging == "on":
            yield self._window(given.charging, device)
        if given.sessions:
            yield Sessions(given.sessions.on, given.sessions.off, stream(seed, "sessions", device))
        if given.trace:
            users = self._traces[name]
            yield users[number % len(users)]
