"""Data of a population: written when a device first trains, the same whoever trained before."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from simulator.streams import stream
from simulator.training import crowd
from simulator.training.crowd import CrowdData
from simulator.training.data import TrainingData
from simulator.training.plan import DataPlan
from simulator.training.tokens import MINI


def plan(**changes: object) -> DataPlan:
    values = {
        "source": "generated", "path": None, "validation_path": None, "samples_per_device": 20,
        "validation_samples": 64, "partition": "dirichlet", "alpha": 0.5, "slot": "food", "size_spread": 0.5,
        "labels": "reference", "sequences": 2, "tokens": 64,
    }  # fmt: skip
    return DataPlan(**{**values, **changes})


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(MINI / "tokenizer.json"))


def data(tokenizer, *, devices=50, kind=CrowdData, **changes):
    return kind(plan(**changes), tokenizer, end=0, devices=devices, seed=1)


def rows(sequences) -> list[list[int]]:
    return sequences.ids_RT.tolist()


def test_what_a_device_has_does_not_depend_on_who_trained_before(tokenizer, monkeypatch):
    monkeypatch.setattr(crowd, "MOST_KEPT", 2)  # others are written again
    first, second = data(tokenizer), data(tokenizer)
    forward = {device: rows(first.batch(device, 3)) for device in range(6)}
    backward = {device: rows(second.batch(device, 3)) for device in reversed(range(6))}
    assert forward == backward
    assert forward[0] != forward[1]
    assert rows(data(tokenizer, devices=500, size_spread=0.0).batch(3, 1)) == rows(
        data(tokenizer, size_spread=0.0).batch(3, 1)
    )


def test_nobody_is_written_until_it_trains(tokenizer, monkeypatch):
    population = data(tokenizer, devices=100_000)
    written = []
    write = crowd.write
    monkeypatch.setattr(crowd, "write", lambda rng, style, count: written.append(count) or write(rng, style, count))
    population.batch(77_777, 1)
    assert 0 < sum(written) < 10_000
    assert len(population.sample_counts) == 100_000


def test_sizes_are_those_of_a_fleet_that_is_written_whole(tokenizer):
    assert data(tokenizer).sample_counts == data(tokenizer, kind=TrainingData).sample_counts


def test_batches_go_through_the_shard_before_they_repeat(tokenizer):
    population = data(tokenizer, size_spread=0.0)
    seen = [tuple(row) for round in range(1, 11) for row in rows(population.batch(0, round))]  # 10 x 2 of 20
    assert Counter(seen) == Counter(tuple(row) for row in rows(population._shard(0)))
    again = [tuple(row) for round in range(11, 21) for row in rows(population.batch(0, round))]
    assert Counter(again) == Counter(seen)
    assert again != seen


def test_a_device_keeps_its_mixture_and_small_alpha_makes_it_narrow(tokenizer):
    def largest(alpha: float) -> float:
        population = data(tokenizer, alpha=alpha)
        shares = []
        for device in range(30):
            examples = islice(population._mixed(stream(1, "data", "device", device)), 100)
            counts = Counter(example.value("food") or "" for example in examples)
            shares.append(max(counts.values()) / 100)
        return float(np.mean(shares))

    assert largest(0.05) > 0.6
    assert largest(100.0) < 0.45


def test_a_slot_of_one_value_cannot_make_devices_different(tokenizer):
    with pytest.raises(ValueError, match=r"data\.slot: unknown slot 'colour' \(allowed: .*food"):
        data(tokenizer, slot="colour")
