"""A profile refuses what cannot be, and says what it does not know."""

from dataclasses import FrozenInstanceError, replace

import pytest

from devices.profile import Profile

BOARD = Profile(
    id="board",
    name="A board",
    device_class="sbc",
    backend="cpu",
    efficiency=0.5,
    efficiency_source="assumed: for this test",
    cpu_fp32_flops_per_s=100e9,
    memory_bandwidth_bytes_per_s=10e9,
    ram_bytes=4 * 2**30,
    usable_ram_bytes=2 * 2**30,
    source="this test",
)


def test_training_reaches_the_given_share_of_the_backends_peak():
    assert BOARD.peak_flops_per_s == 100e9
    assert BOARD.training_flops_per_s == 50e9


def test_the_backend_chooses_the_peak():
    both = replace(BOARD, gpu_fp32_flops_per_s=1e12, gpu_fp16_flops_per_s=2e12)
    peaks = [replace(both, backend=backend).peak_flops_per_s for backend in ("cpu", "gpu-fp32", "gpu-fp16")]
    assert peaks == [100e9, 1e12, 2e12]


def test_an_unknown_peak_is_an_error_that_names_figure_and_device():
    with pytest.raises(ValueError, match=r"'board' \(A board\): gpu_fp16_flops_per_s is unknown"):
        _ = replace(BOARD, backend="gpu-fp16").peak_flops_per_s


@pytest.mark.parametrize(
    ("figure", "value", "complaint"),
    [
        ("cpu_fp32_flops_per_s", 0.0, "cpu_fp32_flops_per_s must be positive and finite, got 0"),
        ("memory_bandwidth_bytes_per_s", -1.0, "memory_bandwidth_bytes_per_s must be positive"),
        ("active_power_w", float("inf"), "active_power_w must be positive and finite"),
        ("idle_power_w", float("nan"), "idle_power_w must be positive and finite"),
        ("efficiency", 0.0, "efficiency must be positive"),
        ("efficiency", 1.5, r"efficiency must be a share in \(0, 1\], got 1.5"),
        ("sustained_ratio", 1.01, "sustained_ratio must be a share"),
        ("usable_ram_bytes", 5 * 2**30, "usable_ram_bytes 5368709120 exceeds ram_bytes 4294967296"),
        ("backend", "npu", "backend must be one of cpu, gpu-fp32, gpu-fp16, got 'npu'"),
    ],
)
def test_a_figure_that_cannot_be_is_refused(figure, value, complaint):
    with pytest.raises(ValueError, match=f"device 'board': {complaint}"):
        replace(BOARD, **{figure: value})


def test_a_profile_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        BOARD.efficiency = 1.0


def test_provenance_lists_only_what_was_stated():
    assert BOARD.provenance == {"source": "this test", "efficiency": "assumed: for this test"}


def test_a_profile_prints_what_matters_and_marks_the_unknown():
    assert repr(BOARD) == "<Profile board cpu 0.5 of 100 GFLOP/s, 10 GB/s, 2 GiB usable>"
    unknown = replace(BOARD, cpu_fp32_flops_per_s=None, memory_bandwidth_bytes_per_s=None, usable_ram_bytes=None)
    assert repr(unknown) == "<Profile board cpu 0.5 of ?, ?, ? usable>"
