"""Pictures of studies and comparisons: heat map, lines, Pareto front, perplexity. Data in, PNG out, in one style."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from simulator.views import format as f

if TYPE_CHECKING:  # 0.4 s that a study need not wait for before it draws
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B4C9A", "#7F7F7F")
"""Okabe and Ito's, which people of all kinds of colour vision tell apart, and two more."""
MARKS: Final = "osD^vPX*"
INK, PALE, FAINT = "#222222", "#777777", "#E4E4E4"
DPI: Final = 150
MOST_SERIES: Final = len(COLOURS)
FEW: Final = 40  # points: so many have marks, and cells of a heat map their number
COVERS: Final = 0.005  # lines are drawn as one that are apart by less than this share of their values and of the axis
DASH: Final = 5.0  # in widths of a line
LOG_FROM: Final = 20.0  # a positive axis whose ends lie this factor apart is logarithmic


class Unit(NamedTuple):
    """What numbers on an axis are divided by, and the name of what is left."""

    worth: float
    name: str


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one kind, joined by a line in their order."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float]


@dataclass(frozen=True, slots=True)
class Bars:
    """Horizontal bars that are made of parts: ``parts[k].xs`` has that part of each bar."""

    x: Scale
    labels: Sequence[str]
    parts: Sequence[Series]


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis: what it shows, and how: ``unit`` is "s", "B", "J", another SI unit or "" for plain numbers.

    ``ticks`` are the names of categories at 0, 1, 2, ...
    """

    title: str
    unit: str = ""
    ticks: Sequence[str] | None = None


def unit_for(values: Sequence[float], unit: str) -> Unit:
    """The unit in which the greatest of some values is read most easily."""
    most = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if unit == "s":
        steps = [(86400 * 3, 86400.0, "d"), (3600 * 3, 3600.0, "h"), (60 * 5, 60.0, "min"), (0.5, 1.0, "s")]
        worth, name = next(((worth, name) for least, worth, name in steps if most >= least), (1e-3, "ms"))
        return Unit(worth, name)
    if not unit:
        return Unit(1.0, "")
    for prefix, worth in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if most >= worth:
            return Unit(worth, f"{prefix}{unit}")
    return Unit(1.0, unit)


def check_png(path: Path) -> None:
    """Refuse a file in which no picture can be left, before there is one. Raises ValueError."""
    if path.suffix.lower() != ".png":
        raise ValueError(f"--png {path}: must end with .png")
    if not path.parent.is_dir():
        raise ValueError(f"--png {path}: there is no folder {path.parent}")


def heat_map(x: Scale, y: Scale, values: Sequence[Sequence[float | None]], *, shown: Scale, title: str) -> bytes:
    """A value for every pair of two axes' points; ``values[row][column]`` with the first row at the bottom.

    What has no value stays empty. The lowest value has a frame.
    """
    assert x.ticks is not None, "a heat map's axes have a name for each point"
    assert y.ticks is not None, "a heat map's axes have a name for each point"
    known = [value for row in values for value in row if value is not None]
    unit = unit_for(known, shown.unit)
    numbers = [[math.nan if value is None else value / unit.worth for value in row] for row in values]
    wide, high = len(x.ticks), len(y.ticks)
    figure, axes = _figure(
        title, width=min(max(5.0, 2.4 + 0.75 * wide), 12.0), height=min(max(3.2, 1.8 + 0.42 * high), 9.0)
    )
    log = min(known) > 0 and max(known) / min(known) >= LOG_FROM
    image = axes.imshow(numbers, aspect="auto", origin="lower", cmap="viridis_r", norm="log" if log else "linear")
    _name_ticks(axes, x, y)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    if wide * high <= 4 * FEW:
        _write_numbers(axes, numbers, log=log)
    best = min(known) / unit.worth
    row, column = next((i, j) for i, line in enumerate(numbers) for j, value in enumerate(line) if value == best)
    axes.add_patch(_frame(column, row))
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label(_titled(shown, unit), color=PALE)
    bar.ax.tick_params(which="both", colors=PALE, labelsize=8, length=0)
    return _png(figure)


def lines(x: Scale, y: Scale, series: Sequence[Series], *, title: str) -> bytes:
    """Lines over one axis."""
    figure, axes = _figure(title)
    _draw_lines(axes, x, y, series, step=False)
    _legend(axes, series)
    return _png(figure)


def side_by_side(
    xs: Sequence[Scale], y: Scale, series: Sequence[Sequence[Series]], *, title: str, target: float | None = None
) -> bytes:
    """The same quantity over several axes, such as perplexity over time and over bytes; it holds until seen anew."""
    figure, panels = _panels(title, len(xs))
    _draw_side_by_side(panels, xs, y, series, target)
    return _png(figure)


def comparison(
    xs: Sequence[Scale], y: Scale, series: Sequence[Sequence[Series]], bars: Bars, *, target: float | None
) -> bytes:
    """As `side_by_side`, and bars beside it; the bars alone where ``xs`` is empty."""
    figure, panels = _panels("", len(xs) + 1, height=max(4.2, 1.6 + 0.45 * len(bars.labels)))
    if xs:
        _draw_side_by_side(panels[:-1], xs, y, series, target)
        panels[0].set_title("Perplexity on held-out data", loc="left", fontsize=10, color=INK, pad=10)
    _draw_bars(panels[-1], bars)
    panels[-1].set_title("Where the virtual time went", loc="left", fontsize=10, color=INK, pad=10)
    return _png(figure)


def scatter(x: Scale, y: Scale, groups: Sequence[Series], front: Sequence[int] | None, *, title: str) -> bytes:
    """Points by group; ``front`` has the places, over all groups in turn, of those that no other beats in both."""
    figure, axes = _figure(title)
    points = [(px, py) for each in groups for px, py in zip(each.xs, each.ys, strict=True)]
    x_unit, y_unit = _set_scales(axes, x, y, [px for px, _ in points], [py for _, py in points])
    best = sorted((points[place][0] / x_unit.worth, points[place][1] / y_unit.worth) for place in front or ())
    if best:
        axes.step(
            [px for px, _ in best],
            [py for _, py in best],
            where="post",
            color=PALE,
            linewidth=1,
            zorder=1,
            label="Pareto front",
        )
    for place, each in enumerate(groups):
        colour, mark = COLOURS[place % MOST_SERIES], MARKS[place % len(MARKS)]
        px, py = [value / x_unit.worth for value in each.xs], [value / y_unit.worth for value in each.ys]
        axes.scatter(px, py, s=26, color=colour, marker=mark, label=each.label, alpha=0.85, linewidths=0, zorder=2)
    if best:
        axes.scatter(
            [px for px, _ in best],
            [py for _, py in best],
            s=70,
            facecolors="none",
            edgecolors=INK,
            linewidths=0.9,
            zorder=3,
        )
    if len(groups) > 1 or best:
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)
    return _png(figure)


def front_of(points: Sequence[tuple[float, float]]) -> list[int]:
    """The places of the points that no other beats: none is lower in one and at most as high in the other."""
    found: list[int] = []
    for place in sorted(range(len(points)), key=points.__getitem__):
        if not found or points[place][1] < points[found[-1]][1]:
            found.append(place)
    return found


def _figure(title: str, *, width: float = 7.2, height: float = 4.2) -> tuple[Figure, Axes]:
    figure, panels = _panels(title, 1, width=width, height=height)
    return figure, panels[0]


def _panels(title: str, count: int, *, width: float | None = None, height: float = 4.2) -> tuple[Figure, list[Axes]]:
    """An empty picture in the house style. No global state is touched, and no window is opened."""
    from matplotlib.figure import Figure  # noqa: PLC0415 -- see above

    figure = Figure(figsize=(width or (7.2 if count == 1 else 5.2 * count), height), dpi=DPI, layout="constrained")
    panels = [figure.add_subplot(1, count, place + 1) for place in range(count)]
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(FAINT)
        axes.grid(color=FAINT, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(which="both", colors=PALE, labelsize=8, length=0)
        axes.xaxis.label.set_color(PALE)
        axes.yaxis.label.set_color(PALE)
    escaped = title.replace("$", r"\$")  # to break lines matplotlib takes what is between two for a formula, see _png
    panels[0].set_title(escaped, loc="left", fontsize=10, color=INK, pad=10, wrap=True)
    return figure, panels


def _draw_side_by_side(
    panels: Sequence[Axes], xs: Sequence[Scale], y: Scale, series: Sequence[Sequence[Series]], target: float | None
) -> None:
    for axes in panels[1:]:
        axes.sharey(panels[0])
    for axes, x, each in zip(panels, xs, series, strict=True):
        _draw_lines(axes, x, y, _sent_something(x, each), step=True)
        if target is not None:
            axes.axhline(target, color=PALE, linewidth=0.8, linestyle=(0, (4, 3)))
    if target is not None:
        panels[-1].annotate(
            f"{f.perplexity(target)}", (1, target), xycoords=("axes fraction", "data"), textcoords="offset points",
            xytext=(4, 0), va="center", color=PALE, fontsize=8,
        )  # fmt: skip
    _legend(panels[0], series[0])


def _draw_bars(axes: Axes, bars: Bars) -> None:
    totals = [sum(each.xs[place] for each in bars.parts) for place in range(len(bars.labels))]
    unit = unit_for(totals, bars.x.unit)
    left = [0.0] * len(bars.labels)
    for place, each in enumerate(bars.parts):
        widths = [value / unit.worth for value in each.xs]
        axes.barh(
            range(len(bars.labels)), widths, left=left, height=0.62, label=each.label, linewidth=0, edgecolor="white",
            color=COLOURS[place % MOST_SERIES], hatch="///" if place >= MOST_SERIES else None,
        )  # fmt: skip
        left = [begin + width for begin, width in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(bars.labels)), bars.labels)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(_titled(bars.x, unit))
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper left", bbox_to_anchor=(0, -0.14), labelcolor=INK)


def _draw_lines(axes: Axes, x: Scale, y: Scale, series: Sequence[Series], *, step: bool) -> None:
    x_unit, y_unit = _set_scales(
        axes, x, y, [value for each in series for value in each.xs], [value for each in series for value in each.ys]
    )
    for place, (each, (turn, of)) in enumerate(zip(series, _turns(series), strict=True)):
        colour = COLOURS[place % MOST_SERIES]
        xs, ys = [value / x_unit.worth for value in each.xs], [value / y_unit.worth for value in each.ys]
        style: dict[str, Any] = {"drawstyle": "steps-post"} if step else {}
        if of > 1:
            dashes = (turn * DASH, (DASH, (of - 1) * DASH))
            style |= {"linestyle": dashes, "dash_capstyle": "butt", "markevery": (turn, of) if len(xs) >= of else None}
        mark = MARKS[place % len(MARKS)] if len(xs) <= FEW else None
        axes.plot(xs, ys, color=colour, linewidth=1.6, marker=mark, markersize=3.5, label=each.label, **style)


def _turns(series: Sequence[Series]) -> list[tuple[int, int]]:
    """Of each line, its place among those that would cover it, and how many they are: they take turns in dashes."""
    spans = [
        max(values, default=0.0) - min(values, default=0.0)
        for values in ([x for each in series for x in each.xs], [y for each in series for y in each.ys])
    ]
    groups: list[list[int]] = []
    for place, each in enumerate(series):
        group = next((group for group in groups if _covers(each, series[group[0]], spans)), None)
        if group is None:
            groups.append([place])
        else:
            group.append(place)
    turns = {place: (turn, len(group)) for group in groups for turn, place in enumerate(group)}
    return [turns[place] for place in range(len(series))]


def _covers(one: Series, other: Series, spans: Sequence[float]) -> bool:
    return len(one.xs) == len(other.xs) and all(
        abs(a - b) <= COVERS * min(abs(a), span)
        for mine, others, span in zip((one.xs, one.ys), (other.xs, other.ys), spans, strict=True)
        for a, b in zip(mine, others, strict=True)
    )


def _set_scales(axes: Axes, x: Scale, y: Scale, xs: Sequence[float], ys: Sequence[float]) -> tuple[Unit, Unit]:
    """Name both axes and choose their scales; returns the units in which to draw."""
    units: list[Unit] = []
    for scale, values, name, set_scale in (
        (x, xs, axes.set_xlabel, axes.set_xscale),
        (y, ys, axes.set_ylabel, axes.set_yscale),
    ):
        unit = unit_for(values, scale.unit)
        units.append(unit)
        name(_titled(scale, unit))
        if scale.unit != "s" and min(values, default=0) > 0 and max(values) / min(values) >= LOG_FROM:
            set_scale("log")
    return units[0], units[1]


def _log_ticks(axis: Axis) -> None:
    """Ticks at 1, 2, 5, 10, ..., as plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter  # noqa: PLC0415 -- see above

    low, high = axis.get_view_interval()
    few = low > 0 and high / low < 1e3
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axis.set_major_formatter(_plain_number)
    axis.set_minor_formatter(NullFormatter())


