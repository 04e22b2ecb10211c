"""Causal attention where the fused kernel will not do, under names that transformers knows.

Shape legend in `layout.py`; E channels a head, H heads; queries, keys and values are [R, H, T, E].
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

KEYED_DROPOUT: Final = "keyed_dropout"
"""Attention whose dropout is the module's own ``keyed_dropout``, a `dropout.KeyedDropout`."""

IN_FLOAT32: Final = "sdpa_in_float32"
"""The fused kernel in float32 for a base in half precision: on CPUs that is several times faster (and more exact)."""


def _with_dropout(
    module: nn.Module,
    query_RHTE: Tensor,
    key_RHTE: Tensor,
    value_RHTE: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, Tensor]:
    """Attention with its weights in sight, E channels a head; the fused kernel draws its own masks.

    Weights are masked as [R, query, key, H], so that a longer T leaves those of the first positions as they are.
    """
    groups = query_RHTE.shape[1] // key_RHTE.shape[1]
    if groups > 1:
        key_RHTE, value_RHTE = (x.repeat_interleave(groups, dim=1) for x in (key_RHTE, value_RHTE))
    tokens, scale = query_RHTE.shape[2], query_RHTE.shape[3] ** -0.5 if scaling is None else scaling
    scores_RHTT = torch.matmul(query_RHTE, key_RHTE.transpose(2, 3)) * scale
    future_TT = torch.ones(tokens, tokens, dtype=torch.bool, device=query_RHTE.device).triu_(1)
    weights_RHTT = scores_RHTT.masked_fill(future_TT, float("-inf")).softmax(dim=-1)
    dropped_RTTH: Tensor = module.get_submodule("keyed_dropout")(weights_RHTT.permute(0, 2, 3, 1))
    return torch.matmul(dropped_RTTH.permute(0, 3, 1, 2), value_RHTE).transpose(1, 2).contiguous(), weights_RHTT


def _in_float32(
    module: nn.Module,
    query_RHTE: Tensor,
    key_RHTE: Tensor,
    value_RHTE: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Fused causal attention, its in- and output rounded once."""
    out_RHTE = nn.functional.scaled_dot_product_attention(
        query_RHTE.float(),
        key_RHTE.float(),
        value_RHTE.float(),
        is_causal=True,
        scale=scaling,
        enable_gqa=query_RHTE.shape[1] != key_RHTE.shape[1],
    )
    return out_RHTE.to(query_RHTE.dtype).transpose(1, 2).contiguous(), None


AttentionInterface.register(KEYED_DROPOUT, _with_dropout)
AttentionInterface.register(IN_FLOAT32, _in_float32)
