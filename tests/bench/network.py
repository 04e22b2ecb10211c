"""How long a star of N devices takes to simulate: 3 MB up from each, then 3 MB down to it as soon as that has arrived.

    python tests/bench/network.py [--json] [--flows 1000,10000] [--cells C] [--spread SECONDS] [--varied]

Access links of 2 to 50 Mbit/s (drawn, up and down apart) with 20 ms of latency, a server link of 10 Gbit/s each way,
model ``pure``, through `netmodels.network.Network` as anybody would use it. All uploads begin at once, or spread over
some seconds; with ``--varied`` sizes are 2 to 4 MB instead of 3. With ``--cells`` the devices are dealt out to C cells
whose capacities add up to about the server's, so that some of them bind and others do not.

Links are made from arrays when they are asked for (a mapping), as a large population would; their making is inside the
measured time. Each size runs in a process of its own: ``peak_bytes`` is its largest resident size, the interpreter's
20 MB included; ``seconds`` is wall time, ``cpu_seconds`` the processor's. Python's garbage collector looks for cycles
after every 50,000 new objects instead of 700 (``gc.set_threshold``), which anybody with many objects is well advised to
ask for; ``--default-gc`` leaves it as it is.
"""

import argparse
import gc
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs without an installation

from netmodels.capacity import Constant
from netmodels.link import Link
from netmodels.network import Network
from netmodels.tcp import MODELS

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SERVER_BPS = 10e9


class Star(Mapping[str, Link]):
    """Access links ``NUMBER.up`` and ``NUMBER.down``, cells ``cNUMBER.up``, and the server's two."""

    def __init__(self, num_flows: int, num_cells: int, rng: np.random.Generator) -> None:
        """Draw the rates."""
        self.num_cells = num_cells
        self.rates_bps = {way: rng.uniform(2e6, 50e6, num_flows) for way in ("up", "down")}
        self.shared = {}
        for way in ("up", "down"):
            for cell in range(num_cells):
                part = SERVER_BPS / num_cells * rng.uniform(0.5, 1.5)
                self.shared[f"c{cell}.{way}"] = Link(f"c{cell}.{way}", Constant(part), 0.005)
            self.shared[f"server.{way}"] = Link(f"server.{way}", Constant(SERVER_BPS), 0.001)

    def __getitem__(self, name: str) -> Link:
        """Raises KeyError for a link that there is not."""
        link = self.shared.get(name)
        if link is None:
            number, _, way = name.partition(".")
            link = Link(name, Constant(float(self.rates_bps[way][int(number)])), 0.02)
        return link

    def __iter__(self) -> Iterator[str]:
        """All names."""
        yield from (f"{number}.{way}" for way, rates in self.rates_bps.items() for number in range(len(rates)))
        yield from self.shared

    def __len__(self) -> int:
        """How many links."""
        return len(self.shared) + sum(map(len, self.rates_bps.values()))

    def route(self, number: int, way: str) -> tuple[str, ...]:
        """From a device to the server, or back."""
        cell = (f"c{number % self.num_cells}.{way}",) if self.num_cells else ()
        route = (f"{number}.{way}", *cell, f"server.{way}")
        return route if way == "up" else route[::-1]


def play(num_flows: int, num_cells: int, spread_s: float, varied: bool) -> tuple[int, float]:
    """Play everything; return how many transfers have arrived, and when the last one has."""
    rng = np.random.default_rng(1)
    star = Star(num_flows, num_cells, rng)
    network = Network(star, MODELS["pure"])
    starts_s = np.sort(rng.uniform(0, spread_s, num_flows))
    sizes = rng.uniform(2e6, 4e6, num_flows) if varied else np.full(num_flows, 3e6)
    begun = arrived = 0
    while True:
        start_s = float(starts_s[begun]) if begun < num_flows else math.inf
        now_s = min(network.next_event_s(), start_s)
        if now_s == math.inf:
            return arrived, network.now_s
        for done in network.advance(now_s):
            arrived += 1
            number = done.flow_id
            if number >= 0:
                network.start(now_s, ~number, float(sizes[number]), star.route(number, "down"))
        while begun < num_flows and starts_s[begun] <= now_s:
            network.start(now_s, begun, float(sizes[begun]), star.route(begun, "up"))
            begun += 1


def measure(num_flows: int, options: argparse.Namespace) -> dict[str, float]:
    """One size, in this process."""
    if not options.default_gc:
        gc.set_threshold(50_000, 20, 20)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    arrived, virtual_s = play(num_flows, options.cells, options.spread, options.varied)
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    if arrived != 2 * num_flows:
        raise SystemExit(f"{arrived} of {2 * num_flows} transfers have arrived")
    return {
        "flows": num_flows,
        "cells": options.cells,
        "seconds": round(wall_s, 3),
        "cpu_seconds": round(cpu_s, 3),
        "virtual_seconds": round(virtual_s, 3),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def main() -> None:
    """Measure each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print a JSON list and nothing else")
    parser.add_argument("--flows", default=",".join(map(str, SIZES)), help="sizes, with commas")
    parser.add_argument("--cells", type=int, default=0, help="so many cells in the path; 0: none")
    parser.add_argument("--spread", type=float, default=0.0, help="seconds over which the uploads begin")
    parser.add_argument("--varied", action="store_true", help="2 to 4 MB instead of 3")
    parser.add_argument("--default-gc", action="store_true", help="leave Python's garbage collector as it is")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = [int(size) for size in options.flows.split(",")]
    if options.here:
        print(json.dumps(measure(sizes[0], options)))
        return
    rows = []
    for size in sizes:
        command = [sys.executable, __file__, "--here", "--flows", str(size), "--cells", str(options.cells)]
        command += ["--spread", str(options.spread), *(["--varied"] if options.varied else [])]
        command += ["--default-gc"] if options.default_gc else []
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        if not options.json:
            print("  ".join(f"{key} {value:,}" for key, value in rows[-1].items()), flush=True)
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
