"""Means and paired differences over seeds, with Student's t intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Final, NamedTuple

LEVEL: Final = 0.95


class Estimate(NamedTuple):
    """A mean over so many seeds; the true one is within ``half`` of it with 95 % confidence (None: one seed only)."""

    mean: float
    half: float | None
    seeds: int


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of independent values, taken as normal. Raises ValueError for none."""
    if not values:
        raise ValueError("no values to take the mean of")
    count = len(values)
    if count == 1:
        return Estimate(values[0], None, 1)
    half = t_quantile((1 + LEVEL) / 2, count - 1) * stdev(values) / math.sqrt(count)
    return Estimate(fmean(values), half, count)


def t_quantile(probability: float, freedom: int) -> float:
    """The value that Student's t with so many degrees of freedom stays below with that probability, 0.5 to 1.

    By bisection of the distribution, whose closed form for whole degrees is Abramowitz and Stegun 26.7.3 and 26.7.4.
    """
    low, high = 0.0, 1.0
    while t_share(high, freedom) < probability:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_share(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def t_share(value: float, freedom: int) -> float:
    """The probability that Student's t is below a value of at least 0."""
    angle = math.atan(value / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    if freedom % 2:
        term, total = cosine, cosine if freedom > 1 else 0.0
        for step in range(3, freedom - 1, 2):
            term *= cosine * cosine * (step - 1) / step
            total += term
        inside = 2 / math.pi * (angle + sine * total)
    else:
        term = total = 1.0
        for step in range(2, freedom - 1, 2):
            term *= cosine * cosine * (step - 1) / step
            total += term
        inside = sine * total
    return 0.5 + inside / 2
