"""Finished runs side by side: when each came to which perplexity, what it cost, where the time went, what differs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from simulator.run_folder import SCENARIO
from simulator.run_reader import read_outcome
from simulator.scenario import Template
from simulator.scenario.tree import Raw
from simulator.views import charts
from simulator.views.compare import Column, show
from simulator.views.reached import Reached
from simulator.whatif.cells import Moment, curve
from simulator.whatif.goals import Curve, common_target, goals, reached, taken
from simulator.whatif.pictures import BYTES, PERPLEXITY, TIME, leave

NOT_COMPARED: Final = ("name", "study")
GROUP: Final = re.compile(r"devices\.\d+\.")
OTHER_TEXTS: Final = ("seed", "model.name", "model.init", "model.tokenizer", "data.", "training.tokens")
"""Settings that decide about the model, or the held-out texts: perplexities of runs that differ in them differ also
because of that."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run as its folder has it; ``settings`` are those of the resolved scenario, by key path."""

    label: str
    path: Path
    summary: Mapping[str, Any]
    curve: Sequence[Moment]
    settings: Mapping[str, str]


def compare(paths: Sequence[Path], *, png: Path | None = None, quiet: bool = False) -> dict[str, Any]:
    """Compare finished runs, print them side by side, and return what ``--json`` prints.

    Raises ValueError for fewer than two, for what is no finished run, or a picture elsewhere than in a PNG of a folder
    that is there; OSError where it cannot be written.
    """
    if len(paths) < 2:
        raise ValueError(f"compare needs the folders of at least two runs, got {len(paths)}")
    if png is not None:
        charts.check_png(png)
    runs = [_read(path, label) for path, label in zip(paths, _labels(paths), strict=True)]
    curves = [Curve({"run": run.label}, found) for run in runs if (found := taken(run.curve))]
    target = common_target(run.curve for run in runs)
    levels = goals(curves, target)
    apart = differences(runs)
    console = Console(quiet=quiet)
    if not quiet:
        show(console, [_column(run, levels) for run in runs], levels, shortened(apart, runs), mixed=_mixed(runs))
    if png is not None:
        leave(png, _picture(runs, target), console)
    return {
        "perplexities": levels,
        "runs": [_as_json(run, levels) for run in runs],
        "differences": {
            key: dict(zip([str(run.path) for run in runs], row, strict=True)) for key, row in apart.items()
        },
    }


