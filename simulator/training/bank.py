"""Adapters and optimizer moments of many clients in flat matrices: a row is a client, a column a parameter.

A client has a row from the first time it trains; until then it is as the global row. So a large population costs
nothing until it takes part. Shape legend in `layout.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from simulator.training.layout import Layout
from simulator.training.lora import Stack
from simulator.training.optim import Optimizer

Rows: TypeAlias = np.ndarray
"""Row numbers of a bank, on the host."""


def initial_row(layout: Layout, rng: np.random.Generator, dtype: torch.dtype) -> Tensor:
    """A fresh row [P]: A uniform in +-1/sqrt(inputs) (the Kaiming bound of PEFT), B zero, so the delta is zero."""
    row_P = torch.zeros(layout.size, dtype=torch.float64)
    for block in range(layout.first, layout.last):
        for piece, a_slice, _ in layout.matrices(block):
            bound = piece.inputs**-0.5
            row_P[a_slice] = torch.from_numpy(rng.uniform(-bound, bound, a_slice.stop - a_slice.start))
    return row_P.to(dtype)


def rank_mask(layout: Layout, rank: int) -> Tensor:
    """True for the parameters [P] of a client of that rank: A and B rows above it stay zero for ever.

    A zero row of A and the matching zero row of B get zero gradients, so padding to the largest rank is exact.
    """
    mask_P = torch.zeros(layout.size, dtype=torch.bool)
    for block in range(layout.first, layout.last):
        for piece, a_slice, b_slice in layout.matrices(block):
            mask_P[a_slice.start : a_slice.start + rank * piece.inputs] = True
            mask_P[b_slice.start : b_slice.start + rank * piece.out] = True
    return mask_P


def scale_b(layout: Layout, factors_N: Tensor) -> Tensor:
    """A matrix [N, P] that multiplies each row's B by its factor and leaves A alone."""
    return torch.where(_is_b(layout, factors_N.device), factors_N[:, None], 1.0)


@lru_cache(maxsize=8)
def _is_b(layout: Layout, device: torch.device) -> Tensor:
    """True for the columns [P] of a row that belong to a B."""
    is_b_P = torch.zeros(layout.size, dtype=torch.bool)
    for block in range(layout.first, layout.last):
        for _, _, b_slice in layout.matrices(block):
            is_b_P[b_slice] = True
    return is_b_P.to(device)


class AdapterRows:
    """Rows [N, P] made ready for one autograd pass: matrices are views, and so are the buffers of their gradients.

    The scale alpha / r of each row is multiplied into its B once, and into the gradient of B once, not in every block.
    """

    def __init__(self, layout: Layout, rows_NP: Tensor, scale_N: Tensor, dtype: torch.dtype) -> None:
        """Take rows (they are not changed), each row's alpha / r, and the precision of the pass."""
        self.layout = layout
        self._factors_NP = scale_b(layout, scale_N.to(rows_NP))
        self._rows_NP = (rows_NP * self._factors_NP).to(dtype)
        self._buffer_NP = torch.zeros_like(self._rows_NP)

    @property
    def gradients(self) -> Tensor:
        """Gradients [N, P] of the rows as they were given."""
        return self._buffer_NP * self._factors_NP

    def stack(self, block: int, module: str, *, clients: int, start: int, num_rows: int) -> Stack:
        """The first ``clients`` rows' adapters of one projection, for the batch rows from ``start`` on."""
        pieces, a_slices, b_slices = zip(*self.layout.matrices(block, module), strict=True)
        rows, grads = self._rows_NP[:clients], self._buffer_NP[:clients]
        return Stack(
            pieces,
            a=tuple(self._matrix(rows, part, piece.inputs) for piece, part in zip(pieces, a_slices, strict=True)),
            b=tuple(self._matrix(rows, part, piece.out) for piece, part in zip(pieces, b_slices, strict=True)),
            da=tuple(self._matrix(grads, part, piece.inputs) for piece, part in zip(pieces, a_slices, strict=True)),
            db=tuple(self._matrix(grads, part, piece.out) for piece, part in zip(pieces, b_slices, strict=True)),
            start=start,
            num_rows=num_rows,
        )

    def _matrix(self, rows_NP: Tensor, part: slice, columns: int) -> Tensor:
        return rows_NP[:, part].view(rows_NP.shape[0], self.layout.rank, columns)


