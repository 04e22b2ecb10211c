"""The radio channel on paper: path loss, noise, the truncated Shannon bound, and fading against its exact mean."""

from __future__ import annotations

import math

import numpy as np
import pytest

from netmodels.capacity import Constant
from netmodels.wireless import DOWN, UP, channel, distances_m, path_loss_db


def test_path_loss_is_128_decibels_at_a_kilometre_and_grows_by_37_6_a_decade():
    assert path_loss_db(1000) == pytest.approx(128.1)
    assert path_loss_db(100) == pytest.approx(128.1 - 37.6)
    assert path_loss_db(1) == path_loss_db(35) == pytest.approx(128.1 + 37.6 * math.log10(0.035))


def test_signal_over_noise_is_a_sum_of_decibels():
    """Down at 1 km in 10 MHz: 46 + 15 - 128.1 = -67.1 dBm against -174 + 70 + 9 = -95 dBm."""
    assert DOWN.snr_db(128.1, 10e6) == pytest.approx(27.9)
    assert UP.snr_db(128.1, 10e6) == pytest.approx(23 + 15 - 128.1 - (-174 + 70 + 5))


def test_the_rate_is_a_share_of_shannons_bound_up_to_the_highest_modulation():
    """Down: 0.6 x log2(1 + 7) = 1.8 bit/s/Hz; at 60 dB the cap of 4.4. Up: 0.4 x log2(1 + 3) = 0.8; cap 2."""
    assert DOWN.rates_bps(np.array([7.0, 1e6]), 10e6).tolist() == pytest.approx([18e6, 44e6])
    assert UP.rates_bps(np.array([3.0, 1e6]), 5e6).tolist() == pytest.approx([4e6, 10e6])


def test_without_fading_the_channel_is_constant():
    loss_db = 128.1 + 20
    (rate,) = DOWN.rates_bps(np.array([10 ** (7.9 / 10)]), 10e6)
    steady = channel(DOWN, loss_db, 10e6, coherence_s=None, seed=1)
    assert isinstance(steady, Constant)
    assert steady.bps == pytest.approx(rate)


def test_a_fading_channel_changes_every_coherence_time_and_never_exceeds_its_peak():
    fading = channel(DOWN, 140.0, 10e6, coherence_s=0.05, seed=4)
    assert fading.next_change_s(0.0) == 0.05
    values = [fading.at(0.05 * k + 1e-9) for k in range(1000)]
    assert len(set(values)) > 900
    assert max(values) <= fading.peak_bps == pytest.approx(44e6)


def test_the_mean_rate_under_rayleigh_fading_is_shannons_integral():
    """Mean of log2(1 + s g) over exponential g = exp(1/s) E1(1/s) / ln 2; at s = 1: 0.8603 bit/s/Hz, x 0.6."""
    loss_db = 46 + 15 - (-174 + 70 + 9)  # such that the mean ratio is 0 dB
    fading = channel(DOWN, loss_db, 10e6, coherence_s=1.0, seed=11)
    mean = np.mean([fading.at(k) for k in range(40_000)])
    assert mean == pytest.approx(0.6 * 10e6 * 0.8603, rel=0.01)


def test_phones_are_spread_evenly_over_the_area_of_their_cell():
    ranks = np.linspace(0, 1, 10_001)
    distances = distances_m(ranks, 500.0)
    assert (distances[0], distances[-1]) == pytest.approx((35, 500))
    nearer_than_250 = (distances <= 250).mean()
    assert nearer_than_250 == pytest.approx((250**2 - 35**2) / (500**2 - 35**2), abs=1e-3)


@pytest.mark.parametrize("radius_m", [35, 0, -1, math.nan, math.inf])
def test_a_cell_must_reach_beyond_the_least_distance(radius_m):
    with pytest.raises(ValueError, match="a cell's radius must be finite and > 35 m"):
        distances_m(np.array([0.5]), radius_m)


def test_a_channel_that_carries_nothing_is_refused():
    with pytest.raises(ValueError, match="a channel that loses 250 dB carries less than 1 bit/s"):
        channel(UP, 250.0, 10e6, coherence_s=None, seed=1)


@pytest.mark.parametrize("bandwidth_hz", [0, -1, math.nan, math.inf])
def test_a_bandwidth_must_be_finite_and_above_zero(bandwidth_hz):
    with pytest.raises(ValueError, match="a bandwidth must be finite and > 0 Hz"):
        channel(UP, 100.0, bandwidth_hz, coherence_s=None, seed=1)


def test_a_coherence_time_must_be_above_zero():
    with pytest.raises(ValueError, match="steps must last a finite time above 0 s"):
        channel(UP, 100.0, 1e6, coherence_s=0.0, seed=1)
