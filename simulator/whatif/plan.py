"""The `plan` verb: before any training, what every split and rank would cost every class of devices, and the fleet.

A class of devices is a group of the scenario. What a class costs is that of one device alone, without contention; what
the fleet costs comes from timing all of it at that split, so that waiting and shared links are in it. Nothing here
loads torch. What is learned with a split or a rank is not known here, so no rank is called better than another.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from devices.memory import DoesNotFit
from simulator.failure import RunFailed
from simulator.scenario import ALGORITHMS, Group, Scenario, load, written_at
from simulator.views.charts import check_png
from simulator.views.plan import picture, show
from simulator.views.terminal import telling
from simulator.whatif import plan_write
from simulator.whatif.pictures import leave
from simulator.whatif.plan_choice import ROUND_TIME, Chooser, Goal, Progress, lacking
from simulator.whatif.plan_search import Choice, Found, front, scored, taken
from simulator.whatif.plan_space import Cut, ranks_of, splits_of
from simulator.whatif.plan_timing import Fit, Stopwatch, Timed


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for; texts as they were given, None where nothing was."""

    splits: str | None = None
    ranks: str | None = None
    optimise: str | None = None
    subject_to: str = "memory"
    battery_percent_per_hour: float | None = None
    out: Path | None = None
    png: Path | None = None


def run(path: Path, overrides: Sequence[str], wanted: Wanted, *, quiet: bool = False) -> dict[str, Any]:
    """Plan, show it unless ``quiet``, draw it where that is wanted; see `plan`. OSError for what cannot be written."""
    console = Console(quiet=quiet)
    with telling(console, "reading the scenario") as tell:
        result = plan(path, overrides, wanted, tell)
    if not quiet:
        show(console, result)
    if wanted.png is not None:
        if all(entry["round_s"] is None for entry in result["fleet"]):
            raise ValueError(f"--png {wanted.png}: no split fits all classes, so there is nothing to draw")
        leave(wanted.png, picture(result), console)
    return result


def plan(path: Path, overrides: Sequence[str], wanted: Wanted, progress: Progress) -> dict[str, Any]:
    """Everything about a scenario's splits and ranks, as plain values; what is unknown is None.

    ``progress`` is told what is being timed. Raises ValueError for bad input, for a class that nothing fits (where a
    split is to be chosen) and for an algorithm that does not cut the model; RunFailed where no round would end.
    """
    scenario = load(path, overrides)
    _check_algorithm(scenario)
    goal = Goal.of(wanted.optimise or ROUND_TIME, wanted.subject_to, wanted.battery_percent_per_hour)
    _check_wanted(path, wanted)
    splits, ranks = splits_of(scenario, wanted.splits), ranks_of(scenario, wanted.ranks)
    cuts = [Cut(split, rank) for rank in ranks for split in splits]
    watch = Stopwatch(scenario)
    rank = ranks[0] if wanted.ranks and len(ranks) == 1 else None
    chooser = Chooser(watch, goal, splits, rank) if wanted.optimise else None
    rows = [row for group in scenario.groups for row in _rows(watch, group, cuts)]
    fleet = _fleets(watch, cuts, progress)
    found = chooser.search(progress) if chooser else _quickest(watch, cuts, fleet)
    best = None if found is None else _best(watch, found, goal)
    if best is not None and found is not None:
        if wanted.out is not None:
            plan_write.write(scenario, found.choice, overrides, wanted.out)
        best["scenario"] = None if wanted.out is None else str(wanted.out)
        best["command"] = _command(scenario, found.choice, path, overrides, wanted.out)
    return {
        "name": scenario.name,
        "algorithm": scenario.algorithm,
        "model": scenario.model.name,
        "timed_as": scenario.timed_model,
        "network": scenario.network.model,
        "rounds_timed": watch.rounds,
        "aggregate_every": scenario.training.aggregate_every,
        "rank": scenario.lora.rank,
        "classes": [_class(watch, group) for group in scenario.groups],
        "rows": rows,
        "fleet": fleet,
        "pareto": [entry for entry in fleet if entry["pareto"]],
        "best": best,
    }


