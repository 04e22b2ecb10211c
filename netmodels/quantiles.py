"""A distribution known by some of its quantiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Values of which known shares of a population are no larger, in any unit; linear in between.

    `levels` are shares in 0..1. Beyond the outermost level the outermost value holds, so a distribution of which only
    the median is known has one value. Raises ValueError unless levels increase, values do not decrease, and all values
    are finite and >= 0. Not modelled: tails beyond the outermost level.
    """

    levels: Sequence[float]
    values: Sequence[float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(map(float, self.levels)))
        object.__setattr__(self, "values", tuple(map(float, self.values)))
        if not self.levels or len(self.levels) != len(self.values):
            raise ValueError(f"needs one value for each level and at least one, got {len(self.values)}")
        if not all(0 <= level <= 1 for level in self.levels):
            raise ValueError("levels must be in 0..1 (0 % to 100 %)")
        for before, after in pairwise(self.levels):
            if not before < after:
                raise ValueError(f"levels must increase, got {after:g} after {before:g}")
        for value in self.values:
            if not 0 <= value < math.inf:
                raise ValueError(f"values must be finite and >= 0, got {value!r}")
        for before, after in pairwise(self.values):
            if before > after:
                raise ValueError(f"values must not decrease, got {after:g} after {before:g}")

    def at(self, ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values of which these shares of the population (0..1) are no larger."""
        return np.interp(ranks, self.levels, self.values)

    @property
    def median(self) -> float:
        """The value of which half the population is no larger."""
        return float(np.interp(0.5, self.levels, self.values))

    @property
    def zero_share(self) -> float:
        """The share of the population whose value is 0."""
        return max((level for level, value in zip(self.levels, self.values, strict=True) if value == 0), default=0.0)

    def scaled(self, factor: float) -> Quantiles:
        """The distribution of `factor` times as much."""
        return Quantiles(self.levels, [factor * value for value in self.values])
