"""Algorithms, one readable file each: every party is a coroutine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from simulator.algorithms import (
    centralized,
    fedlora,
    sequential,
    splitfed_v1,
    splitfed_v2,
    splitlora,
    splitlora_queued,
)
from simulator.algorithms.job import Job

Train = Callable[[Job], Awaitable[None]]
"""Runs all parties of a job to the end of the last round."""

ALGORITHMS: Final[dict[str, Train]] = {
    "splitlora": splitlora.train,
    "splitlora-queued": splitlora_queued.train,
    "sequential": sequential.train,
    "splitfed-v1": splitfed_v1.train,
    "splitfed-v2": splitfed_v2.train,
    "fedlora": fedlora.train,
    "centralized": centralized.train,
}
