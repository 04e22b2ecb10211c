"""Numbers as people read them."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.views import format as f


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (4e-8, "0 s"),
        (6e-8, "0.1 us"),
        (2.5e-5, "25 us"),
        (0.0041, "4.1 ms"),
        (0.412, "412 ms"),
        (0.9996, "1.0 s"),
        (8.14, "8.1 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (860, "14 min 20 s"),
        (3599.7, "1 h 00 min 00 s"),
        (3723.4, "1 h 02 min 03 s"),
        (86399.9, "1 d 0 h"),
        (3 * 86400 + 4 * 3600 + 100, "3 d 4 h"),
        (4 * 86400 - 60, "4 d 0 h"),
        (-860, "-14 min 20 s"),
        (math.nan, "-"),
        (math.inf, "forever"),
    ],
)
def test_a_duration_is_told_in_the_units_of_its_size(seconds, text):
    assert f.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "digits", "text"),
    [(3723.4, 1, "1 h 02 min 03.4 s"), (61.25, 2, "1 min 01.25 s"), (119.96, 1, "2 min 00.0 s")],
)
def test_a_duration_can_have_decimals(seconds, digits, text):
    assert f.duration(seconds, digits=digits) == text


@given(st.floats(0.05, 86399))
def test_a_duration_reads_back_to_half_a_unit(seconds):
    units = {"ms": 1e-3, "s": 1, "min": 60, "h": 3600}
    parts = re.findall(r"([\d.]+) (ms|s|min|h)", f.duration(seconds))
    half_s = 0.0005 if seconds < 0.9995 else 0.05 if seconds < 59.95 else 0.5
    assert abs(sum(float(number) * units[unit] for number, unit in parts) - seconds) <= half_s + 1e-9


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (0.04, "0.0 s"), (0.165, "0.2 s"), (59.96, "1 min 00 s"), (125, "2 min 05 s")]
)
def test_a_time_of_this_machine_is_never_finer_than_a_tenth_of_a_second(seconds, text):
    assert f.elapsed(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1.0 kB"),
        (1000, "1.0 kB"),
        (12_600_000, "12.6 MB"),
        (999_960, "1.0 MB"),
        (1.2e9, "1.2 GB"),
        (5e21, "5,000.0 EB"),
        (-1500, "-1.5 kB"),
        (math.nan, "-"),
    ],
)
def test_bytes_have_a_decimal_prefix_and_one_decimal(size_bytes, text):
    assert f.size(size_bytes) == text


@pytest.mark.parametrize(("rate_bps", "text"), [(950, "950 bit/s"), (31e6, "31.0 Mbit/s"), (10e9, "10.0 Gbit/s")])
def test_rates_are_in_bits_per_second(rate_bps, text):
    assert f.rate(rate_bps) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (9.8712, "9.87"),
        (99.996, "100.0"),
        (243.46, "243.5"),
        (999.96, "1,000"),
        (50257.2, "50,257"),
        (2.5e9, "2.5e+09"),
        (math.inf, "inf"),
        (math.nan, "-"),
    ],
)
def test_a_perplexity_has_four_figures_or_so(value, text):
    assert f.perplexity(value) == text


def test_a_loss_has_three_decimals():
    assert (f.loss(2.3141), f.loss(math.nan)) == ("2.314", "-")


@pytest.mark.parametrize(("share", "text"), [(0.264, "26.4 %"), (1, "100.0 %"), (math.nan, "-")])
def test_a_share_is_told_in_per_cent(share, text):
    assert f.percent(share) == text


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [(20, 15, "−25.0 %"), (20, 20.6, "+3.0 %"), (20, 19.999, "0.0 %"), (math.nan, 3, "-"), (0, 3, "-")],
)
def test_a_change_has_a_sign(before, after, text):
    assert f.change(before, after) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.52, "0.52x"), (0.999, "1.0x"), (9.3, "9.3x"), (187.4, "187x"), (12_345, "12,345x"), (math.inf, "-")],
)
def test_a_factor_has_two_or_three_figures(value, text):
    assert f.factor(value) == text


def test_groups_that_lack_the_same_are_named_together_and_a_remedy_once():
    radio, remedy = "the radio: {} names no class", "set it"
    missing = {
        "low": [f"{radio.format('lte')}; {remedy}"],
        "mid": [f"{radio.format('lte')}; {remedy}"],
        "high": ["power of x", f"{radio.format('wifi')}; {remedy}"],
        "known": [],
    }
    assert f.by_cause(missing) == (
        "low, mid (the radio: lte names no class); high (power of x; the radio: wifi names no class); set it"
    )
    assert not f.by_cause({"known": []})


def test_three_equal_parts_are_rounded_to_a_sum_of_100():
    assert f.shares([1, 1, 1]) == [33.4, 33.3, 33.3]


def test_the_shares_of_nothing_are_zero():
    assert f.shares([0, 0]) == [0, 0]


def test_a_negative_part_has_no_share():
    with pytest.raises(ValueError, match="finite parts >= 0"):
        f.shares([1, -1])


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=8).filter(lambda parts: sum(parts) > 1e-6), st.integers(0, 200))
def test_an_apportioned_total_is_whole_and_nobody_is_off_by_one(parts, total):
    counts = f.apportion(parts, total)
    assert sum(counts) == total
    assert all(abs(count - part / sum(parts) * total) < 1 + 1e-6 for count, part in zip(counts, parts, strict=True))


def test_a_sparkline_runs_from_the_lowest_block_to_the_highest():
    assert f.sparkline([0, 1, 2, 3, 4, 5, 6, 7], 20) == "▁▂▃▄▅▆▇█"


def test_a_long_series_is_drawn_by_the_means_of_equal_stretches():
    assert f.sparkline([0, 0, 3, 4, 7, 7], 3) == "▁▅█"  # means 0, 3.5 and 7: half way up is step 3.5, drawn as 4


@pytest.mark.parametrize(("values", "text"), [([], ""), ([math.nan], ""), ([5], "▁"), ([2, math.nan, 2], "▁▁")])
def test_a_sparkline_of_little_is_short_and_flat(values, text):
    assert f.sparkline(values, 10) == text


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=100), st.integers(1, 40))
def test_a_sparkline_is_never_longer_than_its_width(values, width):
    assert len(f.sparkline(values, width)) == min(width, len(values))


def test_a_chart_is_filled_from_the_bottom():
    assert f.chart([15, 0], 4, 2) == ["██  ", "██▁▁"]


def test_a_chart_of_nothing_is_empty():
    assert f.chart([math.nan], 3, 2) == ["   ", "   "]
