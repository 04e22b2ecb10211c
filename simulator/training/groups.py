"""Cutting a cohort into autograd passes: how many clients at a time, and how many positions of their sequences.

Both are exact. Every position carries its weight in the cohort's loss, so the gradients of groups add up; and under
causal attention nothing behind a sequence's last label has any effect, so it need not be computed.
Shape legend in `layout.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

IGNORED = -100
"""The label of a position that has none."""


@dataclass(frozen=True, slots=True)
class Sequences:
    """Some sequences as the data set holds them: token ids and next-token labels [R, T], -100 where no label is."""

    ids_RT: np.ndarray
    labels_RT: np.ndarray

    @property
    def length(self) -> int:
        """Positions up to the last label of any of them; at least one."""
        labelled = np.flatnonzero((self.labels_RT >= 0).any(axis=0))
        return int(labelled.max(initial=0)) + 1

    @property
    def num_labels(self) -> int:
        """Positions that count in a loss."""
        return int((self.labels_RT >= 0).sum())

    def cut(self, tokens: int) -> Sequences:
        """The first ``tokens`` positions of each."""
        return Sequences(self.ids_RT[:, :tokens], self.labels_RT[:, :tokens])

    def rows(self, which: np.ndarray) -> Sequences:
        """Some of the sequences."""
        return Sequences(self.ids_RT[which], self.labels_RT[which])


@dataclass(frozen=True, slots=True)
class Grouping:
    """How many positions R T a pass may have, and whether sequences of like length are computed together.

    A pass is as long as its longest sequence. With ``bucket_tokens`` clients are sorted by length and passes are cut at
    about that many positions, which wastes less; it should be large enough to keep the machine busy.
    """

    most_tokens: int = 16384
    bucket_tokens: int | None = None

    def groups(self, batches: Sequence[Sequences], splits: Sequence[int]) -> Iterator[list[int]]:
        """Indices of the clients of each pass, deepest split first.

        Every client of ``batches`` has equally many sequences. A client that alone exceeds the limit is a pass.
        """
        lengths = [batch.length for batch in batches]
        first = lengths if self.bucket_tokens else splits
        order = sorted(range(len(batches)), key=lambda index: -first[index])
        limit = min(self.most_tokens, self.bucket_tokens or self.most_tokens)
        group: list[int] = []
        longest = 0
        for index in order:
            longest = max(longest, lengths[index])
            if group and (len(group) + 1) * len(batches[0].ids_RT) * longest > limit:
                yield sorted(group, key=lambda index: -splits[index])
                group, longest = [], lengths[index]
            group.append(index)
        yield sorted(group, key=lambda index: -splits[index])

    def parts(self, data: Sequences) -> Iterator[Sequences]:
        """Some sequences of one client, cut into passes in the same way."""
        rows = [data.rows(np.array([row])) for row in range(len(data.ids_RT))]
        for group in self.groups(rows, [0] * len(rows)):
            part = data.rows(np.array(group))
            yield part.cut(part.length)
