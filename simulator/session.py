"""One run as the command line sees it: a scenario file, a view, a results folder, a summary."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from simulator import links, world
from simulator.clock import HorizonReached, Stalled
from simulator.failure import Interrupted, RunFailed
from simulator.fitting import placements
from simulator.numerics.tape import Diverged, Tape
from simulator.record import Observer
from simulator.run_folder import SCENARIO, FolderObserver, RunFolder, default_path, manifest
from simulator.scenario import Scenario, Server, Template, dump
from simulator.views.choose import choose_view
from simulator.views.format import duration
from simulator.views.info import Group, RunInfo
from simulator.views.summary import print_summary
from simulator.views.tally import traffic
from simulator.whatif.sensitivity import Progress, Sensitivity, quick
from simulator.whatif.tape import Recorder


@dataclass(frozen=True, slots=True)
class Work:
    """What fills a run's folder: ``simulate`` runs the scenario, the rest says what kind of run it is.

    ``tape`` has what it has computed, afterwards; ``also`` is added to summary.json; ``again`` is what follows
    "splitwire" on the command line that does the same from a resolved scenario; ``hints`` says what would have helped.
    """

    simulate: Callable[[Sequence[Observer]], world.Outcome]
    timing_only: bool
    tape: Callable[[], Tape] | None
    again: Callable[[Path], str]
    also: Mapping[str, Any] = field(default_factory=dict)
    hints: Callable[[world.Outcome, Progress], Sensitivity | None] = lambda _outcome, _progress: None


def run(
    path: Path,
    overrides: Sequence[str],
    *,
    out: Path | None = None,
    timing_only: bool = False,
    quiet: bool = False,
    hints: bool = True,
) -> dict[str, Any]:
    """Run a scenario file and return the contents of its summary.json.

    ``quiet`` prints nothing; ``hints``: say at the end what would have helped most, unless quiet. Raises ValueError for
    bad input, RunFailed for a run that cannot end, OSError where the results cannot be written.
    """
    template = Template(path)
    scenario = template.scenario(overrides)
    recorder = Recorder()
    work = Work(
        lambda observers: world.run(scenario, timing_only=timing_only, observers=observers, learner=recorder),
        timing_only,
        None if timing_only else lambda: recorder.tape,
        lambda resolved: f"run {resolved}{' --timing-only' if timing_only else ''}",
        hints=lambda outcome, progress: quick(template, overrides, outcome, progress) if hints else None,
    )
    return perform(scenario, work, out=out, quiet=quiet)


def perform(scenario: Scenario, work: Work, *, out: Path | None, quiet: bool) -> dict[str, Any]:
    """Do the work, with a view on the terminal and its results in a folder; see `run`."""
    world.check_feasible(scenario)
    info = describe(scenario, timing_only=work.timing_only)
    folder = RunFolder.create(out or default_path(scenario.name, scenario.seed, datetime.now(UTC)))
    folder.write_scenario(dump(scenario))
    started = datetime.now(UTC)

    def write_manifest() -> None:
        folder.write_manifest(
            manifest(seed=scenario.seed, started=started, command=sys.argv, provenance=provenance(scenario))
        )

    write_manifest()
    console = Console()
    with choose_view(info, console, silent=quiet) as view:
        outcome = _outcome(scenario, work, folder, view)
    write_manifest()  # once more: by now it is known which torch was used
    _write_results(folder, outcome, work)
    summary = {**outcome.summary, "timing_only": work.timing_only, "folder": str(folder.path), **work.also}
    folder.write_summary(summary)
    if not quiet:
        if found := _hints(work, outcome, console):
            summary["sensitivity"] = found.as_json()
            folder.write_summary(summary)
        record = outcome.record
        print_summary(console, info, record.rounds, summary, traffic=traffic(record.messages))
    return summary


def _hints(work: Work, outcome: world.Outcome, console: Console) -> Sensitivity | None:
    """What would have helped most. The results are safe by now: what fails here, or is interrupted, is left out."""
    with suppress(ValueError, RunFailed, Stalled, KeyboardInterrupt), console.status("") as status:
        return work.hints(outcome, lambda what: status.update(f"what would help: {what}"))
    return None


def _outcome(scenario: Scenario, work: Work, folder: RunFolder, view: Observer) -> world.Outcome:
    """Run the scenario; whatever stops it is told as a user meets it."""
    try:
        return work.simulate([view, FolderObserver(folder)])
    except Diverged:
        folder.discard()  # half a replay answers nothing
        raise
    except (Stalled, RunFailed, MemoryError) as error:
        raise RunFailed(f"{_reason(error, scenario)}\nreproduce: {_again(scenario, work, folder)}") from error
    except KeyboardInterrupt:
        ended = "; the rounds so far are in" if folder.has_ended_rounds else " before a round had ended; the folder is"
        raise Interrupted(f"interrupted{ended} {folder.path}") from None
    except ValueError as error:
        if folder.has_rounds:
            raise RunFailed(f"{error}\nreproduce: {_again(scenario, work, folder)}") from error
        folder.discard()  # a model or data that cannot be used: nothing has run
        raise


def _again(scenario: Scenario, work: Work, folder: RunFolder) -> str:
    """The command that does the same once more."""
    return f"splitwire {work.again(folder.path / SCENARIO)}{' --allow-code' if scenario.code_hashes else ''}"


def _write_results(folder: RunFolder, outcome: world.Outcome, work: Work) -> None:
    folder.write_tables(outcome.record.messages, outcome.record.computes)
    folder.write_devices(outcome.devices)
    folder.write_adapter(outcome.adapter)
    for device, files in outcome.device_adapters:
        folder.write_adapter(files, device=device)
    if work.tape is not None:
        folder.write_tape(work.tape().to_bytes())


def _reason(error: BaseException, scenario: Scenario) -> str:
    if isinstance(error, MemoryError):
        return f"out of memory: lower training.memory or training.batch ({error})"
    if isinstance(error, HorizonReached):
        return f"the horizon of {duration(scenario.horizon)} was reached before the last round; raise horizon ({error})"
    return f"nobody can go on: {error}" if isinstance(error, Stalled) else str(error)


def describe(scenario: Scenario, *, timing_only: bool) -> RunInfo:
    """What a view shows of a scenario."""
    placed = placements(scenario)
    kept = [place for place in placed if place.split is not None]
    splits = sorted({place.split for place in placed if place.split is not None})
    server = scenario.find_profile(scenario.server.profile)
    return RunInfo(
        name=scenario.name,
        algorithm=Path(scenario.algorithm).name,
        rounds=scenario.training.rounds,
        num_devices=sum(place.group.count for place in kept),
        model=f"{scenario.timed_model}, timing only" if timing_only else scenario.model.name,
        timed_as=None if timing_only else scenario.model.timed_as,
        split=_cut(scenario, splits),
        network=scenario.network.model,
        server=_machines(scenario.server, server.name),
        seed=scenario.seed,
        groups=[Group(place.group.name, place.group.profile, place.group.count, place.group.access) for place in kept],
        notes=[f"out of memory: {place}" for place in placed if not place.as_asked],
    )


def _cut(scenario: Scenario, splits: Sequence[int]) -> str:
    """Where the model is cut, or who holds all of it."""
    if scenario.traits.holder == "both":
        return f"{splits[0]}..{splits[-1]}" if len(splits) > 1 else str(splits[0])
    return "whole model on devices" if scenario.traits.holder == "device" else "whole model at the server"


def _machines(server: Server, name: str) -> str:
    speed = "" if server.speed == 1 else f" at {server.speed:g} x its speed"
    return f"{name if server.count == 1 else f'{server.count} x {name}'}{speed}"


def provenance(scenario: Scenario) -> dict[str, Any]:
    """Where every cost of a run comes from."""
    sources = {name: scenario.find_profile(name).provenance for name in _profiles(scenario)}
    sources |= {
        f"{group.profile} on {group.backend}": scenario.profile_of(group).provenance
        for group in scenario.groups
        if group.backend is not None
    }
    return {
        "devices": dict(sorted(sources.items())),
        "compute": f"roofline over the FLOPs and bytes of {scenario.timed_model}, computed from its config",
        "messages": f"exact msgpack frames of {scenario.timed_model}'s tensors",
        "network": f"{scenario.network.model}: max-min sharing, docs/network.md",
        "links": links.provenance(scenario),
        **({"code": dict(scenario.code_hashes)} if scenario.code_hashes else {}),
    }


def _profiles(scenario: Scenario) -> set[str]:
    """The profiles that are used as the catalogue has them."""
    devices = {group.profile for group in scenario.groups if group.backend is None}
    return devices | {scenario.server.profile, scenario.aggregator.profile}
