"""Where a finished run's time went, from its folder: parts, devices, shared links, rounds, and the slack of devices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netmodels.tcp import MODELS
from netmodels.topology import Topology
from simulator import fleet
from simulator.analysis.blame import Step, blame, named, parts_of
from simulator.analysis.sharing import Sharing
from simulator.analysis.slack import slack
from simulator.record import MessageRow, RoundRow
from simulator.run_folder import SCENARIO, plain
from simulator.run_reader import FinishedRun, read_run
from simulator.scenario import Scenario, load


def blame_run(path: Path) -> dict[str, Any]:
    """What `views.blame` shows of a finished run; times in seconds.

    ``blame``, ``blame_devices`` and ``blame_links`` are of the run and, in ``rounds``, of each round, where ``steps``
    has the critical path itself. ``slack`` is that of `analysis.slack`; null is infinite or unknown. Raises
    ValueError for a folder that holds no finished run.
    """
    run = read_run(path)
    scenario = load(path / SCENARIO)
    found = blame(
        run.messages,
        run.computes,
        run.rounds[-1].end_s,
        run.rounds[-1].slowest,
        rounds=[*run.rounds, *run.waits],
        sharing=Sharing(wired(scenario, run), MODELS[scenario.network.model], run.messages),
    )
    result = {
        "name": scenario.name,
        "algorithm": scenario.algorithm,
        "run": str(path),
        "virtual_s": run.rounds[-1].end_s,
        "blame": found.parts,
        "blame_devices": found.devices,
        "blame_links": found.links,
        "rounds": [_round(row, steps) for row, steps in found.rounds(run.rounds)],
        "slack": [each._asdict() for each in slack(run.messages, run.computes, run.rounds)],
    }
    made = plain(result)
    assert isinstance(made, dict)
    return made


def _round(row: RoundRow, steps: list[Step]) -> Mapping[str, Any]:
    return {
        "round": row.round,
        "start_s": row.start_s,
        "end_s": row.end_s,
        "last": row.slowest,
        "blame": parts_of(steps),
        "blame_devices": named(steps, lambda step: step.device),
        "blame_links": named(steps, lambda step: step.link),
        "steps": [step._asdict() for step in steps],
    }


def wired(scenario: Scenario, run: FinishedRun) -> Topology:
    """The links of a run's devices, drawn again from the scenario's seed."""
    everybody, routes = fleet.members(scenario), fleet.topology(scenario)
    for name in {_device(row): None for row in run.messages}:
        member = everybody.named(name)
        routes.join(member.name, member.access, member.cell)
    return routes


def _device(row: MessageRow) -> str:
    return row.sender if row.direction == "up" else row.receiver
