"""A study's pictures: virtual time over one axis or two, time against bytes and perplexity, and how perplexity fell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Final

from rich.console import Console

from simulator.scenario.values import measured
from simulator.views import charts
from simulator.views import format as f
from simulator.views.charts import Scale, Series
from simulator.views.pieces import wrapped
from simulator.views.study import short
from simulator.whatif.goals import Curve, reached
from simulator.whatif.grid import SEED, Axis
from simulator.whatif.table import Row

TIME: Final = Scale("virtual time", "s")
BYTES: Final = Scale("bytes up and down", "B")
PERPLEXITY: Final = Scale("perplexity")
HEAT, LINES, PARETO, PARETO_LOSS, PARETO_TARGET, FELL = FILES = (
    "heatmap.png",
    "virtual_time.png",
    "pareto.png",
    "pareto_perplexity.png",
    "pareto_target.png",
    "perplexity.png",
)


def leave(path: Path, png: bytes, console: Console) -> None:
    """Write a picture that was asked for and say so, also where it takes another file's place. OSError if it cannot."""
    replaced = "   (in place of the file that was there)" if path.exists() else ""
    path.write_bytes(png)
    console.print(wrapped("picture", f"{path}{replaced}"))


def pictures(
    name: str, axes: Sequence[Axis], rows: Sequence[Row], curves: Sequence[Curve], target: float | None
) -> Iterable[tuple[str, bytes]]:
    """File names and PNGs of whatever can be drawn. ``rows`` as in study.csv; means are taken over seeds."""
    rows = [row for row in rows if row["status"] == "done"]
    ways = "/".join(dict.fromkeys(row["way"] for row in rows))
    varied = _varied(axes)
    seeds = next((len(axis.points) for axis in axes if axis.name == SEED), 1)
    title = f"{name} ({ways}{f', mean of {seeds} seeds' if seeds > 1 else ''})"
    if len(varied) == 2:
        yield HEAT, _heat_map(varied, rows, title)
    over = max((axis for axis in varied if _numeric(axis)), key=lambda axis: len(axis.points), default=None)
    groups = _grouped(rows, [axis for axis in varied if axis is not over])
    if over is not None and len(groups) <= charts.MOST_SERIES:
        yield LINES, _lines(over, groups, title)
    if len(rows) > 1:
        yield from _pareto(varied, rows, title, target)
    if curves:
        shown = told_apart(axes, curves, target)
        few = f", {len(shown)} of {len(curves) // seeds}" if len(shown) < len(curves) // seeds else ""
        yield FELL, perplexity(shown, f"{title}{few}", target)


def _label(axis: Axis, point: int) -> str:
    """A point's name: its value, or of several the first column, which counts or names them."""
    return next(iter(axis.points[point].columns.values()))


def _numeric(axis: Axis) -> bool:
    """Whether all of the axis' points are one quantity of one kind."""
    found = [measured(next(iter(point.columns.values()))) for point in axis.points if len(point.columns) == 1]
    return len(found) == len(axis.points) and None not in found and len({each[1] for each in found if each}) == 1


def _grouped(rows: Sequence[Row], axes: Sequence[Axis]) -> dict[str, list[Row]]:
    """The rows by their place on these axes, named."""
    names = [next(iter(axis.points[0].columns)) for axis in axes]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        parts = [value if axis.name in {"algorithm", "variant"} else f"{short(name, names)} {value}"
                 for axis, name, value in zip(axes, names, (row[name] for name in names), strict=True)]  # fmt: skip
        groups.setdefault(", ".join(parts), []).append(row)
    return groups


def _heat_map(axes: Sequence[Axis], rows: Sequence[Row], title: str) -> bytes:
    wide, high = sorted(axes, key=_numeric, reverse=True)
    x, y = ([_label(axis, point) for point in range(len(axis.points))] for axis in (wide, high))
    times: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        times.setdefault((row[wide.name], row[high.name]), []).append(row["virtual_s"])
    values = [[fmean(times[column, line]) if (column, line) in times else None for column in x] for line in y]
    names = [axis.name for axis in axes]
    across, up = Scale(short(wide.name, names), ticks=x), Scale(short(high.name, names), ticks=y)
    return charts.heat_map(across, up, values, shown=TIME, title=f"Virtual time: {title}")


