"""Numbers as people read them. Pure functions; what is not known (nan) is shown as a dash."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

UNKNOWN: Final = "-"
MINUS: Final = "\N{MINUS SIGN}"
BLOCKS: Final = "▁▂▃▄▅▆▇█"

_PREFIXES: Final = ("", "k", "M", "G", "T", "P", "E")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def duration(seconds: float, *, digits: int = 0) -> str:
    """A time span: "412 ms", "8.1 s", "14 min 20 s", "1 h 02 min 03 s", "3 d 4 h".

    ``digits`` is the number of decimals of the seconds from one minute on; below, seconds have one. Rounded to
    nearest, so 59.96 s is "1 min 00 s". nan is a dash, infinity is "forever".
    """
    if math.isnan(seconds):
        return UNKNOWN
    if seconds < 0:
        return f"-{duration(-seconds, digits=digits)}"
    if math.isinf(seconds):
        return "forever"
    if round(seconds, 1) < _MINUTE:
        return _short(seconds)
    whole = round(seconds, digits)
    if whole >= _DAY:
        return _days(seconds)
    width = 2 if digits == 0 else 3 + digits
    rest = f"{whole % _MINUTE:0{width}.{digits}f} s"
    minutes = int(whole // _MINUTE)
    return f"{minutes} min {rest}" if whole < _HOUR else f"{minutes // 60} h {minutes % 60:02d} min {rest}"


def elapsed(seconds: float, *, digits: int = 1) -> str:
    """A time of this machine, which nobody wants finer than a tenth of a second: "0.0 s", "23.1 s", "2 min 05 s"."""
    return f"{seconds:.{digits}f} s" if 0 <= round(seconds, digits) < _MINUTE else duration(seconds)


def _short(seconds: float) -> str:
    """Below a minute."""
    if round(seconds * 1e6, 1) == 0:  # also what is left of a difference of two times
        return "0 s"
    for unit, per_s in (("us", 1e6), ("ms", 1e3)):
        count = seconds * per_s
        if round(count) < 1000:
            return f"{count:.1f} {unit}" if round(count, 1) < 10 else f"{count:.0f} {unit}"
    return f"{seconds:.1f} s"


def _days(seconds: float) -> str:
    hours = max(24, round(seconds / _HOUR))
    return f"{hours // 24:,} d {hours % 24} h"


def size(size_bytes: float) -> str:
    """Bytes with a decimal prefix and one decimal: "999 B", "12.6 MB", "1.2 GB"."""
    return _scaled(size_bytes, "B")


def energy(energy_j: float) -> str:
    """Joules with a decimal prefix: "430 J", "16.8 kJ"."""
    return _scaled(energy_j, "J")


def rate(rate_bps: float) -> str:
    """Bits per second: "950 bit/s", "31.0 Mbit/s"."""
    return _scaled(rate_bps, "bit/s")


def _scaled(value: float, unit: str) -> str:
    if not math.isfinite(value):
        return UNKNOWN
    if value < 0:
        return f"-{_scaled(-value, unit)}"
    if round(value) < 1000:
        return f"{value:.0f} {unit}"
    power = 1
    while round(value / 1000**power, 1) >= 1000 and power + 1 < len(_PREFIXES):
        power += 1
    return f"{value / 1000**power:,.1f} {_PREFIXES[power]}{unit}"


def perplexity(value: float) -> str:
    """Two decimals below 100, one below 1,000, none above: "9.87", "243.5", "50,257"."""
    if math.isnan(value):
        return UNKNOWN
    if math.isinf(value) or value >= 1e7:
        return f"{value:.1e}"
    for limit, digits in ((100, 2), (1000, 1)):
        if round(value, digits) < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"


def loss(value: float) -> str:
    """A loss in nats per token: "2.314"."""
    return UNKNOWN if math.isnan(value) else f"{value:.3f}"


def percent(share: float, *, digits: int = 1) -> str:
    """A part of one: 0.264 is "26.4 %"."""
    return UNKNOWN if not math.isfinite(share) else f"{100 * share:.{digits}f} %"


def change(before: float, after: float) -> str:
    """How far a value has come, in per cent of what it was, with a sign: "−26.4 %", "+3.0 %"."""
    if not (math.isfinite(before) and math.isfinite(after)) or before == 0:
        return UNKNOWN
    text = f"{100 * abs(after - before) / abs(before):.1f} %"
    return text if text == "0.0 %" else f"{MINUS if after < before else '+'}{text}"


def factor(value: float) -> str:
    """How many times as fast: "0.52x", "9.3x", "187x", "12,300x"."""
    if not math.isfinite(value):
        return UNKNOWN
    if round(value, 2) < 1:
        return f"{value:.2f}x"
    return f"{value:.1f}x" if round(value, 1) < 10 else f"{value:,.0f}x"


def shares(parts: Sequence[float], *, digits: int = 1) -> list[float]:
    """Percentages of the whole, rounded so that they sum to exactly 100 (largest remainder; ties to the first).

    All zero where the whole is zero. Raises ValueError for a negative or infinite part.
    """
    if any(not math.isfinite(part) or part < 0 for part in parts):
        raise ValueError(f"shares need finite parts >= 0, got {list(parts)}")
    whole = math.fsum(parts)
    if whole == 0:
        return [0.0] * len(parts)
    steps = 100 * 10**digits
    return [count / 10**digits for count in apportion(parts, steps)]


def apportion(parts: Sequence[float], total: int) -> list[int]:
    """Whole numbers in proportion to the parts that sum to ``total`` (largest remainder; ties to the first)."""
    whole = math.fsum(parts)
    if whole <= 0:
        return [0] * len(parts)
    exact = [part / whole * total for part in parts]
    counts = [math.floor(value) for value in exact]
    by_remainder = sorted(range(len(parts)), key=lambda index: (counts[index] - exact[index], index))
    for index in by_remainder[: total - sum(counts)]:
        counts[index] += 1
    return counts


def sparkline(values: Sequence[float], width: int) -> str:
    """A curve of block characters, at most ``width`` wide, the lowest value at the bottom; nan values are left out.

    Longer series are cut into ``width`` equal stretches, of which the mean is shown. A flat curve lies at the bottom.
    """
    known = [value for value in values if math.isfinite(value)]
    if not known or width < 1:
        return ""
    points = _thinned(known, width)
    low, high = min(points), max(points)
    if high == low:
        return BLOCKS[0] * len(points)
    top = len(BLOCKS) - 1
    return "".join(BLOCKS[round((value - low) / (high - low) * top)] for value in points)


def chart(values: Sequence[float], width: int, height: int) -> list[str]:
    """A curve as filled columns, exactly ``width`` wide and ``height`` lines high, from the top line to the bottom.

    Few values are stretched into steps, many thinned as in `sparkline`; nan values are left out. The lowest value is
    one eighth of a line high.
    """
    known = [value for value in values if math.isfinite(value)]
    if not known or width < 1:
        return [" " * max(0, width)] * height
    points = _thinned(known, width)
    points = [points[index * len(points) // width] for index in range(width)]
    low, high = min(points), max(points)
    steps = len(BLOCKS) * height - 1
    levels = [1 + round((value - low) / (high - low) * steps) if high > low else 1 for value in points]
    return ["".join(_cell(level - line * len(BLOCKS)) for level in levels) for line in reversed(range(height))]


def by_cause(missing: Mapping[str, Sequence[str]]) -> str:
    """Groups, and which figures of each are missing: those that lack the same together, and each remedy once, last.

    A remedy is what stands behind the first "; " of a figure. Empty where nothing is missing.
    """
    groups: dict[str, list[str]] = {}
    remedies: dict[str, None] = {}
    for name, figures in missing.items():
        if not figures:
            continue
        parts = [figure.partition("; ") for figure in figures]
        groups.setdefault("; ".join(what for what, _, _ in parts), []).append(name)
        remedies |= dict.fromkeys(remedy for _, _, remedy in parts if remedy)
    return "; ".join([*(f"{', '.join(names)} ({what})" for what, names in groups.items()), *remedies])


def _cell(eighths: int) -> str:
    """A block character filled from the bottom."""
    return " " if eighths <= 0 else BLOCKS[min(eighths, len(BLOCKS)) - 1]


def _thinned(values: Sequence[float], width: int) -> list[float]:
    count = len(values)
    if count <= width:
        return list(values)
    edges = [index * count // width for index in range(width + 1)]
    return [math.fsum(values[low:high]) / (high - low) for low, high in pairwise(edges)]
