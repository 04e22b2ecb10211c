"""How long a study takes over one recorded run: 200 bandwidths of 100_phones.yaml on two cores, prints JSON.

    python tests/bench/study.py [--points 200] [--jobs 2] [--scenario scenarios/100_phones.yaml]

The run's tape is that of numerics that train nothing: it has the keys and events of a real one, so a replay does the
same work, and its losses are not numbers. `wall_s` is the whole study, tables and pictures included; `cell_cpu_s` one
cell's work in a process of its own, `own_cpu_s` what the study itself uses beside its workers.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from netmodels import COMPILED
from simulator import world
from simulator.run_folder import RunFolder
from simulator.scenario import Scenario, dump, load
from simulator.whatif.cells import RETIMED, Task, work
from simulator.whatif.study import Options, study
from simulator.whatif.tape import Recorder

SCENARIO = Path(__file__).parents[2] / "scenarios" / "100_phones.yaml"
KEY = "network.access.lte.up"
SAMPLE = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--scenario", type=Path, default=SCENARIO)
    options = parser.parse_args()
    scenario = load(options.scenario)
    with tempfile.TemporaryDirectory() as name:
        run = recorded(scenario, Path(name) / "run")
        cell_s = cell_cpu_s(scenario, run)
        started, own = time.perf_counter(), time.process_time()
        vary = [f"{KEY}=21..{20 + options.points} Mbit/s"]
        result = study(run, Options(vary=vary, jobs=options.jobs, out=Path(name) / "study", quiet=True))
        wall_s, own_s = time.perf_counter() - started, time.process_time() - own
    assert {cell["way"] for cell in result["cells"]} == {"re-timed"}
    print(
        json.dumps(
            {
                "points": len(result["cells"]),
                "jobs": options.jobs,
                "network_compiled": COMPILED,
                "wall_s": round(wall_s, 2),
                "cell_cpu_s": round(cell_s, 3),
                "own_cpu_s": round(own_s, 2),
                "own_cpu_s_per_cell": round(own_s / len(result["cells"]), 4),
                "load_average": round(os.getloadavg()[0], 1),
            },
            indent=2,
        )
    )


def recorded(scenario: Scenario, path: Path) -> Path:
    """A finished run's folder, with its tape."""
    recorder = Recorder(world.untrained)
    outcome = world.run(scenario, learner=recorder)
    folder = RunFolder.create(path)
    folder.write_scenario(dump(scenario))
    folder.write_tape(recorder.tape.to_bytes())
    folder.write_summary(outcome.summary)
    return path


def cell_cpu_s(scenario: Scenario, run: Path) -> float:
    """Processor seconds of one cell, the mean of some."""
    task = Task("", RETIMED, pickle.dumps(scenario), str(run / "tape.msgpack"))
    started = time.process_time()
    for _ in range(SAMPLE):
        work(task)
    return (time.process_time() - started) / SAMPLE


if __name__ == "__main__":
    main()
