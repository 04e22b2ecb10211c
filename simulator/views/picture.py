"""A frame or a summary as a picture (SVG), for the README and for reports."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rich.console import Console, RenderableType
from rich.terminal_theme import TerminalTheme

THEME: Final = TerminalTheme(
    (22, 27, 34),
    (215, 221, 229),
    [
        (48, 54, 61),
        (248, 113, 113),
        (86, 211, 140),
        (234, 190, 100),
        (96, 165, 250),
        (196, 141, 255),
        (64, 200, 220),
        (215, 221, 229),
    ],
    [
        (128, 138, 150),
        (252, 150, 150),
        (126, 231, 170),
        (250, 215, 140),
        (147, 197, 253),
        (216, 180, 254),
        (110, 220, 240),
        (240, 246, 252),
    ],
)

TEMPLATE: Final = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: "Fira Code", "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px;
  line-height: {line_height}px;
}}
.{unique_id}-title {{ font: bold 16px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def save_svg(
    path: str | os.PathLike[str], renderables: Iterable[RenderableType], title: str, *, width: int = 104
) -> None:
    """Draw the renderables below each other, ``width`` columns wide, and write them as one SVG file.

    The file loads nothing from elsewhere: it names fonts that are usually there, and stretches the text to fit.
    """
    console = Console(
        record=True, width=width, height=60, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for renderable in renderables:
        console.print(renderable)
    console.print()  # room for the descenders of the last line
    # rich takes a bold DejaVu or Fira Code cell as 0.61 of its height, and so does the template
    Path(path).write_text(console.export_svg(title=title, theme=THEME, code_format=TEMPLATE), encoding="utf-8")
