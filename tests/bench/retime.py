"""How long a retimed run takes: 100 phones x 100 rounds, prints JSON.

    python tests/bench/retime.py [--rounds 100]

The tape is that of a run with the numerics that train nothing: it has the keys and events of a real one, so a replay
does the same work, and its losses are not numbers. Seconds are processor time, the least of three.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from netmodels import COMPILED
from simulator import world
from simulator.numerics import Numerics, TimingOnly
from simulator.numerics.tape import Recording, Replay, Tape
from simulator.scenario import load
from simulator.whatif.retime import retime_scenario
from simulator.whatif.tape import Recorder, training_key

SCENARIO = Path(__file__).parents[2] / "scenarios" / "100_phones.yaml"
PHONES = 100
CHANGE = "network.cells.lte.capacity=40 Mbit/s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    settings = [f"training.rounds={options.rounds}"]
    before, after = load(SCENARIO, settings), load(SCENARIO, [*settings, CHANGE])
    recorder = Recorder(world.untrained)
    world.run(before, learner=recorder)
    data = recorder.tape.to_bytes()
    tape = Tape.from_bytes(data)
    play(first := recording(), options.rounds)
    alone = first.tape
    result = {
        "phones": before.fleet_size,
        "rounds": options.rounds,
        "network_compiled": COMPILED,
        "tape_bytes": len(data),
        "retime_s": least(lambda: retime_scenario(after, tape)),
        "timing_only_s": least(lambda: world.run(after, timing_only=True)),
        "training_key_s": least(lambda: training_key(after)),
        "read_tape_s": least(lambda: Tape.from_bytes(data)),
        "record_alone_s": least(lambda: play(recording(), options.rounds)),
        "replay_alone_s": least(lambda: play(Replay(alone, sequences=1, tokens=64, name=str), options.rounds)),
    }
    print(json.dumps(result, indent=2))


def recording() -> Recording:
    """A recording of nothing."""
    return Recording(TimingOnly(sequences=1, lengths=lambda device, round: 64), "", [1.0] * PHONES, tokens=64)


def play(numerics: Numerics, rounds: int) -> None:
    """The verbs of such a run and nothing else."""
    for device in range(PHONES):
        numerics.join(device)
    for round in range(1, rounds + 1):
        tickets = [numerics.forward(device, round) for device in range(PHONES)]
        numerics.server_step(tickets)
        for ticket in tickets:
            numerics.backward(ticket)
        if round % 5 == 0:
            numerics.aggregate(list(range(PHONES)), [1.0] * PHONES)
            numerics.evaluate()


def least(work: Callable[[], object]) -> float:
    """Processor seconds of some work, the least of three."""
    seconds = []
    for _ in range(3):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return round(min(seconds), 4)


if __name__ == "__main__":
    main()
