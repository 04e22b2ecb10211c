"""Data of a population: a device's examples are written when it first trains, and nobody else's ever are.

For generated data only: a file has no end of examples. Sizes are drawn as in `data.TrainingData`. Under the Dirichlet
partition each device has its own mixture of the slot's values, drawn from Dirichlet(alpha * K * overall mix) and kept
exactly, since no pool runs out; the overall mix is that of the held-out examples.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import numpy as np
from tokenizers import Tokenizer

from simulator.fleet import is_crowd
from simulator.restaurants import write
from simulator.scenario import Scenario
from simulator.streams import stream
from simulator.training.counts import check_data, counts_of
from simulator.training.data import Encoder, TrainingData, check_slot, positions
from simulator.training.examples import Sample
from simulator.training.groups import Sequences
from simulator.training.plan import DataPlan, plan_of
from simulator.training.sources import STYLE, Source, written

MOST_KEPT: Final = 4096  # devices whose sequences are kept; those of others are written again, and equal
SPARE: Final = 256  # examples of one value that are kept for later


def data_of(scenario: Scenario, tokenizer: Tokenizer, *, end: int, devices: int) -> TrainingData | CrowdData:
    """The data of a scenario's fleet, dealt out to so many devices; ``end`` is the end-of-text token.

    Raises ValueError for data that cannot be used, and for a fleet too large for them.
    """
    check_data(scenario)
    kind = CrowdData if is_crowd(scenario) else TrainingData
    return kind(plan_of(scenario), tokenizer, end=end, devices=devices, seed=scenario.seed)


class CrowdData:
    """The shards of a fleet that is too large to write them all. Implements `simulator.training.engine.Data`."""

    def __init__(self, plan: DataPlan, tokenizer: Tokenizer, *, end: int, devices: int, seed: int) -> None:
        """Draw how much everybody has, and write the held-out set."""
        self._plan, self._seed = plan, seed
        self._encoder = Encoder(plan, tokenizer, end)
        self.sample_counts = counts_of(plan, devices, seed)
        examples = Source(written(stream(seed, "data", "validation")), "the generator")
        held_out, texts = self._encoder.take(examples, plan.validation_samples, "data.validation_samples", alone=True)
        self._validation = self._encoder.alone(texts)
        mix = Counter(example.value(plan.slot) or "" for example in held_out)
        self._values = sorted(mix)
        self._mix = np.array([mix[value] for value in self._values]) / mix.total()
        if plan.partition == "dirichlet":
            check_slot(plan.slot, held_out)
        self._shard = lru_cache(MOST_KEPT)(self._write)

    def batch(self, device: int, round: int) -> Sequences:
        """The device's next sequences: its shard in an order of its own, shuffled anew each time it is used up."""
        shard, size = self._shard(device), self._plan.sequences
        first, count = (round - 1) * size, shard.ids_RT.shape[0]
        wanted = []
        for index in range(first, first + size):
            epoch, place = divmod(index, count)
            wanted.append(int(self._order(device, epoch, count)[place]))
        return Sequences(shard.ids_RT[wanted], shard.labels_RT[wanted])

    def tokens(self, device: int, round: int) -> int:
        """Positions of each sequence of that batch that count as computed and sent."""
        return positions(self._plan, self.batch, device, round)

    def validation(self) -> Sequences:
        """Held-out sequences of the same source."""
        return self._validation

    def _order(self, device: int, epoch: int, count: int) -> np.ndarray:
        return stream(self._seed, "data", "order", device, epoch).permutation(count)

    def _write(self, device: int) -> Sequences:
        rng = stream(self._seed, "data", "device", device)
        examples = self._mixed(rng) if self._plan.partition == "dirichlet" else written(rng)
        count = self.sample_counts[device]
        source = Source(examples, "the generator")
        return self._encoder.sequences(self._encoder.take(source, count, "data.samples_per_device")[1])

    def _mixed(self, rng: np.random.Generator) -> Iterator[Sample]:
        """Examples in the device's mixture: values are drawn, and what the generator writes is sorted by value."""
        wish = rng.dirichlet(self._plan.alpha * len(self._values) * self._mix)
        spare: dict[str, deque[Sample]] = {value: deque(maxlen=SPARE) for value in self._values}
        while True:
            value = self._values[int(rng.choice(len(self._values), p=wish))]
            while not spare[value]:
                for example in write(rng, STYLE, 64):
                    if (kind := example.value(self._plan.slot) or "") in spare:
                        spare[kind].append(example)
            yield spare[value].popleft()
