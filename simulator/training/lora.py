"""LoRA for many clients at once: one frozen projection, one low-rank pair per client, one pair for the server.

The rows of a batch are ordered by client, deepest split first. At any block the rows that are still on a device are
therefore a prefix: the first ``num_clients`` clients use their own adapters (stacked, batched matmul), the rows behind
them use the one server adapter. Adapter: W = W0 + (alpha / r) B A with W0 frozen (Hu et al., arXiv 2106.09685).
Shape legend in `layout.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from simulator.training.dropout import KeyedDropout
from simulator.training.layout import Piece


@dataclass(frozen=True, slots=True)
class Stack:
    """The adapters of one block for N clients, and the rows of the batch that are theirs.

    Per piece A is [N, K, D] and B is [N, K, out]; ``da`` and ``db`` are where their gradients are added.
    The scale alpha / r is in B already. The rows ``start`` .. ``start + num_rows - 1`` belong to the N clients in
    order, equally many to each.
    """

    pieces: tuple[Piece, ...]
    a: tuple[Tensor, ...]
    b: tuple[Tensor, ...]
    da: tuple[Tensor, ...]
    db: tuple[Tensor, ...]
    start: int
    num_rows: int
    dropout: KeyedDropout | None = None

    def rows_of(self, x_RTD: Tensor) -> Tensor:
        """The clients' rows of x [R, T, D] as a view [N, rows per client * T, D]."""
        return x_RTD.narrow(0, self.start, self.num_rows).view(self.a[0].shape[0], -1, x_RTD.shape[-1])

    def add_deltas(self, x_RTD: Tensor, y_RTO: Tensor) -> list[Tensor]:
        """Add each client's low-rank delta to its own rows of y, in place; return the rank-K activations."""
        x_NTD, y_NTO, hidden = self.rows_of(x_RTD), self.rows_of(y_RTO), []
        if (keep := self._keep(x_RTD)) is not None:
            x_NTD = x_NTD * keep
        for piece, a_NKD, b_NKO in zip(self.pieces, self.a, self.b, strict=True):
            h_NTK = torch.bmm(x_NTD, a_NKD.transpose(1, 2))
            y_NTO.narrow(2, piece.offset, piece.out).baddbmm_(h_NTK, b_NKO)
            hidden.append(h_NTK)
        return hidden

    def add_gradients(self, x_RTD: Tensor, dy_RTO: Tensor, dx_RTD: Tensor | None, hidden: Sequence[Tensor]) -> None:
        """Add the gradients of A and B to their buffers, and the adapters' share to dx, in place."""
        x_NTD, dy_NTO = self.rows_of(x_RTD), self.rows_of(dy_RTO)
        if (keep := self._keep(x_RTD)) is not None:
            x_NTD = x_NTD * keep
        for index, (piece, h_NTK) in enumerate(zip(self.pieces, hidden, strict=True)):
            part_NTO = dy_NTO.narrow(2, piece.offset, piece.out)
            dh_NTK = torch.bmm(part_NTO, self.b[index].transpose(1, 2))
            self.da[index].baddbmm_(dh_NTK.transpose(1, 2), x_NTD)
            self.db[index].baddbmm_(h_NTK.transpose(1, 2), part_NTO)
            if dx_RTD is None:
                continue
            if keep is None:
                self.rows_of(dx_RTD).baddbmm_(dh_NTK, self.a[index])
            else:
                self.rows_of(dx_RTD).add_(torch.bmm(dh_NTK, self.a[index]).mul_(keep))

    def _keep(self, x_RTD: Tensor) -> Tensor | None:
        """What the adapters' input is multiplied with; worked out anew for the backward pass instead of kept."""
        if self.dropout is None or self.dropout.masks is None:
            return None
        keep_RTD = self.dropout.keep(x_RTD, self.start, self.num_rows)
        return keep_RTD.view(self.a[0].shape[0], -1, x_RTD.shape[-1])


class StackedLora(torch.autograd.Function):
    """``y = x W0 + bias``, plus every client's delta on its rows and the server's delta on the rest.

    Saves the input and the rank-K activations only: W0 and the bias are frozen and get no gradient. The adapters'
    gradients go straight into the stacks' flat buffers; ``anchor`` is an empty tensor that requires a gradient, so
    that autograd calls the first adapted block too, whose input (the frozen embedding) requires none.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 -- torch leaves the context untyped
        x_RTD: Tensor,
        anchor: Tensor,
        weight_DO: Tensor,
        bias_O: Tensor | None,
        stacks: tuple[Stack, ...],
    ) -> Tensor:
        """Project all rows; see the class."""
        rows, tokens, width = x_RTD.shape
        x_RTD = x_RTD.contiguous()
        flat = x_RTD.view(-1, width)
        product = torch.mm(flat, weight_DO) if bias_O is None else torch.addmm(bias_O, flat, weight_DO)
        y_RTO = product.view(rows, tokens, -1)
        hidden = [h for stack in stacks for h in stack.add_deltas(x_RTD, y_RTO)]
        ctx.save_for_backward(x_RTD, weight_DO, *hidden)
        ctx.stacks = stacks
        return y_RTO

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_RTO: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 -- as above
        """Return dx, when the input needs it."""
        x_RTD, weight_DO, *hidden = ctx.saved_tensors
        dy_RTO = dy_RTO.contiguous()
        dx_RTD = torch.matmul(dy_RTO, weight_DO.t()) if ctx.needs_input_grad[0] else None
        for stack in ctx.stacks:
            mine, hidden = hidden[: len(stack.pieces)], hidden[len(stack.pieces) :]
            stack.add_gradients(x_RTD, dy_RTO, dx_RTD, mine)
        return dx_RTD, None, None, None, None


class LoraProjection(nn.Module):
    """Stands in for a projection: its frozen weight [D, O] and bias [O], and the adapters of the current pass."""

    anchor: Tensor

    def __init__(self, weight_DO: Tensor, bias_O: Tensor | None) -> None:
        """Take over the frozen weight (a transposed view will do) and the bias of the projection that is replaced."""
        super().__init__()
        self.weight = nn.Parameter(weight_DO.detach(), requires_grad=False)
        self.bias = None if bias_O is None else nn.Parameter(bias_O.detach(), requires_grad=False)
        self.register_buffer("anchor", weight_DO.new_empty(0).requires_grad_(), persistent=False)
        self.stacks: tuple[Stack, ...] = ()
        self.dropout: KeyedDropout | None = None

    def forward(self, x_RTD: Tensor) -> Tensor:
        """Project with the adapters that `stacks` holds for this pass (none: the plain frozen projection)."""
        y_RTO: Tensor = StackedLora.apply(x_RTD, self.anchor, self.weight, self.bias, self.stacks)
        return y_RTO
