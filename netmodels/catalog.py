"""Classes of access links by name, read from ``catalog.csv``, with a source for every figure.

How to read the table. An empty cell means that no source was found; asking for it is an error, never zero.

* ``down_mbps``, ``up_mbps`` (Mbit/s) and ``rtt_ms`` (round trip; one way is half) are quantiles, ``LEVEL:VALUE`` with
  the level in per cent: ``5:16.7 50:31.2 95:35.5``. A single number is a median of which no spread is known.
* ``kind`` says what the rates were taken over: ``tests`` (whole Speedtests: places, hours, phones), ``seconds`` (single
  seconds of a moving phone, outages included) or ``median``.
* ``down_lag1`` and ``up_lag1`` are autocorrelations of the rate from one second to the next.
* ``radio_on_w`` is paid while the radio is awake: for the transfer and ``tail_s`` after it; ``joules_per_mb_up`` and
  ``joules_per_mb_down`` come on top for each 10^6 bytes.
* ``..._source`` columns say where a figure was seen; those that begin with ``assumed:`` or name general knowledge were
  not measured. ``note`` is for the reader.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from netmodels.markov import MOST_LAG1
from netmodels.quantiles import Quantiles

Kind = Literal["tests", "seconds", "median"]
Figure = Literal[
    "down_bps", "up_bps", "rtt_s", "down_lag1", "up_lag1",
    "radio_on_w", "joules_per_mb_up", "joules_per_mb_down", "tail_s",
]  # fmt: skip

_QUANTILES: Final = {"down_mbps": ("down_bps", 1e6), "up_mbps": ("up_bps", 1e6), "rtt_ms": ("rtt_s", 1e-3)}
_ENERGY: Final = ("radio_on_w", "joules_per_mb_up", "joules_per_mb_down", "tail_s")
_SOURCE_OF: Final[Mapping[str, str]] = {
    "down_bps": "down_source", "up_bps": "up_source", "rtt_s": "rtt_source",
    "down_lag1": "lag1_source", "up_lag1": "lag1_source", **dict.fromkeys(_ENERGY, "energy_source"),
}  # fmt: skip


class UnknownFigureError(ValueError):
    """A figure of a link class for which no source was found."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LinkClass:
    """What is known of one class of access links, in SI units; None means "no source found", never zero.

    Raises ValueError when a figure is negative, an autocorrelation not in 0..0.999, or a rate zero for ever.
    """

    id: str
    name: str = ""
    kind: Kind = "median"
    down_bps: Quantiles | None = None
    up_bps: Quantiles | None = None
    rtt_s: Quantiles | None = None
    down_lag1: float | None = None
    up_lag1: float | None = None
    radio_on_w: float | None = None
    joules_per_mb_up: float | None = None
    joules_per_mb_down: float | None = None
    tail_s: float | None = None
    down_source: str = ""
    up_source: str = ""
    rtt_source: str = ""
    lag1_source: str = ""
    energy_source: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        for figure in ("down_lag1", "up_lag1"):
            value: float | None = getattr(self, figure)
            if value is not None and not 0 <= value <= MOST_LAG1:
                raise ValueError(f"{figure} must be in 0..{MOST_LAG1}, got {value!r}")
        for figure in _ENERGY:
            value = getattr(self, figure)
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"{figure} must be finite and >= 0, got {value!r}")
        for figure in ("down_bps", "up_bps"):
            rates: Quantiles | None = getattr(self, figure)
            if rates is not None and rates.values[-1] == 0:
                raise ValueError(f"{figure} must be above 0 somewhere: a link of no capacity carries nothing for ever")

    def known(self, figure: Figure) -> Any:  # noqa: ANN401 -- Quantiles for rates and times, a number for the rest
        """The figure of that field name; `UnknownFigureError` naming figure and class where no source was found."""
        value = getattr(self, figure)
        if value is None:
            raise UnknownFigureError(f"link class {self.id!r}: {figure} is unknown, no source was found for it")
        return value

    @property
    def provenance(self) -> dict[str, str]:
        """Where each known figure was seen, by field name."""
        known = {figure: source for figure, source in _SOURCE_OF.items() if getattr(self, figure) is not None}
        return {figure: getattr(self, source) for figure, source in known.items()}

    def __repr__(self) -> str:
        """Id and medians, for tracebacks."""
        rates = [rate and rate.median / 1e6 for rate in (self.up_bps, self.down_bps)]
        up, down = ("unknown" if rate is None else f"{rate:g} Mbit/s" for rate in rates)
        return f"<LinkClass {self.id}: {up} up, {down} down>"


