"""Token sequences of every device, and which of them it trains on in which round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from tokenizers import Tokenizer

from simulator.restaurants import write
from simulator.sequences import Example, join
from simulator.streams import stream
from simulator.training.counts import counts_of
from simulator.training.examples import find, read
from simulator.training.groups import IGNORED, Sequences
from simulator.training.partition import dirichlet, iid
from simulator.training.plan import DataPlan

STYLE = "chat"
"""What the phones write; the embedded model was pre-trained on "guide"."""


def encode(tokenizer: Tokenizer, end: int, examples: Sequence[Example], plan: DataPlan) -> Sequences:
    """Examples as inputs and next-token labels [n, T], cut at T, padded on the right.

    The label of position t is token t + 1: the tokens of the reference and the end-of-text token (``labels: all`` also
    counts the prompt). Padding has no label, and under causal attention needs no mask. What lies behind T is cut off.
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
    return Sequences(ids, labels)


class TrainingData:
    """The fleet's shards and the held-out set, encoded once. Implements `simulator.training.engine.Data`."""

    def __init__(self, plan: DataPlan, tokenizer: Tokenizer, *, end: int, devices: int, seed: int) -> None:
        """Read or write the examples, deal them out by the plan's partition, and encode them."""
        self._plan, self._seed = plan, seed
        self._orders: dict[int, tuple[int, list[int]]] = {}  # of each device, in the epoch it is in
        counts = counts_of(plan, devices, seed)
        train, valid = _sources(plan, seed)
        needed = {"data.samples_per_device": sum(counts), "data.validation_samples": plan.validation_samples}
        (key, count), (valid_key, valid_count) = needed.items()
        training, self._encoded = take(train, count, key, lambda some: encode(tokenizer, end, some, plan))
        _, self._validation = take(valid, valid_count, valid_key, lambda some: encode(tokenizer, end, some, plan))
        self.shards = _partition(plan, stream(seed, "data", "partition"), counts, training)

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
        known = self._orders.get(device)
        if known is None or known[0] != epoch:  # a stream costs more than the rest of a batch
            order = stream(self._seed, "data", "order", device, epoch).permutation(len(shard))
            known = self._orders[device] = (epoch, order.tolist())
        return shard[known[1][place]]


@dataclass(frozen=True, slots=True)
class Source:
    """Examples one after another, what they are called, and how many there are (None: as many as one wants)."""

    examples: Iterator[Example]
    name: str
    size: int | None = None


def _sources(plan: DataPlan, seed: int) -> tuple[Source, Source]:
    """Training examples and held-out ones, in random order."""
    if plan.source == "generated":
        train, valid = (written(stream(seed, "data", part)) for part in ("training", "validation"))
        return Source(train, "the generator"), Source(valid, "the generator")
    if plan.path is None:
        raise ValueError("data.source e2e needs data.path")
    train_file, valid_file = find(plan.path, "train"), find(plan.validation_path or plan.path, "valid")
    training, held_out = read(train_file), read(valid_file)
    if train_file == valid_file:  # one file for both: hold the end of it out
        if len(training) <= plan.validation_samples:
            raise ValueError(
                f"{train_file} holds {len(training)} examples, of which data.validation_samples = "
                f"{plan.validation_samples} would leave none to train on; lower it or name a data.validation_path"
            )
        training, held_out = training[: -plan.validation_samples], training[-plan.validation_samples :]
    return (
        Source(_shuffled(stream(seed, "data", "training"), training), str(train_file), len(training)),
        Source(_shuffled(stream(seed, "data", "validation"), held_out), str(valid_file), len(held_out)),
    )


def written(rng: np.random.Generator) -> Iterator[Example]:
    """As many generated examples as one wants."""
    while True:
        yield from write(rng, STYLE, 64)


def _shuffled(rng: np.random.Generator, examples: list[Example]) -> Iterator[Example]:
    return (examples[index] for index in rng.permutation(len(examples)))


def take(
    source: Source, count: int, key: str, encoder: Callable[[Sequence[Example]], Sequences]
) -> tuple[list[Example], Sequences]:
    """The first ``count`` examples that keep a label within the length, and their sequences; ``key`` asks for them."""
    if source.size is not None and source.size < count:
        raise ValueError(f"{source.name} holds {source.size} examples, but {count} are needed; lower {key}")
    kept: list[Example] = []
    parts: list[Sequences] = []
    seen = 0
    while len(kept) < count:
        some = list(islice(source.examples, count - len(kept)))
        seen += len(some)
        if not some or seen > 50 * count:
            raise ValueError(
                f"training.tokens cuts the whole reference off most examples of {source.name}: of {seen} only "
                f"{len(kept)} keep a label, {count} are needed; raise training.tokens or lower {key}"
            )
        encoded = encoder(some)
        rows = np.flatnonzero((encoded.labels_RT != IGNORED).any(axis=1))
        kept += [some[row] for row in rows]
        parts.append(Sequences(encoded.ids_RT[rows], encoded.labels_RT[rows]))
    ids_RT = np.concatenate([part.ids_RT for part in parts])
    return kept, Sequences(ids_RT, np.concatenate([part.labels_RT for part in parts]))


def _partition(plan: DataPlan, rng: np.random.Generator, counts: list[int], examples: list[Example]) -> list[list[int]]:
    if plan.partition in {"iid", "quantity"}:
        return iid(rng, counts)
    labels = [example.value(plan.slot) or "" for example in examples]
    if len(set(labels)) < 2:
        known = sorted({key for example in examples for key, _ in example.slots})
        raise ValueError(
            f"data.slot {plan.slot!r} has fewer than two values in the data, so it cannot make devices different; "
            f"slots there: {', '.join(known)}"
        )
    return dirichlet(rng, counts, labels, alpha=plan.alpha)
