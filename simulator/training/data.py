"""Token sequences of every device, and which of them it trains on in which round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from tokenizers import Tokenizer

from simulator.scenario.words import unknown
from simulator.streams import stream
from simulator.training.counts import counts_of
from simulator.training.encoding import Texts, packed, padded, tokenize
from simulator.training.examples import Sample
from simulator.training.groups import Sequences
from simulator.training.partition import by_length, dirichlet, iid
from simulator.training.plan import DataPlan
from simulator.training.sources import Source, held_out, pools, sources


@dataclass(frozen=True, slots=True)
class Encoder:
    """How a plan's examples become sequences."""

    plan: DataPlan
    tokenizer: Tokenizer
    end: int

    def texts(self, examples: Sequence[Sample]) -> Texts:
        """Token ids, uncut."""
        return tokenize(self.tokenizer, self.end, examples, self.plan.labels)

    def fits(self, texts: Texts, *, alone: bool = False) -> np.ndarray:
        """True for each example of which something is learnt: it has a label, within a sequence's length if alone."""
        uncut = self.plan.padding == "pack" and not alone
        return texts.keeps_label(int(texts.lengths.max(initial=0)) if uncut else self.plan.tokens)

    def alone(self, texts: Texts) -> Sequences:
        """A padded sequence for each example."""
        return padded(texts, self.plan.tokens, self.end)

    def sequences(self, texts: Texts) -> Sequences:
        """What a device trains on: by the plan's padding."""
        return packed(texts, self.plan.tokens, self.end) if self.plan.padding == "pack" else self.alone(texts)

    def take(self, source: Source, count: int, key: str, *, alone: bool = False) -> tuple[list[Sample], Texts]:
        """The first ``count`` examples that keep a label, and their token ids; ``key`` asks for them.

        ``alone``: each will be a sequence of its own, whatever the padding. Raises ValueError, with the numbers,
        where there are not so many.
        """
        if source.size is not None and source.size < count:
            raise ValueError(f"{source.name} holds {source.size} examples, but {count} are needed; lower {key}")
        kept: list[Sample] = []
        parts: list[tuple[np.ndarray, int]] = []
        seen = 0
        while len(kept) < count:
            some = list(islice(source.examples, count - len(kept)))
            seen += len(some)
            if not some or seen > 50 * count:
                raise ValueError(
                    f"training.tokens = {self.plan.tokens} cuts the whole reference off most examples "
                    f"of {source.name}: {len(kept)} of {seen} keep a label, {count} are needed; raise it or lower {key}"
                )
            texts = self.texts(some)
            for row in np.flatnonzero(self.fits(texts, alone=alone)).tolist():
                kept.append(some[row])
                parts.append(texts.at(row))
        return kept, Texts.joined(parts)


def positions(plan: DataPlan, batch: Callable[[int, int], Sequences], device: int, round: int) -> int:
    """A batch's positions per sequence: those of its longest with padding ``longest``, else those of every batch."""
    return batch(device, round).length if plan.padding == "longest" else plan.tokens


