"""When devices are there: windows, sessions and traces on paper, and laws for all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.availability import (
    ALWAYS,
    DAY_S,
    Both,
    Daily,
    Recorded,
    Sessions,
    comes_s,
    dropout_s,
    leaves_s,
    read_trace,
)

HOUR = 3600.0


def day_draws(seed: int):
    return lambda day: np.random.default_rng([seed, day + 10_000])


def night(**options):
    """On the charger from 22 to 6 o'clock."""
    return Daily(22 * HOUR, 6 * HOUR, day_draws(1), **options)


def test_a_phone_on_the_charger_at_night_is_there_at_midnight_and_not_at_noon():
    phone = night()
    assert phone.available(0.0)
    assert not phone.available(12 * HOUR)
    assert phone.next_change_s(0.0) == 6 * HOUR
    assert phone.next_change_s(6 * HOUR) == 22 * HOUR
    assert leaves_s(phone, 23 * HOUR) == 30 * HOUR
    assert comes_s(phone, 40 * HOUR) == 46 * HOUR


def test_the_end_of_a_span_does_not_belong_to_it():
    assert not night().available(6 * HOUR)
    assert night().available(22 * HOUR)


def test_a_run_that_begins_at_eight_in_the_evening_waits_two_hours_for_ten_o_clock():
    assert comes_s(night(shift_s=-20 * HOUR), 0.0) == 2 * HOUR


def test_a_phone_three_hours_west_comes_three_hours_later():
    assert comes_s(night(shift_s=3 * HOUR), 12 * HOUR) == 25 * HOUR


def test_a_phone_plugged_in_on_half_of_the_days_is_there_on_half_of_the_days():
    phone = night(days=0.5)
    there = sum(phone.available((day + 0.98) * DAY_S) for day in range(2000))
    assert there / 2000 == pytest.approx(0.5, abs=0.04)  # 3.6 standard deviations


def test_the_edges_of_a_day_are_as_uncertain_as_said():
    phone = night(jitter_s=900.0)
    starts = [comes_s(phone, (day + 0.5) * DAY_S) - (day * DAY_S + 22 * HOUR) for day in range(2000)]
    assert np.mean(starts) == pytest.approx(0.0, abs=80)  # 4 standard errors of 20 s
    assert np.std(starts) == pytest.approx(900, rel=0.07)


def test_sessions_are_on_for_their_share_of_the_time_and_as_long_as_said():
    phone = Sessions(3 * HOUR, HOUR, np.random.default_rng(4))
    spans, t_s = [], comes_s(phone, 0.0)
    while len(spans) < 4000:
        end_s = leaves_s(phone, t_s)
        spans.append(end_s - t_s)
        t_s = comes_s(phone, end_s)
    assert np.mean(spans) == pytest.approx(3 * HOUR, rel=0.07)
    assert sum(spans) / t_s == pytest.approx(0.75, abs=0.02)
    first = [Sessions(3 * HOUR, HOUR, np.random.default_rng(seed)).available(0.0) for seed in range(4000)]
    assert np.mean(first) == pytest.approx(0.75, abs=0.03)


def test_dropouts_of_two_an_hour_come_after_half_an_hour_on_average():
    draws = [dropout_s(np.random.default_rng(seed), 2.0) for seed in range(4000)]
    assert np.mean(draws) == pytest.approx(1800, rel=0.07)
    assert dropout_s(np.random.default_rng(0), 0.0) == math.inf


def test_a_device_is_there_when_all_of_its_parts_say_so():
    both = Both([Recorded([(0, 10), (20, 30)]), Recorded([(5, 25)])])
    assert [both.available(t) for t in (0, 5, 10, 20, 25)] == [False, True, False, True, False]
    assert comes_s(both, 11) == 20


def test_a_search_for_spans_that_never_meet_ends_at_the_horizon():
    never = Both([night(), Recorded([(12 * HOUR, 13 * HOUR)], DAY_S)])
    assert comes_s(never, 0.0, horizon_s=100 * DAY_S) == math.inf
    assert leaves_s(ALWAYS, 0.0) == math.inf