def differences(runs: Sequence[Run]) -> dict[str, list[str | None]]:
    """The settings in which the runs differ: for each key every run's value, None where it has none."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    rows = {key: [run.settings.get(key) for run in runs] for key in keys}
    return {key: row for key, row in rows.items() if len(set(row)) > 1 and key.split(".")[0] not in NOT_COMPARED}


def shortened(apart: Mapping[str, list[str | None]], runs: Sequence[Run]) -> dict[str, list[str | None]]:
    """Differences for a person: a group of devices that only some of the runs have is one row, not one for each key.

    Its keys stay where those runs that have the group differ in them.
    """
    rows: dict[str, list[str | None]] = {}
    for key, row in apart.items():
        group = GROUP.match(key)
        having = [group is not None and _has(run, group[0]) for run in runs]
        if group is None or all(having):
            rows[key] = row
            continue
        rows[group[0].removesuffix(".")] = [_described(run, group[0]) if _has(run, group[0]) else None for run in runs]
        if len({value for value, has in zip(row, having, strict=True) if has}) > 1:
            rows[key] = row
    return rows


def _has(run: Run, prefix: str) -> bool:
    return any(key.startswith(prefix) for key in run.settings)


def _described(run: Run, prefix: str) -> str:
    """A group of devices in a few words: ``10 bus (phone-low, 3g)``."""
    count, name, profile, access = (run.settings.get(prefix + key) for key in ("count", "name", "profile", "access"))
    kind = ", ".join(each for each in (profile, access) if each)
    return " ".join(each for each in (count, name, kind and f"({kind})") if each)


def _read(path: Path, label: str) -> Run:
    summary, rounds = read_outcome(path)
    settings = _flat(Template(path / SCENARIO).root.raw()) if (path / SCENARIO).exists() else {}
    return Run(label, path, summary, list(curve(rounds)), settings)


def _flat(raw: Raw, path: str = "") -> dict[str, str]:
    """Every single value by its key path; a list of single values is one."""
    if isinstance(raw, dict):
        parts = [(f"{path}.{key}" if path else key, value) for key, value in raw.items()]
    elif isinstance(raw, list) and any(isinstance(each, dict | list) for each in raw):
        parts = [(f"{path}.{place}", value) for place, value in enumerate(raw)]
    else:
        return {path: ", ".join(map(str, raw)) if isinstance(raw, list) else "null" if raw is None else str(raw)}
    return {key: text for at, value in parts for key, text in _flat(value, at).items()}


def _labels(paths: Sequence[Path]) -> list[str]:
    """The end of each path that tells it from the others."""
    parts = [path.resolve().parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        found = ["/".join(each[-length:]) for each in parts]
        if len(set(found)) == len(found):
            return found
    twice = next(path for path, count in Counter(map(str, paths)).items() if count > 1)
    raise ValueError(f"{twice} is named twice")


def _when(run: Run, level: float) -> Reached | None:
    moment = reached(run.curve, level)
    return None if moment is None else Reached(moment.virtual_s, moment.bytes_up + moment.bytes_down)


def _column(run: Run, levels: Sequence[float]) -> Column:
    return Column(run.label, run.summary, [_when(run, level) for level in levels] if taken(run.curve) else None)


def _mixed(runs: Sequence[Run]) -> list[str]:
    """The differing settings because of which perplexities, where taken, are not of one model on the same texts."""
    return [key for key in differences([run for run in runs if taken(run.curve)]) if key.startswith(OTHER_TEXTS)]


def _as_json(run: Run, levels: Sequence[float]) -> dict[str, Any]:
    moments = [(level, reached(run.curve, level)) for level in levels]
    energy = (run.summary.get("energy_j") or {}).get("devices", {}).get("total")
    names = ("name", "algorithm", "model", "timed_as", "seed", "timing_only", "rounds", "devices", "virtual_s")
    more = ("loss", "perplexity", "perplexity_before", "bytes_up", "bytes_down", "dropped", "blame", "trace_hash")
    return {
        "folder": str(run.path),
        **{name: run.summary.get(name) for name in (*names, *more)},
        "energy_j": energy,
        "energy_unknown": run.summary.get("energy_unknown") or {},
        "reached": [
            {
                "perplexity": level,
                "round": moment and moment.round,
                "virtual_s": moment and moment.virtual_s,
                "bytes": moment and moment.bytes_up + moment.bytes_down,
            }
            for level, moment in moments
        ],
    }


def _named(run: Run, before: str, after: str = "") -> str:
    """The scenario's name, and the folder's where that is another."""
    name = run.summary.get("name")
    return run.label if name in {None, run.label} else f"{name}{before}{run.label}{after}"


def _picture(runs: Sequence[Run], target: float | None) -> bytes:
    """Perplexity over time and over bytes where it was taken, and where the time went."""
    trained = [(_named(run, " (", ")"), found) for run in runs if (found := taken(run.curve))]
    losses = [[each.perplexity or 0.0 for each in found] for _, found in trained]
    times = [
        charts.Series(label, [each.virtual_s for each in found], ys)
        for (label, found), ys in zip(trained, losses, strict=True)
    ]
    sizes = [
        charts.Series(label, [float(each.bytes_up + each.bytes_down) for each in found], ys)
        for (label, found), ys in zip(trained, losses, strict=True)
    ]
    parts = list(dict.fromkeys(part for run in runs for part in run.summary.get("blame", {})))
    blamed = [charts.Series(part, [run.summary.get("blame", {}).get(part, 0.0) for run in runs], []) for part in parts]
    bars = charts.Bars(TIME, [_named(run, "\n") for run in runs], [each for each in blamed if any(each.xs)])
    return charts.comparison([TIME, BYTES] if times else [], PERPLEXITY, [times, sizes], bars, target=target)
