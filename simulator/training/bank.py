"""Adapters and optimizer moments of many clients in flat matrices: a row is a client, a column a parameter.

A client has a row from the first time it trains; until then it is as the global row. So a large population costs
nothing until it takes part. Shape legend in `layout.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from simulator.training.layout import Layout
from simulator.training.lora import Stack
from simulator.training.optim import AdamW, Moments, adamw_


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

    def __init__(self, layout: Layout, rows_NP: Tensor, scale_N: Tensor) -> None:
        """Take rows (they are not changed) and each row's alpha / r."""
        self.layout = layout
        self._factors_NP = scale_b(layout, scale_N.to(rows_NP))
        self._rows_NP = rows_NP * self._factors_NP
        self._buffer_NP = torch.zeros_like(rows_NP)

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
    """The clients' rows, the global row that untouched clients still have, and who owns which row."""

    def __init__(self, layout: Layout, global_row_P: Tensor, rank: int) -> None:
        """Start with no client touched; the global row has the scale alpha / ``rank``."""
        self.layout = layout
        self.rank = rank
        self.global_row_P = global_row_P
        self._row_of: dict[int, int] = {}
        self._params_NP = global_row_P.new_zeros((0, layout.size))
        self._moments = Moments.zeros_like(self._params_NP)
        self._masks: dict[int, Tensor] = {}

    def rows(self, clients: Sequence[int], ranks: Sequence[int]) -> Tensor:
        """Row numbers [N] of some clients; a client that has none yet gets a copy of the global row."""
        fresh = [(client, rank) for client, rank in zip(clients, ranks, strict=True) if client not in self._row_of]
        if fresh:
            self._grow(len(self._row_of) + len(fresh))
            for client, rank in fresh:
                self._row_of[client] = row = len(self._row_of)
                self._params_NP[row] = self.share(rank)
        rows = [self._row_of[client] for client in clients]
        return torch.tensor(rows, dtype=torch.long, device=self.global_row_P.device)

    def knows(self, client: int) -> bool:
        """True for a client that has a row of its own."""
        return client in self._row_of

    def share(self, rank: int) -> Tensor:
        """What a client of this rank gets of the global row [P]: its leading rows, B at the client's own scale."""
        return self.global_row_P * self.mask(rank) / self.to_common_scale([rank])[0]

    def to_common_scale(self, ranks: Sequence[int]) -> Tensor:
        """Factors [N, P] that turn the B of clients of these ranks into one for the global row's scale; 1 for A."""
        ratios_N = torch.tensor([self.rank / rank for rank in ranks], dtype=torch.float64)
        return scale_b(self.layout, ratios_N.to(self.global_row_P))

    def mask(self, rank: int) -> Tensor:
        """The parameters [P] that a client of this rank has."""
        if rank not in self._masks:
            self._masks[rank] = rank_mask(self.layout, rank).to(self.global_row_P.device)
        return self._masks[rank]

    def params(self, rows: Tensor) -> Tensor:
        """A copy of some rows [N, P]."""
        return self._params_NP[rows]

    def overwrite(self, rows: Tensor, values_NP: Tensor) -> None:
        """Replace the parameters of some rows; their moments stay (as the published code does)."""
        self._params_NP[rows] = values_NP

    def update(self, rows: Tensor, grads_NP: Tensor, rule: AdamW) -> None:
        """One AdamW step on some rows."""
        params_NP, moments = self._params_NP[rows], self._moments.take(rows)
        adamw_(params_NP, grads_NP, moments, rule)
        self._params_NP[rows] = params_NP
        self._moments.put(rows, moments)

    def _grow(self, needed: int) -> None:
        """Make room; doubling, so that growing one by one stays cheap."""
        have = self._params_NP.shape[0]
        if needed <= have:
            return
        size = max(needed, 2 * have)
        old_params, old_moments = self._params_NP, self._moments
        self._params_NP = old_params.new_zeros((size, self.layout.size))
        self._params_NP[:have] = old_params
        self._moments = Moments.zeros_like(self._params_NP)
        self._moments.put(torch.arange(have, device=old_params.device), old_moments)
