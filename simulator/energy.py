"""Whose joules: meters every computation, every message and every round of a run as its rows come in.

What a row costs is noted with it (``energy_j``); what a round costs is that of its devices' rows and of their rest
while it lasted. A figure that nobody knows makes what it prices unknown (nan here, null in files), never zero, and
`Meter.summary` says which figure of which group is missing. Energy changes no time and no trace hash.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from devices.energy import Radio, Spans, battery_percent
from devices.profile import Profile
from netmodels.catalog import LinkClass
from simulator.fleet import Fleet
from simulator.links import radio_class
from simulator.record import ComputeRow, DeviceRow, MessageRow, RoundRow
from simulator.scenario import Group, Scenario, written_at

UNKNOWN: Final = math.nan
PARTS: Final = ("compute", "radio", "idle")
RADIO: Final = ("radio_on_w", "joules_per_mb_up", "joules_per_mb_down", "tail_s")


@dataclass(frozen=True, slots=True)
class Figures:
    """What energy needs to know of some equal machines; nan where nobody knows. ``missing`` names those figures.

    ``radio`` is None where it is unknown.
    """

    training_w: float
    resting_w: float
    battery_wh: float
    radio: Radio | None
    missing: tuple[str, ...]
    units: int = 1  # so many of them under one name


def figures_of(profile: Profile, radio: Radio | None, missing: Iterable[str] = (), *, units: int = 1) -> Figures:
    """The figures of a profile, and which of them are missing besides those of the radio."""
    powers = [figure for figure in ("training_power_w", "resting_power_w") if getattr(profile, figure) is None]
    return Figures(
        _or_unknown(profile.training_power_w),
        _or_unknown(profile.resting_power_w),
        _or_unknown(profile.battery_wh),
        radio,
        (*([f"{', '.join(powers)} of {profile.id}"] if powers else []), *missing),
        units,
    )


def figures(scenario: Scenario) -> dict[str, Figures]:
    """The figures of every group, by its name."""
    return {group.name: _of_group(scenario, group) for group in scenario.groups}


def _of_group(scenario: Scenario, group: Group) -> Figures:
    profile, link = scenario.profile_of(group), radio_class(scenario, scenario.network.access[group.access])
    if link is None:
        cure = "set its radio to the link class that it is (list: splitwire links)"
        return figures_of(profile, None, [f"the radio: network.access.{group.access} names no link class; {cure}"])
    lacking = [figure for figure in RADIO if getattr(link, figure) is None]
    if lacking:
        return figures_of(profile, None, [f"{', '.join(lacking)} of link class {link.id}"])
    return figures_of(profile, _radio(link))


def _radio(link: LinkClass) -> Radio:
    return Radio(
        on_w=link.known("radio_on_w"),
        joules_per_mb_up=link.known("joules_per_mb_up"),
        joules_per_mb_down=link.known("joules_per_mb_down"),
        tail_s=link.known("tail_s"),
    )


def _or_unknown(value: float | None) -> float:
    return UNKNOWN if value is None else value


@dataclass(frozen=True, slots=True)
class Consumer:
    """One machine: what it is called, in which group it is counted, and its figures."""

    name: str
    group: str
    figures: Figures


@dataclass(slots=True)
class _Used:
    """What one machine has used so far, in joules by part, and how long it has computed in each round."""

    consumer: Consumer
    compute_j: float = 0.0
    radio_j: float = 0.0
    idle_j: float = 0.0
    busy_s: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    awake: Spans = field(default_factory=Spans)

    @property
    def total_j(self) -> float:
        """All parts."""
        return math.fsum((self.compute_j, self.radio_j, self.idle_j))


@dataclass(slots=True)
class _Round:
    """What the devices of a round have used so far, and who they are: ordered, sums must not depend on hashes."""

    energy_j: float = 0.0
    devices: dict[str, None] = field(default_factory=dict)


def meter_of(scenario: Scenario, fleet: Fleet) -> Meter:
    """The meter of a run: a consumer for every device that does something, for the server and for the aggregator."""
    by_group = figures(scenario)

    def find(name: str) -> Consumer | None:
        group = fleet.group_of(name)
        return None if group is None else Consumer(name, group, by_group[group])

    others = {
        "server": figures_of(scenario.find_profile(scenario.server.profile), None, units=scenario.server.count),
        "aggregator": figures_of(scenario.find_profile(scenario.aggregator.profile), None),
    }
    return Meter(
        [Consumer(fleet.first_of(group), group, by_group[group]) for group in fleet.sizes],
        [Consumer(name, name, each) for name, each in others.items()],
        find=find,
        sizes=fleet.sizes,
    )


class Meter:
    """Counts the joules of a run; see `simulator.record.Metered`, which it is."""

    def __init__(
        self,
        devices: Iterable[Consumer],
        others: Iterable[Consumer] = (),
        *,
        find: Callable[[str], Consumer | None] = lambda _: None,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        """Take devices of the fleet, and the machines that are nobody's battery (server, aggregator).

        Devices that are not among them are found by name when they first do something. ``sizes`` has the number of
        devices of each group, for means over all; None: there are no others.
        """
        self._find, self._sizes = find, sizes or {}
        self._devices = {each.name: _Used(each) for each in devices}
        self._others = {each.name: _Used(each) for each in others}
        self._rounds: defaultdict[int, _Round] = defaultdict(_Round)

    def compute(self, row: ComputeRow) -> float:
        """Joules of a computation; nan if its actor's power is unknown."""
        name, number, _, _, start_s, end_s, _ = row
        used = self._devices.get(name) or self._others.get(name) or self._found(name)
        if used is None:
            return UNKNOWN
        span_s = end_s - start_s
        energy_j = used.consumer.figures.training_w * span_s
        used.compute_j += energy_j
        used.busy_s[number] += span_s
        if name in self._devices:
            round = self._rounds[number]
            round.energy_j += energy_j
            round.devices[name] = None
        return energy_j

    def message(self, row: MessageRow) -> float:
        """Joules of the device's radio for a message: its bytes, and the time for which it keeps the radio awake.

        Sending, that is until the last bit has left; receiving, until it has arrived; then the tail. A message that was
        given up costs its time alone: how many bytes had left is not in its row.
        """
        _, number, _, sender, receiver, way, size_bytes, _, queued_s, sent_s, delivered_s, outcome, _ = row
        up = way == "up"
        name = sender if up else receiver
        used = self._devices.get(name) or self._found(name)
        if used is None:
            return UNKNOWN
        energy_j = UNKNOWN
        radio = used.consumer.figures.radio
        if radio is not None:
            end_s = sent_s if up or math.isnan(delivered_s) else delivered_s
            awake_s = used.awake.add(queued_s, end_s + radio.tail_s)
            energy_j = radio.message_j(awake_s, size_bytes if outcome == "delivered" else 0, up)
        used.radio_j += energy_j
        round = self._rounds[number]
        round.energy_j += energy_j
        round.devices[name] = None
        return energy_j

    def round(self, row: RoundRow) -> float:
        """Joules of a round: of its rows, and of its devices' rest while it lasted. Devices only."""
        if row.round == 0:
            return 0.0
        span_s = row.end_s - row.start_s
        round = self._rounds.pop(row.round, _Round())
        for name in round.devices:
            used = self._devices[name]
            idle_j = used.consumer.figures.resting_w * (span_s - used.busy_s.pop(row.round, 0.0))
            used.idle_j += idle_j
            round.energy_j += idle_j
        for used in self._others.values():
            figures = used.consumer.figures
            used.idle_j += figures.resting_w * (figures.units * span_s - used.busy_s.pop(row.round, 0.0))
        return round.energy_j

    def has_worked(self, device: str) -> bool:
        """True for a device that is kept account of."""
        return device in self._devices

    def drawn_j(self, device: str, now_s: float) -> float:
        """What a device has drawn since t = 0: computing, radio, and rest at all other times, rounds or not."""
        used = self._devices.get(device)
        if used is None:
            resting = self._find(device)
            return UNKNOWN if resting is None else resting.figures.resting_w * now_s
        figures, computing_j = used.consumer.figures, used.compute_j
        rested_s = now_s - computing_j / figures.training_w
        return computing_j + used.radio_j + figures.resting_w * rested_s

    def used_j(self, device: str) -> float:
        """What a device has used up to the last row about it; nan if a figure of it is unknown."""
        used = self._devices.get(device) or self._found(device)
        return UNKNOWN if used is None else used.total_j

    def _found(self, name: str) -> _Used | None:
        """What a device has used that does something for the first time; None for whoever is no device."""
        consumer = self._find(name)
        if consumer is None:
            return None
        used = self._devices[name] = _Used(consumer)
        return used

    def rows(self) -> list[DeviceRow]:
        """What every device has used so far, in the order of the fleet."""
        return [
            DeviceRow(
                used.consumer.name,
                used.consumer.group,
                used.compute_j,
                used.radio_j,
                used.idle_j,
                used.total_j,
                _percent(used.total_j, used.consumer.figures.battery_wh),
            )
            for used in self._devices.values()
        ]

    def summary(self) -> dict[str, Any]:
        """``energy_j``, ``battery_percent`` and ``energy_unknown`` of summary.json; what is unknown is None."""
        groups: dict[str, list[_Used]] = defaultdict(list)
        for used in self._devices.values():
            groups[used.consumer.group].append(used)
        return {
            "energy_j": {
                "devices": _parts(self._devices.values()),
                **{name: _parts([used]) for name, used in self._others.items()},
                "by_group": {name: _parts(members) for name, members in groups.items()},
            },
            "battery_percent": {
                name: _battery(members, self._sizes.get(name, len(members))) for name, members in groups.items()
            },
            "energy_unknown": {
                name: list(members[0].consumer.figures.missing)
                for name, members in groups.items()
                if members[0].consumer.figures.missing
            },
        }


