"""GPT-2 (Radford et al. 2019): learned positions, a fused query-key-value projection, Conv1D weights [in, out]."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from simulator.training.layout import Piece


class Gpt2:
    """Implements `Family`."""

    blocks = "transformer.h"
    fan_in_fan_out = True
    attention = "attn"
    dropouts = ("attn.resid_dropout", "mlp.dropout")

    def check(self, config: PretrainedConfig) -> None:
        """Refuse another activation than the tanh GELU, which is computed by one kernel, and cross attention."""
        if config.activation_function not in {"gelu_new", "gelu_pytorch_tanh"}:
            raise ValueError(f"activation_function must be GPT-2's tanh GELU, got {config.activation_function!r}")
        if config.add_cross_attention:
            raise ValueError("add_cross_attention must be false: the blocks of a decoder alone are split here")

    def quiet(self, config: PretrainedConfig) -> None:
        """Hugging Face's default is 0.1 at three places."""
        config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
        config._attn_implementation = "sdpa"

    def pieces(self, config: PretrainedConfig) -> dict[str, Piece]:
        """``c_attn`` is PEFT's form, one A and B over query, key and value.

        ``q``, ``k``, ``v`` are a pair each on their third of it; SplitLoRA's published code has one for query and one
        for value and none for key (MergedLinear with enable_lora [T, F, T]).
        """
        d = config.n_embd
        m = 4 * d if config.n_inner is None else config.n_inner
        found = (
            Piece("c_attn", "attn.c_attn", d, 0, 3 * d, 3 * d),
            *(Piece(name, "attn.c_attn", d, third * d, d, 3 * d) for third, name in enumerate("qkv")),
            Piece("attn.c_proj", "attn.c_proj", d, 0, d, d),
            Piece("mlp.c_fc", "mlp.c_fc", d, 0, m, m),
            Piece("mlp.c_proj", "mlp.c_proj", m, 0, d, d),
        )
        return {piece.name: piece for piece in found}

    def frozen(self, projection: nn.Module) -> tuple[Tensor, Tensor | None]:
        """Conv1D keeps its weight as [in, out]."""
        assert isinstance(projection.weight, Tensor)
        assert isinstance(projection.bias, Tensor)
        return projection.weight, projection.bias

    def tune(self, model: PreTrainedModel) -> None:
        """The tanh GELU in one kernel equals Hugging Face's NewGELU to rounding."""
        for block in model.transformer.h:
            block.mlp.act = nn.GELU(approximate="tanh")

    def unround(self, model: PreTrainedModel) -> None:
        """Nothing rounds inside."""

    def embed(self, model: PreTrainedModel, ids_RT: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Token plus position embeddings; a block needs nothing else."""
        where_T = torch.arange(ids_RT.shape[1], device=ids_RT.device)
        return model.transformer.wte(ids_RT) + model.transformer.wpe(where_T), {}

    def norm(self, model: PreTrainedModel) -> nn.Module:
        """The last layer norm."""
        norm: nn.Module = model.transformer.ln_f
        return norm

    def head(self, model: PreTrainedModel) -> Tensor:
        """Tied to the token embedding."""
        weight: Tensor = model.lm_head.weight
        return weight
