"""A run that can be summed on paper: two phones, four rounds of 10 s.

In every round phone a computes for 1 s, sends 1 MB in 2 s, receives 0.5 MB in 1 s and computes for 1 s; phone b
computes for 4 s, sends 3 MB in 3 s, receives 0.5 MB in 0.5 s and computes for 1.5 s. The server is busy from second 7
to 8.
"""

import math

import pytest

from simulator.record import ComputeRow, MessageRow, Record, RoundRow
from simulator.views.info import Group, RunInfo

PERPLEXITIES = (20.0, math.nan, 17.0, math.nan, 9.0)
TRAIN_LOSSES = (math.nan, 3.0, 2.5, 2.25, 2.0)


def _round(record, number, base_s):
    """One round on the paper above, in the order of the clock."""
    ids = iter(range(4 * number, 4 * number + 4))

    def compute(actor, start_s, end_s):
        record.compute(ComputeRow(actor, number, "work", 1e9, base_s + start_s, base_s + end_s))

    def message(kind, ends, direction, size_bytes, times_s):
        queued_s, end_s = (base_s + each for each in times_s)
        row = (next(ids), number, kind, *ends, direction, size_bytes, size_bytes, queued_s, end_s, end_s, "delivered")
        record.message(MessageRow(*row))

    compute("a", 0, 1)
    message("activations", ("a", "server"), "up", 1_000_000, (1, 3))
    compute("b", 0, 4)
    message("activations", ("b", "server"), "up", 3_000_000, (4, 7))
    compute("server", 7, 8)
    message("gradients", ("server", "b"), "down", 500_000, (8, 8.5))
    message("gradients", ("server", "a"), "down", 500_000, (8, 9))
    compute("a", 9, 10)
    compute("b", 8.5, 10)


def _play(record, rounds=4, *, trained=True):
    def row(number, start_s, end_s, size_bytes, slowest):
        loss, perplexity = (TRAIN_LOSSES[number], PERPLEXITIES[number]) if trained else (math.nan, math.nan)
        held_out = math.log(perplexity)
        return RoundRow(number, start_s, end_s, 2, 0, loss, held_out, perplexity, 4 * size_bytes, size_bytes, slowest)

    record.phase("loading torch")
    record.phase("loading the model")
    record.round(row(0, 0.0, 0.0, 0, ""))
    for number in range(rounds):
        _round(record, number + 1, 10.0 * number)
        record.round(row(number + 1, 10.0 * number, 10.0 * number + 10, 1_000_000, "b"))
    return record


@pytest.fixture
def play():
    """Feed the run on paper, or its first rounds, to a record and return it."""
    return _play


@pytest.fixture
def rows():
    """The rows of the run on paper."""
    return _play(Record())


@pytest.fixture
def info():
    """What is known of it beforehand."""
    groups = (Group("a", "phone-low", 1, "lte"), Group("b", "phone-mid", 1, "wifi"))
    return RunInfo("two phones", "splitlora", 4, 2, "mini", "gpt2", "3", "tcp", "1 x A100 SXM 80GB", 7, groups)


class Ticks:
    """A real clock that goes on by a fixed step whenever it is read."""

    def __init__(self, step_s):
        self.step_s, self.now_s = step_s, 0.0

    def __call__(self):
        self.now_s += self.step_s
        return self.now_s


@pytest.fixture
def ticks():
    """Make a clock that goes on by so many seconds a reading."""
    return Ticks
