"""The `check` verb: what a scenario would cost on each kind of device, and the proof that split equals whole."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, OverflowMethod
from rich.table import Table

from devices.format import short_bytes
from devices.memory import available_bytes
from simulator import world
from simulator.actors import Machine
from simulator.fitting import placements, workload
from simulator.fleet import members
from simulator.scenario import Scenario, load
from simulator.views.format import duration, size

MOST_WIDTH: Final = 1000  # columns: more than any table has
NUMBER: Final = re.compile(r"(?<=\d) (?=[KMGT]?i?B\b)")  # the blank before its unit
NO_BREAK: Final = "\N{NO-BREAK SPACE}"


def check(path: Path, overrides: Sequence[str], phase: Callable[[str], None]) -> dict[str, Any]:
    """Costs per group and the findings of the proof, as plain values.

    Raises ValueError for bad input, `devices.memory.DoesNotFit` for a device that cannot hold its part.
    """
    scenario = load(path, overrides)
    world.check_feasible(scenario)
    from simulator.training.proof import memory, prove  # noqa: PLC0415 -- loads torch

    crew = members(scenario)
    splits = world.trained_splits(scenario, crew)
    findings = list(prove(scenario, splits, crew.ranks, phase))
    return {
        "name": scenario.name,
        "model": scenario.model.name,
        "timed_as": scenario.timed_model,
        "groups": _groups(scenario),
        "findings": [{**asdict(finding), "holds": finding.holds} for finding in findings],
        "memory": memory(scenario, splits, crew.ranks),
        "holds": all(finding.holds for finding in findings),
    }


def _groups(scenario: Scenario) -> list[dict[str, Any]]:
    """What one step costs on each group's profile, at speed 1."""
    rows = []
    for place in placements(scenario):
        group, split = place.group, place.split
        costs = workload(scenario, split=group.split if split is None else split, rank=group.rank)
        profile = scenario.profile_of(group)
        machine = Machine(profile)
        rows.append(
            {
                "name": group.name,
                "profile": profile.id,
                "count": group.count,
                "split": split,
                "out_of_memory": None if place.as_asked else str(place),
                "holder": scenario.traits.holder,
                "rank": group.rank,
                "forward_s": machine.seconds(costs.client_forward),
                "backward_s": machine.seconds(costs.client_backward),
                "activation_bytes": costs.activation_bytes,
                "gradient_bytes": costs.gradient_bytes,
                "adapter_bytes": costs.adapter_bytes,
                "memory_bytes": sum(costs.client_memory.values()),
                "usable_bytes": available_bytes(profile),
            }
        )
    return rows


def show(result: dict[str, Any], console: Console) -> None:
    """Print the result of `check` for a person."""
    ranks = sorted({row["rank"] for row in result["groups"]})
    rank = f", rank {ranks[0]}" if len(ranks) == 1 else ""
    title = f"{result['name']}: one step of each device, as {result['timed_as']}{rank}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    cut: OverflowMethod = "fold" if console.options.ascii_only else "ellipsis"
    for heading in ("", "group", "profile", "split", "compute", "up", "down", "memory", "of"):
        words = heading in {"group", "profile"}  # they are cut where there is no room, numbers never are
        table.add_column(heading, justify="left" if words else "right", no_wrap=not words, overflow=cut)
    for row in result["groups"]:
        table.add_row(
            f"{row['count']}",
            row["name"],
            row["profile"],
            _part(row) + ("" if rank or row["split"] is None else f", r {row['rank']}"),
            duration(row["forward_s"] + row["backward_s"]),
            size(row["activation_bytes"]),
            size(row["gradient_bytes"]),
            short_bytes(row["memory_bytes"]),
            short_bytes(row["usable_bytes"]),
        )
    if console.measure(table, options=console.options.update(max_width=MOST_WIDTH)).maximum > console.width:
        table.padding = 0  # one blank between columns leaves the names more
    console.print(table)
    for row in result["groups"]:
        if row["out_of_memory"]:
            _tell(console, f"out of memory: {row['out_of_memory']}", style="yellow")
    parts = ", ".join(f"{part} {short_bytes(size_bytes)}" for part, size_bytes in result["memory"].items())
    total = short_bytes(sum(result["memory"].values()))
    _tell(console, f"memory of training {result['model']} here: {total} predicted ({parts}), and torch itself")
    console.print(_proof(result))


def _tell(console: Console, text: str, style: str | None = None) -> None:
    """Print a sentence, which may go on below, but never between a number and its unit."""
    lines = textwrap.wrap(NUMBER.sub(NO_BREAK, text), console.width, break_on_hyphens=False)
    console.print("\n".join(lines).replace(NO_BREAK, " "), style=style, highlight=False, markup=False)


def _part(row: dict[str, Any]) -> str:
    """How many blocks a device of the group holds."""
    if row["holder"] == "both":
        return "dropped" if row["split"] is None else f"{row['split']}"
    return "all" if row["holder"] == "device" else "none"


def _proof(result: dict[str, Any]) -> Table:
    title = f"the proof, on {result['model']}: relative differences of one step"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("claim", "precision", "loss", "gradients", "allowed", ""):
        table.add_column(heading, justify="left" if heading in {"claim", "precision", ""} else "right")
    for row in result["findings"]:
        verdict = "[green]holds[/]" if row["holds"] else "[bold red]FAILS[/]"
        numbers = (f"{row['loss']:.1e}", f"{row['gradients']:.1e}", f"{row['allowed']:.0e}")
        table.add_row(row["what"], row["dtype"], *numbers, verdict)
    return table
