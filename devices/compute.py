"""Seconds that work takes on a device: a roofline, and a fixed price for each kernel launched.

    seconds = max(flops / (share x peak), moved_bytes / (0.6 x bandwidth)) / speed + kernels x overhead
    share = efficiency on a CPU; efficiency x n / (n + h) on a GPU with n tokens a pass

The roofline is that of Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for
multicore architectures", CACM 52(4), 2009, https://doi.org/10.1145/1498765.1498785.

A big GPU is not filled by few tokens: h is the number at which it reaches half of its efficiency. It is fitted to one
point each for A100 and H100 (0.22 and 0.13 of peak in prompt processing of 512 tokens, where 0.4 is taken as reached
with many), and grows with the peak; elsewhere it is assumed. The catalogue says which. This is the products' share
alone: idle launches and weights that must be read are priced by the other two terms.

Not modelled: background load (a lower `speed`), overlap of launches with work, caches, and the microseconds an operator
costs on a CPU, where nothing is launched. Heat is in `devices.heat`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from devices.profile import Profile

MEMORY_SHARE: Final = 0.6
"""Share of the DRAM peak that streaming reaches. Assumed; memcpy, counting bytes read and written, reaches 0.56-0.69
on a Raspberry Pi 5 and 0.43 on a Raspberry Pi 4 (copy rates of github geerlingguy/sbc-reviews)."""


@dataclass(frozen=True, slots=True)
class Work:
    """An amount of work: floating-point operations, bytes to and from DRAM, kernels launched. Adds up by ``+``.

    ``tokens`` are the positions that a pass works on at once, which decide how well a GPU is filled; 0 leaves that out.
    Of two passes one after the other it is the larger number.

    One `Work` is one roofline: where a compute-bound and a memory-bound part follow each other, the sum of their
    seconds is up to twice the seconds of their sum.
    """

    flops: float
    moved_bytes: float
    kernels: int = 0
    tokens: int = 0

    def __post_init__(self) -> None:
        """Refuse negative and infinite amounts."""
        for figure in ("flops", "moved_bytes", "kernels", "tokens"):
            value = getattr(self, figure)
            if not 0 <= value < math.inf:
                raise ValueError(f"{figure} of work must be finite and at least 0, got {value}")

    def __add__(self, other: Work) -> Work:
        """Both amounts together."""
        return Work(
            self.flops + other.flops,
            self.moved_bytes + other.moved_bytes,
            self.kernels + other.kernels,
            max(self.tokens, other.tokens),
        )


class Terms(NamedTuple):
    """The three prices of some work, each in seconds at speed 1."""

    compute_s: float
    memory_s: float
    launch_s: float


def terms(work: Work, profile: Profile) -> Terms:
    """What arithmetic, memory and launches would take, each alone.

    A figure is asked for when the work has some of what it prices; `ValueError` names it when it is unknown.
    """
    on_gpu = profile.backend != "cpu"
    return Terms(
        compute_s=work.flops / (profile.training_flops_per_s * _filled(work, profile)) if work.flops else 0.0,
        memory_s=(
            work.moved_bytes / (MEMORY_SHARE * profile.known("memory_bandwidth_bytes_per_s"))
            if work.moved_bytes
            else 0.0
        ),
        launch_s=work.kernels * profile.known("kernel_overhead_s") if work.kernels and on_gpu else 0.0,
    )


def _filled(work: Work, profile: Profile) -> float:
    """The share of its efficiency that a device reaches with so many tokens a pass; 1 on a CPU, which few fill."""
    if profile.backend == "cpu" or not work.tokens:
        return 1.0
    return work.tokens / (work.tokens + profile.known("half_efficiency_tokens"))


def seconds(work: Work, profile: Profile, *, speed: float = 1.0) -> float:
    """Seconds of that work on that device.

    `speed` multiplies both sides of the roofline: this device's luck (`devices.spread`), or a device slowed by heat.
    Raises `ValueError` when a figure it needs is unknown, or `speed` is not positive and finite.
    """
    if not 0 < speed < math.inf:
        raise ValueError(f"speed must be positive and finite, got {speed}")
    cost = terms(work, profile)
    return max(cost.compute_s, cost.memory_s) / speed + cost.launch_s


def limit(work: Work, profile: Profile) -> Literal["compute", "memory", "launch"]:
    """Which of the three prices is the highest at speed 1; compute before memory before launch where they tie."""
    cost = terms(work, profile)
    highest = max(cost)
    if cost.compute_s == highest:
        return "compute"
    return "memory" if cost.memory_s == highest else "launch"
