import math

import numpy as np
import pytest

from netmodels.quantiles import Quantiles


def test_between_two_levels_the_value_is_linear_and_beyond_the_outermost_it_stays():
    known = Quantiles([0.05, 0.5, 0.95], [1, 10, 100])
    assert known.at(np.array([0.0, 0.05, 0.275, 0.5, 0.725, 0.95, 1.0])) == pytest.approx([1, 1, 5.5, 10, 55, 100, 100])
    assert known.median == 10


def test_a_distribution_of_which_only_the_median_is_known_has_one_value():
    assert Quantiles([0.5], [7]).at(np.array([0.0, 0.3, 1.0])).tolist() == [7, 7, 7]


def test_the_share_of_zeros_is_the_last_level_whose_value_is_zero():
    assert Quantiles([0, 0.093, 1], [0, 0, 5]).zero_share == 0.093
    assert Quantiles([0.5], [5]).zero_share == 0


@pytest.mark.parametrize(
    ("levels", "values", "message"),
    [
        ([], [], "at least one"),
        ([0.1, 0.2], [1], "one value for each level"),
        ([0.2, 0.1], [1, 2], "levels must increase, got 0.1 after 0.2"),
        ([0.5, 1.5], [1, 2], "levels must be in 0..1"),
        ([math.nan], [1], "levels must be in 0..1"),
        ([0.1, 0.2], [2, 1], "values must not decrease, got 1 after 2"),
        ([0.5], [-1], "values must be finite and >= 0, got -1.0"),
        ([0.5], [math.nan], "values must be finite and >= 0, got nan"),
        ([0.5], [math.inf], "values must be finite and >= 0, got inf"),
    ],
)
def test_impossible_quantiles_are_refused(levels, values, message):
    with pytest.raises(ValueError, match=message):
        Quantiles(levels, values)
