"""Finished runs side by side in the terminal: a column for each, as many as fit, the others below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from simulator.views import format as f
from simulator.views.palette import ACCENT, BAD, LABEL, MAX_WIDTH, STRONG
from simulator.views.pieces import wrapped
from simulator.views.reached import NEVER, Reached

LEAST_COLUMN: Final = 17
NAMES: Final = 24  # columns for the names of the rows
MOST_SETTINGS: Final = 40
NOT_TAKEN: Final = "not taken"


class Column(NamedTuple):
    """One run: its name, the contents of its summary.json, and when it came down to each of the perplexities."""

    label: str
    summary: Mapping[str, Any]
    reached: Sequence[Reached | None] | None  # None: no perplexity was taken


def show(
    console: Console,
    runs: Sequence[Column],
    goals: Sequence[float],
    differences: Mapping[str, Sequence[str | None]],
    *,
    mixed: Sequence[str],
) -> None:
    """Print the runs, then the settings in which they differ, by key path and in the order of the runs.

    ``mixed`` names those of them because of which perplexities are of other models or texts.
    """
    width = min(console.width, MAX_WIDTH)
    fit = max(1, (width - NAMES) // LEAST_COLUMN)
    for first in range(0, len(runs), fit):
        places = range(first, min(first + fit, len(runs)))
        console.print(_table([runs[place] for place in places], goals))
    for text in filter(None, map(_unknown_joules, runs)):
        console.print(wrapped("energy", Text(text, LABEL)), width=width)
    told = list(differences.items())[:MOST_SETTINGS]
    for first in range(0, len(runs), fit):
        places = range(first, min(first + fit, len(runs)))
        if told:
            console.print(
                _settings(
                    [runs[place].label for place in places],
                    [(key, [row[place] for place in places]) for key, row in told],
                )
            )
    if len(differences) > len(told):
        console.print(Text(f"  and {len(differences) - len(told):,} more settings that differ", LABEL))
    if not differences:
        console.print(wrapped("settings", Text("equal in all runs, but for the names", LABEL)), width=width)
    if mixed and goals:
        text = f"perplexities are not those of one model on the same texts (differing: {', '.join(mixed)})"
        console.print(wrapped("mind", Text(text, BAD)), width=width)


def _table(runs: Sequence[Column], goals: Sequence[float]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style=f"bold {ACCENT}", pad_edge=False)
    table.add_column("", style=LABEL, no_wrap=True, min_width=NAMES - 2)
    for run in runs:
        table.add_column(run.label, justify="right", overflow="fold")
    for label, cells, style in _rows(runs, goals):
        table.add_row(label, *cells, style=style)
    return table


def _rows(runs: Sequence[Column], goals: Sequence[float]) -> Iterator[tuple[str, list[str], str | None]]:
    """The rows in groups: what it is, what it learned, what it cost, where the time went."""
    summaries = [run.summary for run in runs]
    yield "algorithm", [str(each.get("algorithm", f.UNKNOWN)) for each in summaries], None
    yield "losses of", [_whose(each) for each in summaries], None
    yield "time and bytes of", [str(each.get("timed_as") or each.get("model") or f.UNKNOWN) for each in summaries], None
    yield "virtual time", [f.duration(float(each["virtual_s"])) for each in summaries], STRONG
    if goals:
        for key, label, style in (("_before", "before", None), ("", "after", STRONG)):
            yield f"perplexity {label}", [_perplexity(each.get(f"perplexity{key}")) for each in summaries], style
    for place, goal in enumerate(goals):
        yield f"by perplexity {f.perplexity(goal)}", [_when(run, place) for run in runs], None
    trained = [run.reached for run in runs if run.reached is not None]
    by_all = [place for place in range(len(goals)) if all(each[place] for each in trained)]
    for place in by_all[-1:]:
        yield f"bytes by {f.perplexity(goals[place])}", [_bytes_by(run, place) for run in runs], None
    for name, label in (("bytes_up", "bytes up"), ("bytes_down", "bytes down")):
        yield label, [f.UNKNOWN if each.get(name) is None else f.size(each[name]) for each in summaries], None
    yield "energy of the devices", [_joules(each) for each in summaries], None
    yield "dropped", [str(each.get("dropped", f.UNKNOWN)) for each in summaries], None
    blames = [each.get("blame") or {} for each in summaries]
    shares = [dict(zip(each, f.shares(list(each.values())), strict=True)) for each in blames]
    for part in dict.fromkeys(part for each in blames for part, seconds in each.items() if seconds):
        pairs = zip(shares, blames, strict=True)
        yield part, [f"{f.duration(each.get(part, 0.0))} {share.get(part, 0.0):5.1f} %" for share, each in pairs], None


def _settings(labels: Sequence[str], rows: Sequence[tuple[str, Sequence[str | None]]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style=f"bold {ACCENT}", pad_edge=False)
    table.add_column("what differs", style=LABEL, overflow="fold", min_width=NAMES - 2)
    for label in labels:
        table.add_column(label, justify="right", overflow="fold")
    for key, values in rows:
        table.add_row(key, *("" if value is None else value for value in values))
    return table


def _when(run: Column, place: int) -> str:
    if run.reached is None:
        return NOT_TAKEN
    found = run.reached[place]
    return NEVER if found is None else f.duration(found.virtual_s)


def _bytes_by(run: Column, place: int) -> str:
    found = run.reached[place] if run.reached else None
    return NOT_TAKEN if found is None else f.size(found.size_bytes)


def _whose(summary: Mapping[str, Any]) -> str:
    return "timing only" if summary.get("perplexity") is None else str(summary.get("model", f.UNKNOWN))


def _perplexity(value: float | None) -> str:
    return NOT_TAKEN if value is None else f.perplexity(value)


def _joules(summary: Mapping[str, Any]) -> str:
    counted = summary.get("energy_j")
    if not counted:  # of a version that did not count them
        return f.UNKNOWN
    total = counted.get("devices", {}).get("total")
    return "unknown" if total is None else f.energy(total)


def _unknown_joules(run: Column) -> str | None:
    """Whose joules are unknown in a run, and why; and what those of the others are. None where all are known."""
    groups = (run.summary.get("energy_j") or {}).get("by_group") or {}
    known = {name: parts["total"] for name, parts in groups.items() if parts["total"] is not None}
    if len(known) == len(groups):
        return None
    reasons = run.summary.get("energy_unknown") or {}
    missing = {name: reasons.get(name, ["?"]) for name in groups if name not in known}
    others = f"{f.energy(sum(known.values()))} for {', '.join(known)}, " if known else ""
    return f"{run.label}: {others}unknown for {f.by_cause(missing)}"
