"""Capacity that wanders: a Markov process with given quantiles and a given autocorrelation.

A Gaussian AR(1) process z(k) = r z(k-1) + sqrt(1 - r^2) e(k) is mapped to rates by rate(k) = Q(F(z(k))), with the
normal distribution F and the quantile function Q of the class: whatever r is, the rates have exactly the quantiles Q in
the long run (a Gaussian copula; Cario and Nelson 1996, "Autoregressive to anything"). r is chosen such that the *rates*
have the wanted autocorrelation from one step to the next, which the mapping makes smaller than r.

Not modelled: correlation between the directions of a link and between links, trends, times of day.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from netmodels.capacity import Capacity
from netmodels.quantiles import Quantiles
from netmodels.sampled import Sampled, generator

MOST_LAG1: Final = 0.999
_FORGOTTEN: Final = 1e-9  # an autocorrelation this small, over a whole block, is taken as none
_LEAST_BLOCK: Final = 64
_HERMITE_TERMS: Final = 120


def ar1(rates: Quantiles, lag1: float, seed: int, *, step_s: float = 1.0) -> Capacity:
    """A capacity with these quantiles (bits per second) and this autocorrelation from one step to the next.

    Equal arguments give the same function of time. Raises ValueError for an autocorrelation outside [0, 0.999] and for
    rates of which only one value is known: they cannot vary.
    """
    if not 0 <= lag1 <= MOST_LAG1:
        raise ValueError(f"an autocorrelation must be in 0..{MOST_LAG1}, got {lag1!r}")
    if rates.values[0] == rates.values[-1]:
        raise ValueError(f"rates that are {rates.median:g} bit/s at every known level cannot vary")
    hidden = hidden_lag1(rates, lag1)
    block_steps = _LEAST_BLOCK
    while hidden**block_steps > _FORGOTTEN:
        block_steps *= 2

    def draw(block: int) -> NDArray[np.float64]:
        return rates.at(_ranks(_path(hidden, seed, block, block_steps)))

    return Sampled(step_s, rates.values[-1], draw, block_steps=block_steps)


@lru_cache(maxsize=256)
def hidden_lag1(rates: Quantiles, lag1: float) -> float:
    """The autocorrelation r of z at which the rates have `lag1`.

    In Hermite polynomials, Q(F(z)) has coefficients a(n), and the autocorrelation of the rates is the sum of
    a(n)^2 r^n over the sum of a(n)^2, n >= 1, which grows with r.
    """
    z = np.linspace(-8.0, 8.0, 4001)
    weight = np.exp(-(z**2) / 2)
    weight /= weight.sum()
    value = rates.at(_ranks(z))
    before, now, powers = np.zeros_like(z), np.ones_like(z), []
    for n in range(_HERMITE_TERMS):
        before, now = now, (z * now - math.sqrt(n) * before) / math.sqrt(n + 1)
        powers.append(float((weight * value * now).sum()) ** 2)
    share = np.array(powers) / sum(powers)
    orders = np.arange(1, _HERMITE_TERMS + 1)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if float((share * middle**orders).sum()) < lag1 else (low, middle)
    return low


def _path(hidden: float, seed: int, block: int, steps: int) -> NDArray[np.float64]:
    """The values of z in one block: from its own first value to the first of the next block.

    Both are known without what is before: first values of blocks are independent (their autocorrelation is below 1e-9).
    A path drawn freely from the first is bent so that it meets the next: z(j) + c(j) (next - z(steps)), with c(j) the
    regression of z(j) on z(steps). That is an exact draw from the process given both ends.
    """
    drawn = generator(seed, block).standard_normal(steps + 1)
    following = float(generator(seed, block + 1).standard_normal(1)[0])
    noise = math.sqrt(1 - hidden**2) * drawn[1:]
    path = np.empty(steps + 1)
    path[0] = value = drawn[0]
    for step in range(steps):
        path[step + 1] = value = hidden * value + noise[step]
    j = np.arange(steps + 1)
    bend = hidden ** (steps - j) * (1 - hidden ** (2 * j)) / (1 - hidden ** (2 * steps))
    bent: NDArray[np.float64] = (path + bend * (following - path[-1]))[:-1]
    return bent


def _ranks(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """The normal distribution function."""
    return np.array([NORMAL(each) for each in z.tolist()])


NORMAL: Final = NormalDist().cdf
