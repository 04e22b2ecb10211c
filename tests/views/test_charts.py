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