class TrainingData:
    """The fleet's shards and the held-out set, encoded once. Implements `simulator.training.engine.Data`.

    ``shards`` has the indices of each device's examples, ``sample_counts`` how many |D_i| it holds: as many, but for
    partition ``files``, where it also counts those that ``training.tokens`` leaves without a label.
    """

    def __init__(self, plan: DataPlan, tokenizer: Tokenizer, *, end: int, devices: int, seed: int) -> None:
        """Read or write the examples, deal them out by the plan's partition, and encode them."""
        self._plan, self._seed = plan, seed
        self._orders: dict[int, tuple[int, list[int]]] = {}  # of each device, in the epoch it is in
        encoder = Encoder(plan, tokenizer, end)
        if plan.partition == "files":
            valid = held_out(plan, seed)
            self.sample_counts, self.shards, texts = _own_files(plan, devices, encoder)
        else:
            self.sample_counts = counts_of(plan, devices, seed)
            train, valid = sources(plan, seed)
            training, texts = encoder.take(train, sum(self.sample_counts), "data.samples_per_device")
            rng = stream(seed, "data", "partition")
            self.shards = _partition(plan, rng, self.sample_counts, training, texts)
        # Held-out examples stand alone whatever the padding, so that perplexities can be compared.
        _, others = encoder.take(valid, plan.validation_samples, "data.validation_samples", alone=True)
        self._validation = encoder.alone(others)
        self._encoded, self._rows = self._sequences(encoder, texts)

    def batch(self, device: int, round: int) -> Sequences:
        """The device's next sequences: its shard in an order of its own, shuffled anew each time it is used up."""
        rows, size = self._rows[device], self._plan.sequences
        first = (round - 1) * size
        wanted = [self._at(device, rows, index) for index in range(first, first + size)]
        return Sequences(self._encoded.ids_RT[wanted], self._encoded.labels_RT[wanted])

    def tokens(self, device: int, round: int) -> int:
        """Positions of each sequence of that batch that count as computed and sent."""
        return positions(self._plan, self.batch, device, round)

    def validation(self) -> Sequences:
        """Held-out sequences of the same source, dealt to nobody."""
        return self._validation

    def _sequences(self, encoder: Encoder, texts: Texts) -> tuple[Sequences, list[list[int]]]:
        """All sequences, and which of them each device has."""
        if self._plan.padding != "pack":
            return encoder.alone(texts), self.shards
        parts = [encoder.sequences(texts.rows(shard)) for shard in self.shards]
        ends = np.cumsum([len(part.ids_RT) for part in parts]).tolist()
        rows = [list(range(end - len(part.ids_RT), end)) for part, end in zip(parts, ends, strict=True)]
        ids_RT = np.concatenate([part.ids_RT for part in parts])
        return Sequences(ids_RT, np.concatenate([part.labels_RT for part in parts])), rows

    def _at(self, device: int, rows: list[int], index: int) -> int:
        epoch, place = divmod(index, len(rows))
        known = self._orders.get(device)
        if known is None or known[0] != epoch:  # a stream costs more than the rest of a batch
            order = stream(self._seed, "data", "order", device, epoch).permutation(len(rows))
            known = self._orders[device] = (epoch, order.tolist())
        return rows[known[1][place]]


def _own_files(plan: DataPlan, devices: int, encoder: Encoder) -> tuple[list[int], list[list[int]], Texts]:
    """Examples that each device's file holds, those of which something is learnt, and the token ids of the latter."""
    counts: list[int] = []
    shards: list[list[int]] = []
    parts: list[tuple[np.ndarray, int]] = []
    for path, examples in pools(plan, devices):
        texts = encoder.texts(examples)
        fitting = np.flatnonzero(encoder.fits(texts)).tolist()
        if not fitting:
            raise ValueError(
                f"data.partition files: none of the {len(examples)} examples of {path} keeps a label within "
                f"training.tokens = {plan.tokens}, so its device has nothing to train on; raise training.tokens"
            )
        counts.append(len(examples))
        shards.append(list(range(len(parts), len(parts) + len(fitting))))
        parts += [texts.at(row) for row in fitting]
    return counts, shards, Texts.joined(parts)


def _partition(
    plan: DataPlan, rng: np.random.Generator, counts: Sequence[int], examples: Sequence[Sample], texts: Texts
) -> list[list[int]]:
    if plan.partition in {"iid", "quantity"}:
        return iid(rng, counts)
    if plan.partition == "length":
        return by_length(rng, counts, texts.lengths, alpha=plan.alpha)
    labels = [example.value(plan.slot) or "" for example in examples]
    check_slot(plan.slot, examples)
    return dirichlet(rng, counts, labels, alpha=plan.alpha)


def check_slot(slot: str, examples: Sequence[Sample]) -> None:
    """Refuse a slot that the examples do not have, or that is the same in all of them."""
    known = sorted({key for example in examples for key, _ in example.slots})
    if slot not in known:
        raise ValueError(f"data.slot: {unknown('slot', slot, known)}")
    if len({example.value(slot) for example in examples}) < 2:
        raise ValueError(
            f"data.slot: all {len(examples)} examples have the same {slot!r}, so it cannot make devices different; "
            f"slots there: {', '.join(known)}"
        )
