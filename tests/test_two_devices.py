"""scenarios/two_devices.yaml against a sum done on paper. The far device is the slower one in everything, so it alone
decides; the near one waits at each barrier."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator import world
from simulator.scenario import load

SCENARIO = Path(__file__).parents[1] / "scenarios" / "two_devices.yaml"

# The embedded model: 12 blocks, width d = 96, V = 1280; here T = 64 positions, one sequence, rank 8 on c_attn.
D, T, R, V = 96, 64, 8, 1280
PI4, PI5 = 0.4 * 57.6e9, 0.4 * 153.6e9  # FLOP/s: 4 cores x 1.8 GHz x 8 and 4 x 2.4 GHz x 16, 40 % of it reached

ADAPTER = 2 * R * (D + 3 * D)  # FLOPs a token: x A^T and h B
BLOCK = 24 * D * D + 4 * T * D + ADAPTER  # projections, attention over T x T, adapter
BLOCK_BACK = 24 * D * D + 8 * T * D + 2 * ADAPTER
FIRST_BLOCK_BACK = BLOCK_BACK - 6 * D * D - 2 * R * D  # nobody needs the gradient of the embedding
HEAD = 2 * D * V

FORWARD = T * 3 * BLOCK
BACKWARD = T * (FIRST_BLOCK_BACK + 2 * BLOCK_BACK)
SERVER = 2 * T * (9 * BLOCK + HEAD + 9 * BLOCK_BACK + HEAD)  # both devices' sequences at once

ACTIVATIONS = 4 * T * D + 2 * T  # float32 activations, 2-byte labels
GRADIENTS = 4 * T * D
ADAPTERS = 4 * 3 * R * (D + 3 * D)


@pytest.fixture(scope="module")
def outcome():
    return world.run(load(SCENARIO), timing_only=True)


def header(outcome, kind: str, tensors: int) -> int:
    """Bytes of a frame beyond its tensors: names, shapes and lengths; a test of messages counts them one by one."""
    (size,) = {row.size_bytes for row in outcome.record.messages if row.kind == kind}
    assert 0 < size - tensors < 300
    return size


def test_the_times_are_those_of_the_sum_on_paper(outcome):
    up_bytes = header(outcome, "activations", ACTIVATIONS)
    down_bytes = header(outcome, "gradients", GRADIENTS)
    adapter_bytes = header(outcome, "adapter", ADAPTERS)
    step_s = (
        FORWARD / PI4  # 48,365,568 FLOP / 23.04 GFLOP/s = 2.10 ms
        + 0.1 + 8 * up_bytes / 1e6  # 100 ms there, 24.8 kB over 1 Mbit/s = 198 ms
        + SERVER / PI5  # 0.68 GFLOP / 61.44 GFLOP/s = 11.0 ms
        + 0.1 + 8 * down_bytes / 4e6  # 24.6 kB over 4 Mbit/s = 49 ms
        + BACKWARD / PI4  # 50.6 MFLOP: 2.20 ms
    )  # fmt: skip
    adapters = 3 * R * (D + 3 * D)
    averaging_s = 4 * (2 * adapters + adapters) / (0.6 * 12.8e9)  # read two, write one, 60 % of 12.8 GB/s
    exchange_s = 0.1 + 8 * adapter_bytes / 1e6 + averaging_s + 0.1 + 8 * adapter_bytes / 4e6
    ends = [row.end_s for row in outcome.record.rounds]
    assert ends == pytest.approx([0.0, step_s, 2 * step_s + exchange_s], rel=1e-9)
    assert outcome.summary["virtual_s"] == pytest.approx(2 * step_s + exchange_s, rel=1e-9)
    assert step_s == pytest.approx(0.463, abs=0.001)


def test_the_far_device_is_the_last_in_every_round(outcome):
    assert [row.slowest for row in outcome.record.rounds[1:]] == ["far", "far"]


def test_the_bytes_are_those_of_two_devices_two_rounds_and_one_average(outcome):
    up_bytes = header(outcome, "activations", ACTIVATIONS)
    down_bytes = header(outcome, "gradients", GRADIENTS)
    adapter_bytes = header(outcome, "adapter", ADAPTERS)
    assert outcome.summary["bytes_up"] == 2 * 2 * up_bytes + 2 * adapter_bytes
    assert outcome.summary["bytes_down"] == 2 * 2 * down_bytes + 2 * adapter_bytes


def test_the_parts_of_the_critical_path_sum_to_the_virtual_time(outcome):
    assert sum(outcome.summary["blame"].values()) == pytest.approx(outcome.summary["virtual_s"], rel=1e-12)


def test_the_uplink_of_the_far_device_is_what_takes_longest(outcome):
    blame = outcome.summary["blame"]
    up_bytes = header(outcome, "activations", ACTIVATIONS)
    adapter_bytes = header(outcome, "adapter", ADAPTERS)
    assert max(blame, key=blame.get) == "uplink"
    assert blame["uplink"] == pytest.approx(3 * 0.1 + 8 * (2 * up_bytes + adapter_bytes) / 1e6, rel=1e-9)
    assert blame["waiting"] == pytest.approx(0.0, abs=1e-9)