def _parts(members: Iterable[_Used]) -> dict[str, float | None]:
    """Joules by part and in all, over some machines."""
    members = list(members)
    sums = {part: math.fsum(getattr(used, f"{part}_j") for used in members) for part in PARTS}
    sums["total"] = math.fsum(sums.values())
    return {part: _known(value) for part, value in sums.items()}


def _battery(members: Sequence[_Used], size: int) -> dict[str, Any] | None:
    """Mean (over a group of that size) and most used per cent of a full battery, and whose that is.

    None where battery or energy is unknown.
    """
    capacity_wh = members[0].consumer.figures.battery_wh
    if math.isnan(capacity_wh) or any(math.isnan(used.total_j) for used in members):
        return None
    most = max(members, key=lambda used: used.total_j)
    mean_j = math.fsum(used.total_j for used in members) / size
    return {
        "mean": _percent(mean_j, capacity_wh),
        "most": _percent(most.total_j, capacity_wh),
        "device": most.consumer.name,
    }


def _percent(energy_j: float, capacity_wh: float) -> float:
    return UNKNOWN if math.isnan(capacity_wh) else battery_percent(energy_j, capacity_wh)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def check_known(scenario: Scenario) -> None:
    """Refuse a scenario that requires its energy and has a group of which a figure is unknown; ValueError names it."""
    if scenario.energy != "required":
        return
    place = written_at(scenario, ("energy",))
    groups: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for group, each in figures(scenario).items():
        groups[each.missing].append(group)
    sentences = [
        f"{place}energy: required, but unknown for {', '.join(names)}: {'; '.join(missing)}"
        for missing, names in groups.items()
        if missing
    ]
    if sentences:
        raise ValueError("\n".join(sentences))