def _check_algorithm(scenario: Scenario) -> None:
    if scenario.traits.holder != "both":
        allowed = [name for name, traits in ALGORITHMS.items() if traits.holder == "both"]
        raise ValueError(
            f"{written_at(scenario, ('algorithm',))}algorithm: {scenario.algorithm} leaves the whole model to the "
            f"{scenario.traits.holder}, so there is no split to plan; allowed: {', '.join(allowed)}"
        )


def _check_wanted(path: Path, wanted: Wanted) -> None:
    if wanted.out is not None:
        if wanted.optimise is None:
            raise ValueError("--out: writes what --optimise chooses; say which: round-time, energy or bytes")
        plan_write.check_out(wanted.out, path)
    if wanted.png is not None:
        check_png(wanted.png)


def _class(watch: Stopwatch, group: Group) -> dict[str, Any]:
    """A class of devices: who they are, what they have, and which figures of their energy and battery are unknown."""
    return {
        "group": group.name,
        "profile": group.profile,
        "devices": group.count,
        "access": group.access,
        "split": group.split,
        "rank": group.rank,
        "usable_bytes": watch.fit(group.name, Cut(group.split, group.rank)).usable_bytes,
        "unknown": lacking(group, watch),
    }


def _rows(watch: Stopwatch, group: Group, cuts: Sequence[Cut]) -> list[dict[str, Any]]:
    """A class at every cut; a step that cannot be held is not timed."""
    rows = [_row(watch, group, cut) for cut in cuts]
    _mark(rows, "step_s")
    return rows


def _row(watch: Stopwatch, group: Group, cut: Cut) -> dict[str, Any]:
    fit = watch.fit(group.name, cut)
    step = watch.step(group.name, cut) if fit.fits else None
    energy_j = step.energy_j if step else None
    bytes_up, bytes_down = watch.bytes_per_round(cut)
    return {
        "profile": group.profile,
        "group": group.name,
        **_cut(cut),
        "step_s": step.step_s if step else None,
        "parts": dict(step.parts) if step else None,
        "memory_bytes": fit.need_bytes,
        "memory_parts": dict(fit.parts),
        "fits": fit.fits,
        "lacks_bytes": {"device": fit.lacks_bytes, "server": fit.server_lacks_bytes},
        "bytes_up": bytes_up,
        "bytes_down": bytes_down,
        "energy_j": energy_j,
        "battery_percent_per_hour": watch.battery_percent_per_hour(group.name, energy_j, step.step_s) if step else None,
    }


def _cut(cut: Cut) -> dict[str, Any]:
    return {"split": cut.split, "rank": cut.rank, "codec": cut.codec}


def _mark(entries: Sequence[dict[str, Any]], seconds: str) -> None:
    """Say of every entry whether it is on the Pareto front of time, energy, bytes and memory.

    An energy that is unknown is left out, for all of them.
    """
    timed = [entry for entry in entries if entry[seconds] is not None]
    axes = [seconds, "memory_bytes"]
    if all(entry["energy_j"] is not None for entry in timed):
        axes.append("energy_j")
    points = [[*(entry[axis] for axis in axes), entry["bytes_up"] + entry["bytes_down"]] for entry in timed]
    for entry in entries:
        entry["pareto"] = False
    for entry, best in zip(timed, front(points), strict=True):
        entry["pareto"] = best


def _fleets(watch: Stopwatch, cuts: Sequence[Cut], progress: Progress) -> list[dict[str, Any]]:
    """The fleet with everybody at every cut."""
    entries = []
    for number, cut in enumerate(cuts, 1):
        progress(f"timing the fleet at split {cut.split}, rank {cut.rank} ({number} of {len(cuts)})")
        entries.append(_fleet(watch, cut))
    _mark(entries, "round_s")
    return entries


def _fleet(watch: Stopwatch, cut: Cut) -> dict[str, Any]:
    names = [group.name for group in watch.scenario.groups]
    fits = {name: watch.fit(name, cut) for name in names}
    too_big = [name for name, fit in fits.items() if not fit.fits]
    timed, reason = None, _why_not(fits) if too_big else None
    if not too_big:
        try:
            timed = watch.fleet(dict.fromkeys(names, cut))
        except RunFailed as error:
            reason = str(error)
    return {
        **_cut(cut),
        **_round(timed),
        "memory_bytes": fits[names[0]].need_bytes,
        "fits": not too_big,
        "does_not_fit": too_big,
        "reason": reason,
    }


