"""What a population of a million phones costs: ``python tests/bench/population.py`` prints one JSON object.

``build_s`` and ``build_bytes`` are what it takes until the first round could begin (arrays drawn, server, network and
calendar there, no training); ``build_bytes`` is the peak of the whole process, interpreter and libraries included. Then
some rounds are timed, ``--timing-only``, in which devices become actors.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from simulator import world
from simulator.record import Observer, RoundRow
from simulator.scenario import Scenario, loads

SCENARIO = """
name: population
model: {{name: mini, timed_as: gpt2}}
lora: {{targets: [c_attn], rank: 8}}
training: {{rounds: {rounds}, participants: {participants}, batch: 2, tokens: 64, aggregate_every: 1}}
num_devices: {devices}
devices:
  - {{name: budget, profile: phone-low, share: 40 %, access: lte, cell: lte, availability: night}}
  - {{name: middle, profile: phone-mid, share: 40 %, access: 5g, cell: 5g, availability: night}}
  - {{name: at-home, profile: phone-high, share: 20 %, access: wifi, availability: night}}
starts_at: 2 h
availability:
  night:
    charging: {{start: 22 h, end: 7 h, spread: 2 h, jitter: 30 min, days: 80 %}}
    dropouts_per_hour: 0.1
network:
  access:
    lte: {{class: lte}}
    5g: {{class: 5g-low-band}}
    wifi: {{class: home-wifi, spread: 0.3}}
  cells:
    lte: {{capacity: 150 Mbit/s, count: 20000}}
    5g: {{capacity: 600 Mbit/s, count: 20000}}
"""


class Stopwatch(Observer):
    """When each round ended, and how much memory the process had taken by then."""

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self.peaks_bytes: list[int] = []

    def on_round(self, row: RoundRow) -> None:
        self.times_s.append(time.perf_counter())
        self.peaks_bytes.append(peak_bytes())


def peak_bytes() -> int:
    """The most memory this process has had; ``ru_maxrss`` alone may be that of the process that started this one."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(1024 * int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def scenario_of(devices: int, participants: int, rounds: int) -> Scenario:
    return loads(SCENARIO.format(devices=devices, participants=participants, rounds=rounds))


def measure(devices: int, participants: int, rounds: int) -> dict[str, object]:
    scenario = scenario_of(devices, participants, rounds)
    watch = Stopwatch()
    began_s = time.perf_counter()
    outcome = world.run(scenario, timing_only=True, observers=[watch])
    times_s = [at_s - began_s for at_s in watch.times_s]  # row 0 is noted when all is built
    return {
        "devices": devices,
        "participants": participants,
        "rounds": rounds,
        "build_s": times_s[0],
        "build_bytes": watch.peaks_bytes[0],
        "round_s": (times_s[-1] - times_s[0]) / rounds,
        "peak_bytes": watch.peaks_bytes[-1],
        "virtual_s": outcome.summary["virtual_s"],
        "dropped": outcome.summary["dropped"],
        "trace_hash": outcome.summary["trace_hash"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1_000_000)
    parser.add_argument("--participants", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="as the other benches have it; it is JSON anyway")
    given = parser.parse_args()
    print(json.dumps(measure(given.devices, given.participants, given.rounds), indent=2))


if __name__ == "__main__":
    main()