def _lines(over: Axis, groups: Mapping[str, Sequence[Row]], title: str) -> bytes:
    first = measured(over.points[0].columns[over.name])
    found: list[Series] = []
    for label, rows in groups.items():
        points: dict[float, list[float]] = {}
        for row in rows:
            number = measured(row[over.name])
            assert number is not None, "the axis is numeric"
            points.setdefault(number[0], []).append(row["virtual_s"])
        ordered = sorted(points.items())
        found.append(Series(label, [x for x, _ in ordered], [fmean(ys) for _, ys in ordered]))
    return charts.lines(Scale(over.name, first[1] if first else ""), TIME, found, title=f"Virtual time: {title}")


def _pareto(axes: Sequence[Axis], rows: Sequence[Row], title: str, target: float | None) -> Iterable[tuple[str, bytes]]:
    """Time against bytes, and against perplexity where it is known; of those who come to the target both until then."""
    kinds = [axis for axis in axes if not _numeric(axis) and len(axis.points) <= charts.MOST_SERIES]
    groups = _grouped(rows, kinds)
    groups = groups if len(groups) <= charts.MOST_SERIES else {"": list(rows)}
    goal = "" if target is None else f" to perplexity {f.perplexity(target)}"
    to_target = replace(TIME, title=f"{TIME.title}{goal}"), replace(BYTES, title=f"{BYTES.title}{goal}")
    for file, (x, y), (across, up) in (
        (PARETO, ("virtual_s", "bytes"), (TIME, BYTES)),
        (PARETO_LOSS, ("virtual_s", "perplexity"), (TIME, PERPLEXITY)),
        (PARETO_TARGET, ("to_target_s", "to_target_bytes"), to_target),
    ):
        kept = {label: [row for row in group if row[y] is not None] for label, group in groups.items()}
        ordered = [row for group in kept.values() for row in group]
        if len(ordered) > 1:
            front = charts.front_of([(row[x], row[y]) for row in ordered])
            series = [
                Series(label, [row[x] for row in group], [row[y] for row in group]) for label, group in kept.items()
            ]
            yield file, charts.scatter(across, up, series, front, title=f"Time and {up.title}: {title}")


def told_apart(axes: Sequence[Axis], curves: Sequence[Curve], target: float | None) -> dict[str, Curve]:
    """Curves of the first seed by name, as many as can be told apart.

    Of more: of each algorithm, variant, ... the one that is quickest to the target; without such, evenly over all.
    """
    varied = _varied(axes)
    named: dict[str, Curve] = {}
    for curve in curves:
        named.setdefault(_name(curve, varied), curve)
    if len(named) <= charts.MOST_SERIES:
        return named
    kinds = [axis for axis in varied if not _numeric(axis)]
    first: dict[str, str] = {}
    for label in sorted(named, key=lambda label: _when(named[label], target)):
        first.setdefault(_name(named[label], kinds), label)
    labels, last = list(named), charts.MOST_SERIES - 1
    spread = [labels[place * (len(labels) - 1) // last] for place in range(charts.MOST_SERIES)]
    chosen = list(first.values())[: charts.MOST_SERIES] if kinds else spread
    return {label: curve for label, curve in named.items() if label in chosen}


def _varied(axes: Sequence[Axis]) -> list[Axis]:
    return [axis for axis in axes if axis.name != SEED and len(axis.points) > 1]


def perplexity(shown: Mapping[str, Curve], title: str, target: float | None) -> bytes:
    """Perplexity over virtual time and over bytes."""
    times = [Series(label, [m.virtual_s for m in each.moments], _perplexities(each)) for label, each in shown.items()]
    sizes = [
        Series(label, [float(m.bytes_up + m.bytes_down) for m in each.moments], _perplexities(each))
        for label, each in shown.items()
    ]
    title = f"Perplexity on held-out data: {title}"
    return charts.side_by_side([TIME, BYTES], PERPLEXITY, [times, sizes], title=title, target=target)


def _name(curve: Curve, axes: Sequence[Axis]) -> str:
    return next(iter(_grouped([dict(curve.columns)], axes)))


def _when(curve: Curve, target: float | None) -> tuple[float, float]:
    """When a cell came down to the target, then how far it came in the end."""
    moment = reached(curve.moments, target)
    return (math.inf if moment is None else moment.virtual_s), curve.moments[-1].perplexity or math.inf


def _perplexities(curve: Curve) -> list[float]:
    return [moment.perplexity for moment in curve.moments if moment.perplexity is not None]
