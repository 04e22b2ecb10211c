"""Laws of every partition: each example dealt once, counts as asked for, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.training.partition import by_length, dirichlet, iid

COUNTS = st.lists(st.integers(1, 20), min_size=1, max_size=12)


@given(
    counts=COUNTS,
    seed=st.integers(0, 2**32),
    alpha=st.floats(1e-3, 1e3),
    kind=st.sampled_from(["iid", "slot", "length"]),
)
def test_every_example_is_dealt_once_and_nobody_gets_more_or_fewer(counts, seed, alpha, kind):
    total = sum(counts)
    lengths = np.arange(total) % 37 + (np.arange(total) == 0)

    def deal() -> list[list[int]]:
        rng = np.random.default_rng(seed)
        if kind == "iid":
            return iid(rng, counts)
        if kind == "slot":
            return dirichlet(rng, counts, [str(index % 5) for index in range(total)], alpha=alpha)
        return by_length(rng, counts, lengths, alpha=alpha)

    if kind == "length" and len(set(lengths.tolist())) < 2:
        with pytest.raises(ValueError, match="length cannot make devices different"):
            deal()
        return
    hands = deal()
    assert [len(hand) for hand in hands] == counts
    assert sorted(index for hand in hands for index in hand) == list(range(total))
    assert hands == deal()


def spread_of_means(alpha: float) -> float:
    """How different the mean lengths of devices are, relative to that of single examples."""
    lengths = np.random.default_rng(1).integers(10, 100, 4000)
    hands = by_length(np.random.default_rng(2), [40] * 100, lengths, alpha=alpha)
    return float(np.std([lengths[hand].mean() for hand in hands]) / lengths.std())


def test_a_small_alpha_gives_some_devices_short_texts_and_others_long_ones():
    """IID devices of 40 examples differ by 1 / sqrt(40) = 0.16; devices of one class each by nearly 1."""
    assert spread_of_means(1e4) == pytest.approx(0.16, abs=0.04)
    assert spread_of_means(0.01) > 0.8


def test_examples_of_equal_length_cannot_be_dealt_by_length():
    with pytest.raises(ValueError, match="all 6 examples have about 20 tokens"):
        by_length(np.random.default_rng(1), [3, 3], np.full(6, 20), alpha=1.0)


def test_length_classes_hold_equally_many():
    lengths = np.arange(1000)
    hands = by_length(np.random.default_rng(3), [100] * 10, lengths, alpha=1e-6)  # one class for each device
    first = min(hands[0])
    assert sorted(hands[0]) == list(range(first, first + 100))
    assert first % 100 == 0
