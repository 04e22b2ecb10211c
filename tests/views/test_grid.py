"""How far a study is."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from simulator.views.grid import Progress


def progress_at(times_s: list[float], total: int) -> tuple[Progress, io.StringIO]:
    """A study's progress into a pipe, by a clock that the test sets."""
    out = io.StringIO()
    return Progress(Console(file=out), total, clock=lambda: times_s[-1]), out


def test_a_cell_in_training_counts_as_the_share_of_its_rounds_that_is_over():
    now = [0.0]
    progress, _ = progress_at(now, 3)
    progress.phase("training", 2)
    assert progress.left_s is None
    progress.rounds([(1, 41)])
    now.append(30.0)
    progress.rounds([(11, 41)])  # ten rounds in 30 s; 30 and the other 41 are left
    assert progress.left_s == pytest.approx(3 * 71)
    assert progress.text().plain.endswith("training 0 of 2: round 11 of 41, about 3 min 33 s to go")
    progress.rounds([(11, 41), (10, 41)])  # 20 rounds by two at once
    assert progress.left_s == pytest.approx(1.5 * 61)
    assert "training 0 of 2: rounds 11 of 41, 10 of 41," in progress.text().plain
    progress.rounds([])
    progress.step()  # it was 40 rounds since the first; 41 are left
    assert progress.text().plain.endswith("1 of 3 cells  real 30.0 s  training 1 of 2, about 31 s to go")


def test_the_time_to_go_leaves_out_what_comes_before_the_end_of_the_first_round():
    """Torch and the model are loaded in 10 s, a round takes 1 s: after round 2 of 5 another 3 s are left, not 18."""
    now = [0.0]
    progress, _ = progress_at(now, 1)
    progress.phase("training", 1)
    for at_s, round, left_s in ((10.0, 0, None), (11.0, 1, None), (12.0, 2, 3.0), (13.0, 3, 2.0), (15.0, 5, 0.0)):
        now.append(at_s)
        progress.rounds([(round, 5)])
        assert progress.left_s == (left_s if left_s is None else pytest.approx(left_s))
    progress.phase("re-timing", 4)  # what has no rounds is timed from its begin
    now.append(17.0)
    progress.step()
    assert progress.left_s == 6.0


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("known", [0, 1_234])
def test_a_terminal_shows_one_line_however_much_there_is_to_say(width, known):
    """A line that wraps makes the terminal go up one line before it is drawn anew."""
    now, out = [0.0], io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, legacy_windows=False, _environ={"TERM": "xterm"})
    with Progress(console, 2 + known, clock=lambda: now[-1]) as progress:
        progress.skip(known)
        progress.phase("training", 2)
        drawn = []
        for round in range(6):
            now.append(100.0 * round)
            progress.rounds([(round, 5)])
            drawn.append(re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", out.getvalue()).rpartition("\r")[2].rstrip())
        assert "\x1b[1A" not in out.getvalue()
    assert max(map(cell_len, drawn)) <= width
    if width >= 80:
        assert known or all(f"round {round} of 5" in line for round, line in enumerate(drawn))
        assert drawn[3].endswith("about 11 min 40 s to go")  # 7 rounds of 100 s
        assert all(line.startswith(("────", "━━━━")) for line in drawn), "there is always room for a short bar"


def test_a_pipe_gets_a_line_every_two_seconds_at_most():
    now = [0.0]
    progress, out = progress_at(now, 1)
    progress.phase("training", 1)
    for tenth in range(100):
        now.append(tenth / 10)
        progress.rounds([(tenth, 100)])
    assert [line.rpartition(": ")[2].partition(",")[0] for line in out.getvalue().splitlines()[1:]] == [
        f"round {20 * turn} of 100" for turn in range(1, 5)
    ]
