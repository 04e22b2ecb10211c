"""Figures as people read them."""

import pytest

from devices.format import exact_bytes, short_bytes, short_rate


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1000 * 2**20, "1000 MiB"),
        (1023.9 * 2**10, "1 MiB"),
        (2**30, "1 GiB"),
        (80 * 2**30, "80 GiB"),
        (5000 * 2**40, "5000 TiB"),
    ],
)
def test_bytes_are_given_with_three_digits_and_a_binary_prefix(size_bytes, text):
    assert short_bytes(size_bytes) == text


def test_exact_bytes_give_both_readings():
    assert exact_bytes(2_050_000_000) == "1.91 GiB (2,050,000,000 bytes)"


@pytest.mark.parametrize(
    ("per_s", "text"),
    [(5.0, "5 FLOP/s"), (65.9e9, "65.9 GFLOP/s"), (999.9e9, "1 TFLOP/s"), (989.5e12, "990 TFLOP/s")],
)
def test_rates_are_given_with_three_digits_and_a_decimal_prefix(per_s, text):
    assert short_rate(per_s, "FLOP/s") == text
