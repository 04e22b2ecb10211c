"""A study: many variants of one scenario, each run or only timed, as fast as this machine allows."""

from __future__ import annotations

import math
import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from netmodels import COMPILED
from simulator.failure import Interrupted
from simulator.run_folder import default_path, manifest
from simulator.scenario import Scenario, ScenarioError
from simulator.scenario.words import unknown
from simulator.versions import program, trainers
from simulator.views.grid import Progress
from simulator.views.palette import LABEL
from simulator.views.pieces import wrapped
from simulator.whatif.campaign import Campaign, Means, Plan
from simulator.whatif.cells import Failure, content_key
from simulator.whatif.folder import StudyFolder
from simulator.whatif.grid import refuse_large, resolve
from simulator.whatif.on_ray import OnRay, connected
from simulator.whatif.report import MADE, End, report
from simulator.whatif.request import Asked, read
from simulator.whatif.tape import made_elsewhere, read_tape, training_key
from simulator.whatif.workers import Local, cores

MOST_CELLS: Final = 10_000  # without --yes
ROOT: Final = Path("studies")
MANY: Final = 1_000  # to check them takes a second
WORTH_COMPILING: Final = 50  # cells; it takes as long as some of them
PLACES: Final = ("local", "ray")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a study is done."""

    vary: Sequence[str] = ()
    changes: Sequence[str] = ()  # --set
    seeds: str | None = None
    train: bool | None = None  # None: as the file says
    target: float | None = None  # perplexity; None: as the file says, or the lowest that all cells reach
    jobs: int | None = None
    on: str = "local"  # or "ray"
    address: str | None = None  # of a Ray cluster; None: one is started here
    out: Path | None = None
    yes: bool = False  # also a large grid, also in place of another study's table
    quiet: bool = False


def study(path: Path, options: Options) -> dict[str, Any]:
    """Do a study, print its table, and return what ``--json`` prints.

    Raises ValueError for bad input, RunFailed where no cell has numbers, `failure.Interrupted` on Ctrl-C.
    """
    if options.on not in PLACES:
        raise ValueError(f"--on: {unknown('place', options.on, PLACES)}")
    if options.address is not None and options.on != "ray":
        raise ValueError("--address is read with --on ray only")
    asked = read(path, vary_texts=options.vary, changes=options.changes, seeds=options.seeds)
    if not options.yes:
        refuse_large(asked.grid, MOST_CELLS)
    console = Console()
    if len(asked.grid) > MANY and not options.quiet:
        console.print(f"checking {len(asked.grid):,} cells")
    if len(asked.grid) >= WORTH_COMPILING and not COMPILED and not options.quiet:
        console.print(wrapped("network", Text("runs from its sources; make fast makes it 4 times as fast", LABEL)))
    scenarios = resolve(asked.template, asked.changes, asked.grid.cells())
    base = asked.base or next(each for each in scenarios if isinstance(each, Scenario))
    stamp = manifest(seed=base.seed, started=datetime.now(UTC), command=sys.argv, provenance={})
    train = asked.train if options.train is None else options.train
    wanted = train or asked.tape is not None
    if options.target is not None:
        asked = replace(asked, target=_target(options.target, trained=wanted))
    ways = [each if isinstance(each, ScenarioError) else _plan(each, trained=wanted) for each in scenarios]
    plans = [way for way in ways if isinstance(way, Plan)]
    tapes, recorded = ({}, None) if asked.tape is None else _tape(asked.tape)
    if recorded and not options.quiet:
        console.print(wrapped("recorded", Text(recorded, LABEL)))
    root = default_path(base.name, base.seed, datetime.now(UTC), root=ROOT)
    folder = StudyFolder.open(options.out or root, trainers())
    about = {**stamp, "scenario": str(path.resolve()), "changes": list(options.changes), "axes": _axes(asked)}
    try:
        folder.describe({**about, "cells": len(ways)}, MADE, replace=options.yes)
        progress = Progress(console, len(ways), silent=options.quiet)
        with _means(options, tapes, train=train) as means, progress:
            if len(plans) < len(ways):
                progress.step(cells=len(ways) - len(plans), failed=True)
            outcomes = Campaign(folder, means, progress).do(plans)
    except KeyboardInterrupt:
        done = sum(folder.held(plan.key, trained=plan.training is not None) is not None for plan in plans)
        raise Interrupted(
            f"interrupted; {done:,} of {len(plans):,} cells are in {folder.path}: "
            f"the same command with --out {folder.path} goes on from there"
        ) from None
    finally:
        folder.close()
    ends = [_refused(way) if isinstance(way, ScenarioError) else End(way.key, outcomes[way.key]) for way in ways]
    return {**report(asked, base, ends, folder, None if options.quiet else console), "recorded": recorded}


@contextmanager
def _means(options: Options, tapes: Mapping[str, str], *, train: bool) -> Iterator[Means]:
    """Times are had on all cores at once, training one at a time on all of them, unless ``--jobs`` says otherwise."""
    if options.on == "ray":
        with connected(options.address, options.jobs) as ray:
            yield Means(OnRay(ray, alone=False), OnRay(ray, alone=True), train, tapes)
    else:
        yield Means(Local(options.jobs or cores()), Local(options.jobs or 1), train, tapes)


def _target(perplexity: float, *, trained: bool) -> float:
    """What is said behind ``--target``. Raises ValueError for what no cell can reach."""
    if not 1 <= perplexity < math.inf:
        raise ValueError(f"--target must be a perplexity, 1 or more, got {perplexity:g}")
    if not trained:
        raise ValueError("--target needs perplexities, and no cell is trained: add --train, or study a trained RUN")
    return perplexity


def _tape(path: Path) -> tuple[dict[str, str], str | None]:
    """The file of a finished run's tape, by what it trained, and who has recorded it if that was other code."""
    tape = read_tape(path)
    return {tape.training: str(path.resolve())}, made_elsewhere(tape)


def _plan(scenario: Scenario, *, trained: bool) -> Plan:
    training = None
    if trained:
        with suppress(ValueError):  # it cannot be run: doing it tells why
            training = training_key(scenario)
    return Plan(content_key(scenario, program()), pickle.dumps(scenario), training)


def _refused(error: ScenarioError) -> End:
    """What becomes of a cell whose settings do not go together; where they were said its columns tell."""
    told = [replace(each, file="") if each.line is None else each for each in error.problems]
    return End(None, Failure("refused", "; ".join(map(str, told))))


def _axes(asked: Asked) -> list[Mapping[str, Any]]:
    return [{"name": axis.name, "points": [dict(point.columns) for point in axis.points]} for axis in asked.grid.axes]
