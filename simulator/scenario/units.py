"""The grammar of quantities with units: text to SI floats and back, without losing a bit.

A quantity is a decimal number, an optional space and a unit: ``20 Mbit/s``, ``1.5 GiB``, ``50ms``. Products are taken
exactly and rounded once, so ``50 ms`` is the very float ``0.05``. Units tell upper from lower case (``MB`` is not
``Mb``); prefixes are decimal (SI) except Ki, Mi, Gi, Ti (IEC 80000-13). ``MB/s`` counts bytes and is 8e6 bit/s.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from simulator.scenario.words import alternatives, show

NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
NOT_FINITE: Final = re.compile(r"[+-]?\.?(?:nan|inf|infinity)\b", re.IGNORECASE)
UNCLEAR_RATE: Final = re.compile(r"([kMGT]?)b(?:ps|/s)", re.IGNORECASE)  # bits or bytes? MBps, Mb/s, mbps
CLOCK_TIME: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)


def exact(text: str) -> float:
    """The float nearest to a decimal number; raises ``ValueError`` for anything else, infinite included."""
    if not NUMBER.fullmatch(text):
        raise ValueError(f"must be {'finite' if NOT_FINITE.match(text) else 'a number'}, got {show(text)}")
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"must be finite, got {show(text)}")
    return number


def product(number: str, worth: Fraction) -> float:
    """The float nearest to a decimal number times a fraction; infinite where that is too large for a float."""
    try:
        return float(Fraction(number) * worth)
    except OverflowError:
        return math.inf


def number_text(value: float) -> str:
    """The shortest decimal number that reads back as the same float, without a needless ``.0``."""
    return repr(float(value)).removesuffix(".0")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of quantity: how it is called, and what each of its units is worth in SI."""

    name: str
    article: str
    example: str  # the unit that messages propose
    units: Mapping[str, Fraction]  # canonical unit -> SI units; the first is worth 1
    aliases: Mapping[str, Fraction]  # read, but never written
    also: tuple[str, ...] = ()  # units that messages name beside it, where people mean now one and now another

    def worth(self, unit: str) -> Fraction | None:
        """One such unit in SI; None when it is not a unit of this kind."""
        return self.units.get(unit) or self.aliases.get(unit)

    def parse(self, text: str) -> float:
        """Read ``text`` as SI; raises ``ValueError`` that says what is wrong. The sign is the caller's business."""
        text = text.strip()
        match = NUMBER.match(text)
        if not match:
            raise ValueError(self._not_a_quantity(text))
        number, unit = match.group(), text[match.end() :].lstrip()
        if not unit:
            others = f" (or {', '.join(self.also)})" if self.also else ""
            raise ValueError(f"{text} needs a unit, e.g. '{number} {self.example}'{others}")
        worth = self.worth(unit)
        if worth is None:
            raise ValueError(self._wrong_unit(text, number, unit))
        value = product(number, worth)
        if math.isinf(value):
            raise ValueError(f"must be finite, got {show(text)}")
        return value

    def format(self, value: float) -> str:
        """Write an SI value in the unit that makes the shortest number; reads back as exactly ``value``."""
        base = next(iter(self.units))
        candidates = [(number_text(value), base)]
        for unit, worth in self.units.items():
            scaled = value / float(worth)
            if 1 <= scaled < math.inf and product(number_text(scaled), worth) == value:
                candidates.append((number_text(scaled), unit))
        number, unit = min(reversed(candidates), key=lambda pair: (float(pair[0]) < 1, len(pair[0])))
        return f"{number} {unit}" if value else f"0 {base}"

    def _not_a_quantity(self, text: str) -> str:
        if NOT_FINITE.match(text):
            return f"must be finite, got {show(text)}"
        if self is DURATION and (clock := CLOCK_TIME.fullmatch(text)):
            hours = number_text(round(int(clock[1]) + int(clock[2]) / 60, 4))
            return f"{show(text)} is not {self.article} {self.name}; write a time of day as '{hours} h'"
        return f"{show(text)} is not {self.article} {self.name}; write e.g. '20 {self.example}'"

    def _wrong_unit(self, text: str, number: str, unit: str) -> str:
        other = next((kind for kind in KINDS if kind.worth(unit)), None)
        if other is not None:
            reason = f"{unit} is a unit of {other.name}"
            return f"{show(text)} is not {self.article} {self.name} ({reason}); write e.g. '20 {self.example}'"
        unclear = UNCLEAR_RATE.fullmatch(unit)
        if self is RATE and unclear:
            prefix = unclear[1].upper().replace("K", "k")
            in_bytes, in_bits = f"{number} {prefix}B/s", f"{number} {prefix}bit/s"
            return f"{show(text)} is unclear: write '{in_bytes}' (bytes) or '{in_bits}' (bits)"
        if not unit[0].isalpha():
            return self._not_a_quantity(text)
        return f"unknown unit {show(unit)} in {show(text)}{alternatives(unit, self.units)}"


def _decimal(base: str, prefixes: str = "kMGT") -> dict[str, Fraction]:
    steps = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12}
    return {base: Fraction(1)} | {f"{prefix}{base}": Fraction(10) ** steps[prefix] for prefix in prefixes}


BINARY: Final = {f"{prefix}iB": Fraction(1024) ** power for power, prefix in enumerate("KMGT", start=1)}
BYTE_RATES: Final = {f"{unit}/s": 8 * worth for unit, worth in _decimal("B").items()}

RATE: Final = Kind("rate", "a", "Mbit/s", _decimal("bit/s"), _decimal("bps") | BYTE_RATES)
DURATION: Final = Kind(
    "duration",
    "a",
    "s",
    _decimal("s", "num") | {"min": Fraction(60), "h": Fraction(3600), "d": Fraction(86400)},
    {"\N{MICRO SIGN}s": Fraction(1, 10**6), "\N{GREEK SMALL LETTER MU}s": Fraction(1, 10**6)},
    also=("ms", "min", "h"),
)
SIZE: Final = Kind("size", "a", "MiB", _decimal("B") | BINARY, {})
POWER: Final = Kind("power", "a", "W", _decimal("W", "mk"), {})
FREQUENCY: Final = Kind("frequency", "a", "MHz", _decimal("Hz"), {})
LENGTH: Final = Kind("length", "a", "m", _decimal("m", "k"), {})
LEVEL: Final = Kind("level", "a", "dB", {"dB": Fraction(1)}, {})
KINDS: Final = (RATE, DURATION, SIZE, POWER, FREQUENCY, LENGTH, LEVEL)


def parse_share(text: str) -> float:
    """Read a part of a whole, ``40 %`` or ``0.4``, as a fraction; raises ``ValueError``."""
    text = text.strip()
    number = text.removesuffix("%").rstrip()
    if NOT_FINITE.match(number):
        raise ValueError(f"must be finite, got {show(text)}")
    if not NUMBER.fullmatch(number):
        raise ValueError(f"{show(text)} is not a share; write e.g. '40 %' or 0.4")
    return exact(number) if number == text else product(number, Fraction(1, 100))


def format_share(value: float) -> str:
    """Write a fraction as per cent where that is short and exact, else as a plain number."""
    number = number_text(100 * value)
    text = f"{number} %"
    return text if len(number) <= 6 and parse_share(text) == value else number_text(value)
