"""Padding and packing: what is learnt is the same, what is computed is not."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator.training.encoding import IGNORED, Texts, packed, padded

END = 0
EXAMPLES = st.lists(
    st.tuples(st.lists(st.integers(1, 9), max_size=6), st.lists(st.integers(1, 9), min_size=1, max_size=12)),
    min_size=1,
    max_size=12,
)


def texts(examples) -> Texts:
    """Prompts and references of token ids."""
    return Texts.joined(
        [(np.array([*prompt, *text, END], dtype=np.int32), max(len(prompt) - 1, 0)) for prompt, text in examples]
    )


def pairs(sequences) -> Counter[tuple[int, int]]:
    """How often each token is predicted from which."""
    where = sequences.labels_RT != IGNORED
    return Counter(zip(sequences.ids_RT[where].tolist(), sequences.labels_RT[where].tolist(), strict=True))


@given(EXAMPLES, st.integers(1, 20))
def test_packing_learns_every_label_of_every_example_once(examples, tokens):
    alone = padded(texts(examples), 32, END)  # long enough for all
    assert pairs(packed(texts(examples), tokens, END)) == pairs(alone)


@given(EXAMPLES, st.integers(1, 20))
def test_packed_windows_are_full_but_for_the_last(examples, tokens):
    whole = texts(examples)
    windows = packed(whole, tokens, END)
    assert windows.ids_RT.shape[1] == tokens
    most = -(-max(len(whole.ids) - 1, 1) // tokens)
    labelled = (windows.labels_RT != IGNORED).any(axis=1)
    assert labelled.all()
    assert len(labelled) <= most
    joined = [*(token for prompt, text in examples for token in [*prompt, *text, END]), *[END] * tokens]
    every = {tuple(joined[start : start + tokens]) for start in range(0, most * tokens, tokens)}
    assert {tuple(row) for row in windows.ids_RT.tolist()} <= every


def test_two_examples_in_windows_of_four():
    """7 7 | 1 2 . and 8 | 3 . with windows of 4: 7 7 1 2 | . 8 3 (.), the last end has nothing behind it."""
    windows = packed(texts([([7, 7], [1, 2]), ([8], [3])]), 4, END)
    assert windows.ids_RT.tolist() == [[7, 7, 1, 2], [END, 8, 3, END]]
    assert windows.labels_RT.tolist() == [[IGNORED, 1, 2, END], [IGNORED, 3, END, IGNORED]]


@given(EXAMPLES, st.integers(1, 20))
def test_an_example_keeps_a_label_exactly_where_padding_leaves_one(examples, tokens):
    whole = texts(examples)
    expected = (padded(whole, tokens, END).labels_RT != IGNORED).any(axis=1)
    assert whole.keeps_label(tokens).tolist() == expected.tolist()


@given(EXAMPLES, st.data())
def test_rows_are_the_chosen_examples_in_that_order(examples, data):
    which = data.draw(st.lists(st.integers(0, len(examples) - 1), max_size=5))
    chosen = texts(examples).rows(which)
    assert [(ids.tolist(), first) for ids, first in chosen] == [
        (ids.tolist(), first) for ids, first in texts([examples[index] for index in which])
    ]
