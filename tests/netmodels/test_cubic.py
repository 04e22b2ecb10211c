"""Windows by hand. A segment is 12,000 bits."""

import math

import pytest

from netmodels.cubic import SEGMENT_BITS, Window, exit_bits


def window(segments, **state):
    made = Window()
    made.bits = segments * SEGMENT_BITS
    for name, value in state.items():
        setattr(made, name, value)
    return made


def segments(of):
    return of.bits / SEGMENT_BITS


def test_before_any_loss_a_window_grows_by_five_percent_a_round_trip():
    grown = window(100)
    grown.grow(now_s=10, elapsed_s=0.2, rtt_s=0.1)
    assert segments(grown) == pytest.approx(110.25)
    assert grown.gain == pytest.approx(5.125)


def test_after_a_loss_a_window_is_back_at_its_maximum_when_cubic_says():
    # RFC 9438: K is the cube root of 0.3 x W / 0.4; with W = 106.67 segments of a maximum of 800/7.5 it is 80^(1/3).
    top = 80 * 0.4 / 0.3
    back = window(0.7 * top, top_bits=top * SEGMENT_BITS, cut_s=0.0)
    plateau_s = math.cbrt(80)
    back.grow(now_s=plateau_s - 0.5, elapsed_s=3, rtt_s=0.5)
    assert segments(back) == pytest.approx(top)


def test_a_small_window_grows_as_reno_would():
    # 3 x 0.3 / 1.7 segments a round trip of 10 ms; cubic is slower there.
    small = window(7, top_bits=10 * SEGMENT_BITS, cut_s=0.0)
    small.grow(now_s=0.1, elapsed_s=0.1, rtt_s=0.01)
    assert segments(small) == pytest.approx(7 + 10 * 0.9 / 1.7)


def test_a_full_queue_cuts_those_who_added_much_by_thirty_percent_and_others_by_their_chance():
    greedy, careful = window(100, gain=50.0), window(100, gain=math.log(2))
    greedy.cut(5)
    careful.cut(5)
    assert segments(greedy) == pytest.approx(70)
    assert segments(careful) == pytest.approx(85)  # one in two loses a packet
    assert greedy.cut_s == 5


def test_no_cut_leaves_less_than_two_segments():
    tiny = window(2, gain=50.0)
    tiny.cut(0)
    assert segments(tiny) == 2


def test_slow_start_ends_when_its_packets_fill_half_the_path():
    # 100 segments in 30 ms of a round trip of 50 ms; in the 25 ms until that is noticed 83 more are acknowledged.
    left = exit_bits(100 * SEGMENT_BITS, rtt_s=0.05, train_s=0.03, waited_s=0, least_waited_s=0)
    assert left == pytest.approx(100 * SEGMENT_BITS * (1 + 25 / 30))
    assert exit_bits(100 * SEGMENT_BITS, rtt_s=0.05, train_s=0.02, waited_s=0, least_waited_s=0) is None


def test_slow_start_ends_when_queues_have_grown_by_an_eighth_of_the_round_trip():
    def left(waited_s, size=20):
        return exit_bits(size * SEGMENT_BITS, rtt_s=0.08, train_s=0.001, waited_s=waited_s, least_waited_s=0.03)

    assert left(0.0399) is None
    assert left(0.0401) == pytest.approx(28 * SEGMENT_BITS)
    assert left(0.0401, size=15) is None


def test_a_window_is_halved_for_each_timeout_of_silence():
    def after(idle_s, **state):
        woken = window(64, used_s=100.0, **state)
        woken.wake(100 + idle_s, 0.25, 10 * SEGMENT_BITS)
        return woken

    assert segments(after(0.25)) == 64
    assert segments(after(0.3)) == 32
    assert segments(after(0.6)) == 16
    assert segments(after(60)) == 10
    steady = after(0.6, slow=False, threshold_bits=30 * SEGMENT_BITS)
    assert steady.slow
    assert steady.threshold_bits == 48 * SEGMENT_BITS  # back to three quarters by slow start


def test_a_window_that_never_sent_starts_with_the_first():
    fresh = Window()
    fresh.wake(3, 0.25, 10 * SEGMENT_BITS)
    assert segments(fresh) == 10
    assert repr(fresh) == "<Window 10 segments slow start>"
