"""What an algorithm is given: the parties, the numerics, and the schedule. Nothing is fetched from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.actors import Actor, Device, Server
from simulator.attendance import Attendance
from simulator.numerics.company import Company
from simulator.rounds import Rounds


@dataclass(frozen=True, slots=True)
class Job:
    """One training job, with what the scenario says of it.

    ``weights`` has each device's share in an aggregation, and ``samples`` how many examples it holds, by device index.
    ``each_apart``: the server takes a step for each device's batch. ``seed`` is that of orders drawn at random.
    """

    devices: Sequence[Device]
    server: Server
    aggregator: Actor
    numerics: Company
    rounds: Rounds
    attendance: Attendance
    weights: Sequence[float]
    samples: Sequence[int]
    each_apart: bool = False
    seed: int = 0
