"""The classes of access links as a table, and as JSON; every figure with its source."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from netmodels.catalog import LinkClass
from netmodels.quantiles import Quantiles
from simulator.scenario.access import as_measured

UNKNOWN: Final = "?"
LEVELS: Final = np.array([0.05, 0.5, 0.95])
RATES: Final = ("class", "up\nMbit/s", "down\nMbit/s", "round trip\nms", "lag 1\nup down", "\nvary")
RADIO: Final = ("class", "awake\nW", "J/MB\nup down", "tail\ns")
SOURCES: Final = {
    "up": "up_source",
    "down": "down_source",
    "round trip": "rtt_source",
    "lag 1": "lag1_source",
    "energy": "energy_source",
    "note": "note",
}


def matching(classes: Mapping[str, LinkClass], text: str | None) -> list[LinkClass]:
    """The classes in whose id, name, kind or sources the text stands, whatever its case; all of them for none.

    Raises ValueError with a guess where it stands in none.
    """
    wanted = (text or "").lower()
    found = [each for each in classes.values() if any(wanted in words.lower() for words in _words(each))]
    if not found:
        close = difflib.get_close_matches(wanted, classes, n=1)
        guess = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"no link class matches {text!r}{guess} (all of them: {', '.join(classes)})")
    return found


def as_json(classes: list[LinkClass]) -> dict[str, Any]:
    """One JSON object: SI units, unknown figures are null."""
    return {"links": [{**asdict(each), "vary": _vary(each)} for each in classes]}


def show(classes: list[LinkClass], console: Console) -> None:
    """Print the classes as two tables that fit 80 columns, then where their figures come from."""
    rates, radio = _table(RATES), _table(RADIO)
    for each in classes:
        rates.add_row(
            each.id,
            _spread(each.up_bps, 1e6),
            _spread(each.down_bps, 1e6),
            _spread(each.rtt_s, 1e-3),
            _pair(each.up_lag1, each.down_lag1),
            _vary(each),
        )
        radio.add_row(
            each.id,
            _figure(each.radio_on_w),
            _pair(each.joules_per_mb_up, each.joules_per_mb_down),
            _figure(each.tail_s),
        )
    console.print(rates)
    console.print("\nRates and times: 5 %, median, 95 % where known, else the median alone; ? is unknown, not zero.")
    console.print("vary: ar1, from second to second; once, each device draws its own; no, all have the median.\n")
    console.print(radio)
    console.print(
        "\nRadio: what it takes while awake and for each megabyte, and how long it stays awake after the last.\n"
    )
    for each in classes:
        console.print(f"[bold]{each.id}[/bold]: {each.name}", highlight=False)
        for source, figures in _sources(each).items():
            console.print(f"  {', '.join(figures)}: {source}", highlight=False, markup=False)


def _table(headings: tuple[str, ...]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "class" else "right", no_wrap=True)
    return table


def _words(each: LinkClass) -> list[str]:
    return [each.id, each.name, each.kind, *(getattr(each, source) for source in SOURCES.values())]


def _sources(each: LinkClass) -> dict[str, list[str]]:
    """What is known from where: figures of one source together."""
    sources: dict[str, list[str]] = {}
    for figure, field in SOURCES.items():
        if getattr(each, field):
            sources.setdefault(getattr(each, field), []).append(figure)
    return sources


def _spread(figure: Quantiles | None, unit: float) -> str:
    if figure is None:
        return UNKNOWN
    values = figure.at(LEVELS) / unit if len(figure.levels) > 1 else [figure.median / unit]
    return " ".join(f"{value:.3g}" if value < 100 else f"{value:.0f}" for value in values)


def _vary(each: LinkClass) -> str:
    """How the rates vary where a scenario leaves it open."""
    spread = any(rates is not None and len(rates.levels) > 1 for rates in (each.up_bps, each.down_bps))
    return as_measured(each) if spread else "no"


def _pair(first: float | None, second: float | None) -> str:
    return UNKNOWN if first is None and second is None else f"{_figure(first)} {_figure(second)}"


def _figure(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3g}" if value >= 1 else f"{value:.2g}"
