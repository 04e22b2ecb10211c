"""Rates that wander: their quantiles and their autocorrelation in the long run, and one function for every reader."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmodels.catalog import find
from netmodels.markov import ar1, hidden_lag1
from netmodels.quantiles import Quantiles

NORMAL = Quantiles([0.001 * k for k in range(1, 1000)], [10 + 0.01 * k for k in range(1, 1000)])


def seconds(capacity, count: int, start: int = 0) -> np.ndarray:
    return np.array([capacity.at(start + k) for k in range(count)])


def lag1(values: np.ndarray) -> float:
    away = values - values.mean()
    return float((away[1:] * away[:-1]).mean() / values.var())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "way"),
    [("lte-driving", "up"), ("lte-driving", "down"), ("lte", "up"), ("5g-mmwave", "down"), ("3g", "up")],
)
def test_in_the_long_run_the_rates_have_the_quantiles_and_the_autocorrelation_of_their_class(name, way):
    link = find(name)
    rates, wanted = link.known(f"{way}_bps"), link.known(f"{way}_lag1")
    long_run = seconds(ar1(rates, wanted, seed=7), 200_000)
    assert lag1(long_run) == pytest.approx(wanted, abs=0.01)
    # such draws are worth (1 - lag1) / (1 + lag1) independent ones: at 0.94 6,000, so a standard error of 0.6 %
    for level in (0.25, 0.5, 0.75, 0.95):
        reached = (long_run <= rates.at(np.array([level]))[0]).mean()
        assert reached == pytest.approx(level, abs=0.03)
    assert (long_run == 0).mean() == pytest.approx(rates.zero_share, abs=0.02)


def test_the_autocorrelation_of_uniform_rates_is_that_of_ranks():
    """For uniform values the Gaussian copula has the closed form 6/pi asin(r/2) (Pearson 1907)."""
    uniform = Quantiles([0, 1], [0, 1])
    for hidden in (0.1, 0.5, 0.9, 0.97):
        assert hidden_lag1(uniform, 6 / math.pi * math.asin(hidden / 2)) == pytest.approx(hidden, abs=2e-4)


def test_the_first_second_of_a_block_is_as_near_the_last_of_the_block_before_as_any_other():
    """Steps across the borders of blocks, of many seeds, against steps elsewhere."""
    across, inside = [], []
    for seed in range(300):
        capacity = ar1(NORMAL, 0.95, seed)
        values = seconds(capacity, 2, 511), seconds(capacity, 2, 300)
        across.append(values[0][1] - values[0][0])
        inside.append(values[1][1] - values[1][0])
    assert np.std(across) == pytest.approx(np.std(inside), rel=0.2)


@given(times=st.lists(st.floats(0, 1e7), min_size=1, max_size=20), seed=st.integers(0, 2**64 - 1))
def test_readers_that_ask_at_other_times_see_the_same_function(times, seed):
    link = find("lte-driving")
    first, second = (ar1(link.known("down_bps"), link.known("down_lag1"), seed) for _ in range(2))
    seen = [first.at(t_s) for t_s in times]
    assert [second.at(t_s) for t_s in reversed(times)] == seen[::-1]


@given(start_s=st.floats(0, 1e7), step_s=st.floats(1e-3, 10))
def test_an_announced_step_is_in_force_at_its_date_and_no_sooner(start_s, step_s):
    capacity = ar1(NORMAL, 0.9, 3, step_s=step_s)
    t_s = start_s
    for _ in range(10):
        change_s = capacity.next_change_s(t_s)
        assert change_s > t_s
        assert capacity.at(math.nextafter(change_s, 0)) == capacity.at(t_s)
        t_s = change_s


def test_another_seed_is_another_function():
    assert seconds(ar1(NORMAL, 0.9, 1), 20).tolist() != seconds(ar1(NORMAL, 0.9, 2), 20).tolist()


def test_days_ahead_cost_nothing_and_a_thousand_links_little_memory():
    capacities = [ar1(NORMAL, 0.9, seed) for seed in range(1000)]
    for capacity in capacities:
        capacity.at(30 * 86400.0)
    assert max(len(capacity._values) for capacity in capacities) * 8 * 1000 < 10e6  # bytes: the one block that is kept


@pytest.mark.parametrize("wanted", [-0.1, 1.0, math.nan])
def test_an_impossible_autocorrelation_is_refused(wanted):
    with pytest.raises(ValueError, match=r"an autocorrelation must be in 0\.\.0\.999"):
        ar1(NORMAL, wanted, 1)


def test_a_single_known_rate_cannot_vary():
    with pytest.raises(ValueError, match="cannot vary"):
        ar1(Quantiles([0.5], [5e6]), 0.9, 1)
