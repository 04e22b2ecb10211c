"""How many examples every device holds, known before anything is encoded; loads no torch."""

from __future__ import annotations

from typing import Final

from simulator.fleet import MOST_EXAMPLES, is_crowd
from simulator.scenario import Scenario
from simulator.streams import stream
from simulator.training.partition import quantities, sizes
from simulator.training.plan import DataPlan, plan_of
from simulator.training.sources import pools

ANY_SIZE: Final = ("iid", "dirichlet", "quantity")
"""Partitions that need not see all examples at once."""


def check_data(scenario: Scenario) -> None:
    """Refuse to make the data of a population whole; those of generated text are written for who takes part only."""
    data = scenario.data
    if not is_crowd(scenario) or data.partition == "files":
        return
    for key, value, allowed in (("source", data.source, ("generated",)), ("partition", data.partition, ANY_SIZE)):
        if value not in allowed:
            raise ValueError(
                f"data.{key} {value}: at most {MOST_EXAMPLES:,} examples are read for a fleet; "
                f"lower data.samples_per_device or the number of devices, or run with --timing-only"
            )


def sample_counts(scenario: Scenario, devices: int) -> list[int]:
    """Examples |D_i| of each of so many devices, the same as training gives them.

    They weigh the averages, and say how much a device has to upload where its data go to the server.
    Raises ValueError for a partition that leaves a device without an example.
    """
    return counts_of(plan_of(scenario), devices, scenario.seed)


def counts_of(plan: DataPlan, devices: int, seed: int) -> list[int]:
    """As `sample_counts`, of a plan."""
    if plan.partition == "files":  # the only one that has to look into them
        return [len(examples) for _, examples in pools(plan, devices)]
    rng = stream(seed, "data", "sizes")
    if plan.partition == "quantity":
        return quantities(rng, devices=devices, mean=plan.samples_per_device, alpha=plan.alpha)
    return sizes(rng, devices=devices, mean=plan.samples_per_device, spread=plan.size_spread)