def _why_not(fits: Mapping[str, Fit]) -> str:
    devices = [name for name, fit in fits.items() if fit.lacks_bytes]
    return f"does not fit {', '.join(devices)}" if devices else "does not fit the server"


def _round(timed: Timed | None) -> dict[str, Any]:
    """A round of the fleet; None in all its places where there is none."""
    groups = timed.groups if timed else {}
    return {
        "round_s": timed.round_s if timed else None,
        "energy_j": timed.energy_j if timed else None,
        "bytes_up": timed.bytes_up if timed else None,
        "bytes_down": timed.bytes_down if timed else None,
        "groups": {
            name: {"energy_j": used.energy_j, "battery_percent_per_hour": used.battery_percent_per_hour}
            for name, used in groups.items()
        },
    }


def _quickest(watch: Stopwatch, cuts: Sequence[Cut], fleet: Sequence[Mapping[str, Any]]) -> Found | None:
    """The same split for everybody, at the scenario's own rank where that is among those asked for."""
    timed = {cut: entry for cut, entry in zip(cuts, fleet, strict=True) if entry["round_s"] is not None}
    own = watch.scenario.lora.rank
    looked_at = [cut for cut in timed if cut.rank == own] or list(timed)
    if not looked_at:
        return None
    names = [group.name for group in watch.scenario.groups]
    scores = {
        (cut,) * len(names): scored(0.0, timed[cut]["round_s"], timed[cut]["bytes_up"] + timed[cut]["bytes_down"])
        for cut in looked_at
    }
    ranks = sorted({cut.rank for cut in looked_at})
    rank = f"rank {ranks[0]}" if len(ranks) == 1 else "one rank"
    return taken(names, scores, f"of {len(looked_at)} with one split and {rank} for all")


def _best(watch: Stopwatch, found: Found, goal: Goal) -> dict[str, Any]:
    """The choice, how it was found, and what it gains over the scenario as it stands."""
    after = watch.fleet(found.choice)
    try:
        before, reason = watch.as_it_stands(), None
    except (DoesNotFit, RunFailed) as error:
        before, reason = None, str(error)
    return {
        "objective": goal.objective,
        "subject_to": ["memory", "battery"] if goal.battery else ["memory"],
        "battery_percent_per_hour": goal.battery_percent_per_hour,
        "method": found.method,
        "tried": found.tried,
        "splits": {name: cut.split for name, cut in found.choice.items()},
        "ranks": {name: cut.rank for name, cut in found.choice.items()},
        "equals": [{name: cut.split for name, cut in choice.items()} for choice in found.equals],
        "least": None if found.best == found.choice else _least(watch, found.best),
        **_round(after),
        "before": None if before is None else _round(before),
        "before_reason": reason,
        "change": None if before is None else _changes(before, after),
    }


def _least(watch: Stopwatch, choice: Choice) -> dict[str, Any]:
    """The choice of the least time or energy, where one that is as good for all that is known sends less."""
    return {"splits": {name: cut.split for name, cut in choice.items()}, **_round(watch.fleet(choice))}


def _changes(before: Timed, after: Timed) -> dict[str, float | None]:
    """Relative changes: -0.25 is a quarter less; None where one is unknown."""
    pairs = {
        "round_s": (before.round_s, after.round_s),
        "energy_j": (before.energy_j, after.energy_j),
        "bytes": (before.bytes_up + before.bytes_down, after.bytes_up + after.bytes_down),
    }
    return {name: None if a is None or b is None or not a else b / a - 1 for name, (a, b) in pairs.items()}


def _command(scenario: Scenario, choice: Choice, path: Path, overrides: Sequence[str], out: Path | None) -> str:
    """What runs the choice: the written file, or the scenario with further overrides."""
    said = plan_write.settings(scenario, choice) if out is None else {}
    chosen = [f"devices.{number}.{key}={value}" for (number, key), value in said.items()]
    others = plan_write.kept(overrides) if out else list(overrides)
    sets = [word for each in [*others, *chosen] for word in ("--set", each)]
    return shlex.join(["splitwire", "run", str(out or path), *sets])
