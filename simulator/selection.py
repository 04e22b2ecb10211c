"""Whom to draw for a round, as plain functions: of the round, what is known of the fleet, and chance.

Each returns devices by index, those to be preferred first. Who of them is available and ready then takes part, until
there are as many as wanted. It is asked when a round opens with too few: after each average, and where somebody has
left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

Order = Sequence[int] | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Population:
    """What a selection knows of the fleet.

    ``groups`` has each group's devices as a range of indices. ``step_s`` tells what a step takes each device: its part
    of the model and its messages, at the speed and the link that it has drawn, cold and alone, in seconds by index.
    """

    size: int
    wanted: int  # devices of a round
    rounds_a_draw: int  # devices stay for so many rounds
    groups: Mapping[str, range]
    step_s: Callable[[], NDArray[np.float64]] = field(repr=False)

    def draw(self, round: int) -> int:
        """How many draws there were before that of a round: 0 for the first."""
        return (round - 1) // self.rounds_a_draw


Select = Callable[[int, Population, np.random.Generator], Order]


def random(round: int, population: Population, rng: np.random.Generator) -> Order:
    """Everybody is as likely as anybody else."""
    return rng.permutation(population.size)


def round_robin(round: int, population: Population, rng: np.random.Generator) -> Order:
    """In the order of the fleet, each draw begins behind those whom the one before wanted."""
    first = population.draw(round) * population.wanted % population.size
    return np.roll(np.arange(population.size), -first)


def fastest(round: int, population: Population, rng: np.random.Generator) -> Order:
    """Whose step is expected to take the least time; of equal ones the first of the fleet."""
    return np.argsort(population.step_s(), kind="stable")


SELECTIONS: Final[dict[str, Select]] = {"random": random, "round-robin": round_robin, "fastest": fastest}
