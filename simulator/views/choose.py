"""Which view suits this terminal."""

from __future__ import annotations

from rich.console import Console

from simulator.views.info import RunInfo
from simulator.views.live import LiveView
from simulator.views.plain import PlainView
from simulator.views.terminal import redraws
from simulator.views.view import SilentView, View


def choose_view(info: RunInfo, console: Console, *, silent: bool = False) -> View:
    """Live in a terminal; lines for a pipe, a log, or a terminal without cursor or UTF-8; nothing if ``silent``."""
    if silent:
        return SilentView()
    if redraws(console):
        return LiveView(info, console)
    return PlainView(info, console.file)
