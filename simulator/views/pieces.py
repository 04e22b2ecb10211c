"""Pieces of the frame and of the summary: the header, the progress bar, label-and-value lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from simulator.views.format import MINUS
from simulator.views.info import RunInfo
from simulator.views.palette import ACCENT, BAD, LABEL, STRONG, Pen

LABEL_WIDTH = 14
PLAIN: Final = str.maketrans({MINUS: "-", "·": ",", "…": "~"})


def put(console: Console, content: RenderableType, pen: Pen) -> None:
    """Print something; a terminal that cannot show Unicode gets ASCII in its place."""
    with console.capture() as capture:
        console.print(content)
    text = capture.get()
    if pen.ascii_only:
        text = text.translate(PLAIN).encode(console.encoding, "replace").decode(console.encoding)
    console.file.write(text)
    console.file.flush()


def header(info: RunInfo, width: int) -> Panel:
    """Who trains what on what: shown before anything is loaded."""
    model = Text.assemble((info.models, STRONG))
    if info.two_models:
        model.append(f"   losses are {info.model}'s, time and bytes {info.timed_as}'s", LABEL)
    job = f"{info.algorithm}, {info.cut}, {info.network} network, seed {info.seed}"
    lines: list[RenderableType] = [
        line("model", model),
        line("fleet", fleet(info, width - 4 - LABEL_WIDTH)),
        line("job", Text.assemble(job, (f"   {info.server}", LABEL))),
        *(wrapped("note", Text(note, BAD)) for note in info.notes),
    ]
    title = Text.assemble(("splitwire", f"bold {ACCENT}"), (f"  {info.name}", "bold default"))
    return panel(Group(*lines), title=title, width=width)


def panel(content: RenderableType, *, width: int, title: Text | str = "") -> Panel:
    """A box with its title at the left."""
    return Panel(content, box=box.ROUNDED, title=title or None, title_align="left", border_style=LABEL, width=width)


def line(label: str, value: Text | str) -> Text:
    """A label and its value in one line; too long a line ends with an ellipsis."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{label:<{LABEL_WIDTH}}", LABEL)
    return text.append_text(value if isinstance(value, Text) else Text(value))


def wrapped(label: str, value: Text | str) -> Table:
    """A label and its value, which goes on below itself where it is too long."""
    table = Table.grid()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(f"{label:<{LABEL_WIDTH}}", LABEL), value)
    return table


def fleet(info: RunInfo, width: int) -> Text:
    """The groups, each with its profile and access, or its access, or its name only: as there is room."""
    forms = [
        " · ".join(f"{group.count} {group.name}{detail}" for group, detail in zip(info.groups, details, strict=True))
        for details in (
            [f" ({group.profile}, {group.access})" for group in info.groups],
            [f" ({group.access})" for group in info.groups],
            [""] * len(info.groups),
        )
    ]
    room = width - cell_len(info.fleet) - 3
    groups = next((form for form in forms if cell_len(form) <= room), forms[-1])
    return Text.assemble((info.fleet, STRONG), (f"   {groups}", LABEL))


def progress_bar(share: float, width: int) -> Text:
    """A heavy line for what is done, a thin one for the rest."""
    done = max(0, min(width, int(share * width)))
    return Text.assemble(("━" * done, ACCENT), ("─" * (width - done), LABEL), no_wrap=True)


def grid(rows: Iterable[Iterable[RenderableType]], justify: str) -> Table:
    """Aligned columns without borders; one letter each: l(eft) or r(ight)."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for side in justify:
        table.add_column(justify="right" if side == "r" else "left", no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*row)
    return table
