"""Where a plan's examples come from: training ones and held-out ones, in random order, or a pool for each device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from simulator.restaurants import write
from simulator.streams import stream
from simulator.training.examples import (
    E2E_SUFFIXES,
    JSONL_SUFFIXES,
    TEXT_SUFFIXES,
    Sample,
    find,
    read,
    read_jsonl,
    read_text_file,
)
from simulator.training.files import HELD_OUT, in_order, listing, one_each, part_of
from simulator.training.library import splits_of
from simulator.training.plan import DataPlan

STYLE: Final = "chat"
"""What the phones write; the embedded model was pre-trained on "guide"."""

SUFFIXES: Final = {"e2e": E2E_SUFFIXES, "text": TEXT_SUFFIXES, "jsonl": JSONL_SUFFIXES}


@dataclass(frozen=True, slots=True)
class Source:
    """Examples one after another, what they are called, and how many there are (None: as many as one wants)."""

    examples: Iterator[Sample]
    name: str
    size: int | None = None


def reader(plan: DataPlan) -> Callable[[Path], Sequence[Sample]]:
    """What reads a file of the plan's source."""
    readers: dict[str, Callable[[Path], Sequence[Sample]]] = {
        "e2e": read,
        "text": read_text_file,
        "jsonl": partial(read_jsonl, fields=plan.fields),
    }
    return readers[plan.source]


def sources(plan: DataPlan, seed: int) -> tuple[Source, Source]:
    """Training examples and held-out ones, in random order.

    Files that have no held-out part of their own lose their last ``validation_samples`` examples to it. Raises
    ValueError where that leaves none to train on, and for files that cannot be read.
    """
    if plan.source == "generated":
        train, valid = (written(stream(seed, "data", part)) for part in ("training", "validation"))
        return Source(train, "the generator"), Source(valid, "the generator")
    training, train_name, held_out, valid_name = _library(plan) if plan.source == "datasets" else _files(plan)
    if held_out is None:
        if len(training) <= plan.validation_samples:
            raise ValueError(
                f"{train_name} holds {len(training)} examples, of which data.validation_samples = "
                f"{plan.validation_samples} would leave none to train on; lower it or name a data.validation_path"
            )
        training, held_out = training[: -plan.validation_samples], training[-plan.validation_samples :]
    return (
        Source(_shuffled(stream(seed, "data", "training"), training), train_name, len(training)),
        Source(_shuffled(stream(seed, "data", "validation"), held_out), valid_name, len(held_out)),
    )


def pools(plan: DataPlan, devices: int) -> list[tuple[Path, Sequence[Sample]]]:
    """Each device's own file and the examples in it: partition ``files``."""
    assert plan.path is not None, "data.path is asked for when a scenario is loaded"
    read_file = reader(plan)
    return [(path, read_file(path)) for path in one_each(plan.path, SUFFIXES[plan.source], devices)]


def held_out(plan: DataPlan, seed: int) -> Source:
    """The held-out examples beside the devices' own files; raises ValueError where there are none."""
    assert plan.path is not None, "data.path is asked for when a scenario is loaded"
    path = plan.validation_path or part_of(plan.path, "valid", SUFFIXES[plan.source])
    if path is None:
        raise ValueError(
            f"data.partition files: {plan.path} has no held-out file (a name that begins with "
            f"{' or '.join(HELD_OUT)}), so name a data.validation_path; found {listing(plan.path)}"
        )
    examples = reader(plan)(path)
    return Source(_shuffled(stream(seed, "data", "validation"), examples), str(path), len(examples))


def written(rng: np.random.Generator) -> Iterator[Sample]:
    """As many generated examples as one wants."""
    while True:
        yield from write(rng, STYLE, 64)


def _library(plan: DataPlan) -> tuple[Sequence[Sample], str, Sequence[Sample] | None, str]:
    """Training and held-out examples of a data set by name, and what they are called."""
    assert plan.dataset is not None, "data.dataset is asked for when a scenario is loaded"
    train, valid = splits_of(plan.dataset, plan.config, plan.fields)
    return train, train.name, valid, (valid or train).name


def _files(plan: DataPlan) -> tuple[Sequence[Sample], str, Sequence[Sample] | None, str]:
    """Training and held-out examples of files, and what they are called.

    A folder without a train file is read whole, file after file by name; but for E2E, whose parts are known.
    """
    if plan.path is None:
        raise ValueError(f"data.source {plan.source} needs data.path")
    if plan.source == "e2e":
        train, valid = find(plan.path, "train"), find(plan.validation_path or plan.path, "valid")
        return read(train), str(train), None if train == valid else read(valid), str(valid)
    suffixes, read_file = SUFFIXES[plan.source], reader(plan)
    train_files, valid_file = [plan.path], plan.validation_path
    if plan.path.is_dir():
        valid_file = valid_file or part_of(plan.path, "valid", suffixes)
        named = part_of(plan.path, "train", suffixes)
        train_files = [named] if named else [path for path in in_order(plan.path, suffixes) if path != valid_file]
    if valid_file is not None and valid_file.is_dir():
        valid_file = part_of(valid_file, "valid", suffixes) or valid_file
    if not train_files:
        raise ValueError(f"{plan.path} has no file that ends in {', '.join(suffixes)}; found {listing(plan.path)}")
    examples = [example for path in train_files for example in read_file(path)]
    return examples, str(plan.path), None if valid_file is None else read_file(valid_file), str(valid_file or plan.path)


def _shuffled(rng: np.random.Generator, examples: Sequence[Sample]) -> Iterator[Sample]:
    return (examples[int(index)] for index in rng.permutation(len(examples)))
