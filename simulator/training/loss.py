"""Cross-entropy through the frozen language-model head, at label positions only, without ever holding all logits."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_BYTES: Final = 64 * 2**20
"""Logits held at one time, if that does. Chunks below 128 positions cost time on a CPU, larger ones only memory."""

MOST_CHUNKS: Final = 4
"""A pass over many positions takes larger chunks instead of more, so that kernel launches do not grow with clients."""

_ROUND: Final = 64  # matrix products of other numbers of positions are up to a third slower on a CPU


def chunk_rows(positions: int, vocab_size: int, element_bytes: int) -> int:
    """How many of a pass's label positions to take at a time: chunks of about one size."""
    within = max(128, CHUNK_BYTES // (vocab_size * element_bytes))
    chunks = min(MOST_CHUNKS, -(-positions // within))
    return min(positions, -(-positions // (chunks * _ROUND)) * _ROUND)


class _HeadLoss(torch.autograd.Function):
    """The head is frozen, so the gradient of its input can be made in the forward pass, chunk by chunk.

    d loss / d h = weight x (softmax(h W^T) W - W[target]); the two factors that do not need logits are applied once for
    all chunks. Logits lie as [V, C], C positions of a chunk: that way round the products are a sixth faster on a CPU.
    Logits of a base in half precision are brought to float32, as Hugging Face does.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 -- torch leaves the context untyped
        h_MD: Tensor,
        head_VD: Tensor,
        targets_M: Tensor,
        weights_M: Tensor,
    ) -> tuple[Tensor, Tensor]:
        losses_1M = torch.empty_like(weights_M)[None]
        wants_grad = ctx.needs_input_grad[0]
        dh_MD = torch.empty_like(h_MD) if wants_grad else None
        positions, (vocab_size, _) = h_MD.shape[0], head_VD.shape
        step = chunk_rows(positions, vocab_size, weights_M.element_size())
        for at in range(0, positions, step):
            chunk = slice(at, at + step)
            logits_VC = torch.mm(head_VD, h_MD[chunk].t()).to(weights_M.dtype)
            torch.ops.aten._log_softmax.out(logits_VC, 0, False, out=logits_VC)  # each is read before it is written
            torch.gather(logits_VC, 0, targets_M[None, chunk], out=losses_1M[:, chunk])
            if dh_MD is not None:
                torch.mm(logits_VC.exp_().to(h_MD.dtype).t(), head_VD, out=dh_MD[chunk])
        losses_M = losses_1M.neg_().squeeze(0)
        if dh_MD is not None:
            dh_MD.sub_(head_VD.index_select(0, targets_M)).mul_(weights_M[:, None])
            ctx.save_for_backward(dh_MD)
        ctx.mark_non_differentiable(losses_M)
        return (losses_M * weights_M).sum(), losses_M

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 -- as above
        (dh_MD,) = ctx.saved_tensors
        return dh_MD * d_loss.to(dh_MD.dtype), None, None, None


def head_loss(h_MD: Tensor, head_VD: Tensor, targets_M: Tensor, weights_M: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted cross-entropy of M label positions, and the loss of each of them (natural logarithm, no gradient).

    Args:
        h_MD: hidden states after the last layer norm, at label positions only [M, D].
        head_VD: the frozen head [V, D], tied to the token embedding in GPT-2.
        targets_M: the token that comes next at each position [M].
        weights_M: weight of each position in the sum [M]; 1 / M each gives the usual mean. Its dtype, float32 or
            float64, is that of the losses.

    Label smoothing is not modelled.
    """
    total, losses_M = _HeadLoss.apply(h_MD, head_VD, targets_M, weights_M)
    return total, losses_M
