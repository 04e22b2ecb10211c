"""Several values in one text: ``1,5,20,100 Mbit/s``, ``1..11``, ``[c_attn],[q,v]``; and intervals to draw from."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from simulator.scenario.tree import Raw
from simulator.scenario.units import KINDS, NUMBER, Kind, exact, parse_share
from simulator.scenario.words import show

MOST_VALUES: Final = 100_000  # of one range
SPAN: Final = re.compile(rf"({NUMBER.pattern})\s*\.\.\s*({NUMBER.pattern})\s*([^\s\d.+-].*)?")
WHOLE: Final = re.compile("[+-]?[0-9]+")
BRACKETS: Final = {"[": "]", "{": "}"}
NEEDS_QUOTES: Final = re.compile(r"[,\[\]{}\"]|: |\s#|^\s|\s$")


class Interval(NamedTuple):
    """From ``low`` to ``high``, both included, in that unit; ``whole`` numbers only, or all."""

    low: float
    high: float
    unit: str
    whole: bool


def values(text: str) -> tuple[str, ...]:
    """The values of a text, each as one writes it behind ``--set KEY=``.

    They are parted by commas outside of brackets and quotes. A bare number takes the unit of the next value that has
    one; ``1..11`` is every whole number from 1 to 11. Raises ValueError for an empty value and one given twice.
    """
    found = [value for part in _parts(text) for value in _expanded(part)]
    unit = ""
    for place in reversed(range(len(found))):
        match = NUMBER.match(found[place])
        rest = found[place][match.end() :].lstrip() if match else ""
        if match and (rest or unit):
            unit = rest or unit
            with_unit = f"{match.group()} {unit}"
            found[place] = with_unit if measured(with_unit) or not rest else found[place]
    twice = next((value for place, value in enumerate(found) if value in found[:place]), None)
    if twice is not None:
        raise ValueError(f"the value {show(twice)} is given twice")
    return tuple(found)


def interval(text: str) -> Interval | None:
    """What ``1..100 Mbit/s`` says; None for a text that is no range. Whole numbers without a unit stay whole.

    Raises ValueError where the first end is not below the second.
    """
    match = SPAN.fullmatch(text.strip())
    if match is None:
        return None
    low, high, unit = exact(match[1]), exact(match[2]), (match[3] or "").strip()
    if low >= high:
        raise ValueError(f"a range goes from its smaller to its greater end, got {show(text)}")
    whole = not unit and all(WHOLE.fullmatch(end) for end in (match[1], match[2]))
    return Interval(low, high, unit, whole)


def measured(text: str) -> tuple[float, str] | None:
    """A value as a number and its SI unit, such as 5e6 and "bit/s"; None for what is no number, "" for a bare one."""
    text = text.strip()
    if NUMBER.fullmatch(text):
        return float(text), ""
    match = NUMBER.match(text)
    unit = text[match.end() :].strip() if match else ""
    if unit == "%":
        return parse_share(text), ""
    kind = next((kind for kind in KINDS if unit and kind.worth(unit)), None)
    return None if kind is None else (kind.parse(text), _base(kind))


def flow(raw: Raw) -> str:
    """A value of a YAML tree in one line, as it would be written behind ``--set KEY=``."""
    if raw is None:
        return "null"
    if isinstance(raw, dict):
        return "{" + ", ".join(f"{key}: {_inside(part)}" for key, part in raw.items()) + "}"
    if isinstance(raw, list):
        return "[" + ", ".join(map(_inside, raw)) + "]"
    return str(raw)


def _inside(raw: Raw) -> str:
    """A value inside brackets, in quotes where its letters would be read as more than one value."""
    if isinstance(raw, str) and NEEDS_QUOTES.search(raw):
        return "'" + raw.replace("'", "''") + "'"
    return flow(raw)


def _base(kind: Kind) -> str:
    return next(iter(kind.units))


def _parts(text: str) -> Iterator[str]:
    """The text between commas that stand in no bracket and no quotes."""
    begin, closers, quote = 0, "", ""
    for place, letter in enumerate(f"{text},"):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and not text[begin:place].strip() + closers:
            quote = letter
        elif letter in BRACKETS:
            closers += BRACKETS[letter]
        elif closers and letter == closers[-1]:
            closers = closers[:-1]
        elif letter == "," and not closers:
            part = text[begin:place].strip()
            if not part:
                raise ValueError(f"a value is missing in {show(text)}; write values as in 1,5,20,100 Mbit/s or 1..11")
            yield part
            begin = place + 1
    if quote or closers:
        raise ValueError(f"{quote or closers[-1]} is missing at the end of {show(text)}")


def _expanded(part: str) -> list[str]:
    """The whole numbers of a range; what is no range as it is."""
    span = interval(part)
    if span is None:
        return [part]
    ends = (span.low, span.high)
    if not all(end.is_integer() for end in ends):
        raise ValueError(f"a range of values has whole numbers at its ends, got {show(part)}")
    if span.high - span.low >= MOST_VALUES:
        raise ValueError(f"a range has at most {MOST_VALUES:,} values, got {show(part)}")
    unit = f" {span.unit}" if span.unit else ""
    return [f"{number}{unit}" for number in range(int(span.low), int(span.high) + 1)]
