"""How many examples every device holds: known without torch, and the same as training gives them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.scenario import load
from simulator.training.counts import sample_counts
from simulator.training.partition import quantities

ROOT = Path(__file__).parents[2]
FOUR = ROOT / "scenarios" / "four_phones.yaml"


@given(
    seed=st.integers(0, 2**32),
    devices=st.integers(1, 60),
    mean=st.integers(1, 200),
    alpha=st.floats(1e-6, 1e6),
)
def test_quantities_add_up_and_leave_nobody_without(seed, devices, mean, alpha):
    counts = quantities(np.random.default_rng(seed), devices=devices, mean=mean, alpha=alpha)
    assert sum(counts) == devices * mean
    assert min(counts) >= 1
    assert counts == quantities(np.random.default_rng(seed), devices=devices, mean=mean, alpha=alpha)


def test_a_small_alpha_gives_most_to_few_and_a_large_one_the_same_to_all():
    def largest(alpha: float) -> float:
        counts = quantities(np.random.default_rng(1), devices=100, mean=50, alpha=alpha)
        return max(counts) / sum(counts)

    assert largest(0.05) > 0.1
    assert largest(1e4) < 0.011


def test_shares_are_those_of_a_dirichlet():
    """Mean 1 / N and variance (N - 1) / (N^2 (N alpha + 1)) of a symmetric one, over many draws."""
    rng = np.random.default_rng(2)
    shares = np.array([quantities(rng, devices=10, mean=10_000, alpha=0.5) for _ in range(2000)]) / 100_000
    assert shares.mean() == pytest.approx(0.1)
    assert shares.var() == pytest.approx(9 / (100 * 6), rel=0.05)


@pytest.mark.parametrize("change", ["partition=iid", "size_spread=1", "partition=quantity"])
def test_counts_are_those_of_training(change):
    from simulator.training.build import build

    scenario = load(FOUR, [f"data.{change}"])
    built = build(scenario, [3] * 4, [8] * 4, lambda _: None)
    assert sample_counts(scenario, 4) == [int(weight) for weight in built.weights]


def test_counts_need_no_torch():
    code = (
        "import sys\nfrom pathlib import Path\nfrom simulator.scenario import load\n"
        "from simulator.training.counts import sample_counts\n"
        "print(sample_counts(load(Path('scenarios/four_phones.yaml')), 4), 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[8, 8, 8, 8] False"
