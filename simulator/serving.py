"""One server pass over everybody's batches on several GPUs, data parallel.

Whole batches of devices are dealt to the GPUs, the largest first to the one with the least work; each reads the weights
and launches the kernels of its own pass, with its own number of tokens; then all wait for the slowest and add up the
gradients of the server's adapters in a ring, in which each sends 2 (G - 1) / G of them (Patarasuk and Yuan, "Bandwidth
optimal all-reduce algorithms for clusters of workstations", J. Parallel Distrib. Comput. 69(2), 2009). A batch is not
cut, so GPUs beyond the number of batches stay idle. Not modelled: an exchange that overlaps the pass, and its latency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.queueing import Discipline, fifo
from simulator.workload import SplitWorkload
from simulator.workload.memory import FLOAT_BYTES


@dataclass(frozen=True, slots=True)
class Serving:
    """So many equal GPUs, what each sends to the next (bits per second), and how a queue before them is served."""

    gpus: int = 1
    interconnect_bps: float = 126e9
    discipline: Discipline = fifo
    window_s: float = 0.0


def deal(costs: Sequence[SplitWorkload], gpus: int) -> list[list[SplitWorkload]]:
    """Batches for each GPU that gets any: the largest first, each to the GPU with the fewest FLOPs so far."""
    hands: list[list[SplitWorkload]] = [[] for _ in range(min(gpus, len(costs)))]
    sums = [0.0] * len(hands)
    for each in sorted(costs, key=lambda each: -_flops(each)):  # stable: equals in the order given
        least = sums.index(min(sums))
        hands[least].append(each)
        sums[least] += _flops(each)
    return hands


def exchange_bytes(hands: Sequence[Sequence[SplitWorkload]]) -> float:
    """What each GPU sends so that all have the sum of the server's adapter gradients; 0 for one GPU."""
    gpus = len(hands)
    largest = max((each.parameter_counts.server for hand in hands for each in hand), default=0)
    return 2 * (gpus - 1) / gpus * FLOAT_BYTES * largest if gpus else 0.0


def _flops(costs: SplitWorkload) -> float:
    return costs.server_forward.flops + costs.server_backward.flops
