"""Batteries on paper: a 10 Wh battery holds 36,000 J; 10 W for an hour fill it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.availability import ALWAYS, Recorded
from devices.battery import LATER_S, Battery

HOUR = 3600.0
FIRST_HOUR = Recorded([(0, HOUR)], 4 * HOUR)  # plugged in for one hour of every four


def test_a_battery_that_is_not_plugged_in_loses_what_is_drawn():
    battery = Battery(10.0, 0.5, 0.0, ALWAYS)
    assert battery.level(HOUR, 3600.0) == pytest.approx(0.4)  # 1 W for an hour is a tenth of 10 Wh
    assert battery.level(2 * HOUR, 3600.0) == pytest.approx(0.4)


def test_a_battery_that_is_plugged_in_gains_what_the_charger_gives_less_what_is_drawn():
    battery = Battery(10.0, 0.2, 5.0, FIRST_HOUR)
    assert battery.level(HOUR, 2 * HOUR) == pytest.approx(0.2 + 0.3)  # 5 W in, 2 W out
    assert battery.level(2 * HOUR, 3 * HOUR) == pytest.approx(0.5 - 0.1)
    assert battery.level(5 * HOUR, 3 * HOUR) == pytest.approx(0.4 + 0.5)


def test_a_battery_is_never_above_full_nor_below_empty():
    assert Battery(10.0, 0.9, 10.0, ALWAYS).level(HOUR, 0.0) == 1.0
    assert Battery(10.0, 0.1, 0.0, ALWAYS).level(HOUR, 2 * HOUR) == 0.0


def test_a_phone_knows_when_it_will_be_full_enough():
    battery = Battery(10.0, 0.1, 2.0, FIRST_HOUR)
    # 1 W net for one hour in four: 20 % after the first hour, less 10 % an hour for three hours: empty; then 10 %
    assert battery.reaches_s(0.15, 1.0) == pytest.approx(HOUR / 2 + LATER_S)
    assert battery.reaches_s(0.5, 1.0, horizon_s=1e6) == math.inf
    assert battery.reaches_s(0.05, 1.0) == 0.0
    assert Battery(10.0, 0.1, 0.0, ALWAYS).reaches_s(0.2, 0.1) == math.inf


@given(st.floats(0.01, 0.9), st.floats(0.1, 20), st.floats(0, 1), st.floats(0.02, 0.95))
def test_when_it_says_so_it_is_full_enough(level, charger_w, draw_w, wanted):
    plugged = Recorded([(1000, 5000)], 20_000)
    at_s = Battery(15.0, level, charger_w, plugged).reaches_s(wanted, draw_w, horizon_s=1e6)
    if at_s < math.inf:
        battery = Battery(15.0, level, charger_w, plugged)
        assert battery.level(at_s, draw_w * at_s) >= wanted - 1e-12
        if at_s > 1:
            assert Battery(15.0, level, charger_w, plugged).level(at_s - 1, draw_w * (at_s - 1)) < wanted + 1e-12


@pytest.mark.parametrize("figures", [(0.0, 0.5, 1.0), (10.0, 1.1, 1.0), (10.0, 0.5, -1.0), (math.nan, 0.5, 1.0)])
def test_impossible_batteries_are_refused(figures):
    with pytest.raises(ValueError, match="a battery needs"):
        Battery(*figures, ALWAYS)


def test_time_that_goes_back_is_refused():
    battery = Battery(10.0, 0.5, 0.0, ALWAYS)
    battery.level(5.0, 0.0)
    with pytest.raises(ValueError, match="must not go back"):
        battery.level(4.0, 0.0)
