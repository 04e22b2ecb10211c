"""Colours and glyphs that the frame and the summary share.

Only the terminal's own colours are used, and never white, black or yellow, so that text can be read on light and on
dark backgrounds. Where colours are off, or characters are ASCII, every part of a bar has a glyph of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from rich.console import Console
from rich.text import Text

from simulator.views.format import apportion

ACCENT: Final = "cyan"
GOOD: Final = "green"
BAD: Final = "red"
LABEL: Final = "bright_black"
STRONG: Final = "bold"
MAX_WIDTH: Final = 112  # wider than this, the eye loses the line


class Ink(NamedTuple):
    """How one part of a bar is drawn: a style, and the glyph with colours, without them, and in ASCII."""

    style: str
    glyph: str
    mono: str
    ascii: str


INKS: Final[Mapping[str, Ink]] = MappingProxyType(
    {
        "compute": Ink("magenta", "▇", "█", "#"),
        "uplink": Ink("cyan", "▇", "▓", "="),
        "server": Ink("blue", "▇", "▚", "s"),
        "downlink": Ink("green", "▇", "▒", "-"),
        "outage": Ink("red", "▁", "▁", "_"),
        "cell": Ink("red", "▇", "▣", "c"),
        "backhaul": Ink("red", "▇", "▤", "b"),
        "server link": Ink("red", "▇", "▥", "l"),
        "queue": Ink("blue", "▇", "▧", "q"),
        "aggregation": Ink("blue", "▇", "▞", "a"),
        "waiting": Ink("bright_black", "·", "·", "."),
        "availability": Ink("bright_black", "░", "░", ":"),
    }
)
OTHER: Final = Ink("default", "▇", "█", "?")


def ink_of(part: str) -> Ink:
    """The ink of a part; "device compute" is drawn as "compute"."""
    return INKS.get(part.removeprefix("device "), OTHER)


@dataclass(frozen=True, slots=True)
class Pen:
    """Draws with what the terminal has; ``width`` is its columns."""

    width: int = MAX_WIDTH
    colours: bool = True
    ascii_only: bool = False

    @property
    def arrow(self) -> str:
        """From one value to another."""
        return "->" if self.ascii_only else "→"

    def glyph(self, part: str) -> str:
        """One cell of a part's bar."""
        ink = ink_of(part)
        if self.ascii_only:
            return ink.ascii
        return ink.glyph if self.colours else ink.mono

    def bar(self, parts: Sequence[tuple[str, float]], width: int) -> Text:
        """Parts (name, amount >= 0) as stretches of one bar, exactly ``width`` cells unless all are 0."""
        text = Text(no_wrap=True)
        for (part, _), cells in zip(parts, apportion([amount for _, amount in parts], width), strict=True):
            text.append(self.glyph(part) * cells, ink_of(part).style)
        return text


def pen_for(console: Console, width: int) -> Pen:
    """The pen of a console, for so many of its columns."""
    return Pen(
        min(width, MAX_WIDTH),
        colours=console.color_system is not None and not console.no_color,
        ascii_only=console.options.ascii_only,
    )