def _sent_something(x: Scale, series: Sequence[Series]) -> Sequence[Series]:
    """Without the points at 0 bytes, where the ends lie so far apart that only a logarithmic axis shows them all."""
    ends = [each.xs[-1] for each in series if each.xs and each.xs[-1] > 0]
    if x.unit != "B" or not ends or max(ends) / min(ends) < LOG_FROM:
        return series
    kept = [[(px, py) for px, py in zip(each.xs, each.ys, strict=True) if px > 0] for each in series]
    return [
        Series(each.label, [px for px, _ in points], [py for _, py in points])
        for each, points in zip(series, kept, strict=True)
    ]


def _plain_number(value: float, _: object = None) -> str:
    return f"{value:g}"


def _name_ticks(axes: Axes, x: Scale, y: Scale) -> None:
    assert x.ticks is not None, "named"
    assert y.ticks is not None, "named"
    for scale, set_ticks, name in ((x, axes.set_xticks, axes.set_xlabel), (y, axes.set_yticks, axes.set_ylabel)):
        assert scale.ticks is not None, "named"
        every = math.ceil(len(scale.ticks) / 16)
        places = range(0, len(scale.ticks), every)
        set_ticks(list(places), [scale.ticks[place] for place in places])
        name(scale.title)
    if max(len(tick) for tick in x.ticks) * len(x.ticks) > 90:
        axes.tick_params(axis="x", labelrotation=35)


