import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netmodels.capacity import Constant, Shifted, Steps
from netmodels.link import Link
from netmodels.network import Network
from netmodels.tcp import PURE, Tcp


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
        ([0, 1], [0, 0], None, "0 bit/s at all times carries nothing for ever"),
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


def test_a_shifted_capacity_is_the_other_one_seen_later():
    steps = Steps([0, 1], [10, 20], period_s=4)
    later = Shifted(steps, 3.5)
    assert [later.at(t_s) for t_s in (0, 0.5, 1.4, 1.5, 4.5)] == [20, 10, 10, 20, 10]
    assert [later.next_change_s(t_s) for t_s in (0, 0.5, 1.5)] == [0.5, 1.5, 4.5]
    assert (later.peak_bps, Shifted(Constant(5), 9).next_change_s(0)) == (20, math.inf)


@pytest.mark.parametrize("offset_s", [-1, math.nan, math.inf])
def test_an_offset_must_be_finite_and_not_negative(offset_s):
    with pytest.raises(ValueError, match="offset must be finite and >= 0 s"):
        Shifted(Constant(1), offset_s)


@given(
    gaps=st.lists(st.floats(1e-3, 10), min_size=1, max_size=5), offset_s=st.floats(0, 1e6), start_s=st.floats(0, 1e7)
)
def test_a_shifted_change_is_in_force_at_its_date(gaps, offset_s, start_s):
    times_s = [sum(gaps[:index]) for index in range(len(gaps) + 1)]
    shifted = Shifted(Steps(times_s, range(len(times_s)), period_s=times_s[-1] + 1), offset_s)
    t_s = start_s
    for _ in range(20):
        change_s = shifted.next_change_s(t_s)
        assert change_s > t_s
        assert shifted.at(change_s) == (shifted.at(t_s) + 1) % len(times_s)
        t_s = change_s


def delivered_s(capacity, model: Tcp) -> float:
    network = Network([Link("radio", capacity, latency_s=0.05)], model)
    network.start(0.0, "upload", 1e6, ("radio",))
    while True:
        for done in network.advance(network.next_event_s()):
            return done.delivered_s


def test_an_outage_stalls_a_flow_and_it_goes_on_afterwards():
    """8 Mbit at 4 Mbit/s would take 2 s; from 1 s to 31 s nothing leaves."""
    outage = Steps([0, 1, 31], [4e6, 0, 4e6])
    assert delivered_s(outage, PURE) == pytest.approx(32 + 0.05)
    without = delivered_s(Constant(4e6), Tcp())
    assert delivered_s(outage, Tcp()) == pytest.approx(without + 30, rel=1e-9)


def test_a_flow_on_a_link_that_stays_dead_has_no_next_event():
    network = Network([Link("radio", Steps([0, 1], [4e6, 0]))], PURE)
    network.start(0.0, "upload", 1e6, ("radio",))
    network.advance(1.0)
    assert network.next_event_s() == math.inf
    assert network.cancel(5.0, "upload") == pytest.approx(0.5e6)
