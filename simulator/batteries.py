"""The gate ``min_battery``: a device begins a round only with a battery that is full enough.

It is asked when a round begins, not in the middle of one. A battery is emptied by what the meter of the run counts and
by the phone's rest at all other times, and charged in the windows of its class.
"""

from __future__ import annotations

import math

from devices.availability import Recorded
from devices.battery import Battery
from simulator.calendar import MOST_KEPT, Calendar
from simulator.energy import Figures, Meter, figures
from simulator.fleet import Fleet
from simulator.scenario import Scenario, written_at
from simulator.streams import stream

LEAST_LEVEL = 0.01  # of a battery at the start, whatever is drawn
NEVER = Recorded([(math.nextafter(0.0, 1.0), math.nextafter(0.0, 1.0) * 2)])  # plugged in at no time


class Batteries:
    """The batteries of a fleet by the devices' indices; made for a device when somebody asks."""

    def __init__(self, scenario: Scenario, fleet: Fleet, calendar: Calendar, meter: Meter) -> None:
        """Take who counts what they use, and when they are plugged in."""
        self._scenario, self._fleet, self._calendar, self._meter = scenario, fleet, calendar, meter
        self._class_of = {group.name: group.availability for group in scenario.groups}
        self._some = any(given.min_battery is not None for given in scenario.availability.values())
        self._figures = figures(scenario)
        self._made: dict[int, Battery] = {}

    def ready_s(self, index: int, now_s: float) -> float:
        """When a device may begin a round, now or later, if it only rests until then; infinity for never."""
        if not self._some:
            return now_s
        device, group, _ = self._fleet.place(index)
        least = self._least(group)
        if least is None:
            return now_s
        battery = self._made.get(index) or self._make(index, device, group)
        if len(self._made) < MOST_KEPT or self._meter.has_worked(device):  # others only rest: made again, and equal
            self._made[index] = battery
        if battery.level(now_s, self._meter.drawn_j(device, now_s)) >= least:
            return now_s
        return battery.reaches_s(least, self._figures[group].resting_w, horizon_s=self._scenario.horizon)

    def _least(self, group: str) -> float | None:
        name = self._class_of[group]
        return self._scenario.availability[name].min_battery if name else None

    def _make(self, index: int, device: str, group: str) -> Battery:
        given = self._scenario.availability[self._class_of[group] or ""]
        level = given.battery
        if given.battery_spread:
            draw = float(stream(self._scenario.seed, "battery", device).standard_normal())
            level = min(max(level + given.battery_spread * draw, LEAST_LEVEL), 1.0)
        charger_w = given.charging.power if given.charging else 0.0
        plugged = self._calendar.plugged(index) or NEVER
        return Battery(self._figures[group].battery_wh, level, charger_w, plugged)


def check_batteries(scenario: Scenario) -> None:
    """Refuse ``min_battery`` for devices of which a figure that it needs is unknown; ValueError names it."""
    known = figures(scenario)
    for group in scenario.groups:
        given = scenario.availability.get(group.availability or "")
        if given and given.min_battery is not None and (missing := _missing(group.profile, known[group.name])):
            key = f"availability.{group.availability}.min_battery"
            place = written_at(scenario, tuple(key.split(".")))
            raise ValueError(f"{place}{key}: unknown for {group.name}: {'; '.join(missing)}")


def _missing(profile: str, known: Figures) -> list[str]:
    battery = [f"battery_wh of {profile}"] if math.isnan(known.battery_wh) else []
    return [*battery, *known.missing]