@cache
def catalogue() -> Mapping[str, LinkClass]:
    """All classes by id, in the order of the table; read once."""
    return read(files("netmodels").joinpath("catalog.csv").read_text("utf-8").splitlines(), "catalog.csv")


def find(name: str, classes: Mapping[str, LinkClass] | None = None) -> LinkClass:
    """The class of that id, among the shipped ones unless others are given; ValueError with a guess for none."""
    known = catalogue() if classes is None else classes
    if name not in known:
        close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        guess = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown link class {name!r}{guess} (allowed: {', '.join(known)})")
    return known[name]


def extended(path: Path) -> Mapping[str, LinkClass]:
    """The shipped classes and those of a user's own table, which wins where both have an id.

    The table has the columns of ``catalog.csv``, of which only ``id`` is needed: what is left out is unknown.
    Raises ValueError naming file and line.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as a table of link classes: {error}") from None
    return MappingProxyType({**catalogue(), **read(lines, str(path))})


def read(lines: Iterable[str], file: str) -> Mapping[str, LinkClass]:
    """Classes by id from the lines of a table; ValueError naming file, line and column for what is no figure."""
    table = csv.DictReader(lines)
    columns = {field.name for field in fields(LinkClass)} - {figure for figure, _ in _QUANTILES.values()}
    columns |= set(_QUANTILES)
    for column in table.fieldnames or ():
        if column not in columns:
            close = difflib.get_close_matches(str(column), columns, n=1)
            guess = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"{file}:1: unknown column {column!r}{guess} (allowed: {', '.join(sorted(columns))})")
    classes: dict[str, LinkClass] = {}
    for row in table:
        where = f"{file}:{table.line_num}"
        if None in row or None in row.values():
            raise ValueError(f"{where}: must have {len(table.fieldnames or ())} columns, as the first line says")
        link_class = _link_class(row, where)
        if link_class.id in classes:
            raise ValueError(f"{where}: the id {link_class.id!r} is listed twice")
        classes[link_class.id] = link_class
    if not classes:
        raise ValueError(f"{file}: holds no link class; it needs a first line of columns, and a line for each class")
    return MappingProxyType(classes)


def _link_class(row: Mapping[str, str], where: str) -> LinkClass:
    if not row.get("id"):
        raise ValueError(f"{where}: id: missing: the name of the class")
    figures: dict[str, Any] = {}
    for column, text in row.items():
        try:
            if text and column in _QUANTILES:
                field, unit = _QUANTILES[column]
                figures[field] = _quantiles(text, unit)
            elif text:
                number = column in _ENERGY or column.endswith("_lag1")
                figures[column] = _number(text) if number else text
        except ValueError as error:
            raise ValueError(f"{where}: {column}: {error}") from None
    rates = [figures[field] for field in ("down_bps", "up_bps") if field in figures]
    figures.setdefault("kind", "tests" if any(len(rate.levels) > 1 for rate in rates) else "median")
    try:
        return LinkClass(**figures)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _quantiles(text: str, unit: float) -> Quantiles:
    """Quantiles from ``5:16.7 50:31.2``, or from the median alone; each value is taken times `unit`."""
    if ":" not in text:
        return Quantiles([0.5], [_scaled(_number(text), unit)])
    pairs = [part.partition(":") for part in text.split()]
    return Quantiles([_number(level) / 100 for level, _, _ in pairs], [_scaled(_number(v), unit) for _, _, v in pairs])


def _scaled(number: float, unit: float) -> float:
    """Multiply so that decimal figures stay what they are: 57 ms is the float 0.057."""
    return number * unit if unit >= 1 else number / round(1 / unit)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"must be a number or empty, got {text!r}") from None
