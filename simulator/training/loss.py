"""Cross-entropy through the frozen language-model head, at label positions only, without ever holding all logits."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_BYTES: Final = 64 * 2**20
"""Logits held at one time. Chunks below 128 positions cost time on a CPU, larger ones only memory."""


def chunk_rows(vocab_size: int, element_bytes: int) -> int:
    """How many label positions to take at a time."""
    return max(128, CHUNK_BYTES // (vocab_size * element_bytes))


class _HeadLoss(torch.autograd.Function):
    """The head is frozen, so the gradient of its input can be made in the forward pass, chunk by chunk."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 -- torch leaves the context untyped
        h_MD: Tensor,
        head_VD: Tensor,
        targets_M: Tensor,
        weights_M: Tensor,
    ) -> tuple[Tensor, Tensor]:
        losses_M = torch.empty_like(weights_M)
        wants_grad = ctx.needs_input_grad[0]
        dh_MD = torch.empty_like(h_MD) if wants_grad else None
        step = chunk_rows(head_VD.shape[0], h_MD.element_size())
        for at in range(0, h_MD.shape[0], step):
            part = slice(at, at + step)
            logits = h_MD[part] @ head_VD.t()
            right = targets_M[part, None]
            log_sum = torch.logsumexp(logits, dim=1, keepdim=True)
            losses_M[part] = (log_sum - logits.gather(1, right)).squeeze(1)
            if dh_MD is not None:
                probabilities = logits.sub_(log_sum).exp_()
                probabilities.scatter_add_(1, right, torch.full_like(log_sum, -1.0))
                torch.mm(probabilities.mul_(weights_M[part, None]), head_VD, out=dh_MD[part])
        if dh_MD is not None:
            ctx.save_for_backward(dh_MD)
        ctx.mark_non_differentiable(losses_M)
        return (losses_M * weights_M).sum(), losses_M

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 -- as above
        (dh_MD,) = ctx.saved_tensors
        return dh_MD * d_loss, None, None, None


def head_loss(h_MD: Tensor, head_VD: Tensor, targets_M: Tensor, weights_M: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted cross-entropy of M label positions, and the loss of each of them (natural logarithm, no gradient).

    Args:
        h_MD: hidden states after the last layer norm, at label positions only [M, D].
        head_VD: the frozen head [V, D], tied to the token embedding in GPT-2.
        targets_M: the token that comes next at each position [M].
        weights_M: weight of each position in the sum [M]; 1 / M each gives the usual mean.

    Label smoothing is not modelled.
    """
    total, losses_M = _HeadLoss.apply(h_MD, head_VD, targets_M, weights_M)
    return total, losses_M
