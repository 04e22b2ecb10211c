"""What of a scenario can be made better: each link class up and down, cells, the servers' links, devices, split.

A knob says what one would write behind ``--set``, so that every change goes through the door of a scenario.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from simulator.scenario import Pair, Scenario
from simulator.scenario.units import RATE

Kind = Literal["uplink", "downlink", "latency", "cell", "backhaul", "server link", "devices", "server", "split"]


@dataclass(frozen=True, slots=True)
class Knob:
    """Something that a factor makes better: ``settings`` are the overrides for a factor of what it is now.

    ``better`` is the factor that is tried; ``change`` and ``name`` say in words what it does, and to what. ``groups``
    are the groups of devices that it concerns; None: all. ``steady``: small factors make sense too.
    """

    kind: Kind
    name: str
    change: str
    settings: Callable[[float], list[str]]
    groups: frozenset[str] | None = None
    better: float = 2.0
    steady: bool = True


def knobs(scenario: Scenario) -> list[Knob]:
    """Every knob of a scenario; link classes that no group of devices uses are left out."""
    return [*_links(scenario), *_shared(scenario), *_machines(scenario), *_splits(scenario)]


def _links(scenario: Scenario) -> Iterator[Knob]:
    used = dict.fromkeys(group.access for group in scenario.groups)
    for name in used:
        access = scenario.network.access[name]
        groups = frozenset(group.name for group in scenario.groups if group.access == name)
        up, down = (
            _access(f"network.access.{name}.up", access.up, access.up_factor),
            _access(f"network.access.{name}.down", access.down, access.down_factor),
        )
        yield Knob("uplink", f"uplink of {name}", "doubling the", up, groups)
        yield Knob("downlink", f"downlink of {name}", "doubling the", down, groups)
    latencies = {f"network.access.{name}.latency_factor": scenario.network.access[name].latency_factor for name in used}
    yield Knob("latency", "latency of all access links", "halving the", _numbers(latencies), better=0.5)


def _access(key: str, given_bps: float | None, factor: float) -> Callable[[float], list[str]]:
    """The rate itself where it is given, else the factor on what a class, a trace or a radio channel says."""
    return _numbers({f"{key}_factor": factor}) if given_bps is None else _rates({key: given_bps})


def _shared(scenario: Scenario) -> Iterator[Knob]:
    network = scenario.network
    for name, cell in network.cells.items():
        groups = frozenset(group.name for group in scenario.groups if group.cell == name)
        if groups and not cell.by_airtime:
            yield from _pair("cell", f"cell {name}", f"network.cells.{name}", cell, groups)
    if network.backhaul is not None:
        yield from _pair("backhaul", "the backhaul", "network.backhaul", network.backhaul, None)
    yield from _pair("server link", "the server's link", "network.server", network.server, None)
    yield from _pair("server link", "the aggregator's link", "network.aggregator", network.aggregator, None)


def _pair(kind: Kind, name: str, key: str, pair: Pair, groups: frozenset[str] | None) -> Iterator[Knob]:
    """One knob for a capacity each way, or one for each way."""
    for part, of, given_bps in (
        ("capacity", "capacity of", pair.capacity),
        ("up", "uplink of", pair.up),
        ("down", "downlink of", pair.down),
    ):
        if given_bps is not None:
            yield Knob(kind, f"{of} {name}", "doubling the", _rates({f"{key}.{part}": given_bps}), groups)


def _machines(scenario: Scenario) -> Iterator[Knob]:
    for number, group in enumerate(scenario.groups):
        settings = _numbers({f"devices.{number}.speed": group.speed})
        yield Knob(
            "devices", f"speed of {group.name} ({group.profile})", "doubling the", settings, frozenset({group.name})
        )
    if scenario.traits.holder != "device":
        speed = {"server.speed": scenario.server.speed}
        yield Knob("server", f"speed of the server ({scenario.server.profile})", "doubling the", _numbers(speed))


def _splits(scenario: Scenario) -> Iterator[Knob]:
    if scenario.traits.holder != "both":
        return
    own = {f"devices.{number}.split": group.split for number, group in enumerate(scenario.devices)}
    now = {key: split for key, split in own.items() if split is not None}
    if len(now) < len(own):
        now["model.split"] = scenario.model.split
    for step, change in ((1, "one block more"), (-1, "one block fewer")):
        yield Knob("split", "on the devices", change, _steps(now, step), better=float(step), steady=False)


def _rates(now: dict[str, float]) -> Callable[[float], list[str]]:
    return lambda factor: [f"{key}={RATE.format(bps * factor)}" for key, bps in now.items()]


def _numbers(now: dict[str, float]) -> Callable[[float], list[str]]:
    return lambda factor: [f"{key}={number * factor:.12g}" for key, number in now.items()]


def _steps(now: dict[str, int], step: int) -> Callable[[float], list[str]]:
    return lambda _: [f"{key}={number + step}" for key, number in now.items()]
