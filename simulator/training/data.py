"""Token sequences of every device, and which of them it trains on in which round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from tokenizers import Tokenizer

from simulator.restaurants import write
from simulator.sequences import Example, join
from simulator.streams import stream
from simulator.training.engine import Sequences
from simulator.training.examples import find, read
from simulator.training.partition import dirichlet, iid, sizes

STYLE = "chat"
"""What the phones write; the embedded model was pre-trained on "guide"."""

IGNORED = -100


@dataclass(frozen=True, slots=True)
class DataPlan:
    """Which examples, how many, and how they are dealt out; see the scenario's ``data`` and ``training``."""

    source: Literal["generated", "e2e"]
    path: Path | None
    validation_path: Path | None
    samples_per_device: int
    validation_samples: int
    partition: Literal["iid", "dirichlet"]
    alpha: float
    slot: str
    size_spread: float
    labels: Literal["all", "reference"]
    sequences: int  # per device and round
    tokens: int


def encode(tokenizer: Tokenizer, end: int, examples: Sequence[Example], plan: DataPlan) -> Sequences:
    """Examples as inputs and next-token labels [n, T], cut at T, padded on the right.

    The label of position t is token t + 1: the tokens of the reference and the end-of-text token (``labels: all`` also
    counts the prompt). Padding has no label, and under causal attention needs no mask.
    """
    pairs = [join(example) for example in examples]
    prompts = tokenizer.encode_batch([prompt for prompt, _ in pairs], add_special_tokens=False)
    references = tokenizer.encode_batch([text for _, text in pairs], add_special_tokens=False)
    ids = np.full((len(pairs), plan.tokens), end, dtype=np.int32)
    labels = np.full((len(pairs), plan.tokens), IGNORED, dtype=np.int32)
    for row, (prompt, reference) in enumerate(zip(prompts, references, strict=True)):
        whole = [*prompt.ids, *reference.ids, end]
        inputs, targets = whole[:-1][: plan.tokens], whole[1:][: plan.tokens]
        first = 0 if plan.labels == "all" else len(prompt.ids) - 1
        ids[row, : len(inputs)] = inputs
        labels[row, first : len(targets)] = targets[first:]
    if not (labels != IGNORED).any():
        raise ValueError(
            f"training.tokens = {plan.tokens} leaves no label: every prompt alone is longer; "
            f"the shortest has {min(len(prompt.ids) for prompt in prompts)} tokens"
        )
    return Sequences(ids, labels)


class TrainingData:
    """The fleet's shards and the held-out set, encoded once. Implements `simulator.training.engine.Data`."""

    def __init__(self, plan: DataPlan, tokenizer: Tokenizer, *, end: int, devices: int, seed: int) -> None:
        """Read or write the examples, deal them out by the plan's partition, and encode them."""
        self._plan, self._seed = plan, seed
        counts = sizes(
            stream(seed, "data", "sizes"), devices=devices, mean=plan.samples_per_device, spread=plan.size_spread
        )
        training, held_out = _examples(plan, seed, sum(counts))
        self.shards = _partition(plan, stream(seed, "data", "partition"), counts, training)
        self._encoded = encode(tokenizer, end, training, plan)
        self._validation = encode(tokenizer, end, held_out, plan)

    @property
    def sample_counts(self) -> list[int]:
        """Examples |D_i| that each device holds."""
        return [len(shard) for shard in self.shards]

    def batch(self, device: int, round: int) -> Sequences:
        """The device's next sequences: its shard in an order of its own, shuffled anew each time it is used up."""
        shard, size = self.shards[device], self._plan.sequences
        first = (round - 1) * size
        wanted = [self._at(device, shard, index) for index in range(first, first + size)]
        return Sequences(self._encoded.ids_RT[wanted], self._encoded.labels_RT[wanted])

    def validation(self) -> Sequences:
        """Held-out sequences of the same source, dealt to nobody."""
        return self._validation

    def _at(self, device: int, shard: list[int], index: int) -> int:
        epoch, place = divmod(index, len(shard))
        order = stream(self._seed, "data", "order", device, epoch).permutation(len(shard))
        return shard[int(order[place])]


def _examples(plan: DataPlan, seed: int, count: int) -> tuple[list[Example], list[Example]]:
    """``count`` training examples and the held-out ones."""
    if plan.source == "generated":
        return (
            write(stream(seed, "data", "training"), STYLE, count),
            write(stream(seed, "data", "validation"), STYLE, plan.validation_samples),
        )
    if plan.path is None:
        raise ValueError("data.source e2e needs data.path")
    train_file, valid_file = find(plan.path, "train"), find(plan.validation_path or plan.path, "valid")
    training, held_out = read(train_file), read(valid_file)
    if train_file == valid_file:  # one file for both: hold the end of it out
        training, held_out = training[: -plan.validation_samples], training[-plan.validation_samples :]
    return (
        _sample(stream(seed, "data", "training"), training, count, train_file),
        _sample(stream(seed, "data", "validation"), held_out, plan.validation_samples, valid_file),
    )


def _sample(rng: np.random.Generator, examples: list[Example], count: int, path: Path) -> list[Example]:
    if count > len(examples):
        raise ValueError(
            f"{path} holds {len(examples)} examples, but the devices need {count}; lower data.samples_per_device"
        )
    return [examples[index] for index in rng.choice(len(examples), count, replace=False)]


def _partition(plan: DataPlan, rng: np.random.Generator, counts: list[int], examples: list[Example]) -> list[list[int]]:
    if plan.partition == "iid":
        return iid(rng, counts)
    labels = [example.value(plan.slot) or "" for example in examples]
    if len(set(labels)) < 2:
        known = sorted({key for example in examples for key, _ in example.slots})
        raise ValueError(
            f"data.slot {plan.slot!r} has fewer than two values in the data, so it cannot make devices different; "
            f"slots there: {', '.join(known)}"
        )
    return dirichlet(rng, counts, labels, alpha=plan.alpha)