def _write_numbers(axes: Axes, numbers: Sequence[Sequence[float]], *, log: bool) -> None:
    known = sorted(value for row in numbers for value in row if math.isfinite(value))
    middle = math.sqrt(known[0] * known[-1]) if log else (known[0] + known[-1]) / 2
    digits = _digits(known)
    for i, row in enumerate(numbers):
        for j, value in enumerate(row):
            if math.isfinite(value):
                colour = "white" if value > middle else INK
                axes.text(j, i, f"{value:,.{digits}f}", ha="center", va="center", fontsize=7.5, color=colour)
            else:
                axes.text(j, i, "-", ha="center", va="center", fontsize=7.5, color=PALE)


def _digits(values: Sequence[float]) -> int:
    """Decimals: none from 100 on and one below, and one more where values differ that would look equal, to 3 digits."""
    least = 0 if max(values) >= 100 else 1
    apart = len({f"{value:.3g}" for value in values})
    return least if len({f"{value:.{least}f}" for value in values}) >= apart else least + 1


def _frame(column: int, row: int) -> Any:  # noqa: ANN401 -- a patch of a library that is not loaded yet
    from matplotlib.patches import Rectangle  # noqa: PLC0415 -- see above

    return Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=COLOURS[1], linewidth=1.8)


def _titled(scale: Scale, unit: Unit) -> str:
    return f"{scale.title} ({unit.name})" if unit.name else scale.title


def _legend(axes: Axes, series: Sequence[Series]) -> None:
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)


def _png(figure: Figure) -> bytes:
    """The picture; equal data give equal bytes. Names are shown as they are: "$5" begins no formula."""
    from matplotlib import rc_context  # noqa: PLC0415 -- see above
    from matplotlib.text import Text  # noqa: PLC0415

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                _log_ticks(axis)
    data = io.BytesIO()
    with rc_context({"text.parse_math": False}):  # for texts that are made only now, such as those at ticks
        for text in figure.findobj(Text):
            assert isinstance(text, Text)
            text.set_parse_math(text.get_wrap())  # a title's are escaped
        figure.savefig(data, format="png", facecolor="white", metadata={"Software": None})
    return data.getvalue()
