"""Examples as token ids, and those as sequences of equal length: each alone and padded, or one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from simulator.sequences import Encoded, join
from simulator.training.examples import Sample
from simulator.training.groups import IGNORED, Sequences

CHUNK: Final = 4096
"""Examples that are tokenized at a time."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Token ids of some examples, uncut, one after another.

    Example i is ``ids[bounds[i] : bounds[i + 1]]``: prompt, reference and end-of-text. Its positions from ``firsts[i]``
    to the last but one have a label: the token that follows.
    """

    ids: NDArray[np.int32]
    bounds: NDArray[np.int64]
    firsts: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.firsts)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example, end-of-text included."""
        return np.diff(self.bounds)

    def keeps_label(self, tokens: int) -> NDArray[np.bool_]:
        """True for each example that has a label among its first ``tokens`` positions."""
        return self.firsts < np.minimum(self.lengths - 1, tokens)

    def rows(self, which: Sequence[int] | NDArray[np.int64]) -> Texts:
        """Some of the examples, in that order."""
        return Texts.joined([self.at(int(index)) for index in which])

    def at(self, index: int) -> tuple[NDArray[np.int32], int]:
        """Token ids of one example, and its first position with a label."""
        return self.ids[self.bounds[index] : self.bounds[index + 1]], int(self.firsts[index])

    def __iter__(self) -> Iterator[tuple[NDArray[np.int32], int]]:
        """All of them, one after another."""
        return (self.at(index) for index in range(len(self)))

    @classmethod
    def joined(cls, examples: Sequence[tuple[NDArray[np.int32], int]]) -> Texts:
        """From single examples: token ids, and the first position with a label."""
        bounds = np.cumsum([0, *(len(ids) for ids, _ in examples)], dtype=np.int64)
        ids = np.concatenate([ids for ids, _ in examples]) if examples else np.zeros(0, dtype=np.int32)
        return cls(ids, bounds, np.array([first for _, first in examples], dtype=np.int32))


def tokenize(tokenizer: Tokenizer, end: int, examples: Sequence[Sample], labels: Literal["all", "reference"]) -> Texts:
    """Prompt, reference and end-of-text of each example; ``labels: all`` also counts the prompt.

    Raises ValueError for an example of token ids that end with another token, so of another tokenizer.
    """
    found: list[tuple[NDArray[np.int32], int]] = []
    for start in range(0, len(examples), CHUNK):
        for prompt, reference in _ids(tokenizer, end, examples[start : start + CHUNK]):
            first = 0 if labels == "all" else max(len(prompt) - 1, 0)
            found.append((np.array([*prompt, *reference, end], dtype=np.int32), first))
    return Texts.joined(found)


def _ids(tokenizer: Tokenizer, end: int, examples: Sequence[Sample]) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """Token ids of prompts and references, without the end; those that are written in ids already as they are."""
    pairs = [join(example) for example in examples if not isinstance(example, Encoded)]
    prompts = iter(tokenizer.encode_batch([prompt for prompt, _ in pairs], add_special_tokens=False))
    references = iter(tokenizer.encode_batch([text for _, text in pairs], add_special_tokens=False))
    known = tokenizer.get_vocab_size()
    for example in examples:
        if not isinstance(example, Encoded):
            yield next(prompts).ids, next(references).ids
            continue
        if example.text[-1] != end or max(*example.prompt, *example.text) >= known:
            raise ValueError(
                f"the data hold token ids of another tokenizer: a text ends with {example.text[-1]}, but end-of-text "
                f"of the model's {known} tokens is {end}; train the model they were made for, or take files of texts"
            )
        yield example.prompt, example.text[:-1]


def padded(texts: Texts, tokens: int, end: int) -> Sequences:
    """Each example as a sequence of its own [n, T]: inputs and next-token labels, cut at T, padded on the right.

    Padding has no label, and under causal attention needs no mask. What lies behind T is cut off.
    """
    ids_RT = np.full((len(texts), tokens), end, dtype=np.int32)
    labels_RT = np.full((len(texts), tokens), IGNORED, dtype=np.int32)
    for row, (whole, first) in enumerate(texts):
        inputs, targets = whole[:-1][:tokens], whole[1:][:tokens]
        ids_RT[row, : len(inputs)] = inputs
        labels_RT[row, first : len(targets)] = targets[first:]
    return Sequences(ids_RT, labels_RT)


def packed(texts: Texts, tokens: int, end: int) -> Sequences:
    """The examples one after another, end-of-text between them, cut into full windows of T positions [m, T].

    Labels are those that each example has alone, uncut, and no others: none for the first token of an example, which
    its neighbour says nothing about, and none for a prompt that has none. Only the last window is padded. A window may
    begin in the middle of an example, and attention sees what comes before it in the window, other examples too.
    """
    labels = np.full(len(texts.ids), IGNORED, dtype=np.int32)
    for start, stop, first in zip(texts.bounds[:-1], texts.bounds[1:], texts.firsts, strict=True):
        labels[start + first : stop - 1] = texts.ids[start + first + 1 : stop]
    positions = max(len(texts.ids) - 1, 1)  # behind the last end-of-text there is nothing to predict
    windows = -(-positions // tokens)
    ids_RT = np.full(windows * tokens, end, dtype=np.int32)
    labels_RT = np.full(windows * tokens, IGNORED, dtype=np.int32)
    ids_RT[: len(texts.ids)] = texts.ids[: windows * tokens]
    labels_RT[: len(labels)] = labels[: windows * tokens]
    sequences = Sequences(ids_RT.reshape(windows, tokens), labels_RT.reshape(windows, tokens))
    return sequences.rows(np.flatnonzero((sequences.labels_RT != IGNORED).any(axis=1)))
