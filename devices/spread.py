"""How much devices of one model differ: a speed factor for each."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

DEFAULT_SIGMA: Final = 0.3
"""Assumed: two phones in three within 0.74 to 1.35 of the median. Short benchmarks on phones with one chip differ less:
in the CPU scores of AI Benchmark v3 (2020), as listed in github PKU-Chengxu/FLASH, sigma is 0.13 among 33 phones with a
Snapdragon 855 and 0.08 over 34 chips. The rest stands for age, storage and what else a phone in use has to do."""


def speed_factors(rng: np.random.Generator, count: int, sigma: float = DEFAULT_SIGMA) -> NDArray[np.float64]:
    """`count` factors, lognormal with median 1: ln(factor) is normal with mean 0 and standard deviation `sigma`.

    Times divided by such a factor are lognormal with median 1 too. The mean is exp(sigma^2 / 2), above 1.
    Not modelled: a factor that changes with time, and factors that devices share. Raises `ValueError` for a negative
    count, and for a sigma that is negative or not finite.
    """
    if count < 0:
        raise ValueError(f"count must be at least 0, got {count}")
    if not 0 <= sigma < math.inf:
        raise ValueError(f"sigma must be finite and at least 0, got {sigma}")
    return rng.lognormal(mean=0.0, sigma=sigma, size=count)
