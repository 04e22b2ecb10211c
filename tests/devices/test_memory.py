"""What fits and what does not, and what the refusal says."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.catalog import find
from devices.memory import Demand, DoesNotFit, available_bytes, check_fits, check_fleet

PHONE = find("phone-low")  # 4 GiB, of which 0.40 = 1,717,986,918 bytes are usable
PI = find("raspberry-pi-4")
NEED = {"weights": 1.2e9, "activations": 0.6e9, "adapter": 1e6, "message buffers": 0.2e9, "runtime": 49e6}  # 2.05e9


def test_a_phone_of_4_gib_gives_40_percent_to_one_app():
    assert available_bytes(PHONE) == int(0.40 * 4 * 2**30) == 1_717_986_918


def test_an_unknown_amount_of_memory_is_an_error():
    blank = replace(PHONE, usable_ram_bytes=None)
    with pytest.raises(ValueError, match=r"'redmi-note-8'.*usable_ram_bytes is unknown"):
        check_fits("phone-1", blank, {"weights": 1.0})


def test_a_need_that_fills_the_device_to_the_last_byte_fits():
    check_fits("phone-1", PHONE, {"weights": 1_717_986_917, "adapter": 1})


def test_one_byte_more_does_not_fit():
    with pytest.raises(DoesNotFit):
        check_fits("phone-1", PHONE, {"weights": 1_717_986_917, "adapter": 2})


def test_the_refusal_names_the_device_both_byte_counts_and_the_largest_parts():
    # 2.05e9 / 2^30 = 1.909; 1.2e9 / 2^30 = 1.118; 0.6e9 / 2^20 = 572; 0.2e9 / 2^20 = 191; 50e6 / 2^20 = 47.7
    with pytest.raises(DoesNotFit) as refusal:
        check_fits("phone-17", PHONE, NEED)
    assert str(refusal.value) == (
        "phone-17 (redmi-note-8): needs 1.91 GiB (2,050,000,000 bytes): weights 1.12 GiB, activations 572 MiB, "
        "message buffers 191 MiB, others 47.7 MiB; usable 1.6 GiB (1,717,986,918 bytes)"
    )


def test_the_refusal_is_a_value_error():
    assert issubclass(DoesNotFit, ValueError)


def test_a_fleet_is_refused_once_with_a_line_for_each_kind_of_device():
    fleet = [
        Demand(name="phone-low", profile=PHONE, need=NEED, count=40),
        Demand(name="raspberry-pi-4", profile=PI, need=NEED, count=10),  # 3.4 GiB: fits
        Demand(name="raspberry-pi-4", profile=PI, need={"weights": 4e9}, count=2),
    ]
    with pytest.raises(DoesNotFit) as refusal:
        check_fleet(fleet)
    lines = str(refusal.value).splitlines()
    assert [line.split(": needs ")[0] for line in lines] == ["40 x phone-low (redmi-note-8)", "2 x raspberry-pi-4"]
    assert "4,000,000,000 bytes" in lines[1]
    assert "3,650,722,201 bytes" in lines[1]


def test_devices_with_names_of_their_own_are_counted_together_and_three_are_named():
    fleet = [Demand(name=f"phone-{i}", profile=PHONE, need=dict(NEED)) for i in range(40)]
    with pytest.raises(DoesNotFit, match=r"^40 x redmi-note-8 \(phone-0, phone-1, phone-2, \.\.\.\): needs 1.91 GiB"):
        check_fleet(fleet)


def test_devices_with_different_needs_are_told_apart():
    fleet = [Demand(name=f"phone-{i}", profile=PHONE, need={"weights": 2e9 + i}) for i in range(2)]
    with pytest.raises(DoesNotFit) as refusal:
        check_fleet(fleet)
    assert len(str(refusal.value).splitlines()) == 2


def test_a_fleet_that_fits_passes():
    check_fleet([Demand(name="phone-low", profile=PHONE, need={"weights": 1e9}, count=1_000_000)])


@pytest.mark.parametrize("size_bytes", [-1.0, float("nan"), float("inf")])
def test_a_need_that_cannot_be_is_refused(size_bytes):
    with pytest.raises(ValueError, match="phone-1: need of weights must be finite and at least 0 bytes"):
        check_fits("phone-1", PHONE, {"weights": size_bytes})


@given(parts=st.dictionaries(st.text("abc", min_size=1), st.integers(0, 2**31), max_size=5))
def test_a_need_is_refused_exactly_when_its_sum_exceeds_what_is_usable(parts):
    too_big = sum(parts.values()) > available_bytes(PHONE)
    try:
        check_fits("phone-1", PHONE, parts)
    except DoesNotFit:
        assert too_big
    else:
        assert not too_big
