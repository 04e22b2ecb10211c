"""A study: many variants of one scenario, each run or only timed, as fast as this machine allows."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from simulator.failure import Interrupted, RunFailed
from simulator.run_folder import default_path, manifest
from simulator.views.grid import Progress
from simulator.views.study import Shown, show
from simulator.whatif import table
from simulator.whatif.cells import TIMING_ONLY, Failure, Result, Task, task_of
from simulator.whatif.folder import STUDY, StudyFolder
from simulator.whatif.grid import SEED, refuse_large, resolve
from simulator.whatif.request import Asked, read
from simulator.whatif.workers import Executor, Local, cores

MOST_CELLS: Final = 10_000  # without --yes
ROOT: Final = Path("studies")

Outcome = Result | Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a study is done."""

    vary: Sequence[str] = ()
    changes: Sequence[str] = ()  # --set
    seeds: str | None = None
    jobs: int | None = None
    out: Path | None = None
    any_size: bool = False  # --yes
    quiet: bool = False


def study(path: Path, options: Options) -> dict[str, Any]:
    """Do a study, print its table, and return what ``--json`` prints.

    Raises ValueError for bad input, RunFailed where no cell has numbers, `failure.Interrupted` on Ctrl-C.
    """
    asked = read(path, vary_texts=options.vary, changes=options.changes, seeds=options.seeds)
    if not options.any_size:
        refuse_large(asked.grid, MOST_CELLS)
    console = Console()
    stamp = manifest(seed=asked.base.seed, started=datetime.now(UTC), command=sys.argv, provenance={})
    version = f"{stamp['versions']['splitwire']} {stamp['git_commit']}"
    cells = asked.grid.cells()
    tasks = [task_of(scenario, TIMING_ONLY, version) for scenario in resolve(asked.template, asked.changes, cells)]
    folder = StudyFolder.open(
        options.out or default_path(asked.base.name, asked.base.seed, datetime.now(UTC), root=ROOT)
    )
    folder.write_json(STUDY, {**stamp, "scenario": str(path), "axes": _axes(asked), "cells": len(cells)})
    try:
        with Progress(console, len(cells), silent=options.quiet) as progress:
            outcomes = _computed(tasks, folder, Local(options.jobs or cores()), progress)
    except KeyboardInterrupt:
        done = sum(folder.held(task.key) is not None for task in tasks)
        raise Interrupted(
            f"interrupted; {done:,} of {len(cells):,} cells are in {folder.path}: "
            f"the same command with --out {folder.path} goes on from there"
        ) from None
    finally:
        folder.close()
    return _told(asked, tasks, outcomes, folder, None if options.quiet else console)


def _axes(asked: Asked) -> list[Mapping[str, Any]]:
    return [{"name": axis.name, "points": [dict(point.columns) for point in axis.points]} for axis in asked.grid.axes]


def _computed(tasks: Sequence[Task], folder: StudyFolder, executor: Executor, progress: Progress) -> dict[str, Outcome]:
    """Every task's outcome by key: what the folder holds, and what is computed now; equal work is done once."""
    counts: dict[str, int] = {}
    for task in tasks:
        counts[task.key] = counts.get(task.key, 0) + 1
    outcomes: dict[str, Outcome] = {}
    missing: list[Task] = []
    for task in {task.key: task for task in tasks}.values():
        held = folder.held(task.key)
        if held is None:
            missing.append(task)
        else:
            outcomes[task.key] = held
            progress.skip(counts[task.key])
    progress.phase("timing")
    for task, outcome in executor.run(missing):
        outcomes[task.key] = outcome
        if isinstance(outcome, Result):
            folder.keep(task.key, outcome)
        progress.step(cells=counts[task.key], failed=isinstance(outcome, Failure))
    return outcomes


def _told(
    asked: Asked, tasks: Sequence[Task], outcomes: Mapping[str, Outcome], folder: StudyFolder, console: Console | None
) -> dict[str, Any]:
    """Write the table and print it; returns what ``--json`` prints."""
    columns = asked.grid.columns
    results = [outcome for outcome in outcomes.values() if isinstance(outcome, Result)]
    target = asked.target or table.common_target(results)
    cells = zip(asked.grid.cells(), tasks, strict=True)
    rows = [table.row_of(cell.columns, outcomes[task.key], target, task.key) for cell, task in cells]
    if not results:
        kinds = {outcome.kind for outcome in outcomes.values() if isinstance(outcome, Failure)}
        text = f"no cell of the study has numbers; the first: {rows[0]['reason']}"
        raise RunFailed(text) if "failed" in kinds else ValueError(text)
    numbered = table.with_numbers(rows, columns)
    variants = table.over_seeds(rows, columns) if SEED in columns else []
    folder.write("study.csv", table.as_csv(numbered))
    folder.write("study.parquet", table.as_parquet(numbered))
    if variants:
        folder.write("variants.csv", table.as_csv(variants))
    name, best = table.best(variants or rows) or ("virtual_s", {})
    if console is not None:
        show(console, Shown(asked.base.name, columns, rows, variants, name, best, str(folder.path)))
    return {"cells": numbered, "variants": variants, "best_by": name, "best": best, "folder": str(folder.path)}
