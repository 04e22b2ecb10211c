"""Telling what is being done, in a terminal and where there is none."""

import io

import pytest
from rich.console import Console

from simulator.views.terminal import telling


def told(console, **options):
    """Ten pieces of work of a second each."""
    now = [0.0]
    with telling(console, "reading", clock=lambda: now[0], **options) as tell:
        for number in range(10):
            now[0] = float(number)
            tell(f"piece {number}")
    return console.file.getvalue()


def test_a_pipe_gets_a_line_every_two_seconds_with_the_time_that_has_passed():
    lines = told(Console(file=io.StringIO())).splitlines()
    assert lines == [f"piece {number}  real {number}.0 s" for number in (0, 2, 4, 6, 8)]


@pytest.mark.parametrize(("quiet", "lines"), [(True, True), (False, False)])
def test_who_asks_for_silence_gets_it(quiet, lines):
    assert told(Console(file=io.StringIO(), quiet=quiet), lines=lines) == ""


def test_a_terminal_gets_one_line_that_is_gone_at_the_end():
    terminal = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"})
    text = told(terminal, lines=False)
    assert "piece 9\n" in text
    assert text.endswith("\x1b[1A\x1b[2K")  # up, and rubbed out


def test_a_terminal_without_a_cursor_gets_lines():
    dumb = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    assert told(dumb).count("\n") == 5
