"""What would help most, on the terminal: a few lines in the summary of a run, or a table of all that was tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from simulator.views import format as f
from simulator.views.palette import ACCENT, BAD, GOOD, LABEL, STRONG, Pen, pen_for
from simulator.views.pieces import grid, put

MOST: Final = 3  # hints in a summary
LEAST: Final = 0.01  # of the time: what saves less is no hint
WIDE: Final = 100
BARELY: Final = 0.005  # per cent

Found = Mapping[str, Any]


def over(found: Found | None) -> str:
    """Which rounds were timed."""
    if not found:
        return ""
    return f"one at a time, over {_rounds(found)}"


def hints(found: Found | None) -> list[RenderableType]:
    """The changes that save most; empty where nothing was tried."""
    if not found:
        return []
    best = [each for each in found["effects"] if each["saves"] is not None and each["saves"] >= LEAST][:MOST]
    dead = _outage(found)
    if not best:
        return [Text("nothing that was tried saves 1 % of the time", LABEL), *dead]
    return [grid(([Text(each["what"]), _saves(each["saves"])] for each in best), "ll"), *dead]


def _outage(found: Found) -> list[Text]:
    """A line on what no faster link mends, where there is any."""
    share = found.get("outage", 0.0)
    if share < LEAST:
        return []
    why = " of that time are outages: no faster link mends these, but waiting for fewer devices may: set"
    keys = " training.participants to half of them, and training.over_selection=50%"
    return [Text.assemble((f.percent(share), STRONG), (why + keys, LABEL))]


def show(found: Found, console: Console) -> None:
    """Print what `whatif.sensitivity` has found."""
    pen = pen_for(console, console.width)
    put(console, _all(found, pen), pen)


def _all(found: Found, pen: Pen) -> RenderableType:
    best = found["effects"][0] if found["effects"] else None
    head = Text.assemble(
        ("what would help most", f"bold {ACCENT}"),
        (f"   {f.duration(found['virtual_s'])} for {_rounds(found)}, timed again with one change at a time", LABEL),
    )
    lines: list[RenderableType] = [Padding(head, (1, 2, 1, 2))]
    if best and best["saves"] is not None and best["saves"] >= LEAST:
        sentence = Text.assemble(f"{best['what']} ", _saves(best["saves"]), " of the time")
        lines.append(Padding(sentence, (0, 2, 1, 2)))
    rows = [[Text(head, LABEL) for head in ("change", "saves", "time", "1 % more")]]
    rows += [_row(each) for each in found["effects"]]
    if pen.width >= WIDE:
        room = pen.width - 2 * 2 - sum(max(map(len, column)) + 2 for column in zip(*rows, strict=True))
        settings = [Text("--set", LABEL), *(_settings(each["settings"], room) for each in found["effects"])]
        rows = [[*row, last] for row, last in zip(rows, settings, strict=True)]
    table = grid(rows, "lrrrl"[: len(rows[0])])
    table.columns[0].no_wrap = False  # so that the numbers and their headings stay whole
    lines.append(Padding(table, (0, 2)))
    refused = [each for each in found["effects"] if each["reason"]]
    lines += [Padding(Text(f"{each['what']}: {each['reason']}", LABEL), (0, 2)) for each in refused]
    lines += [Padding(text, (1, 2, 0, 2)) for text in _outage(found)]
    note = "1 % more: by how much the time changes where the setting is 1 % larger, from 5 % more and 5 % less"
    return Group(*lines, Padding(Text(note, LABEL), (1, 2, 0, 2)))


def _row(each: Found) -> list[Text]:
    return [
        Text(each["what"]),
        Text("not possible", LABEL) if each["saves"] is None else _share(each["saves"]),
        Text(f.UNKNOWN if each["virtual_s"] is None else f.duration(each["virtual_s"]), LABEL),
        Text(_elasticity(each["elasticity"]), LABEL),
    ]


def _elasticity(per_cent: float | None) -> str:
    if per_cent is None:
        return ""
    return "0 %" if abs(per_cent) < BARELY else f"{per_cent:+.2f} %".replace("-", f.MINUS)


def _settings(settings: Sequence[str], room: int) -> Text:
    """The first of them, and how many more there are."""
    text = Text(settings[0] + (f" and {len(settings) - 1} more" if len(settings) > 1 else ""), LABEL, no_wrap=True)
    text.truncate(max(room, 1), overflow="ellipsis")
    return text


def _rounds(found: Found) -> str:
    return "the first round" if found["rounds"] == 1 else f"the first {found['rounds']} rounds"


def _saves(share: float) -> Text:
    return Text.assemble("saves ", (f.percent(share), f"bold {GOOD}"))


def _share(share: float) -> Text:
    if abs(share) < LEAST / 20:
        return Text("nothing", LABEL)
    text = f"{f.MINUS if share < 0 else ''}{f.percent(abs(share))}"
    return Text(text, STRONG if abs(share) < LEAST else f"bold {GOOD if share > 0 else BAD}")
