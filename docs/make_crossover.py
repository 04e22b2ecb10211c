"""Makes docs/crossover.png and docs/crossover.csv: on which uplink and device SplitLoRA is faster than FedLoRA.

``python docs/make_crossover.py`` trains scenarios/papers/splitlora.yaml once with each of the two algorithms, to know
after which round each reaches the target perplexity. What they learn does not depend on links and machines, so every
point of the map is a run with ``--timing-only``: the virtual time at the end of that round.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import numpy as np

ROOT = Path(__file__).parents[1]
if __name__ == "__main__":  # so that this tree runs, wherever it is called from
    sys.path.insert(0, str(ROOT))

from simulator import world  # noqa: E402
from simulator.scenario import Scenario, load  # noqa: E402

SCENARIO = ROOT / "scenarios" / "papers" / "splitlora.yaml"
TARGET = 2.8  # perplexity
TWO = ("splitlora", "fedlora")
DEVICES = (
    "redmi-note-8", "raspberry-pi-4", "galaxy-s23-ultra", "laptop-i7-1165g7", "galaxy-s25", "jetson-tx2",
    "macbook-air-m1", "jetson-xavier-nx", "jetson-orin-nx", "jetson-agx-orin", "rtx-3090", "rtx-4090",
)  # fmt: skip
UPLINKS_BPS = tuple(float(f"{each:.3g}") for each in np.logspace(5.5, 10, 19))
DOWNLINK = 2  # times the uplink
BITS_A_TOKEN = 32 * 768 * (1 + 1 / DOWNLINK)  # activations up, gradients down: seconds x uplink
FLOPS_A_TOKEN = 2 * 218.8e6  # what FedLoRA computes on the device and SplitLoRA does not: 9 blocks and the head


class Point(NamedTuple):
    """Virtual time to the target of both algorithms, in seconds, on one device and uplink."""

    device: str
    flops_per_s: float
    uplink_bps: float
    splitlora_s: float
    fedlora_s: float


def setting(algorithm: str, *overrides: str) -> Scenario:
    """The paper's scenario with another algorithm."""
    return load(SCENARIO, [f"algorithm={algorithm}", *overrides])


def rounds_to_target(algorithm: str) -> int:
    """The first evaluated round at or below the target, trained for real."""
    print(f"training {algorithm} ...", flush=True)
    rows = world.run(setting(algorithm)).record.rounds
    return next(row.round for row in rows if row.perplexity <= TARGET)


def seconds(algorithm: str, rounds: int, device: str, uplink_bps: float) -> float:
    """Virtual time of so many rounds of the same run on that device and uplink."""
    lan = f"{{up: {uplink_bps:.0f} bit/s, down: {DOWNLINK * uplink_bps:.0f} bit/s, latency: 0.2 ms}}"
    overrides = [f"devices.0.profile={device}", f"network.access.lan={lan}", f"training.rounds={rounds}"]
    return float(world.run(setting(algorithm, *overrides), timing_only=True).summary["virtual_s"])


def points() -> Iterator[Point]:
    """The whole map."""
    rounds = {algorithm: rounds_to_target(algorithm) for algorithm in TWO}
    print(f"perplexity {TARGET} by round: {rounds}")
    for device in DEVICES:
        profile = setting("splitlora").find_profile(device)
        for uplink_bps in UPLINKS_BPS:
            both = [seconds(algorithm, rounds[algorithm], device, uplink_bps) for algorithm in TWO]
            yield Point(profile.id, profile.training_flops_per_s, uplink_bps, *both)
        print(profile.id, flush=True)


def draw(found: Sequence[Point], path: Path) -> None:
    """Who is faster, by how much, and where the two are equal by the rule of thumb."""
    flops = np.array([each.flops_per_s for each in found[:: len(UPLINKS_BPS)]])
    shape = (len(flops), len(UPLINKS_BPS))
    gain = np.log2(np.array([each.fedlora_s / each.splitlora_s for each in found])).reshape(shape)
    figure, axes = plt.subplots(figsize=(9, 5.6), layout="constrained")
    steps = np.arange(len(flops))
    mesh = axes.pcolormesh(UPLINKS_BPS, steps, np.clip(gain, -4, 4), cmap="RdBu", vmin=-4, vmax=4, shading="nearest")
    axes.contour(UPLINKS_BPS, steps, gain, levels=[0], colors="black", linewidths=2)
    axes.plot([], [], "k-", linewidth=2, label="equally fast, simulated")
    rule = BITS_A_TOKEN / FLOPS_A_TOKEN
    axes.plot(flops * rule, steps, "k--", linewidth=1, label=f"rule of thumb: {1e3 * rule:.3f} Mbit/s a GFLOP/s")
    axes.legend(loc="lower right", framealpha=0.9)
    axes.set_xscale("log")
    axes.set_xlim(UPLINKS_BPS[0], UPLINKS_BPS[-1])
    axes.set_xlabel("uplink of a client (the downlink is twice as fast)")
    axes.set_xticks(
        [10**each for each in range(6, 11)], ["1 Mbit/s", "10 Mbit/s", "100 Mbit/s", "1 Gbit/s", "10 Gbit/s"]
    )
    labels = [f"{each.device}  {each.flops_per_s / 1e9:,.0f}" for each in found[:: len(UPLINKS_BPS)]]
    axes.set_yticks(steps, labels)
    axes.set_ylabel("device, and GFLOP/s that its training reaches")
    axes.set_title(f"Time to perplexity {TARGET}: SplitLoRA or FedLoRA?", loc="left", fontweight="bold")
    bar = figure.colorbar(mesh, ax=axes, ticks=range(-4, 5))
    bar.ax.set_yticklabels(["FedLoRA 16x", "8x", "4x", "2x", "equal", "2x", "4x", "8x", "SplitLoRA 16x"], fontsize=9)
    bar.set_label("faster by")
    figure.savefig(path, dpi=140)
    plt.close(figure)


def read(path: Path) -> list[Point]:
    """The table as it was made."""
    with path.open(newline="") as file:
        return [Point(row["device"], *(float(row[name]) for name in Point._fields[1:])) for row in csv.DictReader(file)]


def main() -> None:
    """Make the table and the picture; with ``--draw`` the picture alone, from the table."""
    table = ROOT / "docs" / "crossover.csv"
    if sys.argv[1:] == ["--draw"]:
        draw(read(table), ROOT / "docs" / "crossover.png")
        return
    found = list(points())
    with table.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Point._fields)
        writer.writerows((each.device, f"{each.flops_per_s:.4g}", f"{each.uplink_bps:.4g}",
                          f"{each.splitlora_s:.5g}", f"{each.fedlora_s:.5g}") for each in found)  # fmt: skip
    draw(found, ROOT / "docs" / "crossover.png")


if __name__ == "__main__":
    main()
