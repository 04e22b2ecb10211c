"""What a picture shows whoever named the scenario: nothing is cut off, and names are no formulas."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib import image

from simulator.views import charts
from simulator.views.charts import Scale, Series

LONG = "Virtual time: a scenario with a name of many words, losses of one model and times of another (re-timed)"


def pixels(png: bytes) -> np.ndarray:
    return image.imread(io.BytesIO(png), format="png")[:, :, :3]


def heat_map(title: str) -> bytes:
    x, y = Scale("up", ticks=["1", "2"]), Scale("split", ticks=["1", "2"])
    return charts.heat_map(x, y, [[1.0, 2.0], [3.0, 4.0]], shown=Scale("time", "s"), title=title)


def lines(title: str, label: str = "") -> bytes:
    series = [Series(label, [1, 2], [3, 4]), Series("b", [1, 2], [4, 3])]
    return charts.lines(Scale("a"), Scale("b"), series, title=title)


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([2.96, 3.0, 3.54], {"2.96", "3.00", "3.54"}),  # with one decimal the first two were equal
        ([3.0, 3.0, 3.54], {"3.0", "3.5"}),
        ([98.1, 98.4, 12.0], {"98.1", "98.4", "12.0"}),
        ([98.12, 98.14, 12.0], {"98.1", "12.0"}),  # nobody needs the fourth digit
        ([104.2, 250.0, 1234.0], {"104", "250", "1,234"}),
        ([99.8, 100.4], {"99.8", "100.4"}),
    ],
)
def test_numbers_in_a_heat_map_have_as_many_decimals_as_tell_them_apart(values, written, monkeypatch):
    figures = []
    monkeypatch.setattr(charts, "_png", lambda figure: figures.append(figure) or b"")
    x, y = (Scale("", ticks=[str(place) for place in range(count)]) for count in (len(values), 1))
    charts.heat_map(x, y, [values], shown=Scale("plain numbers"), title="")
    assert {text.get_text() for text in figures[0].axes[0].texts} == written


@pytest.mark.parametrize("draw", [heat_map, lines])
def test_a_long_title_goes_on_below_and_stays_within_the_picture(draw):
    found = pixels(draw(f"{LONG} {LONG}"))
    assert (found[:, -3:] == 1).all()
    assert (found[:3] == 1).all()
    assert found.shape == pixels(draw("short")).shape


def test_a_dollar_begins_no_formula_in_a_title_at_a_tick_or_in_a_legend():
    """What matplotlib takes for a formula is drawn otherwise, or raises where it is none, as here."""
    lines(r"from $\here{ to $ there", r"$\here{$")
    x = Scale(r"$\a{$", ticks=[r"$\b{$", "2"])
    charts.heat_map(x, x, [[1.0, 2.0], [3.0, 4.0]], shown=Scale("time", "s"), title="")


@pytest.mark.parametrize("count", [2, 3])
def test_of_lines_that_cover_each_other_all_are_seen(count):
    """Each has its share of the pixels; a line that is apart from the others is whole."""
    xs, ys = [float(x) for x in range(10)], [float(y) for y in (90, 70, 60, 52, 45, 39, 34, 30, 27, 25)]
    covering = [Series("a", [x * (1 + 1e-4 * place) for x in xs], ys) for place in range(count)]
    apart = Series("b", xs, [y / 2 for y in ys])
    scales = [Scale("time", "s")], Scale("perplexity")
    counts = drawn(charts.side_by_side(*scales, [[*covering, apart]], title=""), count + 1)
    assert min(counts[:-1]) > 0.6 * counts[-1] / count
    alone = drawn(charts.side_by_side(*scales, [[covering[0], apart]], title=""), 2)
    assert alone[0] > 0.9 * alone[1]


def drawn(png: bytes, colours: int) -> list[int]:
    """How many pixels have each of the first colours of lines."""
    wanted = [[int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)] for colour in charts.COLOURS[:colours]]
    return [int((abs(pixels(png) - colour) < 0.02).all(axis=2).sum()) for colour in wanted]
