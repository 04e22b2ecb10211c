"""Seconds of work on a device, against sums on paper and published figures."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.catalog import find
from devices.compute import Work, limit, seconds, terms
from devices.profile import Profile

# 50 GFLOP/s in training, 0.6 x 10 = 6 GB/s, 1 ms a kernel on the GPU, which is twice as fast
BOARD = Profile(
    id="board",
    name="A board",
    device_class="sbc",
    backend="cpu",
    efficiency=0.5,
    efficiency_source="assumed: for this test",
    cpu_fp32_flops_per_s=100e9,
    gpu_fp32_flops_per_s=200e9,
    memory_bandwidth_bytes_per_s=10e9,
    kernel_overhead_s=1e-3,
)
GPU_BOARD = replace(BOARD, backend="gpu-fp32")

# One block of GPT-2 small on a client with LoRA, by hand: h = 768, T = 128 tokens a sequence, n = 512 tokens.
# Forward 24 h^2 + 4 h T = 14,155,776 + 393,216 = 14,548,992 FLOP a token; the backward pass has no weight gradients and
# costs as much again: 2 x 14,548,992 x 512 = 14.9 GFLOP. Weights 28.35 MB are read in both passes.
BLOCK = Work(2 * (24 * 768**2 + 4 * 768 * 128) * 512, 2 * 28.35e6, kernels=60)

amounts = st.floats(min_value=0, max_value=1e15)
works = st.builds(Work, amounts, amounts, st.integers(0, 1000))
rates = st.floats(min_value=1e6, max_value=1e15)


def test_the_block_of_the_sanity_check_is_14_9_gflop():
    assert BLOCK.flops == pytest.approx(14.9e9, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "share", "peak_flops_per_s", "expected_s"),
    [
        ("raspberry-pi-4", 0.4, 57.6e9, 0.65),  # 14.9 / (0.4 x 57.6)
        ("raspberry-pi-5", 0.4, 153.6e9, 0.24),  # 14.9 / (0.4 x 153.6)
        ("pixel-4", 0.2, 219.2e9, 0.34),  # Snapdragon 855: 14.9 / (0.2 x 219.2)
        ("motorola-e6-plus", 0.15, 128e9, 0.78),  # Helio P22: 14.9 / (0.15 x 128)
    ],
)
def test_a_client_block_takes_what_the_sum_on_paper_says(name, share, peak_flops_per_s, expected_s):
    device = find(name)
    assert (device.efficiency, device.peak_flops_per_s) == (share, peak_flops_per_s)
    assert seconds(BLOCK, device) == pytest.approx(BLOCK.flops / (share * peak_flops_per_s))
    assert round(seconds(BLOCK, device), 2) == expected_s


def test_a_big_gpu_computes_a_client_block_in_well_under_a_millisecond():
    assert terms(BLOCK, find("rtx-4090")).compute_s < 0.5e-3  # 14.9 / (0.5 x 165,000) = 0.18 ms
    assert seconds(BLOCK, find("rtx-4090")) < 1e-3


def test_an_empty_block_on_a_phone_gpu_still_costs_its_launches():
    """78 us a kernel, 60 kernels: about 5 ms (clpeak on a Mali-T860)."""
    phone = replace(find("phone-high"), backend="gpu-fp32", efficiency=0.06)
    assert seconds(Work(0.0, 0.0, 60), phone) == pytest.approx(4.68e-3)


def test_arithmetic_bounds_work_with_many_operations_a_byte():
    work = Work(100e9, 6e9)  # 2 s of arithmetic, 1 s of memory
    assert terms(work, BOARD) == (2.0, 1.0, 0.0)
    assert seconds(work, BOARD) == 2.0
    assert limit(work, BOARD) == "compute"


def test_memory_bounds_work_with_few_operations_a_byte():
    work = Work(100e9, 18e9)  # 2 s of arithmetic, 3 s of memory
    assert seconds(work, BOARD) == 3.0
    assert limit(work, BOARD) == "memory"


def test_training_is_bound_by_arithmetic_on_a_phone_and_one_token_by_memory():
    assert limit(BLOCK, find("pixel-4")) == "compute"
    one_token = Work(24 * 768**2, 28.35e6)
    assert limit(one_token, find("pixel-4")) == "memory"


def test_launches_come_on_top_on_a_gpu_and_cost_nothing_on_a_cpu():
    work = Work(100e9, 0.0, kernels=500)
    assert seconds(work, GPU_BOARD) == pytest.approx(1.0 + 0.5)
    assert seconds(work, BOARD) == 2.0
    assert limit(Work(1.0, 1.0, 1), GPU_BOARD) == "launch"


def test_twice_the_speed_halves_arithmetic_and_memory_but_no_launch():
    assert seconds(Work(100e9, 0.0, kernels=500), GPU_BOARD, speed=2.0) == pytest.approx(0.5 + 0.5)
    assert seconds(Work(0.0, 6e9), BOARD, speed=0.5) == pytest.approx(2.0)


def test_no_work_takes_no_time():
    assert seconds(Work(0.0, 0.0), BOARD) == 0.0


def test_works_add_up():
    assert Work(1.0, 2.0, 3) + Work(10.0, 20.0, 30) == Work(11.0, 22.0, 33)


@pytest.mark.parametrize(
    ("figure", "work"),
    [
        ("gpu_fp32_flops_per_s", Work(1.0, 0.0)),
        ("memory_bandwidth_bytes_per_s", Work(0.0, 1.0)),
        ("kernel_overhead_s", Work(0.0, 0.0, 1)),
    ],
)
def test_a_price_that_is_unknown_is_an_error_and_never_nothing(figure, work):
    blank = replace(GPU_BOARD, **{figure: None})
    for question in (seconds, limit):
        with pytest.raises(ValueError, match=f"device 'board'.*{figure} is unknown"):
            question(work, blank)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("inf"), float("nan")])
def test_a_speed_that_is_no_speed_is_refused(speed):
    with pytest.raises(ValueError, match="speed must be positive and finite"):
        seconds(BLOCK, BOARD, speed=speed)


@pytest.mark.parametrize("amounts", [(-1.0, 0.0, 0), (0.0, float("nan"), 0), (float("inf"), 0.0, 0), (0.0, 0.0, -1)])
def test_an_amount_of_work_that_cannot_be_is_refused(amounts):
    with pytest.raises(ValueError, match="of work must be finite and at least 0"):
        Work(*amounts)


@given(work=works, slow=rates, fast=rates)
def test_more_flops_per_second_are_never_slower(work, slow, fast):
    slow, fast = sorted((slow, fast))
    assert seconds(work, replace(BOARD, cpu_fp32_flops_per_s=fast)) <= seconds(
        work, replace(BOARD, cpu_fp32_flops_per_s=slow)
    )


@given(work=works, slow=rates, fast=rates)
def test_more_bandwidth_is_never_slower(work, slow, fast):
    slow, fast = sorted((slow, fast))
    assert seconds(work, replace(BOARD, memory_bandwidth_bytes_per_s=fast)) <= seconds(
        work, replace(BOARD, memory_bandwidth_bytes_per_s=slow)
    )


@given(first=works, second=works)
def test_two_works_one_after_the_other_take_at_least_their_sum_and_at_most_twice_that(first, second):
    apart = seconds(first, GPU_BOARD) + seconds(second, GPU_BOARD)
    together = seconds(first + second, GPU_BOARD)
    assert together <= apart * (1 + 1e-12)
    assert apart <= 2 * together * (1 + 1e-12)


def test_a_gpu_with_as_many_tokens_as_half_its_efficiency_needs_takes_twice_the_arithmetic():
    board = replace(GPU_BOARD, half_efficiency_tokens=400.0)
    many, few = Work(100e9, 0.0, tokens=10**9), Work(100e9, 0.0, tokens=400)
    assert terms(few, board).compute_s == pytest.approx(2 * terms(many, board).compute_s)
    assert terms(many, board).compute_s == pytest.approx(1.0)
    assert terms(few, BOARD).compute_s == terms(many, BOARD).compute_s, "a CPU needs no filling"


@pytest.mark.parametrize(
    ("name", "peak_flops_per_s", "share"),
    [("a100", 312e12, 0.221), ("h100-sxm", 756e12, 0.131), ("rtx-4090", 330e12, 0.457)],
)
def test_a_prompt_of_512_tokens_reaches_the_share_of_peak_that_was_measured(name, peak_flops_per_s, share):
    """calibration.csv: LLaMA prompts of 512 tokens in llama.cpp on A100 and H100 PCIe; the 4090 accumulates in FP16."""
    card = find(name)
    scaled = card.half_efficiency_tokens * peak_flops_per_s / card.peak_flops_per_s if name == "h100-sxm" else None
    card = replace(
        card, gpu_fp16_flops_per_s=peak_flops_per_s, half_efficiency_tokens=scaled or card.half_efficiency_tokens
    )
    reached = 1e15 / terms(Work(1e15, 0.0, tokens=512), card).compute_s / peak_flops_per_s
    assert reached == pytest.approx(share, rel=0.01)


def test_a_gpu_without_that_figure_is_an_error_once_tokens_are_counted():
    with pytest.raises(ValueError, match="half_efficiency_tokens is unknown"):
        seconds(Work(1.0, 0.0, tokens=64), GPU_BOARD)


@given(few=st.integers(1, 10**6), many=st.integers(1, 10**6))
def test_more_tokens_a_pass_never_cost_more_per_token(few, many):
    few, many = sorted((few, many))
    card = find("h100")
    per_token = [seconds(Work(1e9 * count, 0.0, tokens=count), card) / count for count in (few, many)]
    assert per_token[1] <= per_token[0] * (1 + 1e-12)
