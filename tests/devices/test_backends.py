"""A device on another of its processors."""

import pytest

from devices.backends import EFFICIENCIES, on_backend
from devices.catalog import catalogue, find
from devices.compute import Work, seconds
from devices.heat import throttle_of


def test_a_phones_gpu_reaches_what_generic_kernels_were_seen_to_reach():
    """Adreno 740 (8 Gen 2, the chip of the S23): 210 GFLOP/s of 3,480 in prompt processing."""
    phone = on_backend(find("galaxy-s23-ultra"), "gpu-fp32")
    assert phone.training_flops_per_s == pytest.approx(210e9, rel=0.05)
    assert phone.efficiency_source.startswith("derived:")


def test_a_phones_gpu_pays_for_launches_and_few_tokens_and_heats_faster():
    cpu, gpu = find("galaxy-s23-ultra"), on_backend(find("galaxy-s23-ultra"), "gpu-fp32")
    work = Work(0.0, 0.0, kernels=1000, tokens=64)
    assert (seconds(work, cpu), seconds(work, gpu)) == (0.0, pytest.approx(0.078))
    assert gpu.known("half_efficiency_tokens") == 5  # 1.36 for each of 3.5 TFLOP/s
    assert throttle_of(gpu).heating_s < throttle_of(cpu).heating_s


def test_a_device_on_its_own_backend_is_itself():
    for device in catalogue().values():
        assert on_backend(device, device.backend) is device


def test_a_board_has_no_gpu_that_anybody_has_measured():
    with pytest.raises(ValueError, match=r"no efficiency is known for gpu-fp32 on sbc devices .* \(allowed: cpu\)"):
        on_backend(find("raspberry-pi-5"), "gpu-fp32")


def test_a_peak_that_is_unknown_is_an_error_that_names_it():
    with pytest.raises(ValueError, match=r"'jetson-agx-orin'.*cpu_fp32_flops_per_s is unknown"):
        on_backend(find("jetson-agx-orin"), "cpu")


@pytest.mark.parametrize("place", EFFICIENCIES, ids=str)
def test_every_share_of_a_class_says_how_it_is_known(place):
    efficiency, source = EFFICIENCIES[place]
    assert 0 < efficiency <= 1
    assert source.startswith(("measured: ", "derived: ", "assumed: "))