def test_a_trace_comes_again_every_period_and_spans_that_touch_are_one():
    trace = Recorded([(0, 2), (4, 5), (5, 10)], 10)
    assert comes_s(trace, 3) == 4
    assert leaves_s(trace, 4) == 12  # the next lap begins with two seconds
    assert comes_s(trace, 12) == 14
    assert not trace.available(1_000_003)
    assert trace.available(1_000_004)


def test_a_trace_without_a_period_ends():
    trace = Recorded([(1, 2)])
    assert comes_s(trace, 2) == math.inf


# --- laws


def models(seed: int):
    return [
        night(shift_s=1234.5, jitter_s=HOUR, days=0.7),
        Sessions(500.0, 200.0, np.random.default_rng(seed)),
        Recorded([(0.1, 0.3), (0.7, 0.9)], 1.1),
        Both([night(jitter_s=HOUR), Sessions(5000.0, 900.0, np.random.default_rng(seed))]),
    ]


@given(st.integers(0, 50), st.lists(st.floats(0, 2e6), min_size=1, max_size=8), st.integers(0, 3))
def test_the_answers_do_not_depend_on_the_order_of_the_questions(seed, times, kind):
    asked_in_turn, asked_backwards = models(seed)[kind], models(seed)[kind]
    forward = [(asked_in_turn.available(t), asked_in_turn.next_change_s(t)) for t in sorted(times)]
    backward = [(asked_backwards.available(t), asked_backwards.next_change_s(t)) for t in sorted(times, reverse=True)]
    assert forward == backward[::-1]


@given(st.integers(0, 50), st.floats(0, 2e6), st.integers(0, 3), st.floats(0, 1))
def test_nothing_changes_before_the_next_change_and_a_change_announced_is_in_force(seed, t_s, kind, part):
    model = models(seed)[kind]
    change_s = model.next_change_s(t_s)
    assert change_s > t_s
    between_s = t_s + part * (change_s - t_s)
    if between_s < change_s:
        assert model.available(between_s) == model.available(t_s)
    if kind != 3:  # of Both, a part may change without the whole
        assert model.available(change_s) != model.available(t_s)


# --- files


def written(tmp_path, text):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    return path


def test_a_trace_file_has_a_device_for_each_name_in_order_of_appearance(tmp_path):
    path = written(tmp_path, "# made by hand\ndevice,from_s,to_s\nb,0,10\na,5,6\nb,20,30.5\n")
    first, second = read_trace(path)
    assert first == Recorded([(0, 10), (20, 30.5)])
    assert second == Recorded([(5, 6)])
    assert read_trace(path, period_s=0)[1].period_s == 30.5
    assert read_trace(path, period_s=40)[0].period_s == 40


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ":1: the first line must name the columns device,from_s,to_s"),
        ("device,from_s,to_s\n", "an empty trace: no device is ever there"),
        ("who,from_s,to_s\na,0,1\n", ":1: the first line must name the columns"),
        ("device,from_s,to_s\na,0\n", ":2: needs 3 columns, got 2"),
        ("device,from_s,to_s\na,0,1\na,0.5,2\n", ":3: spans of a device must be in order and not overlap"),
        ("device,from_s,to_s\na,3,2\n", ":2: a span must begin at 0 s or later and end after it begins, got 3.0..2.0"),
        ("device,from_s,to_s\na,nan,2\n", ":2: times must be finite, got nan..2.0"),
        ("device,from_s,to_s\na,1 s,2\n", ":2: must be a number of seconds, got '1 s'"),
    ],
)
def test_a_trace_that_cannot_be_is_refused_with_its_line(tmp_path, text, says):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=r"trace\.csv") as error:
        read_trace(path)
    assert says in str(error.value)


def test_a_period_that_ends_before_the_last_span_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"the period must not end before the last span"):
        read_trace(written(tmp_path, "device,from_s,to_s\na,0,10\n"), period_s=9)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Daily(HOUR, HOUR, day_draws(1)),
        lambda: night(days=0.0),
        lambda: Sessions(0.0, 1.0, np.random.default_rng(1)),
        lambda: Recorded([]),
        lambda: Recorded([(0, 5)], 4),
        lambda: dropout_s(np.random.default_rng(1), -1.0),
    ],
)
def test_what_makes_no_sense_is_refused(make):
    with pytest.raises(ValueError, match="must|need"):
        make()
