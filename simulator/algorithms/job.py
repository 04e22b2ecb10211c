"""What an algorithm is given: the parties, the numerics, and the schedule. Nothing is fetched from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.actors import Actor, Device, Server
from simulator.attendance import Attendance
from simulator.numerics import Numerics
from simulator.rounds import Rounds


@dataclass(frozen=True, slots=True)
class Job:
    """One training job. ``weights`` has each device's share in an aggregation, by device index."""

    devices: Sequence[Device]
    server: Server
    aggregator: Actor
    numerics: Numerics
    rounds: Rounds
    attendance: Attendance
    weights: Sequence[float]
