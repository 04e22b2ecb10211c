"""One picture of a run, drawn for the width and height it is given; the live view and the README show it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from simulator.views import format as f
from simulator.views import sections
from simulator.views.palette import BAD, GOOD, LABEL, STRONG, Pen, pen_for
from simulator.views.pieces import header, panel
from simulator.views.snapshot import Snapshot

WIDE = 100  # columns from which panels stand side by side
TALL = 28  # lines that they need
ROOMY = 24  # lines from which sections have blank lines between them


@dataclass(frozen=True, slots=True)
class Frame:
    """Draws a snapshot. The spinner is handed in because it keeps its own time."""

    now: Snapshot
    spinner: Spinner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        pen, height = pen_for(console, options.max_width), console.size.height
        yield header(self.now.info, pen.width)
        if self.now.tally.last is None:
            yield from self._set_up(height)
        elif pen.width >= WIDE and height >= TALL:
            yield from self._wide(pen)
        else:
            yield from self._narrow(pen, height)

    def _set_up(self, height: int) -> Iterator[RenderableType]:
        """Before the first round: the steps so far, and the clocks."""
        room = max(1, height - 11)
        yield Padding(Group(*self._steps()[-room:]), (1, 2))
        yield Padding(Group(*sections.clocks(self.now)), (0, 2))

    def _steps(self) -> list[RenderableType]:
        now = self.now
        ends = [phase.start_s for phase in now.phases[1:]]
        steps: list[RenderableType] = [
            Text.assemble(("✓ ", GOOD), phase.what, (f"  {f.elapsed(end_s - phase.start_s)}", LABEL))
            for phase, end_s in zip(now.phases, ends, strict=False)
        ]
        spent = f.elapsed(max(0.0, now.real_s - now.phase.start_s))
        current = Text.assemble((now.phase.what, STRONG), (f"  {spent}", LABEL))
        if now.state != "running":
            return [*steps, Text.assemble(("✗ ", BAD), current)]
        self.spinner.update(text=current)
        return [*steps, self.spinner]

    def _wide(self, pen: Pen) -> Iterator[RenderableType]:
        """Panels side by side."""
        width = pen.width
        left = width // 2
        right = width - left
        numbers = Group(
            *sections.clocks(self.now, stacked=True), *sections.traffic(self.now), *sections.presence(self.now)
        )
        curves = Group(*sections.charts(self.now, right - 4))
        both = Table.grid()
        both.add_row(panel(numbers, width=left, title="clocks and bytes"), panel(curves, width=right, title="learning"))
        yield Padding(sections.progress(self.now, width - 4), (1, 2))
        yield both
        yield panel(
            Group(*sections.slowest(self.now, pen, width - 4)), width=width, title="where the virtual time goes"
        )

    def _narrow(self, pen: Pen, height: int) -> Iterator[RenderableType]:
        """One section below the other; what does not fit is left out from the bottom."""
        gap = [Text()] if height >= ROOMY else []
        inner = pen.width - 4
        parts: list[RenderableType] = [*gap, sections.progress(self.now, inner), *gap, *sections.clocks(self.now), *gap]
        parts += [*sections.learning(self.now, inner), *sections.traffic(self.now), *sections.presence(self.now)]
        if height >= ROOMY - 4:
            parts += [*gap, *sections.slowest(self.now, pen, inner)]
        yield Padding(Group(*parts), (0, 2))
