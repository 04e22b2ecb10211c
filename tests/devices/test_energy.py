"""Joules against sums on paper and published totals; the union of spans against brute force."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.energy import Radio, Spans, battery_percent

LTE = Radio(on_w=1.13, joules_per_mb_up=0.6134, joules_per_mb_down=0.0923, tail_s=10.0)


def test_an_upload_pays_for_its_bytes_and_for_the_radio_until_the_tail_ends():
    """12.5 MB at 12.5 Mbit/s: 8 s and 10 s of tail at 1.13 W, 0.6134 J a megabyte: 28.0 J."""
    spans = Spans()
    energy_j = LTE.message_j(spans.add(0.0, 8.0 + LTE.tail_s), 12.5e6, up=True)
    assert energy_j == pytest.approx(18 * 1.13 + 12.5 * 0.6134) == pytest.approx(28.0075)


def test_a_megabyte_up_costs_what_the_fit_of_the_measurement_says_without_its_tail():
    """The meter's fit for LTE up at 12.5 Mbit/s: 2.48 J a megabyte, of which 1.8 W are screen and processor."""
    seconds = 8 / 12.5
    assert LTE.message_j(seconds, 1e6, up=True) + 1.8 * seconds == pytest.approx(2.48, rel=0.02)


def test_transfers_that_follow_within_the_tail_pay_one_tail():
    spans = Spans()
    grown = [spans.add(start_s, start_s + 1 + 10) for start_s in (0.0, 5.0, 100.0)]
    assert grown == pytest.approx([11.0, 5.0, 11.0])


def test_a_transfer_inside_another_costs_no_time():
    spans = Spans()
    assert spans.add(0.0, 10.0) == 10.0
    assert spans.add(3.0, 4.0) == 0.0


def test_a_long_transfer_that_ends_after_shorter_ones_pays_only_what_they_have_not():
    spans = Spans()
    assert spans.add(5.0, 6.0) + spans.add(7.0, 8.0) == 2.0
    assert spans.add(0.0, 10.0) == 8.0
    assert spans.total_s == 10.0


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=30), st.randoms(use_true_random=False))
def test_the_union_is_that_of_the_seconds_covered_in_whatever_order(spans, random):
    covered = {second for start, length in spans for second in range(start, start + length)}
    union = Spans()
    random.shuffle(spans)
    grown = [union.add(float(start), float(start + length)) for start, length in spans]
    assert math.fsum(grown) == pytest.approx(len(covered))
    assert union.total_s == pytest.approx(len(covered))
    assert all(seconds >= 0 for seconds in grown)


def test_an_hour_at_five_watts_takes_a_quarter_of_a_phones_battery():
    """A 5,000 mAh battery at 3.85 V holds 19.25 Wh."""
    assert battery_percent(5 * 3600, 19.25) == pytest.approx(26.0, abs=0.1)


@pytest.mark.parametrize("capacity_wh", [0.0, -1.0, math.nan, math.inf])
def test_a_battery_of_no_capacity_is_refused(capacity_wh):
    with pytest.raises(ValueError, match="capacity must be positive"):
        battery_percent(1.0, capacity_wh)


@pytest.mark.parametrize("figure", ["on_w", "joules_per_mb_up", "joules_per_mb_down", "tail_s"])
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_radio_that_cannot_be_is_refused(figure, value):
    figures = {"on_w": 1.0, "joules_per_mb_up": 1.0, "joules_per_mb_down": 1.0, "tail_s": 1.0} | {figure: value}
    with pytest.raises(ValueError, match=f"{figure} of a radio"):
        Radio(**figures)


@pytest.mark.parametrize("span", [(1.0, 0.0), (0.0, math.inf), (math.nan, 1.0)])
def test_a_span_that_ends_before_it_starts_is_refused(span):
    with pytest.raises(ValueError, match="must end after"):
        Spans().add(*span)
