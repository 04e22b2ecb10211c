import math

import pytest

from netmodels.tcp import MODELS, PURE, Tcp, find_model

TCP = MODELS["tcp"]


def test_payload_is_96_53_percent_of_what_links_carry():
    assert TCP.wire_bytes(9653) == pytest.approx(10_000)
    assert PURE.wire_bytes(9653) == 9653


def test_shares_are_in_proportion_to_one_over_the_round_trip():
    assert TCP.weight(0.01) == pytest.approx(8 * TCP.weight(0.08))
    assert TCP.weight(0) == TCP.weight(1e-5) < math.inf
    assert PURE.weight(0.01) == PURE.weight(0.08) == 1


def test_a_connection_keeps_its_window_for_a_round_trip_and_200_ms():
    assert TCP.idle_limit_s(0.06) == pytest.approx(0.26)


def test_the_rate_under_loss_is_that_of_padhye():
    # p = 0.015, RTT 50 ms, timeout 250 ms: 50 ms x 0.1 = 5 ms of recovery a segment, and timeouts of
    # 250 ms x (3 x 0.075 = 0.225) x 0.015 x (1 + 32 x 0.000225 = 1.0072) = 0.849825 ms.
    assert TCP.loss_rate_bps(0.05, 0.015) == pytest.approx(8 * 1448 / 0.005849825)
    assert TCP.loss_rate_bps(0.05, 0) == math.inf
    assert PURE.loss_rate_bps(0.05, 0.015) == math.inf


def test_without_timeouts_the_rate_under_loss_would_be_that_of_mathis():
    # Long round trips make them rare beside recovery: at 100 s and p = 1e-6 the rate is MSS / RTT x sqrt(1.5 / p).
    assert TCP.loss_rate_bps(100, 1e-6) == pytest.approx(8 * 1448 / 100 * math.sqrt(1.5e6), rel=1e-5)


def test_slow_start_sends_about_one_segment_over_p_before_the_first_loss():
    assert TCP.loss_free_bytes(1e9, 0.01) == pytest.approx(100 * 1448)
    # Two segments at p = 1/10: (1 - 0.81) x 0.9 x 10 + 1 = 2.71, more than there are.
    assert TCP.loss_free_bytes(2 * 1448, 0.1) == 2 * 1448
    # Three segments at p = 1/2: (1 - 1/8) x 1/2 x 2 + 1 = 1.875.
    assert TCP.loss_free_bytes(3 * 1448, 0.5) == pytest.approx(1.875 * 1448)
    assert TCP.loss_free_bytes(5000, 0) == 5000
    assert PURE.loss_free_bytes(5000, 0.5) == 5000


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"efficiency": 0}, r"efficiency must be in \(0, 1\], got 0"),
        ({"efficiency": 1.1}, r"efficiency must be in \(0, 1\], got 1.1"),
        ({"efficiency": math.nan}, "efficiency"),
        ({"initial_window_bytes": 0}, "initial_window_bytes must be finite and > 0"),
        ({"mss_bytes": math.inf}, "mss_bytes must be finite and > 0"),
    ],
)
def test_impossible_constants_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Tcp(**wrong)


def test_models_are_found_by_name_and_guessed():
    assert find_model("pure") is PURE
    with pytest.raises(ValueError, match=r"must be one of pure, tcp, tcp-fast, got 'tpc'; did you mean 'tcp'\?"):
        find_model("tpc")
