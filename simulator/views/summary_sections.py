"""The sections of the summary. Each is a list of lines and tables, empty where nothing is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final, NamedTuple

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from simulator.record import RoundRow
from simulator.views import format as f
from simulator.views.info import RunInfo
from simulator.views.palette import ACCENT, BAD, GOOD, LABEL, STRONG, Pen, ink_of
from simulator.views.pieces import LABEL_WIDTH, grid, line, wrapped
from simulator.views.tally import Traffic

SHARES: Final = (0.75, 0.5, 0.25, 0.1)  # of the perplexity before training
MAX_BAR: Final = 50

Lines = list[RenderableType]


class Reached(NamedTuple):
    """The round after which perplexity was first seen to be at most ``perplexity``; None if it never was."""

    what: str
    perplexity: float
    row: RoundRow | None


def time_to_reach(rounds: Sequence[RoundRow], shares: Sequence[float] = SHARES) -> list[Reached]:
    """When validation perplexity first came down to parts of what it was before training, and to its best.

    Only rounds after which it was taken count, and nothing is interpolated: the virtual time is the end of such a
    round. Empty if it was never taken.
    """
    taken = [row for row in rounds if math.isfinite(row.perplexity)]
    if not taken:
        return []
    before = taken[0].perplexity
    goals = [(f"{f.percent(share, digits=0)} of {f.perplexity(before)}", share * before) for share in shares]
    best = min(row.perplexity for row in taken)
    return [
        Reached(what, goal, next((row for row in taken if row.perplexity <= goal), None))
        for what, goal in [*goals, ("best", best)]
    ]


def learning(rounds: Sequence[RoundRow], pen: Pen) -> Lines:
    """Perplexity before and after, and when it came down how far."""
    taken = [row.perplexity for row in rounds if math.isfinite(row.perplexity)]
    if not taken:
        return [Text("perplexity was not taken: times and bytes only", LABEL)]
    before, after = taken[0], taken[-1]
    value = Text.assemble(
        f"{f.perplexity(before)} {pen.arrow} ",
        (f.perplexity(after), f"bold {ACCENT}"),
        (f"  {f.change(before, after)}", BAD if after > before else GOOD),
        ("  on held-out data  ", LABEL),
    )
    if not pen.ascii_only:
        value.append(f.sparkline(taken, 30), ACCENT)
    return [line("perplexity", value), _reached(rounds)]


def _reached(rounds: Sequence[RoundRow]) -> Table:
    table = grid([[Text(head, LABEL) for head in ("time to reach", "perplexity", "virtual time", "round")]], "lrrr")
    for goal in time_to_reach(rounds):
        number = f.perplexity(goal.perplexity)
        if goal.row is None:
            table.add_row(f"  {goal.what}", number, Text("not reached", LABEL), "")
        else:
            table.add_row(
                f"  {goal.what}", number, Text(f"by {f.duration(goal.row.end_s)}", STRONG), str(goal.row.round)
            )
    return table


def times(rounds: Sequence[RoundRow], summary: Mapping[str, Any]) -> Lines:
    """Both clocks, and how long a round takes in the field."""
    virtual_s, wall_s = float(summary["virtual_s"]), float(summary["wall_s"])
    speed = f", speed-up {f.factor(virtual_s / wall_s)}" if virtual_s and wall_s else ""
    clocks: Lines = [
        _clock("virtual time", f.duration(virtual_s), f"bold {ACCENT}", "in the field, with these devices and links"),
        _clock("real time", f.elapsed(wall_s), STRONG, f"on this machine{speed}"),
    ]
    trained = [row for row in rounds if row.round > 0]
    if not trained:
        return clocks
    spans_s = [row.end_s - row.start_s for row in trained]
    worst_s = max(spans_s)
    row = trained[spans_s.index(worst_s)]
    who = f", {row.slowest} last" if row.slowest else ""
    text = Text.assemble(
        (f.duration(median(spans_s)), STRONG),
        (" median, ", LABEL),
        (f.duration(worst_s), STRONG),
        (f" worst (round {row.round}{who})", LABEL),
    )
    return [*clocks, line("one round", text), *_who_took_part(trained, rounds[0].participants)]


def _who_took_part(rounds: Sequence[RoundRow], everybody: int) -> Lines:
    """How many devices a round had, where it was not always everybody."""
    if all(row.participants == everybody and not row.dropped for row in rounds):
        return []
    counts, dropped = [row.participants for row in rounds], sum(row.dropped for row in rounds)
    late = sum(row.late for row in rounds)
    text = Text.assemble(
        (f"{median(counts):g}", STRONG),
        (f" devices of {everybody:,} in a median round, {min(counts)} to {max(counts)}; ", LABEL),
        (str(dropped), STRONG),
        (f" of {sum(counts)} dropped before they had finished{f', {late} of them as too late' if late else ''}", LABEL),
    )
    return [wrapped("took part", text)]


def _clock(label: str, value: str, style: str, whose: str) -> Text:
    return line(label, Text.assemble((value, style), (f"   {whose}", LABEL)))


def blame(info: RunInfo, summary: Mapping[str, Any], pen: Pen) -> Lines:
    """The parts of the critical path with bars, per cent and who is on it most; who was last most often."""
    parts = {name: seconds for name, seconds in (summary.get("blame") or {}).items() if seconds}
    lines: Lines = []
    names = list(parts)
    wide = max([LABEL_WIDTH + 2, *(len(name) + 2 for name in names)])
    if sum(parts.values()) > 0:
        percents = f.shares(list(parts.values()))
        whose = [_whose(summary, name) for name in names]
        margin = max(map(len, whose)) + 2 if any(whose) else 0
        room = min(MAX_BAR, pen.width - wide - 30 - margin)
        for name, percent, who in zip(names, percents, whose, strict=True):
            text = Text(no_wrap=True).append(f"{name:<{wide}}", LABEL).append(f"{percent:5.1f} %  ", STRONG)
            text.append(f"{f.duration(parts[name]):>15}  {who:<{margin}}", LABEL)
            cells = max(round(percent / max(percents) * room), int(percent > 0))
            lines.append(text.append(pen.glyph(name) * cells, ink_of(name).style))
    slowest = summary.get("slowest") or []
    if slowest:
        most = ", ".join(f"{entry['device']} {entry['rounds_last']}x" for entry in slowest)
        value = Text.assemble(most, (f"   of {info.rounds} rounds", LABEL))
        lines.append(wrapped(f"{'last to finish':<{wide}}", value))
    return lines


def _whose(summary: Mapping[str, Any], part: str) -> str:
    """Who has most of a part of the path, and how much of it: a shared link by its name, else a device."""
    shared = (summary.get("blame_links") or {}).get(part) or {}
    devices = (summary.get("blame_devices") or {}).get(part) or {}
    first = next(iter((shared or devices).items()), None)
    if first is None:
        return ""
    name = first[0].removeprefix("cell.").replace(".", " ")
    return f"{name} {f.percent(first[1] / summary['blame'][part], digits=0)}"


def sizes(info: RunInfo, summary: Mapping[str, Any], traffic: Mapping[str, Traffic]) -> Lines:
    """Bytes up and down, in all and per device, and by kind of message."""
    up, down = summary.get("bytes_up"), summary.get("bytes_down")
    if up is None or down is None:
        return []
    devices = max(1, info.num_devices)
    rows = [("in all", up, down), (f"per {info.noun}, mean", up / devices, down / devices)]
    if traffic:
        most_up = max(each.up_bytes for each in traffic.values())
        most_down = max(each.down_bytes for each in traffic.values())
        rows.append((f"per {info.noun}, most", most_up, most_down))
    table = grid([[Text(head, LABEL) for head in ("", "up", "down")]], "lrr")
    for label, up_bytes, down_bytes in rows:
        table.add_row(Text(label, LABEL), Text(f.size(up_bytes), STRONG), Text(f.size(down_bytes), STRONG))
    by_kind = sorted((summary.get("bytes_by_kind") or {}).items(), key=lambda item: -item[1])
    kinds = ", ".join(f"{kind} {f.size(size_bytes)}" for kind, size_bytes in by_kind)
    return [table, *([wrapped("by kind", kinds)] if kinds else [])]


def closing(info: RunInfo, summary: Mapping[str, Any]) -> Lines:
    """Which numbers are whose, and where the results are."""
    lines: Lines = []
    if info.two_models:
        whose = Text.assemble("numbers: ", (info.model, STRONG), "; time and bytes: ", (str(info.timed_as), STRONG))
        lines.append(line("models", whose))
    if summary.get("trace_hash"):
        lines.append(line("trace hash", Text(str(summary["trace_hash"])[:16], LABEL)))
    if summary.get("folder"):
        lines.append(wrapped("results", Text(str(summary["folder"]), STRONG)))
    return lines
