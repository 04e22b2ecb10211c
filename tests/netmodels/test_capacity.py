import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmodels.capacity import Constant, Steps


def test_a_constant_capacity_never_changes():
    constant = Constant(20e6)
    assert (constant.at(0), constant.at(1e9), constant.next_change_s(5), constant.peak_bps) == (
        20e6,
        20e6,
        math.inf,
        20e6,
    )


@pytest.mark.parametrize("bps", [0, -1, math.nan, math.inf])
def test_a_constant_capacity_must_be_above_zero_and_finite(bps):
    with pytest.raises(ValueError, match="constant capacity must be above 0"):
        Constant(bps)


def test_a_step_holds_from_its_time_until_the_next():
    steps = Steps([0, 1, 3], [10, 0, 20])
    assert [steps.at(t_s) for t_s in (0, 0.999, 1, 2.999, 3, 100)] == [10, 10, 0, 0, 20, 20]
    assert [steps.next_change_s(t_s) for t_s in (0, 0.5, 1, 2, 3, 100)] == [1, 1, 3, 3, math.inf, math.inf]
    assert steps.peak_bps == 20


def test_periodic_steps_start_again_after_the_period():
    steps = Steps([0, 1], [10, 20], period_s=4)
    assert [steps.at(t_s) for t_s in (0, 1, 3.5, 4, 5, 8, 41)] == [10, 20, 20, 10, 20, 10, 20]
    assert [steps.next_change_s(t_s) for t_s in (0, 1, 3.5, 4, 40)] == [1, 4, 4, 5, 41]


def test_before_time_zero_the_first_step_holds():
    steps = Steps([0, 1], [10, 20], period_s=4)
    assert steps.at(-3) == 10
    assert steps.next_change_s(-3) == 1


def test_one_periodic_step_never_changes():
    assert Steps([0], [10], period_s=1).next_change_s(7) == math.inf


@pytest.mark.parametrize(
    ("times_s", "values_bps", "period_s", "message"),
    [
        ([], [], None, "at least one"),
        ([0, 1], [1], None, "one value per time"),
        ([1, 2], [1, 1], None, "must start at 0 s, got 1.0"),
        ([0, 2, 2], [1, 1, 1], None, "must increase and be finite, got 2.0 after 2.0"),
        ([0, math.nan], [1, 1], None, "must increase and be finite, got nan"),
        ([0, math.inf], [1, 1], None, "must increase and be finite, got inf"),
        ([0, 1], [1, math.nan], None, "finite and >= 0 bit/s, got nan from 1.0 s on"),
        ([0, 1], [-1, 1], None, "finite and >= 0 bit/s, got -1.0 from 0.0 s on"),
        ([0, 1], [1, 1], 1, "beyond the last step at 1.0 s"),
        ([0, 1], [1, 1], math.nan, "beyond the last step"),
    ],
)
def test_impossible_steps_are_refused(times_s, values_bps, period_s, message):
    with pytest.raises(ValueError, match=message):
        Steps(times_s, values_bps, period_s)


@given(
    gaps=st.lists(st.floats(1e-3, 10), min_size=1, max_size=5),
    rest_s=st.floats(1e-3, 10),
    start_s=st.floats(0, 1e7),
)
def test_an_announced_change_is_in_force_at_its_date_and_no_sooner(gaps, rest_s, start_s):
    times_s = [sum(gaps[:index]) for index in range(len(gaps) + 1)]
    steps = Steps(times_s, range(len(times_s)), period_s=times_s[-1] + rest_s)
    t_s = start_s
    for _ in range(20):
        change_s = steps.next_change_s(t_s)
        assert change_s > t_s
        before, after = steps.at(t_s), steps.at(change_s)
        assert after == (before + 1) % len(times_s)
        assert steps.at(math.nextafter(change_s, 0)) == before
        t_s = change_s
