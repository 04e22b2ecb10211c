"""What is printed when a run is over: the answers, each with its clock and its model named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from simulator.record import RoundRow
from simulator.views import summary_sections as sections
from simulator.views.energy_section import energy
from simulator.views.info import RunInfo
from simulator.views.palette import ACCENT, LABEL, MAX_WIDTH, Pen, pen_for
from simulator.views.pieces import header, put
from simulator.views.sensitivity import hints, over
from simulator.views.tally import Traffic


def print_summary(
    console: Console,
    info: RunInfo,
    rounds: Sequence[RoundRow],
    summary: Mapping[str, Any],
    *,
    traffic: Mapping[str, Traffic] | None = None,
) -> None:
    """Print the summary of a finished run.

    ``rounds`` are its round rows, ``summary`` the contents of summary.json: virtual_s and wall_s are needed, the rest
    is shown where it is there. ``traffic`` has each device's bytes (see `tally.traffic`). A terminal that cannot show
    Unicode gets ASCII in its place.
    """
    pen = pen_for(console, console.width)
    put(console, render(info, rounds, summary, traffic=traffic, pen=pen), pen)


def render(
    info: RunInfo,
    rounds: Sequence[RoundRow],
    summary: Mapping[str, Any],
    *,
    traffic: Mapping[str, Traffic] | None = None,
    pen: Pen | None = None,
) -> RenderableType:
    """The summary as one piece, for a console or a picture."""
    pen = pen or Pen(width=MAX_WIDTH)
    learned, clocked = (f"of {info.model}", f"as {info.timed_as}") if info.two_models else ("", "")
    parts: list[RenderableType] = [header(info, pen.width)]
    for title, of_model, content in (
        ("learning", learned, sections.learning(rounds, pen)),
        ("time", clocked, sections.times(rounds, summary)),
        (
            "where the virtual time went",
            "what the run was waiting for",
            sections.blame(info, summary, pen),
        ),
        ("what would help most", over(summary.get("sensitivity")), hints(summary.get("sensitivity"))),
        (
            "bytes",
            f"{clocked}, frames without TCP and IP headers".removeprefix(", "),
            sections.sizes(info, summary, traffic or {}),
        ),
        ("energy", f"{clocked}, counted on the devices".removeprefix(", "), energy(info, summary)),
        ("", "", sections.closing(info, summary)),
    ):
        if content:
            heading = Text.assemble((title, f"bold {ACCENT}"), (f"   {of_model}" if of_model else "", LABEL))
            parts.append(Padding(heading, (1, 2, 0, 2)) if title else Text())
            parts.append(Padding(Group(*content), (0, 2)))
    return Group(*parts)
