"""Who holds which examples: sizes and mixtures of the devices' data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

LENGTH_CLASSES: Final = 10


def sizes(rng: np.random.Generator, *, devices: int, mean: int, spread: float) -> list[int]:
    """Examples per device: lognormal with sigma ``spread``, at least one each, ``devices * mean`` in total.

    ``spread`` 0 gives every device ``mean``. Rounding goes to the largest remainders.
    """
    shares = np.exp(rng.normal(0.0, spread, devices)) if spread else np.ones(devices)
    return _one_and(shares / shares.sum(), devices * (mean - 1))


def quantities(rng: np.random.Generator, *, devices: int, mean: int, alpha: float) -> list[int]:
    """Examples per device: shares of Dirichlet(alpha, ..., alpha), at least one each, ``devices * mean`` in total.

    The quantity skew of Li, Diao, Chen and He (arXiv 2102.02079). Everybody has one; the rest is shared out, rounding
    going to the largest remainders. Of an alpha so small that all shares are zero in floats, one device has the rest.
    """
    shares = rng.standard_gamma(alpha, devices)
    if not shares.sum():
        shares[rng.integers(devices)] = 1.0
    return _one_and(shares / shares.sum(), devices * (mean - 1))


def _one_and(shares: NDArray[np.float64], rest: int) -> list[int]:
    """One for everybody, and their shares of the rest."""
    exact = shares * rest
    whole = np.floor(exact).astype(int)
    for index in np.argsort(whole - exact, kind="stable")[: rest - int(whole.sum())]:
        whole[index] += 1
    return [int(count) + 1 for count in whole]


def iid(rng: np.random.Generator, counts: Sequence[int]) -> list[list[int]]:
    """Deal out the examples 0 .. sum(counts) - 1 at random."""
    order = rng.permutation(sum(counts)).tolist()
    ends = np.cumsum(counts).tolist()
    return [order[end - count : end] for count, end in zip(counts, ends, strict=True)]


def dirichlet(
    rng: np.random.Generator, counts: Sequence[int], labels: Sequence[str], *, alpha: float
) -> list[list[int]]:
    """Deal out examples: each device has its own mixture of labels, drawn from Dirichlet(alpha * K * overall mix).

    K labels that are equally frequent each have concentration alpha: the symmetric convention. Hsu, Qi and Brown
    (arXiv 1909.06335) write the total instead, so their alpha is K times this one. Small alpha gives each device few
    labels, large alpha the overall mix.
    Every example is used once (``len(labels)`` must be ``sum(counts)``); when a label runs out, a device's remaining
    wish is spread over the labels that are left, so the last devices are less extreme than the first.
    """
    if len(labels) != sum(counts):
        raise ValueError(f"{len(labels)} examples cannot be dealt out as {sum(counts)}")
    names = sorted(set(labels))
    pools = {name: [index for index, label in enumerate(labels) if label == name] for name in names}
    for name in names:
        rng.shuffle(pools[name])
    mix = np.array([len(pools[name]) for name in names]) / len(labels)
    hands = []
    for count in counts:
        wish = np.maximum(rng.dirichlet(alpha * len(names) * mix), 1e-12)
        hands.append([_draw(rng, pools, names, wish) for _ in range(count)])
    return hands


def by_length(
    rng: np.random.Generator, counts: Sequence[int], lengths: NDArray[np.int64], *, alpha: float
) -> list[list[int]]:
    """Deal out examples so that some devices have short ones and others long ones.

    The examples are put into ten classes of like length, equally many in each (fewer where lengths are equal: those of
    one length are in one class), and the classes are dealt out by `dirichlet`. SplitFT (arXiv 2604.26388) partitions by
    a Dirichlet distribution over lengths; how it cuts them into classes is not known here.

    Raises ValueError where all examples have one length.
    """
    edges = np.unique(np.quantile(lengths, np.arange(1, LENGTH_CLASSES) / LENGTH_CLASSES, method="lower"))
    classes = np.searchsorted(edges, lengths, side="left")
    if len(set(classes.tolist())) < 2:
        raise ValueError(
            f"data.partition length: all {len(lengths)} examples have about {int(lengths.min())} tokens, so their "
            f"length cannot make devices different; take iid, quantity or dirichlet"
        )
    return dirichlet(rng, counts, [f"{each:02d}" for each in classes.tolist()], alpha=alpha)


def _draw(rng: np.random.Generator, pools: dict[str, list[int]], names: Sequence[str], wish: np.ndarray) -> int:
    """Take one example from the pools that still have some."""
    left = np.array([bool(pools[name]) for name in names])
    odds = np.cumsum(wish * left)
    return pools[names[int(np.searchsorted(odds, rng.random() * odds[-1], side="right"))]].pop()
