"""A study: many variants of one scenario, each run or only timed, as fast as this machine allows."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from simulator.failure import Interrupted, RunFailed
from simulator.run_folder import default_path, manifest
from simulator.scenario import Scenario
from simulator.scenario.words import unknown
from simulator.views.grid import Progress
from simulator.views.study import Shown, show
from simulator.whatif import table
from simulator.whatif.campaign import Campaign, Means, Plan
from simulator.whatif.cells import Failure, Outcome, Result, content_key
from simulator.whatif.folder import STUDY, StudyFolder
from simulator.whatif.grid import SEED, refuse_large, resolve
from simulator.whatif.on_ray import OnRay, connected
from simulator.whatif.pictures import FILES, pictures
from simulator.whatif.request import Asked, read
from simulator.whatif.table import Curve
from simulator.whatif.tape import read_tape, training_key
from simulator.whatif.workers import Local, cores

MOST_CELLS: Final = 10_000  # without --yes
ROOT: Final = Path("studies")
PLACES: Final = ("local", "ray")
MADE: Final = ("study.csv", "study.parquet", "variants.csv", "curves.csv", *FILES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a study is done."""

    vary: Sequence[str] = ()
    changes: Sequence[str] = ()  # --set
    seeds: str | None = None
    train: bool = False
    jobs: int | None = None
    on: str = "local"  # or "ray"
    address: str | None = None  # of a Ray cluster; None: one is started here
    out: Path | None = None
    any_size: bool = False  # --yes
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
    if not options.any_size:
        refuse_large(asked.grid, MOST_CELLS)
    stamp = manifest(seed=asked.base.seed, started=datetime.now(UTC), command=sys.argv, provenance={})
    version = f"{stamp['versions']['splitwire']} {stamp['git_commit']}"
    scenarios = resolve(asked.template, asked.changes, asked.grid.cells())
    wanted = options.train or asked.tape is not None
    plans = [_plan(scenario, version, trained=wanted) for scenario in scenarios]
    root = default_path(asked.base.name, asked.base.seed, datetime.now(UTC), root=ROOT)
    folder = StudyFolder.open(options.out or root)
    folder.write_json(STUDY, {**stamp, "scenario": str(path), "axes": _axes(asked), "cells": len(plans)})
    console = Console()
    try:
        with _means(asked, options) as means, Progress(console, len(plans), silent=options.quiet) as progress:
            outcomes = Campaign(folder, means, progress).do(plans)
    except KeyboardInterrupt:
        done = sum(folder.held(plan.key, trained=plan.training is not None) is not None for plan in plans)
        raise Interrupted(
            f"interrupted; {done:,} of {len(plans):,} cells are in {folder.path}: "
            f"the same command with --out {folder.path} goes on from there"
        ) from None
    finally:
        folder.close()
    return _told(asked, plans, outcomes, folder, None if options.quiet else console)


@contextmanager
def _means(asked: Asked, options: Options) -> Iterator[Means]:
    """Times are had on all cores at once, training one at a time on all of them, unless ``--jobs`` says otherwise."""
    tapes = {} if asked.tape is None else {read_tape(asked.tape).training: str(asked.tape.resolve())}
    if options.on == "ray":
        with connected(options.address, options.jobs) as ray:
            yield Means(OnRay(ray, alone=False), OnRay(ray, alone=True), options.train, tapes)
    else:
        yield Means(Local(options.jobs or cores()), Local(options.jobs or 1), options.train, tapes)


def _plan(scenario: Scenario, version: str, *, trained: bool) -> Plan:
    training = None
    if trained:
        with suppress(ValueError):  # it cannot be run: doing it tells why
            training = training_key(scenario)
    return Plan(content_key(scenario, version), pickle.dumps(scenario), training)


def _axes(asked: Asked) -> list[Mapping[str, Any]]:
    return [{"name": axis.name, "points": [dict(point.columns) for point in axis.points]} for axis in asked.grid.axes]


def _curves(asked: Asked, plans: Sequence[Plan], outcomes: Mapping[str, Outcome]) -> list[Curve]:
    """How the perplexity of every trained cell fell."""
    found: list[Curve] = []
    for cell, plan in zip(asked.grid.cells(), plans, strict=True):
        outcome = outcomes[plan.key]
        moments = [each for each in outcome.curve if each.perplexity is not None] if isinstance(outcome, Result) else []
        if moments:
            found.append(Curve(cell.columns, moments))
    return found


def _told(
    asked: Asked, plans: Sequence[Plan], outcomes: Mapping[str, Outcome], folder: StudyFolder, console: Console | None
) -> dict[str, Any]:
    """Write the table and print it; returns what ``--json`` prints."""
    columns = asked.grid.columns
    results = [outcome for outcome in outcomes.values() if isinstance(outcome, Result)]
    target = asked.target or table.common_target(results)
    cells = zip(asked.grid.cells(), plans, strict=True)
    rows = [table.row_of(cell.columns, outcomes[plan.key], target, plan.key) for cell, plan in cells]
    if not results:
        kinds = {outcome.kind for outcome in outcomes.values() if isinstance(outcome, Failure)}
        text = f"no cell of the study has numbers; the first: {rows[0]['reason']}"
        raise RunFailed(text) if "failed" in kinds else ValueError(text)
    folder.clear(MADE)
    numbered = table.with_numbers(rows, columns)
    variants = table.over_seeds(rows, columns) if SEED in columns else []
    folder.write("study.csv", table.as_csv(numbered))
    folder.write("study.parquet", table.as_parquet(numbered))
    if variants:
        folder.write("variants.csv", table.as_csv(variants))
    curves = _curves(asked, plans, outcomes)
    if curves:
        folder.write("curves.csv", table.as_csv(table.of_curves(curves)))
    for file, png in pictures(asked.base.name, asked.grid.axes, rows, curves, target):
        folder.write(file, png)
    name, best = table.best(variants or rows) or ("virtual_s", {})
    if console is not None:
        show(console, Shown(asked.base.name, columns, rows, variants, name, best, str(folder.path)))
    return {"cells": numbered, "variants": variants, "best_by": name, "best": best, "folder": str(folder.path)}