class ClientBank:
    """The clients' rows, the global row that all others have, and who owns which row.

    A row holds a client's parameters and the optimizer's moments of them; updates are counted for each row.
    """

    def __init__(self, layout: Layout, global_row_P: Tensor, rank: int, optimizer: Optimizer) -> None:
        """Start with no client touched; the global row has the scale alpha / ``rank``."""
        self.layout = layout
        self.rank = rank
        self.optimizer = optimizer
        self.scalings = (0, *optimizer.rule.scalings)
        self.global_SP = global_row_P.new_zeros((len(self.scalings), layout.size))  # parameters, then moments
        self.global_SP[0] = global_row_P
        self._global_updates = 0
        self._row_of: dict[int, int] = {}
        self._free: list[int] = []  # rows that nobody owns, the lowest last
        self._state_SNP = global_row_P.new_zeros((len(self.scalings), 0, layout.size))
        self._updates_N = np.zeros(0, dtype=np.int64)
        self._masks: dict[int, Tensor] = {}

    @property
    def global_row_P(self) -> Tensor:
        """The parameters that a client without a row of its own has."""
        return self.global_SP[0]

    def rows(self, clients: Sequence[int], ranks: Sequence[int]) -> Rows:
        """Row numbers [N] of some clients; a client that has none yet gets a copy of the global row."""
        fresh = [(client, rank) for client, rank in zip(clients, ranks, strict=True) if client not in self._row_of]
        self._make_room(len(fresh))
        for client, rank in fresh:
            self._row_of[client] = row = self._free.pop()
            self._state_SNP[:, row] = self._share(rank)
            self._updates_N[row] = self._global_updates
        return np.array([self._row_of[client] for client in clients], dtype=np.int64)

    @property
    def is_untouched(self) -> bool:
        """True while no client has a row of its own: all of them are as the global row."""
        return not self._row_of

    def knows(self, client: int) -> bool:
        """True for a client that has a row of its own."""
        return client in self._row_of

    def release(self, clients: Sequence[int]) -> None:
        """Take the rows of clients that are as the global row again; they cost nothing until they train once more."""
        for client in clients:
            row = self._row_of.pop(client, None)
            if row is not None:
                self._free.append(row)
        self._free.sort(reverse=True)

    def share(self, rank: int) -> Tensor:
        """What a client of this rank gets of the global row [P]: its leading rows, B at the client's own scale."""
        return self._share(rank)[0]

    def to_common_scale(self, ranks: Sequence[int]) -> Tensor:
        """Factors [N, P] that turn the B of clients of these ranks into one for the global row's scale; 1 for A."""
        ratios_N = torch.tensor([self.rank / rank for rank in ranks], dtype=torch.float64)
        return scale_b(self.layout, ratios_N.to(self.global_row_P))

    def mask(self, rank: int) -> Tensor:
        """The parameters [P] that a client of this rank has."""
        if rank not in self._masks:
            self._masks[rank] = rank_mask(self.layout, rank).to(self.global_row_P.device)
        return self._masks[rank]

    def params(self, rows: Rows) -> Tensor:
        """A copy of some rows' parameters [N, P]."""
        return self._state_SNP[0][self._index(rows)]

    def state(self, rows: Rows, ranks: Sequence[int]) -> Tensor:
        """Parameters and moments [S, N, P] of rows whose clients have these ranks, at the global row's scale."""
        factors_NP = self.to_common_scale(ranks)
        return self._state_SNP[:, self._index(rows)] * torch.stack(self._powers(factors_NP))

    def overwrite(self, rows: Rows, values_NP: Tensor) -> None:
        """Replace the parameters of some rows; their moments stay."""
        self._state_SNP[0][self._index(rows)] = values_NP

    def set_global(self, state_SP: Tensor, rows: Rows, *, keep_moments: bool) -> None:
        """Replace what clients without a row have; moments are dropped, or kept with the largest count of ``rows``."""
        self.global_SP = torch.zeros_like(state_SP)
        self.global_SP[: None if keep_moments else 1] = state_SP[: None if keep_moments else 1]
        self._global_updates = int(self._updates_N[rows].max(initial=0)) if keep_moments else 0

    def update(self, rows: Rows, grads_NP: Tensor, rounds: Sequence[int]) -> None:
        """One step of the optimizer on some rows, each at the learning rate of its round."""
        self._updates_N[rows] += 1
        where = _span(rows)
        if where is not None:  # rows that lie together are updated where they are
            state_SNP = self._state_SNP[:, where]
        else:
            state_SNP = self._state_SNP.index_select(1, self._index(rows))
        params_NP, *moments = state_SNP
        self.optimizer.step_(params_NP, grads_NP, moments, rounds, self._updates_N[rows])
        if where is None:
            self._state_SNP.index_copy_(1, self._index(rows), state_SNP)

    def _share(self, rank: int) -> Tensor:
        """Parameters and moments [S, P] of the global row for a client of this rank."""
        factors_P = 1 / self.to_common_scale([rank])[0]
        return self.global_SP * self.mask(rank) * torch.stack(self._powers(factors_P))

    def _powers(self, factors: Tensor) -> list[Tensor]:
        """Where B is multiplied by f its gradient is divided by f, a mean of squares by f squared."""
        return [factors if power == 0 else factors.pow(-power) for power in self.scalings]

    def _index(self, rows: Rows) -> Tensor:
        return torch.from_numpy(rows).to(self.global_row_P.device)

    def _make_room(self, more: int) -> None:
        """Have so many free rows; doubling, so that growing one by one stays cheap."""
        have = len(self._updates_N)
        if more <= len(self._free):
            return
        size = max(have + more - len(self._free), 2 * have)
        old_SNP = self._state_SNP
        self._state_SNP = old_SNP.new_zeros((len(self.scalings), size, self.layout.size))
        self._state_SNP[:, :have] = old_SNP
        self._updates_N = np.concatenate([self._updates_N, np.zeros(size - have, dtype=np.int64)])
        self._free = [*range(size - 1, have - 1, -1), *self._free]


def _span(rows: Rows) -> slice | None:
    """The rows as a slice, where they are consecutive."""
    if len(rows) and (np.diff(rows) == 1).all():
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return None
