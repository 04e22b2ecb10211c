"""Who can hold its part of the model, and what becomes of those who cannot.

A device that runs out of memory is an event of the simulation: under ``on_oom`` the scenario is refused, the
devices are dropped before the first round, or they get the deepest split that fits. Devices of one group have one
profile and one split, so a group is dropped or made shallower as a whole. Not modelled: memory that other programs take
while training, and a device that is killed although its part would fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from devices.format import short_bytes
from devices.memory import Demand, DoesNotFit, available_bytes, check_fleet
from simulator.scenario import Group, Scenario
from simulator.workload import DeviceWorkload, Lora, ServerWorkload, SplitWorkload, Storage, shape_of, timed_targets

WAYS_OUT: Final = (
    "ways out: on_oom: shallower (fewer blocks) or drop; memory: {attention: fused, checkpointing: on}; "
    "a lower model.split, training.batch or training.tokens"
)


@dataclass(frozen=True, slots=True)
class Placement:
    """A group as it takes part: ``split`` None says that it does not, for want of memory.

    ``need_bytes`` is what the split that was asked for takes, ``usable_bytes`` what such a device has.
    """

    group: Group
    split: int | None
    need_bytes: float
    usable_bytes: int

    @property
    def as_asked(self) -> bool:
        """True where nothing had to give."""
        return self.split == self.group.split

    @property
    def outcome(self) -> str:
        """One word."""
        return "fits" if self.as_asked else "dropped" if self.split is None else "shallower"

    def __str__(self) -> str:
        """One sentence for a person."""
        group = self.group
        what = "dropped" if self.split is None else f"split {self.split} instead of {group.split}"
        lack = f"{short_bytes(self.need_bytes)} needed, {short_bytes(self.usable_bytes)} usable"
        return f"{group.count} {group.name} ({group.profile}): {what}, {lack}"


def workload(scenario: Scenario, *, split: int, rank: int) -> SplitWorkload:
    """What a device with this split and rank computes, sends and holds: that of the timed model.

    Where the algorithm leaves the whole model to one party, the split is not asked for.
    """
    lora = Lora(timed_targets(scenario.lora.targets), rank, scenario.lora.alpha)
    training, memory = scenario.training, scenario.memory
    storage = Storage(memory.dtype, memory.attention, memory.gelu, memory.dropout == "on", memory.checkpointing == "on")
    shape = shape_of(scenario.timed_model)
    kind, split = {
        "both": (SplitWorkload, split),
        "device": (DeviceWorkload, shape.num_blocks),
        "server": (ServerWorkload, 0),
    }[scenario.traits.holder]
    return kind(shape, lora, split, training.batch, training.tokens, storage=storage)


def placements(scenario: Scenario) -> list[Placement]:
    """Every group with the split it gets.

    Raises `devices.memory.DoesNotFit` where the scenario says to refuse, or where nobody is left.
    """
    placed = list(_placed(scenario))
    if scenario.on_oom == "refuse" or all(place.split is None for place in placed):
        try:
            check_fleet(_demand(scenario, group) for group in scenario.groups)
        except DoesNotFit as error:
            raise DoesNotFit(f"{error}\n{WAYS_OUT}") from None
    return placed


def _placed(scenario: Scenario) -> Iterator[Placement]:
    for group in scenario.groups:
        usable_bytes = available_bytes(scenario.profile_of(group))
        need_bytes = _need_bytes(scenario, group, group.split)
        lowest = 0 if scenario.on_oom == "shallower" else group.split
        splits = range(group.split, lowest - 1, -1)
        split = next((each for each in splits if _need_bytes(scenario, group, each) <= usable_bytes), None)
        yield Placement(group, split, need_bytes, usable_bytes)


def _need_bytes(scenario: Scenario, group: Group, split: int) -> float:
    return math.fsum(workload(scenario, split=split, rank=group.rank).client_memory.values())


def _demand(scenario: Scenario, group: Group) -> Demand:
    need = workload(scenario, split=group.split, rank=group.rank).client_memory
    return Demand(name=group.name, profile=scenario.profile_of(group), need=need, count=group.count)


def out_of_memory(placed: list[Placement]) -> list[dict[str, object]]:
    """The groups whose part was too big, as summary.json lists them."""
    return [
        {
            "group": place.group.name,
            "devices": place.group.count,
            "outcome": place.outcome,
            "split_asked": place.group.split,
            "split": place.split,
            "need_bytes": place.need_bytes,
            "usable_bytes": place.usable_bytes,
        }
        for place in placed
        if not place.as_asked
    ]
