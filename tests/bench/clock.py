"""How many ``asyncio.sleep`` a second the virtual loop runs, beside plain SimPy timeouts in the same minute.

    python tests/bench/clock.py [--json]

Each task sleeps several times for differing lengths; the making of the tasks (and of SimPy's processes) is inside the
measured time. Best of three, alternating. ``per_s`` is by the wall clock, ``per_cpu_s`` by the process's own processor
time, which other programs disturb less. ``gc_share`` is the part of the last run spent in Python's garbage collector:
noticeable from 20,000 tasks on, but it costs wall time only; virtual time never sees a pause.
"""

import asyncio
import gc
import json
import platform
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import simpy
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs without an installation

from simulator import clock

SIZES = ((100, 1000), (20_000, 10), (100_000, 5))  # tasks, sleeps of each
REPEATS = 3


def delay_s(actor: int, turn: int) -> float:
    """A length between 0.5 s and 1.5 s, different for neighbours."""
    return 0.5 + (actor * 7919 + turn * 104_729) % 1000 / 1000


def on_the_virtual_loop(num_tasks: int, num_sleeps: int) -> None:
    """Sleep on the virtual loop."""

    async def actor(number: int) -> None:
        for turn in range(num_sleeps):
            await asyncio.sleep(delay_s(number, turn))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(num_tasks):
                group.create_task(actor(number))

    clock.run(main())


def on_plain_simpy(num_tasks: int, num_sleeps: int) -> None:
    """Sleep the same lengths as SimPy processes."""
    env = simpy.Environment()

    def actor(number: int) -> Generator[simpy.Event, Any, None]:
        for turn in range(num_sleeps):
            yield env.timeout(delay_s(number, turn))

    for number in range(num_tasks):
        env.process(actor(number))
    env.run()


def measure(work: Callable[[int, int], None], num_tasks: int, num_sleeps: int) -> tuple[float, float, float]:
    """Sleeps per second of wall time and of processor time, and the garbage collector's share of the wall time."""
    gc.collect()
    spent_s, began_s = 0.0, 0.0

    def watch(phase: str, _: dict[str, int]) -> None:
        nonlocal spent_s, began_s
        if phase == "start":
            began_s = time.perf_counter()
        else:
            spent_s += time.perf_counter() - began_s

    gc.callbacks.append(watch)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work(num_tasks, num_sleeps)
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    gc.callbacks.remove(watch)
    return num_tasks * num_sleeps / wall_s, num_tasks * num_sleeps / cpu_s, spent_s / wall_s


def cpu_model() -> str:
    """The processor's name where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def report() -> dict[str, Any]:
    """Measure all sizes."""
    figures: dict[str, list[Any]] = {}
    for num_tasks, num_sleeps in SIZES:
        ours, theirs = [], []
        for _ in range(REPEATS):
            ours.append(measure(on_the_virtual_loop, num_tasks, num_sleeps))
            theirs.append(measure(on_plain_simpy, num_tasks, num_sleeps))
        best, best_cpu = max(rate for rate, _, _ in ours), max(rate for _, rate, _ in ours)
        simpy_best, simpy_best_cpu = max(rate for rate, _, _ in theirs), max(rate for _, rate, _ in theirs)
        row = {
            "tasks": num_tasks,
            "awaits_per_s": round(best),
            "awaits_per_cpu_s": round(best_cpu),
            "simpy_per_s": round(simpy_best),
            "simpy_per_cpu_s": round(simpy_best_cpu),
            "ratio": round(best / simpy_best, 3),
            "gc_share": round(ours[-1][2], 3),
        }
        for key, value in row.items():
            figures.setdefault(key, []).append(value)
    return {**figures, "cpu": cpu_model(), "python": platform.python_version()}


def main() -> None:
    """Print the figures as a table, or as one JSON object."""
    figures = report()
    if "--json" in sys.argv[1:]:
        print(json.dumps(figures))
        return
    columns = [key for key, value in figures.items() if isinstance(value, list)]
    table = Table(*columns, title=f"sleeps in virtual time, Python {figures['python']}, {figures['cpu']}")
    for row in zip(*(figures[key] for key in columns), strict=True):
        table.add_row(*(f"{value:,}" for value in row))
    Console().print(table)


if __name__ == "__main__":
    main()
