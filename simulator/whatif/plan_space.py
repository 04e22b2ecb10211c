"""What a plan looks at: splits and ranks, and the scenario that each of them makes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from simulator.links import link_class
from simulator.scenario import Access, Group, Scenario
from simulator.scenario.model import Training
from simulator.scenario.paths import HUB_NAME, MODELS
from simulator.workload import outline_of, shape_of

MOST_ROUNDS: Final = 10
"""So many rounds are timed at most; a longer interval between two averages is taken to go on as it began."""

FEW_DEVICE_ROUNDS: Final = 500
"""A fleet of more devices times rounds is timed at one rank only, unless ranks are asked for: it takes a while."""

_PART: Final = re.compile(r"([0-9]+)(?:\.\.([0-9]+))?")


@dataclass(frozen=True, slots=True, order=True)
class Cut:
    """What a class of devices is asked to do: its blocks, its LoRA rank, and how its messages are coded."""

    split: int
    rank: int
    codec: str = "none"  # there is no other yet


def whole_numbers(text: str, option: str, allowed: range, whose: str) -> list[int]:
    """The numbers of ``1..11`` or ``4,8,16`` in increasing order; ValueError for what is none, or is not allowed."""
    numbers: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if not match:
            raise ValueError(
                f"{option}: {part.strip()!r} is no whole number and no range such as 1..11; "
                f"allowed: {allowed[0]}..{allowed[-1]} for {whose}"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        outside = next((number for number in (first, last) if number not in allowed), None)
        if outside is not None:
            raise ValueError(f"{option}: must be in {allowed[0]}..{allowed[-1]} for {whose}, got {outside}")
        if first > last:
            raise ValueError(f"{option}: {part.strip()!r} ends before it begins; did you mean {last}..{first}?")
        numbers.update(range(first, last + 1))
    return sorted(numbers)


def splits_of(scenario: Scenario, text: str | None) -> list[int]:
    """The splits to look at; None: every one that leaves blocks on both sides."""
    blocks = shape_of(scenario.timed_model).num_blocks
    if text is None:
        return list(range(1, blocks)) or [blocks]
    return whole_numbers(text, "--splits", range(blocks + 1), f"{scenario.model.name} ({blocks} blocks)")


def ranks_of(scenario: Scenario, text: str | None) -> list[int]:
    """The ranks to look at; None: half, once and twice the scenario's own, of a large fleet its own only."""
    name = scenario.model.name
    unknown = name not in MODELS and HUB_NAME.fullmatch(name)
    width = shape_of(scenario.timed_model).width if unknown else outline_of(name).width
    if text is None:
        rank = scenario.lora.rank
        if device_rounds(first_interval(scenario)) > FEW_DEVICE_ROUNDS:
            return [rank]
        return sorted({max(1, rank // 2), rank, min(width, 2 * rank)})
    return whole_numbers(text, "--ranks", range(1, width + 1), f"{name} (width {width})")


def device_rounds(scenario: Scenario) -> int:
    """Devices times rounds: what a timing takes grows with it."""
    return (scenario.training.participants or scenario.fleet_size) * scenario.training.rounds


def with_cuts(scenario: Scenario, cuts: Mapping[str, Cut]) -> Scenario:
    """The scenario with these splits and ranks for its groups, by name; the others keep theirs."""
    devices = tuple(
        group.model_copy(update={"split": cuts[group.name].split, "rank": cuts[group.name].rank})
        if group.name in cuts
        else group
        for group in scenario.devices
    )
    return scenario.model_copy(update={"devices": devices})


def first_interval(scenario: Scenario) -> Scenario:
    """The scenario up to its first average, or up to an average after `MOST_ROUNDS`."""
    rounds = min(scenario.training.aggregate_every, MOST_ROUNDS)
    update = {"rounds": rounds, "aggregate_every": rounds, "evaluate_every": rounds}
    return scenario.model_copy(update={"training": scenario.training.model_copy(update=update)})


def alone(scenario: Scenario, group: Group) -> Scenario:
    """One device of a group with everything to itself, always there: of median speed, on the class's median link.

    A link that is a recording or a radio channel has no median: there it is the group's first device. Its batches are
    all of full length, also where padding is cut. The rest of the scenario is as it was, but nobody is drawn, waited
    for or given up.
    """
    (own,) = [each for each in scenario.devices if each.name == group.name]
    single = {"count": 1, "share": None, "speed_spread": 0.0, "jitter": 0.0, "availability": None}
    given = scenario.training
    training = Training.model_construct(
        rounds=given.rounds,
        batch=given.batch,
        tokens=given.tokens,
        aggregate_every=given.aggregate_every,
        evaluate_every=given.evaluate_every,
    )
    access = {group.access: median_access(scenario, scenario.network.access[group.access])}
    network = scenario.network.model_copy(update={"access": access})
    data = scenario.data.model_copy(update={"padding": "fixed"})
    update = {
        "devices": (own.model_copy(update=single),),
        "num_devices": None,
        "training": training,
        "network": network,
        "data": data,
    }
    return scenario.model_copy(update=update)


def median_access(scenario: Scenario, access: Access) -> Access:
    """The access of a device in the middle of its class: nothing is drawn."""
    update: dict[str, object] = {"spread": 0.0}
    link = link_class(scenario, access)
    if link is not None:
        update |= {"link_class": None, "vary": None, "radio": access.radio or access.link_class}
        update["up"] = link.known("up_bps").median if access.up is None else access.up
        update["down"] = link.known("down_bps").median if access.down is None else access.down
        update["latency"] = link.known("rtt_s").median / 2 if access.latency is None else access.latency
    return access.model_copy(update=update)
