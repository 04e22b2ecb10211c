"""How far a study is."""

from __future__ import annotations

import io

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
    now.append(30.0)
    progress.rounds([(10, 40)])  # a quarter of a cell in 30 s; a cell and three quarters are left
    assert progress.left_s == 30 / 0.25 * 1.75
    assert progress.text().plain.endswith("training 0 of 2: round 10 of 40, about 3 min 30 s to go")
    progress.rounds([(10, 40), (5, 20)])  # half a cell by two at once
    assert progress.left_s == 30 / 0.5 * 1.5
    assert "training 0 of 2: rounds 10 of 40, 5 of 20," in progress.text().plain
    progress.rounds([])
    progress.step()
    assert progress.text().plain.endswith("1 of 3 cells  real 30.0 s  training 1 of 2, about 30 s to go")


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
