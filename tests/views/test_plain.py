"""Lines for logs and pipes."""

import io
from dataclasses import replace
from itertools import pairwise

import pytest

from simulator.record import Record
from simulator.views.plain import PlainView


def lines_of(info, play, clock, **run):
    out = io.StringIO()
    with PlainView(info, out, clock=clock) as view:
        play(Record([view]), **run)
    return out.getvalue().splitlines()


def test_a_run_is_told_line_by_line(info, play, ticks):
    assert lines_of(info, play, ticks(0.0), rounds=2) == [
        "two phones: splitlora on 2 phones, mini, timed as gpt2, split 3, tcp network, server 1 x A100 SXM 80GB,"
        " 4 rounds, seed 7",
        "losses are mini's, time and bytes gpt2's",
        "virtual is time in the field, real is time on this machine; bytes are totals so far",
        "loading torch  real 0.0 s",
        "loading the model  real 0.0 s",
        "round 0/4  virtual 0 s  real 0.0 s  perplexity 20.00",
        "round 1/4  virtual 10.0 s  real 0.0 s  train loss 3.000  up 4.0 MB  down 1.0 MB  slowest b",
        "round 2/4  virtual 20.0 s  real 0.0 s  train loss 2.500  perplexity 17.00  up 8.0 MB  down 2.0 MB  slowest b",
    ]


def test_a_run_that_trains_nothing_has_times_and_bytes_only(info, play, ticks):
    last = lines_of(info, play, ticks(0.0), trained=False)[-1]
    assert last == "round 4/4  virtual 40.0 s  real 0.0 s  up 16.0 MB  down 4.0 MB  slowest b"


def test_lines_are_ascii(info, play, ticks):
    assert "\n".join(lines_of(info, play, ticks(0.0))).isascii()


@pytest.mark.parametrize(("step_s", "told"), [(0.1, [0, 1, 50]), (0.5, [0, 1, 3, 5])])
def test_rounds_less_than_a_second_apart_are_skipped_in_a_long_run(info, play, ticks, step_s, told):
    out = io.StringIO()
    clock = ticks(0.0)
    view = PlainView(replace(info, rounds=50), out, clock=clock)
    row = play(Record(), 1).rounds[1]
    for number in range(51):
        clock.now_s = number * step_s
        view.on_round(row._replace(round=number))
    rounds = [int(line.split()[1].split("/")[0]) for line in out.getvalue().splitlines()]
    assert rounds[-1] == 50
    assert [number for number in told if number not in rounds] == []
    middle = rounds[1:-1]
    assert all(later - earlier >= 1 / step_s for earlier, later in pairwise(middle))


def test_a_failed_run_says_where_it_stopped(info, play, ticks):
    out = io.StringIO()

    def fail():
        with PlainView(info, out, clock=ticks(0.0)) as view:
            play(Record([view]), 2)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert out.getvalue().splitlines()[-1] == "stopped after round 2/4  virtual 20.0 s  real 0.0 s"
