"""What the precision of the base does to the loss: ``python tests/bench/precision.py --json``.

Trains one scenario several times, from the same adapters on the same batches, with the base in float64, float32 and
bfloat16 (adapters, moments and losses are at least float32 in all of them). Prints held-out losses along the way, the
largest difference of the training loss from that in float64, and seconds. Nothing is simulated: only numerics run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from simulator.fleet import members
from simulator.scenario import Scenario, load
from simulator.training.build import build
from simulator.training.engine import Engine

ROOT = Path(__file__).parents[2]
DTYPES = ("float64", "float32", "bfloat16")
ALIKE = ["data.samples_per_device=128", "data.validation_samples=128", "training.batch=4", "training.rounds=200"]


def train(scenario: Scenario, every: int) -> dict[str, object]:
    crew = members(scenario)
    engine = build(scenario, crew.splits, crew.ranks, lambda _: None).engine
    devices, curve, held_out = range(len(crew.splits)), [], {0: engine.evaluate().mean}
    started = time.perf_counter()
    for round in range(1, scenario.training.rounds + 1):
        curve.append(step(engine, devices, round))
        if round % scenario.training.aggregate_every == 0:
            engine.aggregate(devices, engine.clients.weights)
        if round % every == 0:
            held_out[round] = engine.evaluate().mean
    return {"curve": curve, "held_out": held_out, "seconds": time.perf_counter() - started}


def step(engine: Engine, devices: range, round: int) -> float:
    tickets = [engine.forward(device, round) for device in devices]
    loss = engine.server_step(tickets)
    for ticket in tickets:
        engine.backward(ticket)
    return loss.mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", nargs="?", type=Path, default=ROOT / "scenarios" / "four_phones.yaml")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    runs = {
        dtype: train(load(options.scenario, [*ALIKE, *options.overrides, f"training.dtype={dtype}"]), options.every)
        for dtype in DTYPES
    }
    truth = runs["float64"]["curve"]
    result = {
        dtype: {
            "held_out": {str(round): round_to(loss) for round, loss in run["held_out"].items()},
            "worst_difference": round_to(max(abs(a - b) for a, b in zip(run["curve"], truth, strict=True))),
            "seconds": round(run["seconds"], 2),
        }
        for dtype, run in runs.items()
    }
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


def round_to(value: float) -> float:
    return float(f"{value:.6g}")


if __name__ == "__main__":
    main()
