"""Speed factors of devices of one model, against the lognormal's own formulas."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.spread import DEFAULT_SIGMA, speed_factors

MANY = 100_000


def test_the_median_is_one_and_the_logarithms_spread_by_sigma():
    logs = np.log(speed_factors(np.random.default_rng(1), MANY, 0.3))
    # standard error of the median: 1.2533 x 0.3 / sqrt(100,000) = 0.0012; of the spread: 0.3 / sqrt(200,000) = 0.0007
    assert np.median(logs) == pytest.approx(0.0, abs=5 * 0.0012)
    assert logs.std() == pytest.approx(0.3, abs=5 * 0.0007)


def test_the_mean_is_above_one_by_half_the_variance():
    factors = speed_factors(np.random.default_rng(2), MANY, 0.3)
    assert factors.mean() == pytest.approx(math.exp(0.3**2 / 2), rel=0.01)


def test_two_in_three_devices_lie_between_0_74_and_1_35_of_the_median():
    factors = speed_factors(np.random.default_rng(3), MANY)
    assert DEFAULT_SIGMA == 0.3
    assert np.mean((factors > 0.74) & (factors < 1.35)) == pytest.approx(0.683, abs=0.01)


def test_no_spread_makes_all_devices_equal():
    assert speed_factors(np.random.default_rng(4), 5, 0.0).tolist() == [1.0] * 5


def test_one_seed_draws_the_same_factors_again_and_another_does_not():
    once, again, other = (speed_factors(np.random.default_rng(seed), 100, 0.3) for seed in (7, 7, 8))
    assert once.tolist() == again.tolist()
    assert once.tolist() != other.tolist()


@given(seed=st.integers(0, 2**32), count=st.integers(0, 50), sigma=st.floats(0, 2))
def test_there_is_one_positive_factor_for_each_device(seed, count, sigma):
    factors = speed_factors(np.random.default_rng(seed), count, sigma)
    assert factors.shape == (count,)
    assert np.all(factors > 0)


@pytest.mark.parametrize(
    ("count", "sigma", "complaint"),
    [
        (-1, 0.3, "count must be at least 0, got -1"),
        (1, -0.1, "sigma must be finite and at least 0, got -0.1"),
        (1, math.nan, "sigma must be finite"),
    ],
)
def test_a_spread_that_cannot_be_is_refused(count, sigma, complaint):
    with pytest.raises(ValueError, match=complaint):
        speed_factors(np.random.default_rng(0), count, sigma)
