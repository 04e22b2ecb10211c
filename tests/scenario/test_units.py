import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.scenario.units import DURATION, POWER, RATE, SIZE, format_share, parse_share


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (RATE, "20 Mbit/s", 20_000_000),
        (RATE, "20Mbit/s", 20_000_000),
        (RATE, "20 Mbps", 20_000_000),
        (RATE, "  1.5   Gbit/s ", 1_500_000_000),
        (RATE, "800 kbit/s", 800_000),
        (RATE, "9600 bit/s", 9600),
        (RATE, "2 Tbit/s", 2_000_000_000_000),
        (RATE, "1e3 kbps", 1_000_000),
        (RATE, ".5 Mbps", 500_000),
        (RATE, "1 MB/s", 8_000_000),
        (RATE, "1 kB/s", 8000),
        (DURATION, "50 ms", 0.05),
        (DURATION, "7 us", 0.000007),
        (DURATION, "7 µs", 0.000007),
        (DURATION, "2 s", 2),
        (DURATION, "3 min", 180),
        (DURATION, "1 h", 3600),
        (DURATION, "7 d", 604_800),
        (DURATION, "0 s", 0),
        (SIZE, "4 GiB", 4_294_967_296),
        (SIZE, "500 MB", 500_000_000),
        (SIZE, "12 kB", 12_000),
        (SIZE, "1 KiB", 1024),
        (SIZE, "3 B", 3),
        (POWER, "5 W", 5),
        (POWER, "250 mW", 0.25),
        (POWER, "1.2 kW", 1200),
    ],
)
def test_a_quantity_is_its_number_times_its_unit(kind, text, value):
    assert kind.parse(text) == value


@pytest.mark.parametrize(("text", "value"), [("40 %", 0.4), ("40%", 0.4), ("0.4", 0.4), ("0.1 %", 0.001), ("1", 1.0)])
def test_a_share_is_a_percentage_or_a_fraction(text, value):
    assert parse_share(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        (RATE, "20", "20 needs a unit, e.g. '20 Mbit/s'"),
        (DURATION, "20", "20 needs a unit, e.g. '20 s' (or ms, min, h)"),
        (SIZE, "1e9", "1e9 needs a unit, e.g. '1e9 MiB'"),
        (RATE, "20 ms", "'20 ms' is not a rate (ms is a unit of duration); write e.g. '20 Mbit/s'"),
        (DURATION, "5 MB", "'5 MB' is not a duration (MB is a unit of size); write e.g. '20 s'"),
        (RATE, "fast", "'fast' is not a rate; write e.g. '20 Mbit/s'"),
        (RATE, "", "'' is not a rate; write e.g. '20 Mbit/s'"),
        (RATE, "1,5 Mbit/s", "'1,5 Mbit/s' is not a rate; write e.g. '20 Mbit/s'"),
        (DURATION, "12:30", "'12:30' is not a duration; write a time of day as '12.5 h'"),
        (RATE, "nan Mbit/s", "must be finite, got 'nan Mbit/s'"),
        (RATE, "-.inf", "must be finite, got '-.inf'"),
        (RATE, "1e308 Mbit/s", "must be finite, got '1e308 Mbit/s'"),
        (RATE, "20 MBps", "'20 MBps' is unclear: write '20 MB/s' (bytes) or '20 Mbit/s' (bits)"),
        (RATE, "20 mbps", "'20 mbps' is unclear: write '20 MB/s' (bytes) or '20 Mbit/s' (bits)"),
        (RATE, "9 Kb/s", "'9 Kb/s' is unclear: write '9 kB/s' (bytes) or '9 kbit/s' (bits)"),
        (SIZE, "4 KB",
         "unknown unit 'KB' in '4 KB'; did you mean 'kB'? (allowed: B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)"),
        (DURATION, "4 mim", "unknown unit 'mim' in '4 mim'; did you mean 'min'? (allowed: s, ns, us, ms, min, h, d)"),
    ],
)  # fmt: skip
def test_a_wrong_quantity_is_refused_with_what_to_write_instead(kind, text, sentence):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the whole sentence is compared below
        kind.parse(text)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("text", ["half", "%", "", "4 0 %", "40 %%", "nan", "inf %", "0x1"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(ValueError, match=r"is not a share|must be finite"):
        parse_share(text)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (RATE, 20e6, "20 Mbit/s"),
        (RATE, 1.5e9, "1.5 Gbit/s"),
        (RATE, 48.4e6, "48.4 Mbit/s"),
        (RATE, 8e6, "8 Mbit/s"),
        (DURATION, 0.05, "50 ms"),
        (DURATION, 0.1, "100 ms"),
        (DURATION, 0.0, "0 s"),
        (DURATION, 90.0, "90 s"),
        (DURATION, 31_536_000.0, "365 d"),
        (SIZE, 4_294_967_296.0, "4 GiB"),
        (SIZE, 5e8, "500 MB"),
        (POWER, 0.25, "250 mW"),
    ],
)
def test_a_quantity_is_written_in_the_unit_that_keeps_it_short(kind, value, text):
    assert kind.format(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.4, "40 %"), (0.0, "0 %"), (1.0, "100 %"), (1 / 3, "0.3333333333333333")]
)
def test_a_share_is_written_as_per_cent_where_that_is_exact_and_short(value, text):
    assert format_share(value) == text


@given(value=st.floats(0, sys.float_info.max), kind=st.sampled_from([RATE, DURATION, SIZE, POWER]))
def test_every_float_survives_writing_and_reading_to_the_last_bit(kind, value):
    again = kind.parse(kind.format(value))
    assert again == value
    assert math.copysign(1, again) == 1


@given(value=st.floats(0, 1))
def test_every_share_survives_writing_and_reading_to_the_last_bit(value):
    assert parse_share(format_share(value)) == value


@given(number=st.integers(1, 10**9), unit=st.sampled_from(["bit/s", "kbit/s", "Mbit/s", "Gbit/s"]))
def test_writing_a_round_quantity_never_makes_it_longer(number, unit):
    text = f"{number} {unit}"
    assert len(RATE.format(RATE.parse(text)).split()[0]) <= len(str(number))
