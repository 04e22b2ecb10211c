"""What is left of a study: its tables and pictures in the folder, and what is printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from rich.console import Console

from simulator.failure import RunFailed
from simulator.scenario import Scenario
from simulator.views.reached import Reached
from simulator.views.study import Shown, show
from simulator.whatif import table
from simulator.whatif.cells import Failure, Outcome, Result
from simulator.whatif.folder import StudyFolder
from simulator.whatif.goals import Curve, common_target, goals, reached, taken
from simulator.whatif.grid import SEED
from simulator.whatif.pictures import FILES, pictures, told_apart
from simulator.whatif.request import Asked

MADE: Final = ("study.csv", "study.parquet", "variants.csv", "curves.csv", *FILES)


class End(NamedTuple):
    """What has become of a cell; ``key`` names the kept result, None for one that could not be begun."""

    key: str | None
    outcome: Outcome


def _curves(asked: Asked, ends: Sequence[End]) -> list[Curve]:
    """How the perplexity of every trained cell fell."""
    found: list[Curve] = []
    for cell, (_, outcome) in zip(asked.grid.cells(), ends, strict=True):
        moments = taken(outcome.curve) if isinstance(outcome, Result) else []
        if moments:
            found.append(Curve(cell.columns, moments))
    return found


def report(
    asked: Asked, base: Scenario, ends: Sequence[End], folder: StudyFolder, console: Console | None
) -> dict[str, Any]:
    """Write the table and print it; returns what ``--json`` prints.

    ``base`` gives the study its name, ``ends`` are those of the cells, in their order.
    """
    columns = asked.grid.columns
    results = [outcome for _, outcome in ends if isinstance(outcome, Result)]
    target = asked.target or common_target(each.curve for each in results)
    cells = zip(asked.grid.cells(), ends, strict=True)
    rows = [table.row_of(cell.columns, outcome, target, key) for cell, (key, outcome) in cells]
    if not results:
        kinds = {outcome.kind for _, outcome in ends if isinstance(outcome, Failure)}
        text = f"no cell of the study has numbers; the first: {rows[0]['reason']}"
        raise RunFailed(text) if "failed" in kinds else ValueError(text)
    folder.clear(MADE)
    numbered = table.with_numbers(rows, columns)
    variants = table.over_seeds(rows, columns) if SEED in columns else []
    numbered_variants = table.with_numbers(variants, columns)
    folder.write("study.csv", table.as_csv(numbered))
    folder.write("study.parquet", table.as_parquet(numbered))
    if variants:
        folder.write("variants.csv", table.as_csv(numbered_variants))
    curves = _curves(asked, ends)
    if curves:
        folder.write("curves.csv", table.as_csv(table.of_curves(curves)))
    note = _models(asked, base) if curves else ""
    for file, png in pictures(f"{base.name}{note}", asked.grid.axes, rows, curves, target):
        folder.write(file, png)
    named = asked.target if curves else None
    if console is not None:
        name, best = table.best(variants or rows, targeted=named is not None)
        chosen = told_apart(asked.grid.axes, curves, target)
        levels = goals(curves, target) if named is None else [named]
        when = {label: [_when(curve, goal) for goal in levels] for label, curve in chosen.items()}
        shown = Shown(base.name, columns, rows, variants, name, best, str(folder.path), levels, when, note)
        show(console, shown)
    name, best = table.best(numbered_variants or numbered, targeted=named is not None)
    return {
        "cells": numbered,
        "variants": numbered_variants,
        "best_by": name,
        "best": best,
        "folder": str(folder.path),
        "failed": sum(row["status"] == "failed" for row in rows),
        "refused": sum(row["status"] == "refused" for row in rows),
    }


def _models(asked: Asked, base: Scenario) -> str:
    """Whose the losses and whose the times are, where two models are meant."""
    model = base.model
    two = model.timed_as not in {None, model.name} and not any(name.startswith("model.") for name in asked.grid.columns)
    return f": losses are {model.name}'s, time and bytes {model.timed_as}'s" if two else ""


def _when(curve: Curve, goal: float) -> Reached | None:
    moment = reached(curve.moments, goal)
    return None if moment is None else Reached(moment.virtual_s, moment.bytes_up + moment.bytes_down)
